package conformance

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/dragoman-id/dragoman/gen/testiniumapi"
)

// maxSafe is the greatest integer that every JSON reader keeps: 2^53-1.
const maxSafe = 1<<53 - 1

var testinium = &dialect{
	name:     Testinium,
	document: testiniumapi.GetSpec,
	show:     "getUser",
	list:     "listUsers",
	update:   "updateUser",
	method:   http.MethodPut,

	listSuffix: "/", // linters refuse it in the document

	members: []memberOf{
		{name: "name", kind: text, limit: 255},
		{name: "surname", kind: text, limit: 255},
		{name: "username", kind: login, group: Identity, limit: 254},
		{name: "email", kind: mail, group: Identity, limit: 254},
		{name: "enabled", kind: flag, group: State},
		{name: "accountNonExpired", kind: flag, group: State},
		{name: "accountNonLocked", kind: flag, group: State},
		{name: "credentialNonExpired", kind: flag, group: State},
		{name: "authorities", kind: grants, group: Roles},
	},
	whole:    true,
	idMember: "entityId",
	// The topmost ids below 2^53 are nobody's: ids are given from the bottom up.
	noSuchUser:     func() string { return strconv.Itoa(maxSafe - rand.IntN(1000)) }, // #nosec G404 -- no secret
	noSuchCustomer: func() string { return strconv.Itoa(maxSafe - rand.IntN(1000)) }, // #nosec G404 -- no secret
	administrator: func(u user) string {
		for _, name := range authorityNames(u) {
			if name == "ROLE_ADMIN" || name == "ROLE_COMPANY_ADMIN" {
				return name
			}
		}
		return ""
	},
	checkIDs: func(c *Config) error {
		for name, id := range map[string]string{"customer": c.Customer, "user": c.User, "company": c.Company} {
			if n, err := strconv.ParseInt(id, 10, 64); err != nil || n <= 0 || strconv.FormatInt(n, 10) != id {
				return fmt.Errorf("the --%s of %s must be a number above 0", name, Testinium)
			}
		}
		return nil
	},
	vendorError: testiniumError,
	fieldErrors: func(value any) []any {
		all, _ := memberOfObject(value, "errors").([]any)
		return all
	},
	records: func(value any) ([]any, bool) {
		records, ok := value.([]any)
		return records, ok
	},
}

func authorityNames(u user) []string {
	var names []string
	all, _ := u["authorities"].([]any)
	for _, a := range all {
		if name, ok := memberOfObject(a, "name").(string); ok {
			names = append(names, name)
		}
	}
	return names
}

// testiniumCodes are the documented codes, by status.
var testiniumCodes = map[int][]string{
	http.StatusBadRequest:          {"INVALID_REQUEST"},
	http.StatusUnauthorized:        {"UNAUTHORIZED"},
	http.StatusForbidden:           {"ACCESS_DENIED", "UNAUTHORIZED_ACCESS"},
	http.StatusNotFound:            {"USER_NOT_FOUND", "CUSTOMER_NOT_FOUND"},
	http.StatusInternalServerError: {"INTERNAL_SERVER_ERROR"},
}

// hasText tells whether one of some texts is anywhere in a value.
func hasText(value any, texts []string) bool {
	among := func(v any) bool { return hasText(v, texts) }
	switch v := value.(type) {
	case string:
		return slices.Contains(texts, v)
	case []any:
		return slices.ContainsFunc(v, among)
	case map[string]any:
		return slices.ContainsFunc(slices.Collect(maps.Values(v)), among)
	}
	return false
}

// testiniumError looks for the documented code. In which member it is the vendor does not say.
func testiniumError(x exchange, value any) string {
	known, ok := testiniumCodes[x.status]
	if !ok {
		return ""
	}
	if hasText(value, known) {
		return ""
	}
	return fmt.Sprintf("no member that is %s, which is documented for %d", strings.Join(known, " or "), x.status)
}
