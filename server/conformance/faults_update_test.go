package conformance_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode/utf8"
)

// updateFaults are in what an update does, or is taken for.
var updateFaults = []fault{
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
		also: []string{"if-match-compares-strongly", "if-match-takes-a-list", "if-match-malformed-is-refused", "if-match-on-a-read-is-evaluated", "one-of-parallel-conditional-writes-wins", "read-modify-write-loses-nothing",
			"stale-if-match-is-explained", "merge-keeps-what-others-wrote", "merge-of-a-conflict-is-412"},
		begin: editing(func(c *call) { c.Header.Del("If-Match") }),
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
		also: []string{"if-match-with-a-stale-etag-is-412", "if-match-takes-a-list", "if-none-match-with-the-present-etag-is-304", "if-none-match-with-a-stale-etag-is-200", "if-none-match-with-the-present-etag-on-an-update-is-412", "one-of-parallel-conditional-writes-wins", "read-modify-write-loses-nothing",
			"stale-if-match-is-explained", "merge-keeps-what-others-wrote", "merge-of-a-conflict-is-412"},
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
		also: []string{"if-none-match-with-the-present-etag-is-304", "if-none-match-with-the-present-etag-on-an-update-is-412",
			"stale-if-match-is-explained", "merge-keeps-what-others-wrote", "dry-run-changes-nothing"},
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
		also:   []string{"if-none-match-with-the-present-etag-on-an-update-is-412"},
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
}
