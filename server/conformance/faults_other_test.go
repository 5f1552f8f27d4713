package conformance_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/dragoman-id/dragoman/server/servertest"
)

// otherFaults are in who is let in, in what is found, and in what is answered.
var otherFaults = []fault{
	{
		name: "another customer's caller let in", dialect: worth,
		breaks: []string{"other-caller-is-403"},
		also:   []string{"refusals-hide-whether-the-customer-exists"},
		begin: func(tokens tokens) func(*call) answer {
			return func(c *call) answer {
				if c.Header.Get("Authorization") == "Bearer "+tokens.other && c.Method == http.MethodGet {
					c.Header.Set("Authorization", "Bearer "+tokens.good)
				}
				return c.send()
			}
		},
	},
	{
		name: "404 for a customer that does not exist", dialect: testinium,
		breaks: []string{"refusals-hide-whether-the-customer-exists", "foreign-customer-is-403"},
		also:   []string{"refusals-come-in-order", "errors-are-the-documented"},
		begin: answering(func(c *call, a answer) answer {
			if a.status == http.StatusForbidden && !strings.Contains(c.URL.Path, "/3393/") {
				a.status = http.StatusNotFound
			}
			return a
		}),
	},
	{
		name: "an unsigned token taken", dialect: testinium,
		breaks: []string{"unsigned-token-is-401"},
		begin: func(tokens tokens) func(*call) answer {
			return func(c *call) answer {
				// {"alg":"none"...
				if strings.HasPrefix(c.Header.Get("Authorization"), "Bearer eyJhbGciOiJub25l") {
					c.Header.Set("Authorization", "Bearer "+tokens.good)
				}
				return c.send()
			}
		},
	},
	{
		name: "a signature that is not checked", dialect: worth,
		breaks: []string{"wrongly-signed-token-is-401"},
		also:   []string{"malformed-token-is-401"},
		begin: func(tokens tokens) func(*call) answer {
			begins := "Bearer " + tokens.good[:strings.LastIndex(tokens.good, ".")+1]
			return func(c *call) answer {
				if sent := c.Header.Get("Authorization"); strings.HasPrefix(sent, begins) && len(sent) == len("Bearer ")+len(tokens.good) {
					c.Header.Set("Authorization", "Bearer "+tokens.good)
				}
				return c.send()
			}
		},
	},
	{
		name: "an error without its data", dialect: worth,
		breaks: []string{"error-bodies-match-the-document"},
		also:   []string{"errors-name-the-member", "stale-if-match-is-explained"},
		begin: answering(func(_ *call, a answer) answer {
			if a.status < http.StatusBadRequest {
				return a
			}
			return a.edit(func(m map[string]any) { delete(m, "data") })
		}),
	},
	{
		name: "an error without its code", dialect: testinium,
		breaks: []string{"errors-are-the-documented"},
		begin: answering(func(_ *call, a answer) answer {
			if a.status != http.StatusNotFound {
				return a
			}
			return a.edit(func(m map[string]any) { m["message"] = "Not Found" })
		}),
	},
	{
		name: "an error in HTML", dialect: worth,
		breaks: []string{"answers-are-json"},
		begin: answering(func(_ *call, a answer) answer {
			if a.status == http.StatusNotFound {
				a = a.set("Content-Type", "text/html")
				a.body = []byte("<h1>Not Found</h1>")
			}
			return a
		}),
	},
	{
		name: "an answer without its request id", dialect: testinium,
		breaks: []string{"headers-match-the-document"},
		begin: answering(func(c *call, a answer) answer {
			if a.status == http.StatusForbidden {
				return a.without("X-Request-Id")
			}
			return a
		}),
	},
	{
		name: "a 401 without its scheme", dialect: worth,
		breaks: []string{"unauthenticated-answers-name-the-scheme"},
		also:   []string{"headers-match-the-document"},
		begin:  answering(func(_ *call, a answer) answer { return a.without("WWW-Authenticate") }),
	},
	{
		name: "a lost update", dialect: worth,
		breaks: []string{"parallel-patches-all-stay"},
		begin: editing(func(c *call) {
			m := c.members()
			if !c.update() || len(m) != 1 || !c.names("first_name", "last_name", "mobile") || c.Header.Get("If-Match") != "" {
				return
			}
			// It reads all, changes one, and writes all.
			user, _ := c.present()
			for _, name := range []string{"first_name", "last_name", "mobile"} {
				if m[name] == nil && user[name] != nil && string(user[name]) != "null" {
					c.add(name, user[name])
				}
			}
		}),
	},
	{
		// Of users alone: with the ids of roles as texts no body could be sent back at all.
		name: "ids as texts", dialect: testinium,
		breaks: []string{"bodies-match-the-document"},
		also:   []string{"put-of-get-changes-nothing", "put-of-list-entry-changes-nothing", "ids-in-the-body-must-be-the-paths", "integers-may-have-an-empty-fraction"},
		begin: answering(func(_ *call, a answer) answer {
			if a.status != http.StatusOK {
				return a
			}
			a.body = regexp.MustCompile(`"entityId":(\d{3,})`).ReplaceAll(a.body, []byte(`"entityId":"$1"`))
			return a
		}),
	},
	{
		name: "500 at a lone surrogate", dialect: testinium,
		breaks: []string{"lone-surrogates-are-refused", "no-request-makes-the-server-fail"},
		also:   []string{"errors-are-the-documented"},
		begin: answering(func(c *call, a answer) answer {
			if bytes.Contains(c.body, []byte(`\ud800`)) {
				a.status = http.StatusInternalServerError
			}
			return a
		}),
	},
	{
		name: "a stale list", dialect: worth,
		breaks: []string{"list-shows-what-get-shows"},
		begin: func(tokens) func(*call) answer {
			var list once
			return func(c *call) answer {
				if c.Method == http.MethodGet && strings.HasSuffix(c.URL.Path, "/users") {
					id := c.Header.Get("X-Request-Id")
					return list.get(c).set("X-Request-Id", cmp.Or(id, "some"))
				}
				return c.send()
			}
		},
	},
	{
		name: "authorities that are only ever added", dialect: testinium,
		breaks: []string{"authorities-are-replaced"},
		also:   []string{"authorities-may-be-empty", "authorities-are-resolved-by-name", "changed-lists-what-changed", "large-bodies-are-413"},
		begin: editing(func(c *call) {
			m := c.members()
			var sent, current []any
			if !c.update() || m == nil || json.Unmarshal(m["authorities"], &sent) != nil || sent == nil {
				return
			}
			user, _ := c.present()
			_ = json.Unmarshal(user["authorities"], &current)
			both, _ := json.Marshal(append(sent, current...))
			c.body = bytes.Replace(c.body, m["authorities"], both, 1)
		}),
	},
	{
		name: "authorities by their ids", dialect: testinium,
		breaks: []string{"authorities-are-resolved-by-name"},
		begin: editing(func(c *call) {
			if c.update() {
				c.body = regexp.MustCompile(`"entityId":2,"name":"ROLE_USER"`).ReplaceAll(c.body, []byte(`"name":"ROLE_RUN_TEST"`))
			}
		}),
	},
	{
		name: "an id of the body that counts for nothing", dialect: testinium,
		breaks: []string{"ids-in-the-body-must-be-the-paths"},
		begin: editing(func(c *call) {
			if c.update() {
				c.body = regexp.MustCompile(`"(entityId|customer)":90071992547\d+`).ReplaceAll(c.body, []byte(`"$1":null`))
			}
		}),
	},
	{
		name: "a password that is shown", dialect: testinium,
		breaks: []string{"passwords-are-never-shown"},
		also:   []string{"put-of-get-changes-nothing", "put-of-list-entry-changes-nothing"},
		begin: answering(func(c *call, a answer) answer {
			a.body = bytes.ReplaceAll(a.body, []byte(`"password":null`), []byte(`"password":"$argon2id$"`))
			return a
		}),
	},
	{
		name: "an update's answer of before", dialect: testinium,
		breaks: []string{"update-answers-as-documented"},
		begin: plainly(func(c *call) answer {
			if !c.update() {
				return c.send()
			}
			before, _ := c.present()
			a := c.send()
			if a.status == http.StatusOK {
				a.body = []byte(encode(before))
			}
			return a
		}),
	},
	{
		name: "texts that stand for numbers", dialect: testinium,
		breaks: []string{"strings-are-no-numbers"},
		begin: editing(func(c *call) {
			if c.update() {
				c.body = regexp.MustCompile(`"(entityId|customer)":"(\d+)"`).ReplaceAll(c.body, []byte(`"$1":$2`))
			}
		}),
	},
	{
		name: "an id read as far as it goes", dialect: testinium,
		breaks: []string{"malformed-ids-are-refused"},
		begin: editing(func(c *call) {
			c.URL.Path = regexp.MustCompile(`(/users/\d+)[x.].*`).ReplaceAllString(c.URL.Path, "$1")
			c.URL.RawPath = ""
		}),
	},
	{
		name: "a text that is trimmed", dialect: worth,
		breaks: []string{"text-comes-back-as-it-was-sent"},
		begin: editing(func(c *call) {
			if c.update() {
				c.body = bytes.ReplaceAll(c.body, []byte(`" leading and trailing "`), []byte(`"leading and trailing"`))
			}
		}),
	},
	{
		name: "a text that is cut", dialect: worth,
		breaks: []string{"texts-beyond-the-limit-are-refused"},
		begin: editing(func(c *call) {
			if c.update() && len(c.body) < 10_000 {
				c.body = regexp.MustCompile(`x{256,}"}`).ReplaceAll(c.body, []byte(strings.Repeat("x", 255)+`"}`))
			}
		}),
	},
	{
		name: "405 without Allow", dialect: testinium,
		breaks: []string{"wrong-method-is-405-with-allow"},
		begin:  answering(func(_ *call, a answer) answer { return a.without("Allow") }),
	},
	{
		name: "a wrong Dragoman-Changed", dialect: worth,
		breaks: []string{"changed-lists-what-changed"},
		also:   []string{"merge-keeps-what-others-wrote"},
		begin: answering(func(_ *call, a answer) answer {
			if a.header.Get("Dragoman-Changed") == "" {
				return a
			}
			return a.set("Dragoman-Changed", "first_name")
		}),
	},
	{
		name: "a preference that is applied in words alone", dialect: worth,
		breaks: []string{"strict-handling-refuses-unknown-members"},
		also:   []string{"merge-keeps-what-others-wrote"},
		begin: plainly(func(c *call) answer {
			if c.Header.Get("Prefer") == "" {
				return c.send()
			}
			c.Header.Del("Prefer")
			return c.send().set("Preference-Applied", "handling=strict")
		}),
	},
	{
		name: "a body without a bound", dialect: worth,
		breaks: []string{"large-bodies-are-413"},
		begin: plainly(func(c *call) answer {
			if len(c.body) > 256<<10 {
				return c.idle()
			}
			return c.send()
		}),
	},
	{
		name: "times without a zone", dialect: worth,
		breaks: []string{"times-have-milliseconds-in-utc"},
		begin: answering(func(_ *call, a answer) answer {
			a.body = regexp.MustCompile(`(_at":"[^"]*)Z"`).ReplaceAll(a.body, []byte(`$1"`))
			return a
		}),
	},
	{
		name: "400 for what was written nevertheless", dialect: testinium,
		breaks: []string{"trailing-data-is-refused"},
		begin: plainly(func(c *call) answer {
			if c.update() && bytes.HasSuffix(c.body, []byte("}x")) {
				a := c.send()
				c.with(strings.TrimSuffix(string(c.body), "x"))
				return a
			}
			return c.send()
		}),
	},
	{
		name: "a company that is not asked for", dialect: testinium,
		breaks: []string{"company-header-is-required"},
		begin: editing(func(c *call) {
			if c.Header.Get("Current-Company-Id") == "" && len(c.Header["Current-Company-Id"]) == 0 {
				c.Header.Set("Current-Company-Id", strconv.Itoa(servertest.Company))
			}
		}),
	},
	{
		name: "a page of any size", dialect: worth,
		breaks: []string{"list-page-bounds-are-enforced"},
		begin: editing(func(c *call) {
			c.URL.RawQuery = strings.ReplaceAll(c.URL.RawQuery, "itemsPerPage=1001", "itemsPerPage=1000")
		}),
	},
	{
		name: "an unknown filter that shows everybody", dialect: worth,
		breaks: []string{"list-unknown-parameters-are-refused"},
		begin: editing(func(c *call) {
			if strings.Contains(c.URL.RawQuery, "shoe_size") {
				c.URL.RawQuery = ""
			}
		}),
	},
	{
		name: "a server's member that a client can set", dialect: worth,
		breaks: []string{"read-only-members-are-ignored", "read-only-members-cannot-be-set"},
		begin: editing(func(c *call) {
			if m := c.members(); c.update() && m["is_first_login"] != nil {
				m["last_name"] = json.RawMessage(`"set by another member"`)
				c.body = []byte(encode(m))
			}
		}),
	},
}
