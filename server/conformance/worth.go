package conformance

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/dragoman-id/dragoman/gen/worthapi"
	"github.com/google/uuid"
)

var worth = &dialect{
	name:        Worth,
	document:    worthapi.GetSpec,
	show:        "getCustomerUser",
	list:        "listCustomerUsers",
	update:      "updateCustomerUser",
	method:      http.MethodPatch,
	inUser:      "data",
	bookkeeping: []string{"updated_at", "updated_by"},
	members: []memberOf{
		{name: "first_name", kind: text, limit: 255},
		{name: "last_name", kind: text, limit: 255},
		{name: "email", kind: mail, group: Identity, limit: 254},
		{name: "mobile", kind: phone, limit: 64},
		{name: "subrole", kind: grants, group: Roles},
		{name: "status", kind: status, group: State},
	},
	idMember:       "id",
	noSuchUser:     func() string { return uuid.NewString() },
	noSuchCustomer: func() string { return uuid.NewString() },
	administrator: func(u user) string {
		code, _ := subroleOf(u)["code"].(string)
		if slices.Contains([]string{"owner", "cro", "admin"}, strings.ToLower(code)) {
			return "the subrole " + code
		}
		return ""
	},
	checkIDs: func(c *Config) error {
		for name, id := range map[string]string{"customer": c.Customer, "user": c.User} {
			if u, err := uuid.Parse(id); err != nil || len(id) != 36 || u == uuid.Nil {
				return fmt.Errorf("the --%s of %s must be a UUID", name, Worth)
			}
		}
		if c.Company != "" {
			return errors.New("there is no company in Worth's API: leave out --company")
		}
		return nil
	},
	vendorError: worthError,
	fieldErrors: func(value any) []any {
		data, _ := memberOfObject(value, "data").(map[string]any)
		all, _ := data["errors"].([]any)
		return all
	},
	records: func(value any) ([]any, bool) {
		records, ok := memberOfObject(memberOfObject(value, "data"), "records").([]any)
		return records, ok
	},
}

func subroleOf(u user) map[string]any {
	s, _ := u["subrole"].(map[string]any)
	return s
}

func memberOfObject(value any, name string) any {
	o, _ := value.(map[string]any)
	return o[name]
}

// worthCodes are the documented codes, by status. The update's page and the error guide have two names for some.
var worthCodes = map[int][]string{
	http.StatusBadRequest:          {"INVALID", "ERR_INTERNAL_SERVER"},
	http.StatusUnauthorized:        {"ERR_UNAUTHORIZED", "UNAUTHENTICATED"},
	http.StatusForbidden:           {"ERR_FORBIDDEN", "UNAUTHORIZED"},
	http.StatusNotFound:            {"INVALID", "NOT_FOUND"},
	http.StatusMethodNotAllowed:    {"NOT_ALLOWED"},
	http.StatusInternalServerError: {"ERR_INTERNAL_SERVER", "UNKNOWN_ERROR"},
}

func worthError(x exchange, value any) string {
	message, _ := memberOfObject(value, "message").(string)
	code, _ := memberOfObject(value, "errorCode").(string)
	if message == "" || code == "" {
		return "no message and errorCode that are text"
	}
	if known, ok := worthCodes[x.status]; ok && !slices.Contains(known, code) {
		return fmt.Sprintf("the errorCode %s: documented for %d is %s", printable(code), x.status, strings.Join(known, " or "))
	}
	return ""
}
