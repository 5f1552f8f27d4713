package conformance_test

import (
	"bytes"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/conformance"
	"github.com/dragoman-id/dragoman/server/servertest"
)

// plain makes of our answers those of a server that has none of Dragoman's additions.
func plain(c *call) answer {
	for _, name := range []string{"If-Match", "If-None-Match", "Prefer", "Idempotency-Key"} {
		c.Header.Del(name)
	}
	a := c.send()
	for _, name := range []string{"ETag", "Dragoman-Changed", "Dragoman-Ignored", "Dragoman-Conflict", "Dragoman-Dry-Run", "Preference-Applied", "Cache-Control", "X-Request-Id"} {
		a = a.without(name)
	}
	return a
}

// vendorsOwn does, where the vendors' pages leave it open, what their servers may well do and ours does not: answers and errors
// in the documented form that is not ours, another status where two are documented, and the defaults of Node.js and Spring.
func vendorsOwn(dialect, good string) func(*call) answer {
	const nilUUID = "00000000-0000-0000-0000-000000000000"
	return func(c *call) answer {
		if sent := strings.Join(c.Header["Authorization"], ", "); strings.Contains(sent, good) && len(sent) > len("Bearer "+good) && !strings.Contains(sent, "x.y") {
			c.Header.Set("Authorization", "Bearer "+good) // of two the first
		}
		if c.Header.Get("Authorization") == good {
			c.Header.Set("Authorization", "Bearer "+good)
		}
		if dialect == testinium && c.update() {
			c.body = regexp.MustCompile(`"(name|surname|username|email)":(\d[\d.]*|true|false)([,}])`).ReplaceAll(c.body, []byte(`"$1":"$2"$3`))
		}
		if c.update() && bytes.Contains(c.body, []byte("@EXAMPLE.")) {
			return c.idleAs(plain)
		}
		a := plain(c)
		switch {
		case strings.HasSuffix(c.URL.Path, nilUUID):
			a.status = http.StatusBadRequest
		case a.status == http.StatusForbidden && strings.HasSuffix(c.URL.Path, "/users/") && !strings.Contains(c.URL.Path, "/3393/"):
			a.status = http.StatusNotFound
		case a.status == http.StatusNotFound && strings.HasSuffix(c.URL.Path, "dragoman-check"):
			a = a.set("Content-Type", "text/html")
			a.body = []byte("<pre>Cannot GET</pre>")
			return a
		}
		if a.status < http.StatusBadRequest {
			return vendorsUser(dialect, c, a)
		}
		codes := map[string]map[int]string{
			worth:     {400: "INVALID", 401: "ERR_UNAUTHORIZED", 403: "ERR_FORBIDDEN", 404: "INVALID", 405: "NOT_ALLOWED", 413: "INVALID", 415: "INVALID"},
			testinium: {400: "INVALID_REQUEST", 401: "UNAUTHORIZED", 403: "ACCESS_DENIED", 404: "USER_NOT_FOUND"},
		}
		code := codes[dialect][a.status]
		if dialect == worth {
			a.body = []byte(`{"message":"No","errorCode":"` + code + `"}`)
		} else {
			a.body = []byte(`{"error":{"code":"` + code + `","description":"No"}}`)
		}
		return a
	}
}

// vendorsUser gives an answer's user as the vendor's examples have one.
func vendorsUser(dialect string, c *call, a answer) answer {
	if dialect == worth && c.Method == http.MethodGet && !strings.HasSuffix(c.URL.Path, "/users") {
		a.body = regexp.MustCompile(`(_at":"[^"]*\.\d{3})Z"`).ReplaceAll(a.body, []byte(`${1}000"`))
		a.body = regexp.MustCompile(`("company_details":\{"id":")[^"]*"`).ReplaceAll(a.body, []byte(`${1}00000000-0000-4000-8000-000000000000"`))
	}
	return a
}

// The vendor's own server must keep all laws of grade vendor.
func TestVendorsServer(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, dialect := range dialects {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			c := config(s, dialect, newUser(t, s))
			c.Require = nil
			c = around(t, c, vendorsOwn(dialect, c.Token))
			report := check(t, c)
			differ := map[string][]string{
				worth:     {"times-have-milliseconds-in-utc", "company-is-the-customer", "email-of-another-user-is-refused-in-any-case", "token-is-given-once-as-bearer"},
				testinium: {"foreign-customer-is-403", "numbers-and-booleans-are-no-text", "email-of-another-user-is-refused-in-any-case", "token-is-given-once-as-bearer"},
			}[dialect]
			for _, r := range report.Results {
				if r.Outcome == conformance.Broken || r.Outcome == conformance.Unchecked {
					t.Errorf("%s: %s %s\n%s\n\n%s\nexpected %s, got %s", r.Name, r.Outcome, r.Reason, r.Request, r.Answer, r.Expected, r.Got)
				}
				if slices.Contains(differ, r.Name) && r.Outcome != conformance.Differs {
					t.Errorf("%s %s, though the server differs there", r.Name, r.Outcome)
				}
			}
			if !report.Restoration.Done {
				t.Errorf("the user was not restored: %+v", report.Restoration)
			}
		})
	}
}
