package conformance

import (
	"encoding/base64"
	"net/http"
	"strings"
)

// tokens are the laws about authentication.
var tokens = []Law{
	{Name: "missing-token-is-401", Grade: Vendor, check: missingToken,
		Says: "Every operation without a token is 401.",
		Why:  "The directory has personal data."},
	{Name: "malformed-token-is-401", Grade: Vendor, check: malformedToken,
		Says: "A malformed token is 401 on every operation.",
		Why:  "A parser that fails open admits everyone; one that fails with 500 looks like an outage."},
	{Name: "token-is-given-once-as-bearer", Grade: Own, check: tokenOnceAsBearer,
		Says:   "A valid token with another scheme, without a scheme, or sent twice is 401 on every operation.",
		Why:    "A proxy may read the first token and the server the last; neither vendor says which counts.",
		Source: "SEMANTICS.md, Who may do what"},
	{Name: "unsigned-token-is-401", Grade: Vendor, check: unsignedToken,
		Says: "The valid token's claims with alg none and without a signature are 401.",
		Why:  "Anybody can write such a token, for any customer."},
	{Name: "wrongly-signed-token-is-401", Grade: Vendor, check: wronglySigned,
		Says: "The valid token with another signature, or with other claims and its own signature, is 401.",
		Why:  "A signature that is not verified protects nothing."},
	{Name: "unauthenticated-answers-name-the-scheme", Grade: HTTP, check: challenge,
		Says:   "A 401 has a WWW-Authenticate header with Bearer.",
		Why:    "HTTP requires it, and some clients obtain a token only then.",
		Source: "RFC 9110, section 11.6.1; RFC 6750, section 3"},
	{Name: "scheme-is-case-insensitive", Grade: HTTP, check: schemeCase,
		Says:   "The scheme Bearer is accepted in upper and lower case.",
		Why:    "Some HTTP libraries write it in lower case.",
		Source: "RFC 9110, section 11.1"},
}

// operations returns a harmless request for every operation. The update changes nothing.
func (t *trial) operations() []request {
	all := []request{t.showRequest(), t.updateRequest(t.idle().String())}
	for _, o := range t.d.OperationsOf(t.d.document) {
		// All other operations that read data of the customer.
		if path := t.d.path(o, t.c.Customer, ""); o.Method == http.MethodGet && o.OperationID != t.d.Show && !strings.Contains(path, "{") && path != t.d.path(o, "", "") {
			if o.OperationID == t.d.List {
				path = t.listPath(t.c.Customer)
			}
			all = append(all, t.request(o.OperationID, http.MethodGet, path))
		}
	}
	return all
}

// wantUnauthorized requires 401 from every operation with each of these Authorization headers.
func (t *trial) wantUnauthorized(why string, authorizations ...string) {
	for _, r := range t.operations() {
		for _, a := range authorizations {
			t.want(t.send(r.by(a)), why, http.StatusUnauthorized)
		}
	}
}

func missingToken(t *trial) { t.wantUnauthorized("there is no token", "") }

func malformedToken(t *trial) {
	token := t.c.Token
	t.wantUnauthorized("this token is malformed", "Bearer", "Bearer x", "Bearer "+token+"x.y", "Bearer a.b.c", "Bearer "+strings.Repeat("A", 3000))
}

func tokenOnceAsBearer(t *trial) {
	token := t.c.Token
	t.wantUnauthorized("a token is sent as Bearer, and alone", "Basic "+token, token, "Bearer "+token+" "+token)
	for _, r := range t.operations() {
		t.want(t.send(r.by("").with("Authorization", "Bearer "+token, "Bearer "+token)), "a token is sent once", http.StatusUnauthorized)
	}
}

// parts returns the three parts of the token, and skips the law if it is no JWT.
func (t *trial) parts() []string {
	parts := strings.Split(t.c.Token, ".")
	if claimsOf(t.c.Token) == nil {
		t.skip("the token is no JWT")
	}
	return parts
}

func encodePart(json string) string { return base64.RawURLEncoding.EncodeToString([]byte(json)) }

func unsignedToken(t *trial) {
	parts := t.parts()
	var all []string
	for _, alg := range []string{"none", "None", "NONE", ""} {
		header := encodePart(`{"alg":` + encode(alg) + `,"typ":"JWT"}`)
		all = append(all, "Bearer "+header+"."+parts[1]+".", "Bearer "+header+"."+parts[1]+"."+parts[2])
	}
	all = append(all, "Bearer "+parts[0]+"."+parts[1]+".", "Bearer "+parts[0]+"."+parts[1])
	t.wantUnauthorized("the token is not signed", all...)
}

func wronglySigned(t *trial) {
	parts := t.parts()
	signature := []byte(parts[2])
	// Not the last letter, as some of its bits may be padding.
	if signature[0] == 'A' {
		signature[0] = 'B'
	} else {
		signature[0] = 'A'
	}
	claims := claimsOf(t.c.Token)
	claims["dragoman_check"] = true
	t.wantUnauthorized("the signature is not this token's",
		"Bearer "+parts[0]+"."+parts[1]+"."+string(signature),
		"Bearer "+parts[0]+"."+encodePart(encode(claims))+"."+parts[2])
}

func challenge(t *trial) {
	for _, r := range t.operations() {
		for _, authorization := range []string{"", "Bearer x"} {
			x := t.send(r.by(authorization))
			if x.status != http.StatusUnauthorized {
				continue // other laws check the status
			}
			if scheme, _, _ := strings.Cut(x.header.Get("WWW-Authenticate"), " "); !strings.EqualFold(scheme, "Bearer") {
				t.broken(x, "WWW-Authenticate: Bearer", "WWW-Authenticate: %s", x.header.Get("WWW-Authenticate"))
			}
		}
	}
}

func schemeCase(t *trial) {
	for _, scheme := range []string{"bearer", "BEARER"} {
		t.want(t.send(t.showRequest().by(scheme+" "+t.c.Token)), "the token is good", http.StatusOK)
	}
}

// tenants are the laws about authorization.
var tenants = []Law{
	{Name: "foreign-customer-is-refused", Grade: Vendor, check: foreignCustomer,
		Says: "Another customer than the token's is rejected on every operation: 403, or 404 if it does not exist.",
		Why:  "It isolates tenants."},
	{Name: "foreign-customer-is-403", Grade: Own, check: foreignCustomerForbidden,
		Says:   "Another customer than the token's is 403 on every operation, even if it does not exist.",
		Why:    "A 404 tells every holder of a token which customers exist.",
		Source: "SEMANTICS.md, Who may do what"},
	{Name: "other-caller-is-403", Grade: Vendor, OtherToken: true, check: otherCaller,
		Says: "A valid token of a caller without rights in the customer is 403 on every operation, and changes nothing.",
		Why:  "It isolates tenants, tested with the token of another one."},
	{Name: "refusals-hide-whether-the-customer-exists", Grade: Own, OtherToken: true, check: refusalDoesNotTell,
		Says:   "A caller without rights gets the same 403 for an existing and an unknown customer, and for a user in either.",
		Why:    "Otherwise every holder of a token can find out who is a customer, and who works there.",
		Source: "SEMANTICS.md, Who may do what"},
	{Name: "unknown-user-is-404", Grade: Vendor, check: unknownUser,
		Says: "A user that the customer does not have is 404.",
		Why:  "A client must be able to distinguish gone from forbidden."},
	{Name: "company-header-is-required", Grade: Vendor, check: companyRequired, of: withCompany,
		Says: "An operation without current-company-id is 400.",
		Why:  "The vendor documents it as required; it says in which company the caller acts."},
	{Name: "company-header-must-be-an-integer", Grade: Own, check: companyInteger, of: withCompany,
		Says:   "A current-company-id that is not an integer, or is sent twice, is 400.",
		Why:    "With two companies the server would have to guess.",
		Source: "SEMANTICS.md, Who may do what"},
	{Name: "foreign-company-is-403", Grade: Own, check: foreignCompany, of: withCompany,
		Says:   "A company of another customer, or one that does not exist, is 403.",
		Why:    "The header must not grant access that the path denies.",
		Source: "SEMANTICS.md, Who may do what"},
	{Name: "refusals-come-in-order", Grade: Own, check: refusalsInOrder,
		Says:   "Of several faults the first in this order is reported: token, customer, Content-Type, body, user, If-Match.",
		Why:    "A caller without rights must learn nothing, not even what a valid body is.",
		Source: "SEMANTICS.md, Who may do what"},
}

// everyCustomer reports whether the token's claims are for every customer.
func (t *trial) everyCustomer() bool {
	claims := claimsOf(t.c.Token)
	return claims["customer_id"] == "*" && strings.Contains(encode(claims["authorities"]), `"ROLE_ADMIN"`)
}

// elsewhere returns a request for every operation in another customer.
func (t *trial) elsewhere(customer string) []request {
	all := []request{t.showRequestOf(customer, t.c.User), t.updateRequestOf(customer, t.c.User, t.idle().String())}
	if t.d.list != nil {
		all = append(all, t.request(t.d.List, http.MethodGet, t.listPath(customer)))
	}
	return all
}

func foreignCustomer(t *trial)          { t.wantForeignRefused(http.StatusForbidden, http.StatusNotFound) }
func foreignCustomerForbidden(t *trial) { t.wantForeignRefused(http.StatusForbidden) }

// wantForeignRefused requires one of these statuses from every operation in a customer that does not exist.
func (t *trial) wantForeignRefused(statuses ...int) {
	if t.everyCustomer() {
		t.skip("the token is for every customer")
	}
	for _, r := range t.elsewhere(t.d.noSuchCustomer()) {
		t.want(t.send(r), "the customer is not the token's", statuses...)
	}
}

func (t *trial) other() string { return "Bearer " + t.c.OtherToken }

func otherCaller(t *trial) {
	before, _ := t.show()
	for _, r := range t.operations() {
		t.want(t.send(r.by(t.other())), "the caller has no rights in the customer", http.StatusForbidden)
	}
	x := t.send(t.updateRequest(t.renaming().String()).by(t.other()))
	t.want(x, "the caller has no rights in the customer", http.StatusForbidden)
	t.wantUnchanged(x, before)
}

func refusalDoesNotTell(t *trial) {
	existing, unknown := t.elsewhere(t.c.Customer), t.elsewhere(t.d.noSuchCustomer())
	for i := range existing {
		a, b := t.send(existing[i].by(t.other())), t.send(unknown[i].by(t.other()))
		t.want(a, "the caller has no rights in the customer", http.StatusForbidden)
		t.want(b, "the answer does not reveal whether the customer exists", http.StatusForbidden)
		if want, got := t.stableBody(a), t.stableBody(b); want != got {
			t.broken(b, "the same answer as to a customer that exists: "+want, "%s", got)
		}
	}
	a, b := t.send(t.showRequest().by(t.other())), t.send(t.showRequestOf(t.c.Customer, t.d.noSuchUser()).by(t.other()))
	if t.stableBody(a) != t.stableBody(b) {
		t.broken(b, "the same answer as to a user who exists: "+t.stableBody(a), "%s", t.stableBody(b))
	}
}

// stableBody returns the body of an error without the members that differ between requests.
func (t *trial) stableBody(x exchange) string {
	value, err := decode(x.body)
	members, ok := value.(map[string]any)
	if err != nil || !ok {
		return string(x.body)
	}
	delete(members, "timestamp")
	delete(members, "path")
	return encode(members)
}

func unknownUser(t *trial) {
	id := t.d.noSuchUser()
	t.want(t.send(t.showRequestOf(t.c.Customer, id)), "there is no such user", http.StatusNotFound)
	t.want(t.send(t.updateRequestOf(t.c.Customer, id, t.idle().String())), "there is no such user", http.StatusNotFound)
}

func companyRequired(t *trial) {
	for _, r := range t.operations() {
		t.want(t.send(r.with(t.d.company.Name)), t.d.company.Name+" is required", http.StatusBadRequest)
	}
}

func companyInteger(t *trial) {
	for _, r := range t.operations() {
		for _, values := range [][]string{{"x"}, {""}, {t.c.Company + ".0"}, {t.c.Company + "," + t.c.Company}, {t.c.Company, t.c.Company}, {"9223372036854775808"}} {
			t.want(t.send(r.with(t.d.company.Name, values...)), t.d.company.Name+" is no integer", http.StatusBadRequest)
		}
	}
}

func foreignCompany(t *trial) {
	for _, r := range t.operations() {
		for _, id := range []string{t.d.noSuchCustomer(), "0", "-1"} {
			t.want(t.send(r.with(t.d.company.Name, id)), "the company is not the customer's", http.StatusForbidden)
		}
	}
}

func refusalsInOrder(t *trial) {
	customer, user := t.d.noSuchCustomer(), t.d.noSuchUser()
	plain := func(r request) request { return r.with("Content-Type", "text/plain") }
	t.want(t.send(plain(t.updateRequestOf(customer, user, "{")).by("")), "the token comes first", http.StatusUnauthorized)
	if !t.everyCustomer() {
		t.want(t.send(plain(t.updateRequestOf(customer, user, "{"))), "the customer comes before the body", http.StatusForbidden)
	}
	t.want(t.send(plain(t.updateRequestOf(t.c.Customer, user, "{"))), "the Content-Type comes before the body", http.StatusUnsupportedMediaType)
	t.want(t.send(t.updateRequestOf(t.c.Customer, user, "{")), "the body comes before the user", http.StatusBadRequest)
	if t.has[ETags] {
		t.want(t.send(t.updateRequestOf(t.c.Customer, user, t.idle().String()).with("If-Match", `"x"`)), "the user comes before If-Match", http.StatusNotFound)
		t.want(t.send(t.updateRequest("[]").with("If-Match", `"x"`)), "the body comes before If-Match", http.StatusBadRequest)
	}
}
