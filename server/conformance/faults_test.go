package conformance_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/dragoman-id/dragoman/server/conformance"
	"github.com/dragoman-id/dragoman/server/servertest"
)

const (
	worth     = conformance.Worth
	testinium = conformance.Testinium
)

var (
	worthMembers     = []string{"first_name", "last_name", "email", "mobile", "subrole", "status"}
	testiniumMembers = []string{"name", "surname", "username", "email", "enabled", "accountNonExpired", "accountNonLocked", "credentialNonExpired", "authorities"}
	flags            = testiniumMembers[4:8]
)

// faults are servers that must not pass, each for one reason.
var faults = []fault{
	{
		name: "a PATCH that empties an absent mobile number", dialect: worth,
		breaks: []string{"patch-keeps-absent-members"},
		also:   []string{"large-bodies-are-413", "parallel-patches-all-stay"},
		begin: editing(func(c *call) {
			if c.update() && c.names(worthMembers...) && !c.names("mobile") {
				c.add("mobile", json.RawMessage(`""`))
			}
		}),
	},
	{
		name: "a PUT that merges", dialect: testinium,
		breaks: []string{"put-does-not-merge", "put-without-a-member-is-refused"},
		begin: editing(func(c *call) {
			if !c.update() || !c.names(testiniumMembers...) {
				return
			}
			user, _ := c.present()
			for _, name := range testiniumMembers {
				if !c.names(name) {
					c.add(name, user[name])
				}
			}
		}),
	},
	{
		name: "a PUT that disables where enabled is absent", dialect: testinium,
		breaks: []string{"put-without-a-member-is-refused"},
		begin: editing(func(c *call) {
			if c.update() && c.names(testiniumMembers...) && !c.names("enabled") {
				c.add("enabled", json.RawMessage("false"))
			}
		}),
	},
	{
		name: "false taken for absent", dialect: testinium,
		breaks: []string{"flags-change-both-ways", "update-sets-each-member"},
		also:   []string{"etag-changes-with-the-user", "changed-lists-what-changed"},
		begin: editing(func(c *call) {
			if !c.update() || !bytes.Contains(c.body, []byte("false")) {
				return
			}
			user, _ := c.present()
			for _, name := range flags {
				c.body = bytes.Replace(c.body, []byte(`"`+name+`":false`), []byte(`"`+name+`":`+string(user[name])), 1)
			}
		}),
	},
	{
		name: "an ignored If-Match", dialect: worth,
		breaks: []string{"if-match-with-a-stale-etag-is-412"},
		also:   []string{"if-match-compares-strongly", "if-match-takes-a-list", "if-match-malformed-is-refused", "one-of-parallel-conditional-writes-wins", "read-modify-write-loses-nothing"},
		begin:  editing(func(c *call) { c.Header.Del("If-Match") }),
	},
	{
		name: "If-Match compared weakly", dialect: testinium,
		breaks: []string{"if-match-compares-strongly"},
		also:   []string{"if-match-takes-a-list"},
		begin: editing(func(c *call) {
			for i, line := range c.Header["If-Match"] {
				c.Header["If-Match"][i] = strings.ReplaceAll(line, "W/", "")
			}
		}),
	},
	{
		name: "If-Match compared as one text", dialect: worth,
		breaks: []string{"if-match-takes-a-list"},
		also:   []string{"if-match-malformed-is-refused"},
		begin: editing(func(c *call) {
			if line := c.Header.Get("If-Match"); strings.Contains(line, ",") || len(c.Header["If-Match"]) > 1 {
				c.Header.Set("If-Match", `"none"`)
			}
		}),
	},
	{
		name: "If-Match checked before the write, not with it", dialect: worth,
		breaks: []string{"one-of-parallel-conditional-writes-wins"},
		also:   []string{"read-modify-write-loses-nothing"},
		begin: plainly(func(c *call) answer {
			if line := c.Header.Get("If-Match"); c.update() && strings.HasPrefix(line, `"`) && !strings.Contains(line, ",") {
				if _, etag := c.present(); etag == line {
					c.Header.Del("If-Match")
				}
			}
			return c.send()
		}),
	},
	{
		name: "an ETag that never changes", dialect: worth,
		breaks: []string{"etag-changes-with-the-user"},
		also:   []string{"if-match-with-a-stale-etag-is-412", "if-match-takes-a-list", "if-none-match-with-the-present-etag-is-304", "if-none-match-with-a-stale-etag-is-200", "one-of-parallel-conditional-writes-wins", "read-modify-write-loses-nothing"},
		begin: plainly(func(c *call) answer {
			for i, line := range c.Header["If-Match"] {
				if slices.Contains(strings.Split(line, ", "), `"1"`) {
					c.Header["If-Match"][i] = "*"
				}
			}
			a := c.send()
			if a.header.Get("ETag") == "" {
				return a
			}
			return a.set("ETag", `"1"`)
		}),
	},
	{
		name: "an ETag that changes with every update", dialect: testinium,
		breaks: []string{"etag-stays-while-nothing-changes"},
		also:   []string{"if-none-match-with-the-present-etag-is-304"},
		begin: func(tokens) func(*call) answer {
			var updates atomic.Int64
			return func(c *call) answer {
				for i, line := range c.Header["If-Match"] {
					c.Header["If-Match"][i] = strings.ReplaceAll(line, "-"+strconv.FormatInt(updates.Load(), 10)+`"`, `"`)
				}
				a := c.send()
				if c.update() && a.status == http.StatusOK {
					updates.Add(1)
				}
				tag := a.header.Get("ETag")
				if tag == "" {
					return a
				}
				return a.set("ETag", strings.TrimSuffix(tag, `"`)+"-"+strconv.FormatInt(updates.Load(), 10)+`"`)
			}
		},
	},
	{
		name: "an ignored If-None-Match", dialect: worth,
		breaks: []string{"if-none-match-with-the-present-etag-is-304"},
		begin:  editing(func(c *call) { c.Header.Del("If-None-Match") }),
	},
	{
		name: "a case-insensitive decoder", dialect: worth,
		breaks: []string{"member-names-are-exact"},
		also:   []string{"repeated-members-are-refused"},
		begin: editing(func(c *call) {
			if c.update() && utf8.Valid(c.body) && len(c.body) > 0 && !bytes.Contains(c.body, []byte(`\u`)) {
				c.body = refold(c.body, worthMembers...)
			}
		}),
	},
	{
		name: "a case-insensitive decoder of a whole object", dialect: testinium,
		breaks: []string{"member-names-are-exact"},
		also:   []string{"repeated-members-are-refused"},
		begin: editing(func(c *call) {
			if c.update() && utf8.Valid(c.body) && len(c.body) > 0 && !bytes.Contains(c.body, []byte(`\u`)) {
				c.body = refold(c.body, testiniumMembers...)
			}
		}),
	},
	{
		name: "a decoder that takes the last of two members", dialect: testinium,
		breaks: []string{"repeated-members-are-refused"},
		begin: editing(func(c *call) {
			if m := c.members(); c.update() && len(m) > 0 && utf8.Valid(c.body) && !regexp.MustCompile(`\\u(?i:d[89ab]|0000)`).Match(c.body) {
				c.body = []byte(encode(m))
			}
		}),
	},
	{
		name: "null taken for absent", dialect: worth,
		breaks: []string{"null-is-refused"},
		also:   []string{"ignored-lists-what-was-ignored"},
		begin: plainly(func(c *call) answer {
			m := c.members()
			if !c.update() || len(m) == 0 {
				return c.send()
			}
			before := len(m)
			for name, value := range m {
				if string(value) == "null" {
					delete(m, name)
				}
			}
			if len(m) == 0 {
				return c.idle()
			}
			if len(m) == before {
				return c.send()
			}
			return c.with(encode(m))
		}),
	},
	{
		name: "unknown members refused", dialect: worth,
		breaks: []string{"unknown-members-are-ignored"},
		also:   []string{"strict-handling-refuses-unknown-members", "deep-nesting-is-refused", "large-bodies-are-413", "etag-stays-while-nothing-changes", "ignored-lists-what-was-ignored"},
		begin: editing(func(c *call) {
			if m := c.members(); c.update() && len(m) > 1 && m["shoe_size"] != nil {
				c.Header.Set("Prefer", "handling=strict")
			}
		}),
	},
	{
		name: "an empty object taken", dialect: worth,
		breaks: []string{"empty-object-is-refused"},
		also:   []string{"refusals-come-in-order"},
		begin: plainly(func(c *call) answer {
			if m := c.members(); c.update() && m != nil && len(m) == 0 {
				return c.idle()
			}
			return c.send()
		}),
	},
	{
		name: "no body taken", dialect: testinium,
		breaks: []string{"missing-body-is-refused"},
		begin: plainly(func(c *call) answer {
			if c.update() && len(bytes.TrimSpace(c.body)) == 0 {
				return c.idle()
			}
			return c.send()
		}),
	},
	{
		name: "Content-Type demanded", dialect: testinium,
		breaks: []string{"content-type-may-be-absent"},
		begin: editing(func(c *call) {
			if c.update() && c.Header.Get("Content-Type") == "" {
				c.Header.Set("Content-Type", "none")
			}
		}),
	},
	{
		name: "curl's Content-Type refused", dialect: testinium,
		breaks: []string{"curls-form-type-is-read-as-json"},
		begin: editing(func(c *call) {
			if c.Header.Get("Content-Type") == "application/x-www-form-urlencoded" {
				c.Header.Set("Content-Type", "text/plain")
			}
		}),
	},
	{
		name: "any Content-Type taken", dialect: worth,
		breaks: []string{"other-content-types-are-415"},
		also:   []string{"refusals-come-in-order"},
		begin: editing(func(c *call) {
			if c.Header.Get("Content-Type") == "text/plain" {
				c.Header.Set("Content-Type", "application/json")
			}
		}),
	},
	{
		name: "another customer's caller let in", dialect: worth,
		breaks: []string{"other-caller-is-403"},
		also:   []string{"refusal-does-not-tell-whether-the-customer-exists"},
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
		breaks: []string{"refusal-does-not-tell-whether-the-customer-exists"},
		also:   []string{"foreign-customer-is-403", "refusals-come-in-order", "errors-are-the-documented"},
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
		also:   []string{"errors-name-the-member"},
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
		name: "ids as texts", dialect: testinium,
		breaks: []string{"bodies-match-the-document"},
		also:   []string{"put-of-get-changes-nothing", "put-of-list-entry-changes-nothing", "ids-in-the-body-must-be-the-paths", "integers-may-have-an-empty-fraction"},
		begin: answering(func(_ *call, a answer) answer {
			if a.status != http.StatusOK {
				return a
			}
			a.body = regexp.MustCompile(`"entityId":(\d+)`).ReplaceAll(a.body, []byte(`"entityId":"$1"`))
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
		also:   []string{"authorities-go-by-name", "changed-lists-what-changed", "large-bodies-are-413"},
		begin: editing(func(c *call) {
			m := c.members()
			var sent, held []any
			if !c.update() || m == nil || json.Unmarshal(m["authorities"], &sent) != nil || sent == nil {
				return
			}
			user, _ := c.present()
			_ = json.Unmarshal(user["authorities"], &held)
			both, _ := json.Marshal(append(sent, held...))
			c.body = bytes.Replace(c.body, m["authorities"], both, 1)
		}),
	},
	{
		name: "authorities by their ids", dialect: testinium,
		breaks: []string{"authorities-go-by-name"},
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
		breaks: []string{"no-password-comes-back"},
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
		breaks: []string{"ids-that-are-none-are-refused"},
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
		breaks: []string{"times-are-in-the-documented-format"},
		also:   []string{"times-have-milliseconds-in-utc", "bodies-match-the-document"},
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
		breaks: []string{"read-only-members-are-ignored"},
		begin: editing(func(c *call) {
			if m := c.members(); c.update() && m["is_first_login"] != nil {
				m["last_name"] = json.RawMessage(`"set by another member"`)
				c.body = []byte(encode(m))
			}
		}),
	},
}

// TestFaultIsNamed runs the kit against each faulty server. It holds the laws that the fault breaks or may break, and of the
// others a share, another one for each fault: all of them would take minutes. With CI the share is greater.
func TestFaultIsNamed(t *testing.T) {
	t.Parallel()
	share := 6
	if os.Getenv("CI") == "true" {
		share = 3
	}
	s := servertest.Start(t)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	for i, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			u := guinea(t, s)
			c := config(s, f.dialect, u)
			c.Transport = &faulty{next: transport, fault: f.begin(tokens{c.Token, c.OtherToken}), t: t}
			c.Only = slices.Concat(f.breaks, f.also)
			for j, law := range conformance.Laws(f.dialect) {
				if (i+j)%share == 0 {
					c.Only = append(c.Only, law.Name)
				}
			}
			report, err := conformance.Run(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			var broken []string
			for _, r := range report.Results {
				switch {
				case r.Outcome == conformance.Holds:
				case r.Outcome != conformance.Broken:
					t.Errorf("%s is %s: %s", r.Name, r.Outcome, r.Reason)
				case !slices.Contains(f.breaks, r.Name) && !slices.Contains(f.also, r.Name):
					t.Errorf("%s is broken too:\n%s\n\n%s\nexpected %s, got %s", r.Name, r.Request, r.Answer, r.Expected, r.Got)
				case r.Request == "" || r.Answer == "" || r.Expected == "" || r.Got == "":
					t.Errorf("%s does not say what happened: %+v", r.Name, r)
				default:
					broken = append(broken, r.Name)
				}
			}
			for _, name := range f.breaks {
				if !slices.Contains(broken, name) {
					t.Errorf("%s is not broken", name)
				}
			}
			if !report.Restoration.Done {
				t.Errorf("the user was not given back: %+v", report.Restoration)
			}
		})
	}
}
