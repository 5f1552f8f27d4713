package conformance_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"github.com/dragoman-id/dragoman/server/servertest"
)

// frameworkFaults are what servers do by the defaults of what they are made of: of decoders, of columns, of list widgets.
var frameworkFaults = []fault{
	{
		name: "a column of 255 bytes", dialect: worth,
		breaks: []string{"long-texts-are-kept-whole-or-refused", "texts-up-to-the-limit-are-kept-whole", "texts-beyond-the-limit-are-refused"},
		also:   []string{"large-bodies-are-413"},
		begin: editing(func(c *call) {
			for _, name := range []string{"first_name", "last_name"} {
				var text string
				if m := c.members(); c.update() && json.Unmarshal(m[name], &text) == nil && len(text) > 255 {
					m[name], _ = json.Marshal(strings.ToValidUTF8(text[:255], ""))
					c.body = []byte(encode(m))
				}
			}
		}),
	},
	{
		name: "texts in composed form", dialect: testinium,
		breaks: []string{"text-comes-back-as-it-was-sent"},
		begin:  editing(func(c *call) { c.body = bytes.ReplaceAll(c.body, []byte("e\u0301"), []byte("\u00e9")) }),
	},
	{
		name: "no body without a Content-Length", dialect: worth,
		breaks: []string{"body-without-a-length-is-read"},
		begin: editing(func(c *call) {
			if c.streamed {
				c.body = nil
			}
		}),
	},
	{
		name: "identities in lower case", dialect: testinium,
		breaks: []string{"identity-keeps-its-case"},
		begin:  editing(func(c *call) { c.body = bytes.ReplaceAll(c.body, []byte("Dragoman-CHECK"), []byte("dragoman-check")) }),
	},
	{
		name: "texts made of numbers and booleans", dialect: testinium,
		breaks: []string{"numbers-and-booleans-are-no-text"},
		also:   []string{"errors-name-the-member"},
		begin: editing(func(c *call) {
			if c.update() {
				c.body = regexp.MustCompile(`"(name|surname)":(\d[\d.]*|true|false)`).ReplaceAll(c.body, []byte(`"$1":"$2"`))
			}
		}),
	},
	{
		name: "booleans made of texts and numbers", dialect: testinium,
		breaks: []string{"strings-are-no-booleans"},
		begin: editing(func(c *call) {
			if c.update() {
				c.body = regexp.MustCompile(`("(?:enabled|account\w+|credential\w+)":)(?:"true"|1)\b`).ReplaceAll(c.body, []byte(`${1}true`))
			}
		}),
	},
	{
		name: "texts in place of objects", dialect: worth,
		breaks: []string{"wrong-types-are-refused"},
		begin: editing(func(c *call) {
			if c.update() {
				c.body = regexp.MustCompile(`"last_name":\{[^}]*\}`).ReplaceAll(c.body, []byte(`"last_name":"[object Object]"`))
			}
		}),
	},
	{
		name: "roles without a name left out", dialect: testinium,
		breaks: []string{"unknown-roles-are-refused"},
		begin: editing(func(c *call) {
			c.body = regexp.MustCompile(`"authorities":\[(null|\{\}|\{"name":null\})\]`).ReplaceAll(c.body, []byte(`"authorities":[]`))
		}),
	},
	{
		name: "an unknown role left out where another member is valid", dialect: worth,
		breaks: []string{"unknown-roles-are-refused"},
		begin: editing(func(c *call) {
			c.body = regexp.MustCompile(`,"subrole":\{"code":"(DRAGOMAN_CHECK)?"\}`).ReplaceAll(c.body, nil)
		}),
	},
	{
		name: "an unknown role left out of a list, in another dialect", dialect: "toy",
		breaks: []string{"unknown-roles-are-refused"},
		begin: editing(func(c *call) {
			c.body = bytes.ReplaceAll(c.body, []byte(`,{"role":"DRAGOMAN_CHECK"}`), nil)
		}),
	},
	{
		name: "an empty list taken for absent", dialect: testinium,
		breaks: []string{"authorities-may-be-empty"},
		also:   []string{"etag-changes-with-the-user", "changed-lists-what-changed", "unknown-roles-are-refused"},
		begin: editing(func(c *call) {
			if c.update() && bytes.Contains(c.body, []byte(`"authorities":[]`)) {
				user, _ := c.present()
				c.body = bytes.Replace(c.body, []byte(`"authorities":[]`), append([]byte(`"authorities":`), user["authorities"]...), 1)
			}
		}),
	},
	{
		name: "e-mails compared by their bytes", dialect: worth,
		breaks: []string{"email-of-another-user-is-refused-in-any-case"},
		begin: plainly(func(c *call) answer {
			if c.update() && bytes.Contains(c.body, []byte("@EXAMPLE.")) {
				return c.idle()
			}
			return c.send()
		}),
	},
	{
		name: "200 for what is not there", dialect: worth,
		breaks: []string{"unknown-user-is-404", "bodies-match-the-document"},
		also:   []string{"nil-uuid-is-unknown", "malformed-ids-are-refused", "refusals-come-in-order", "unknown-path-is-404", "headers-match-the-document"},
		begin: answering(func(_ *call, a answer) answer {
			if a.status == http.StatusNotFound {
				a.status = http.StatusOK
			}
			return a
		}),
	},
	{
		name: "a token of any scheme", dialect: testinium,
		breaks: []string{"token-is-given-once-as-bearer"},
		begin: func(tokens tokens) func(*call) answer {
			return func(c *call) answer {
				if strings.HasSuffix(c.Header.Get("Authorization"), "Basic "+tokens.good) {
					c.Header.Set("Authorization", "Bearer "+tokens.good)
				}
				return c.send()
			}
		},
	},
	{
		name: "a token that is none let in", dialect: worth,
		breaks: []string{"malformed-token-is-401"},
		begin: func(tokens tokens) func(*call) answer {
			return func(c *call) answer {
				if c.Header.Get("Authorization") == "Bearer a.b.c" {
					c.Header.Set("Authorization", "Bearer "+tokens.good)
				}
				return c.send()
			}
		},
	},
	{
		name: "a customer in the path that counts for nothing", dialect: worth,
		breaks: []string{"foreign-customer-is-refused", "foreign-customer-is-403"},
		also:   []string{"refusals-come-in-order", "list-shows-what-get-shows"},
		begin: editing(func(c *call) {
			c.URL.Path = regexp.MustCompile(`/customers/[0-9a-fA-F-]{36}/`).ReplaceAllString(c.URL.Path, "/customers/"+servertest.SandboxUUID.String()+"/")
			c.URL.RawPath = ""
		}),
	},
	{
		name: "a list without its last page", dialect: worth,
		breaks: []string{"list-pages-have-the-size-asked-for"},
		begin: answering(func(c *call, a answer) answer {
			if c.URL.Query().Get("itemsPerPage") != "2" || c.URL.Query().Get("page") == "1" {
				return a
			}
			return a.edit(func(m map[string]any) {
				data := m["data"].(map[string]any)
				if c.URL.Query().Get("page") == string(data["total_pages"].(json.Number)) {
					data["records"] = []any{}
				}
			})
		}),
	},
	{
		name: "a list whose every page is the first", dialect: worth,
		breaks: []string{"list-pages-have-the-size-asked-for"},
		begin: editing(func(c *call) {
			c.URL.RawQuery = strings.ReplaceAll(c.URL.RawQuery, "page=2&itemsPerPage=2", "page=1&itemsPerPage=2")
		}),
	},
	{
		name: "a filter that shows no users", dialect: worth,
		breaks: []string{"list-filters-hold"},
		begin: answering(func(c *call, a answer) answer {
			if a.status != http.StatusOK || c.URL.Query().Get("status") == "" {
				return a
			}
			return a.edit(func(m map[string]any) { m["data"].(map[string]any)["records"] = []any{} })
		}),
	},
	{
		name: "a list without the last user", dialect: testinium,
		breaks: []string{"list-shows-what-get-shows"},
		also:   []string{"put-of-list-entry-changes-nothing", "passwords-are-never-shown", "answers-about-users-are-private"},
		begin: answering(func(c *call, a answer) answer {
			var all []json.RawMessage
			if !strings.HasSuffix(c.URL.Path, "/users/") || json.Unmarshal(a.body, &all) != nil {
				return a
			}
			a.body, _ = json.Marshal(all[:1])
			return a
		}),
	},
	{
		name: "another time in the list", dialect: worth,
		breaks: []string{"list-shows-what-get-shows"},
		begin: answering(func(c *call, a answer) answer {
			if strings.HasSuffix(c.URL.Path, "/users") {
				a.body = bytes.ReplaceAll(a.body, []byte(`"created_at":"20`), []byte(`"created_at":"19`))
			}
			return a
		}),
	},
	{
		name: "times in words", dialect: worth,
		breaks: []string{"times-are-in-the-documented-format"},
		also:   []string{"times-have-milliseconds-in-utc", "bodies-match-the-document", "list-shows-what-get-shows"},
		begin: answering(func(_ *call, a answer) answer {
			a.body = regexp.MustCompile(`(_at":")[^"]*"`).ReplaceAll(a.body, []byte(`${1}Tue Nov 24 2026 07:26:48"`))
			return a
		}),
	},
	{
		name: "a company that is not the customer", dialect: worth,
		breaks: []string{"company-is-the-customer"},
		begin: answering(func(_ *call, a answer) answer {
			a.body = regexp.MustCompile(`("company_details":\{"id":")[^"]*"`).ReplaceAll(a.body, []byte(`${1}00000000-0000-4000-8000-000000000000"`))
			return a
		}),
	},
	{
		name: "the nil UUID taken for anybody", dialect: worth,
		breaks: []string{"nil-uuid-is-unknown"},
		begin: plainly(func(c *call) answer {
			if strings.HasSuffix(c.URL.Path, "/00000000-0000-0000-0000-000000000000") {
				c.URL.Path = strings.TrimSuffix(c.URL.Path, "00000000-0000-0000-0000-000000000000") + servertest.AdaUUID.String()
				c.Method, c.body = http.MethodGet, nil
			}
			return c.send()
		}),
	},
	{
		name: "answers in another charset", dialect: worth,
		breaks: []string{"answers-are-json"},
		begin:  answering(func(_ *call, a answer) answer { return a.set("Content-Type", "application/json; charset=iso-8859-1") }),
	},
	{
		name: "answers with a byte order mark", dialect: testinium,
		breaks: []string{"answers-are-json"},
		also:   []string{"errors-name-the-member", "dry-run-answers-as-the-update", "stale-if-match-is-explained"},
		begin: answering(func(_ *call, a answer) answer {
			if a.status >= http.StatusBadRequest {
				a.body = append([]byte("\xef\xbb\xbf"), a.body...)
			}
			return a
		}),
	},
	{
		name: "an answer with a member twice", dialect: worth,
		breaks: []string{"answers-are-json"},
		begin: answering(func(_ *call, a answer) answer {
			if a.status == http.StatusNotFound {
				a.body = append(bytes.TrimSuffix(bytes.TrimSpace(a.body), []byte("}")), `,"status":"fail"}`...)
			}
			return a
		}),
	},
	{
		name: "an answer in Latin-1", dialect: worth,
		breaks: []string{"answers-are-json"},
		also:   []string{"text-comes-back-as-it-was-sent", "long-texts-are-kept-whole-or-refused", "texts-up-to-the-limit-are-kept-whole"},
		begin: answering(func(_ *call, a answer) answer {
			if a.status == http.StatusUnauthorized {
				a.body = bytes.Replace(a.body, []byte(`"message":"`), []byte("\"message\":\"\xe9"), 1)
			}
			return a
		}),
	},
}
