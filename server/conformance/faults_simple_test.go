package conformance_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/dragoman-id/dragoman/server/servertest"
)

// refusing is a fault that refuses good updates, those that f finds.
func refusing(f func(*call) bool) func(tokens) func(*call) answer {
	return editing(func(c *call) {
		if c.update() && f(c) {
			c.body = []byte("{")
		}
	})
}

// taking is a fault that answers bad updates, those that f finds, as if they had been good and nothing had changed.
func taking(f func(*call) bool) func(tokens) func(*call) answer {
	return plainly(func(c *call) answer {
		if c.update() && f(c) {
			return c.idle()
		}
		return c.send()
	})
}

// has tells whether the body has one of some texts in it.
func (c *call) has(some ...string) bool {
	for _, text := range some {
		if bytes.Contains(c.body, []byte(text)) {
			return true
		}
	}
	return false
}

// replacing is a fault that answers something else where pattern stands.
func replacing(pattern, by string) func(tokens) func(*call) answer {
	find := regexp.MustCompile(pattern)
	return answering(func(_ *call, a answer) answer {
		a.body = find.ReplaceAll(a.body, []byte(by))
		return a
	})
}

// simpleFaults are one or two to each law that no other fault is about.
var simpleFaults = []fault{
	{
		name: "another user shown", dialect: worth, breaks: []string{"get-shows-the-user"},
		also:  []string{"list-shows-what-get-shows", "uuids-are-the-same-in-any-case", "list-filters-hold"},
		begin: replacing(`("data":\{"id":")[^"]*`, "${1}"+servertest.AdaUUID.String()),
	},
	{
		name: "the owner's subrole offered", dialect: worth, breaks: []string{"subroles-are-a-bare-array-without-owner"},
		begin: replacing(`"code":"cro"`, `"code":"owner"`),
	},
	{
		name: "a list that needs its last slash", dialect: testinium, breaks: []string{"list-answers-without-the-last-slash"},
		begin: editing(func(c *call) {
			if strings.HasSuffix(c.URL.Path, "/users") {
				c.URL.Path += "/none/none"
			}
		}),
	},
	{
		name: "members in another order", dialect: testinium, breaks: []string{"members-come-in-the-documented-order"},
		begin: replacing(`^\{"userType":null,"verificationToken":null,`, `{"verificationToken":null,"userType":null,`),
	},
	{
		name: "a PUT that changes the surname with the name", dialect: testinium, breaks: []string{"put-changes-only-what-differs"},
		also: []string{"unknown-members-are-ignored", "changed-lists-what-changed", "merge-keeps-what-others-wrote", "stale-if-match-is-explained"},
		begin: editing(func(c *call) {
			if c.update() {
				c.body = regexp.MustCompile(`"name":"(Check \d+)","surname":"Somerville"`).ReplaceAll(c.body, []byte(`"name":"$1","surname":"$1"`))
			}
		}),
	},
	{
		name: "a PUT that refuses what only answers have", dialect: testinium, breaks: []string{"put-of-get-changes-nothing", "put-of-list-entry-changes-nothing"},
		also:  []string{"read-only-members-are-ignored", "ignored-lists-what-was-ignored"},
		begin: refusing(func(c *call) bool { return c.names("createdDate") }),
	},
	{
		name: "a PUT that is good once", dialect: testinium, breaks: []string{"put-twice-is-put-once"},
		also: []string{"etag-stays-while-nothing-changes", "changed-is-empty-when-nothing-changes", "dry-run-answers-as-the-update"},
		begin: func(tokens) func(*call) answer {
			var last atomic.Value
			return func(c *call) answer {
				if c.update() && c.has(`"Check `) && last.Swap(string(c.body)) == string(c.body) {
					c.body = []byte("{")
				}
				return c.send()
			}
		},
	},
	{
		name: "a status in any case", dialect: worth, breaks: []string{"status-is-one-of-the-documented"},
		begin: taking(func(c *call) bool { return c.has(`"active"`) }),
	},
	{
		name: "authorities that may not come twice", dialect: testinium, breaks: []string{"authorities-order-and-repetition-do-not-matter"},
		begin: refusing(func(c *call) bool {
			return bytes.Count(c.body, []byte(`"ROLE_USER"`))+bytes.Count(c.body, []byte(`"ROLE_RUN_TEST"`)) > 2
		}),
	},
	{
		name: "a subrole by its id, whatever the code", dialect: worth, breaks: []string{"subrole-id-and-code-must-agree"},
		begin: editing(func(c *call) {
			if c.update() {
				c.body = regexp.MustCompile(`("subrole":\{"id":"[^"]+"),"code":"[^"]+"`).ReplaceAll(c.body, []byte(`$1`))
			}
		}),
	},
	{
		name: "names that must not be empty", dialect: worth, breaks: []string{"empty-names-are-legal"},
		begin: refusing(func(c *call) bool { return c.has(`_name":""`) }),
	},
	{
		name: "an empty mobile number that stays", dialect: worth, breaks: []string{"empty-mobile-is-null"},
		also:  []string{"changed-lists-what-changed"},
		begin: replacing(`"mobile":null`, `"mobile":""`),
	},
	{
		name: "an array taken for its first value", dialect: testinium, breaks: []string{"body-must-be-an-object"},
		begin: taking(func(c *call) bool { return bytes.HasPrefix(c.body, []byte("[{")) }),
	},
	{
		name: "a PATCH of nothing that is known taken", dialect: worth, breaks: []string{"only-unknown-members-are-refused"},
		begin: taking(func(c *call) bool { return c.has(`"firstName"`) }),
	},
	{
		name: "integers without any fraction", dialect: testinium, breaks: []string{"integers-may-have-an-empty-fraction"},
		begin: refusing(func(c *call) bool { return regexp.MustCompile(`"entityId":\d+\.0+,?`).Match(c.body) }),
	},
	{
		name: "an e-mail that is none", dialect: worth, breaks: []string{"email-must-be-valid"},
		begin: taking(func(c *call) bool { return c.has(`"email":"dragoman@"`) }),
	},
	{
		name: "an e-mail of two users", dialect: testinium, breaks: []string{"email-of-another-user-is-refused"},
		also: []string{"email-of-another-user-is-refused-in-any-case"},
		begin: plainly(func(c *call) answer {
			if a := c.send(); !c.update() || a.status != http.StatusBadRequest || !bytes.Contains(a.body, []byte("email is already taken")) {
				return a
			}
			return c.idle()
		}),
	},
	{
		name: "a username with a space", dialect: testinium, breaks: []string{"username-has-no-white-space"},
		begin: taking(func(c *call) bool { return c.has(`"username":"dragoman check"`) }),
	},
	{
		name: "a comma too many", dialect: worth, breaks: []string{"malformed-json-is-refused"},
		begin: editing(func(c *call) { c.body = bytes.ReplaceAll(c.body, []byte(",}"), []byte("}")) }),
	},
	{
		name: "names compared before they are read", dialect: worth, breaks: []string{"escaped-member-names-are-the-same"},
		begin: editing(func(c *call) {
			if bytes.Count(c.body, []byte("irst_name")) == 1 {
				c.body = bytes.ReplaceAll(c.body, []byte(`"\u0066irst_name"`), []byte(`"unknown"`))
			}
		}),
	},
	{
		name: "bytes that are no UTF-8 replaced", dialect: worth, breaks: []string{"invalid-utf-8-is-refused"},
		begin: editing(func(c *call) { c.body = bytes.ReplaceAll(c.body, []byte("\xff"), []byte("?")) }),
	},
	{
		name: "U+0000 left out", dialect: testinium, breaks: []string{"nul-in-text-is-refused"},
		also:  []string{"errors-hide-internals"},
		begin: editing(func(c *call) { c.body = bytes.ReplaceAll(c.body, []byte(`a\u0000b`), []byte(`ab`)) }),
	},
	{
		name: "nesting without a bound", dialect: worth, breaks: []string{"deep-nesting-is-refused"},
		begin: taking(func(c *call) bool { return c.has(strings.Repeat("[", 33)) && len(c.body) < 10_000 }),
	},
	{
		name: "a Content-Type compared as one text", dialect: testinium, breaks: []string{"content-type-may-have-parameters"},
		begin: editing(func(c *call) {
			if strings.Contains(c.Header.Get("Content-Type"), ";") {
				c.Header.Set("Content-Type", "text/plain")
			}
		}),
	},
	{
		name: "an update's ETag of no use", dialect: worth, breaks: []string{"etag-is-strong"},
		also: []string{"stale-if-match-is-explained"},
		begin: answering(func(c *call, a answer) answer {
			if tag := a.header.Get("ETag"); tag != "" && c.update() {
				return a.set("ETag", "W/"+tag)
			}
			return a
		}),
	},
	{
		name: "an ETag without quotes", dialect: worth, breaks: []string{"etag-is-well-formed"},
		also: []string{"if-match-with-the-present-etag-writes", "if-match-takes-a-list", "if-match-with-a-stale-etag-is-412", "if-match-compares-strongly", "if-match-malformed-is-refused",
			"if-none-match-with-the-present-etag-is-304", "if-none-match-with-a-stale-etag-is-200", "if-none-match-with-the-present-etag-on-an-update-is-412", "if-match-on-a-read-is-evaluated",
			"one-of-parallel-conditional-writes-wins", "read-modify-write-loses-nothing", "merge-keeps-what-others-wrote", "merge-of-a-conflict-is-412", "stale-if-match-is-explained"},
		begin: answering(func(_ *call, a answer) answer {
			if tag := a.header.Get("ETag"); tag != "" {
				return a.set("ETag", strings.Trim(tag, `"`))
			}
			return a
		}),
	},
	{
		name: "If-Match that is never true", dialect: testinium, breaks: []string{"if-match-with-the-present-etag-writes", "if-match-any-writes"},
		also: []string{"if-match-takes-a-list", "if-match-malformed-is-refused", "if-match-on-a-read-is-evaluated", "one-of-parallel-conditional-writes-wins", "read-modify-write-loses-nothing", "merge-keeps-what-others-wrote", "stale-if-match-is-explained"},
		begin: editing(func(c *call) {
			if c.Header.Get("If-Match") != "" {
				c.Header["If-Match"] = []string{`"none"`}
			}
		}),
	},
	{
		name: "a malformed If-Match ignored", dialect: worth, breaks: []string{"if-match-malformed-is-refused"},
		begin: editing(func(c *call) {
			if line := c.Header.Get("If-Match"); line != "" && line != "*" && !strings.Contains(line, `"`) {
				c.Header.Del("If-Match")
			}
		}),
	},
	{
		name: "If-None-Match that is always true", dialect: worth, breaks: []string{"if-none-match-with-a-stale-etag-is-200"},
		begin: editing(func(c *call) {
			if c.Header.Get("If-None-Match") != "" {
				c.Header["If-None-Match"] = []string{"*"}
			}
		}),
	},
	{
		name: "If-None-Match ignored by updates", dialect: testinium, breaks: []string{"if-none-match-with-the-present-etag-on-an-update-is-412"},
		begin: editing(func(c *call) {
			if c.update() {
				c.Header.Del("If-None-Match")
			}
		}),
	},
	{
		name: "If-Match ignored by reads", dialect: worth, breaks: []string{"if-match-on-a-read-is-evaluated"},
		begin: editing(func(c *call) {
			if !c.update() {
				c.Header.Del("If-Match")
			}
		}),
	},
	{
		name: "a write that forgets the last one", dialect: worth, breaks: []string{"read-modify-write-loses-nothing"},
		also: []string{"one-of-parallel-conditional-writes-wins", "if-match-on-a-read-is-evaluated", "if-match-with-a-stale-etag-is-412", "if-match-compares-strongly", "if-match-takes-a-list", "if-match-malformed-is-refused", "merge-keeps-what-others-wrote", "merge-of-a-conflict-is-412", "stale-if-match-is-explained"},
		begin: editing(func(c *call) {
			if c.Header.Get("If-Match") != "" {
				c.Header["If-Match"] = []string{"*"}
			}
		}),
	},
	{
		name: "answers for any cache", dialect: worth, breaks: []string{"answers-about-users-are-private"},
		begin: answering(func(_ *call, a answer) answer { return a.set("Cache-Control", "public, max-age=60") }),
	},
	{
		name: "changes where there are none", dialect: worth, breaks: []string{"changed-is-empty-when-nothing-changes"},
		also: []string{"merge-keeps-what-others-wrote"},
		begin: answering(func(_ *call, a answer) answer {
			if v, ok := a.header["Dragoman-Changed"]; ok && v[0] == "" {
				return a.set("Dragoman-Changed", "first_name")
			}
			return a
		}),
	},
	{
		name: "ignored members that are not reported", dialect: testinium, breaks: []string{"ignored-lists-what-was-ignored", "ignored-is-bounded-and-encoded"},
		begin: answering(func(_ *call, a answer) answer { return a.without("Dragoman-Ignored") }),
	},
	{
		name: "everybody let in", dialect: worth, breaks: []string{"missing-token-is-401"},
		also: []string{"etag-stays-while-nothing-changes", "refusals-come-in-order", "headers-match-the-document"},
		begin: func(tokens tokens) func(*call) answer {
			return func(c *call) answer {
				if len(c.Header["Authorization"]) == 0 {
					c.Header.Set("Authorization", "Bearer "+tokens.good)
				}
				return c.send()
			}
		},
	},
	{
		name: "a scheme in one case of letters", dialect: testinium, breaks: []string{"scheme-is-case-insensitive"},
		begin: editing(func(c *call) {
			if strings.HasPrefix(c.Header.Get("Authorization"), "bearer ") {
				c.Header.Del("Authorization")
			}
		}),
	},
	{
		name: "the first of two companies", dialect: testinium, breaks: []string{"company-header-must-be-an-integer"},
		begin: editing(func(c *call) {
			if all := c.Header["Current-Company-Id"]; len(all) > 1 {
				c.Header["Current-Company-Id"] = all[:1]
			}
		}),
	},
	{
		name: "any company", dialect: testinium, breaks: []string{"foreign-company-is-403"},
		begin: editing(func(c *call) {
			if c.Header.Get("Current-Company-Id") == "0" {
				c.Header.Set("Current-Company-Id", "5251")
			}
		}),
	},
	{
		name: "the body read before the customer", dialect: worth, breaks: []string{"refusals-come-in-order"},
		begin: editing(func(c *call) {
			if c.update() && string(c.body) == "{" && c.Header.Get("Content-Type") == "text/plain" {
				c.Header.Set("Content-Type", "application/json")
				c.URL.Path = regexp.MustCompile(`/customers/[^/]+/`).ReplaceAllString(c.URL.Path, "/customers/"+servertest.SandboxUUID.String()+"/")
			}
		}),
	},
	{
		name: "an id without its sign", dialect: testinium, breaks: []string{"ids-beyond-the-limits-are-404"},
		begin: editing(func(c *call) { c.URL.Path = strings.ReplaceAll(c.URL.Path, "/users/-", "/users/") }),
	},
	{
		name: "UUIDs compared as text", dialect: worth, breaks: []string{"uuids-are-the-same-in-any-case"},
		begin: editing(func(c *call) {
			if regexp.MustCompile(`/users/[0-9A-F-]*[A-F]`).MatchString(c.URL.Path) {
				c.URL.Path = regexp.MustCompile(`/users/.*`).ReplaceAllString(c.URL.Path, "/users/"+servertest.SandboxUUID.String())
			}
		}),
	},
	{
		name: "every path is a page", dialect: worth, breaks: []string{"unknown-path-is-404"},
		also: []string{"error-bodies-match-the-document"},
		begin: answering(func(c *call, a answer) answer {
			if strings.HasSuffix(c.URL.Path, "/dragoman-check") {
				a.status = http.StatusOK
			}
			return a
		}),
	},
	{
		name: "any request id comes back", dialect: worth, breaks: []string{"request-id-comes-back"},
		begin: answering(func(c *call, a answer) answer {
			if id := c.Header.Get("X-Request-Id"); id != "" {
				return a.set("X-Request-Id", id)
			}
			return a
		}),
	},
	{
		name: "a mixture of two PUTs", dialect: testinium, breaks: []string{"parallel-puts-stay-whole"},
		also: []string{"changed-lists-what-changed"},
		begin: editing(func(c *call) {
			if m := c.members(); c.update() && strings.HasPrefix(string(m["name"]), `"Check `) && strings.HasPrefix(string(m["surname"]), `"Check `) {
				m["surname"] = json.RawMessage(`"of another"`)
				c.body = []byte(encode(m))
			}
		}),
	},
	{
		name: "the first error alone", dialect: worth, breaks: []string{"errors-name-the-member"},
		begin: answering(func(_ *call, a answer) answer {
			return a.edit(func(m map[string]any) {
				data, _ := m["data"].(map[string]any)
				if all, _ := data["errors"].([]any); len(all) > 1 {
					data["errors"] = all[:1]
				}
			})
		}),
	},
	{
		name: "a database's words", dialect: worth, breaks: []string{"errors-hide-internals"},
		begin: replacing(`"status":"fail","message":"`, `"status":"fail","message":"SQLSTATE 22001: `),
	},
	{
		name: "409 for a wrong type", dialect: testinium, breaks: []string{"statuses-are-in-the-document", "wrong-types-are-refused"},
		also: []string{"errors-name-the-member", "error-bodies-match-the-document"},
		begin: answering(func(c *call, a answer) answer {
			if a.status == http.StatusBadRequest && c.has(`"surname":[]`) {
				a.status = http.StatusConflict
			}
			return a
		}),
	},
}
