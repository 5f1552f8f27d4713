package conformance_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dragoman-id/dragoman/server/conformance"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

// storing is a server that takes some members of an update as they come and shows them in every user from then on.
type storing struct {
	mu     sync.Mutex
	values map[string]json.RawMessage
	// takes tells whether the server takes a member.
	takes func(name string) bool
	// label: it takes the label of a subrole.
	label bool
	// counts: it shows how often a user was written to.
	counts bool
	writes int
}

func (s *storing) serve(c *call) answer {
	a := c.send()
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.update() && a.status == http.StatusOK {
		s.writes++
		for name, value := range c.members() {
			var subrole struct{ Label json.RawMessage }
			switch {
			case s.takes != nil && s.takes(name):
				s.values[name] = value
			case s.label && name == "subrole" && json.Unmarshal(value, &subrole) == nil && subrole.Label != nil:
				s.values[name] = subrole.Label
			}
		}
	}
	if a.status != http.StatusOK {
		return a
	}
	if strings.HasPrefix(string(a.body), "[") {
		var all []map[string]any
		if err := json.Unmarshal(a.body, &all); err != nil {
			panic(err)
		}
		for _, u := range all {
			s.show(u)
		}
		a.body, _ = json.Marshal(all)
		return a
	}
	return a.edit(func(m map[string]any) {
		data, _ := m["data"].(map[string]any)
		records, _ := data["records"].([]any)
		for _, r := range records {
			s.show(r.(map[string]any))
		}
		switch {
		case m["entityId"] != nil:
			s.show(m)
		case data["email"] != nil:
			s.show(data)
		}
	})
}

// show puts what is stored into one user, if it is the one that is checked with.
func (s *storing) show(u map[string]any) {
	if names := fmt.Sprint(u["first_name"], u["name"]); !strings.Contains(names, "Mary") && !strings.Contains(names, "Check") {
		return
	}
	for name, value := range s.values {
		if subrole, ok := u["subrole"].(map[string]any); ok && name == "subrole" {
			subrole["label"] = value
			continue
		}
		u[name] = value
	}
	if s.counts {
		u["revision"] = s.writes
	}
}

// TestIrreversibleChange: a server stores a value that no update can revert. The run reports it with the law and at the end, and checks
// every other law.
func TestIrreversibleChange(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		dialect string
		server  func() *storing
		member  string
	}{
		"a settable time": {testinium, func() *storing {
			return &storing{takes: func(name string) bool { return name == "createdDate" }}
		}, "createdDate"},
		"a stored unknown member": {worth, func() *storing {
			return &storing{takes: func(name string) bool { return name == "shoe_size" }}
		}, "shoe_size"},
		"a stored label": {worth, func() *storing { return &storing{label: true} }, "subrole"},
	} {
		for _, claims := range []bool{true, false} {
			if !claims && name != "a settable time" {
				continue // one shows it
			}
			t.Run(fmt.Sprint(name, ", claims ", claims), func(t *testing.T) {
				t.Parallel()
				s := servertest.Start(t)
				config := config(s, c.dialect, newUser(t, s))
				config.Require = nil
				server := c.server()
				server.values = map[string]json.RawMessage{}
				config = around(t, config, func(c *call) answer {
					a := server.serve(c)
					if !claims {
						a = a.without("Dragoman-Changed").without("Dragoman-Ignored")
					}
					return a
				})
				report := check(t, config)
				var said int
				for _, r := range report.Results {
					if r.Outcome == conformance.Unchecked {
						t.Errorf("%s could not be checked: %s", r.Name, r.Reason)
					}
					if strings.Contains(r.Reason, "no update restores it") {
						said++
						if want := map[bool]conformance.Outcome{true: conformance.Broken, false: conformance.Differs}[claims]; r.Outcome != want {
							t.Errorf("%s is %s, want %s", r.Name, r.Outcome, want)
						}
					}
				}
				if said != 1 {
					t.Errorf("%d laws report an irreversible change, want 1", said)
				}
				kept := report.Restoration.Kept
				if !report.Restoration.Done || len(kept) != 1 || kept[0].Member != c.member || kept[0].Law == "" {
					t.Errorf("the restoration is %+v", report.Restoration)
				}
				if broken := report.Count(conformance.Broken); claims != (broken > 0) {
					t.Errorf("%d laws are broken, and the server claims the rules: %t", broken, claims)
				}
				var alarm strings.Builder
				conformance.Text{W: &alarm}.Alarm(report)
				if !strings.Contains(alarm.String(), c.member+" was ") {
					t.Errorf("the end says nothing of %s: %q", c.member, alarm.String())
				}
			})
		}
	}
}

// TestUndocumentedBookkeepingIsAllowed: the vendor's pages do not forbid members that they do not have.
func TestUndocumentedBookkeepingIsAllowed(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, dialect := range dialects {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			c := config(s, dialect, newUser(t, s))
			c.Require = nil
			server := &storing{counts: true, values: map[string]json.RawMessage{}}
			c = around(t, c, func(c *call) answer { return server.serve(c).without("Dragoman-Changed").without("Dragoman-Ignored") })
			report := check(t, c)
			for _, r := range report.Results {
				if r.Outcome == conformance.Unchecked || strings.Contains(r.Got, "revision") && r.Grade != conformance.Own {
					t.Errorf("%s: %s %s, got %s", r.Name, r.Outcome, r.Reason, r.Got)
				}
			}
			if len(report.Restoration.Kept) > 0 || !report.Restoration.Done {
				t.Errorf("the restoration is %+v", report.Restoration)
			}
		})
	}
}

// express answers as Express does by itself: with an ETag made of the body, which it compares on reads alone.
func express(weak bool) func(*call) answer {
	return func(c *call) answer {
		match, noneMatch := c.Header.Values("If-Match"), c.Header.Get("If-None-Match")
		c.Header.Del("If-None-Match")
		tagOf := func(body []byte) string {
			tag := fmt.Sprintf(`"%x"`, sha256.Sum256(body))[:18] + `"`
			if weak {
				return "W/" + tag
			}
			return tag
		}
		if c.update() && len(match) > 0 {
			c.Header.Del("If-Match")
			read := *c
			read.Request = c.Clone(c.Context())
			read.Method, read.body = http.MethodGet, nil
			if present := tagOf(read.send().body); !weak && !slices.Contains(match, "*") && !slices.ContainsFunc(match, func(line string) bool {
				return slices.ContainsFunc(strings.Split(line, ","), func(tag string) bool { return strings.TrimSpace(tag) == present })
			}) {
				return answer{status: http.StatusPreconditionFailed, header: http.Header{"Content-Type": {"application/json"}},
					body: []byte(`{"message":"No","errorCode":"INVALID"}`)}
			}
		}
		a := plain(c)
		if a.status != http.StatusOK {
			return a
		}
		tag := tagOf(a.body)
		a = a.set("ETag", tag)
		bare := func(tag string) string { return strings.TrimPrefix(strings.TrimSpace(tag), "W/") }
		if c.Method == http.MethodGet && noneMatch != "" && (noneMatch == "*" ||
			slices.ContainsFunc(strings.Split(noneMatch, ","), func(t string) bool { return bare(t) == bare(tag) })) {
			a.status, a.body = http.StatusNotModified, nil
		}
		return a
	}
}

// TestETagClaimsNoRules: a framework's entity tag does not bind a server to what Dragoman decides about them.
func TestETagClaimsNoRules(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, weak := range []bool{true, false} {
		t.Run(fmt.Sprint("weak ", weak), func(t *testing.T) {
			t.Parallel()
			c := config(s, worth, newUser(t, s))
			c.Require = nil
			c.Only = []string{"etag-*", "if-*", "answers-*"}
			c = around(t, c, express(weak))
			report := check(t, c)
			outcomes := map[string]conformance.Outcome{}
			for _, r := range report.Results {
				outcomes[r.Name] = r.Outcome
				if r.Outcome == conformance.Broken || r.Outcome == conformance.Unchecked {
					t.Errorf("%s: %s %s\n%s\n\n%s\nexpected %s, got %s", r.Name, r.Outcome, r.Reason, r.Request, r.Answer, r.Expected, r.Got)
				}
			}
			differs := "if-match-malformed-is-refused"
			if weak {
				differs = "etag-is-strong"
			}
			if outcomes[differs] != conformance.Differs {
				t.Errorf("%s %s, want %s", differs, outcomes[differs], conformance.Differs)
			}
			c.Require, c.Only = []conformance.Feature{conformance.ETags}, []string{differs}
			if report := check(t, c); report.Count(conformance.Broken) != 1 {
				t.Errorf("%s is not broken where an ETag is required", differs)
			}
		})
	}
}

// TestStaticMockIsRejected: a mock that answers with fixed examples cannot be checked, and one line says so.
func TestStaticMockIsRejected(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, dialect := range allDialects {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			c := config(s, dialect, newUser(t, s))
			c.Require = nil
			began := false
			c.Began = func(conformance.Report) { began = true }
			c = around(t, c, func(c *call) answer {
				if c.update() {
					return c.idleAs(plain)
				}
				return plain(c)
			})
			report, err := conformance.Run(t.Context(), c)
			if !errors.Is(err, conformance.ErrUnreachable) || !strings.Contains(err.Error(), "a read does not show what was written") ||
				strings.Contains(err.Error(), "\n") || len(report.Results) > 0 || began || !report.Restoration.Done {
				t.Errorf("%v, %+v", err, report)
			}
		})
	}
}

// TestTargetAtTheRoot: an API need not be below the vendor's path.
func TestTargetAtTheRoot(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, dialect := range allDialects {
		document, err := describe(dialect).Spec()
		if err != nil {
			t.Fatal(err)
		}
		base := description.BasePath(document)
		for _, slash := range []string{"", "/"} {
			t.Run(dialect+slash, func(t *testing.T) {
				t.Parallel()
				c := config(s, dialect, newUser(t, s))
				c.Target += slash
				c.Only = []string{"get-shows-the-user", "update-sets-each-member"}
				c = around(t, c, func(c *call) answer {
					if strings.HasPrefix(c.URL.Path, base) {
						return answer{status: http.StatusNotFound, header: http.Header{}, body: []byte("not here")}
					}
					c.URL.Path = base + c.URL.Path
					return c.send()
				})
				report := check(t, c)
				if report.Target != s.URL || report.Count(conformance.Holds) != len(report.Results) {
					t.Errorf("%+v", report)
				}
			})
		}
	}
}

// TestUntriedPartsAreReported: a verified e-mail, and a user with one role, leave some laws untried in part or entirely.
func TestUntriedPartsAreReported(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for dialect, says := range map[string]map[string]string{
		worth: {
			"identity-keeps-its-case":              "skipped email: a changed e-mail is no longer verified",
			"email-must-be-valid":                  "skipped a changed e-mail is no longer verified",
			"update-sets-each-member":              "holds not tried: email: a changed e-mail is no longer verified",
			"texts-up-to-the-limit-are-kept-whole": "holds not tried: email: a changed e-mail is no longer verified",
		},
		testinium: {
			"authorities-are-replaced":                       "skipped it revokes and restores a role: take a user with two roles",
			"authorities-order-and-repetition-do-not-matter": "holds not tried: another order: take a user with two roles",
		},
	} {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			u := s.CreateUser(t, store.User{
				FirstName: "Mary", LastName: "Jackson", Username: "maryjackson", Email: "mary.jackson@example.com", Status: store.StatusActive, EmailVerified: true,
				AccountNonExpired: true, AccountNonLocked: true, CredentialNonExpired: true, Roles: store.Roles(3),
			})
			report := check(t, config(s, dialect, u))
			for _, r := range report.Results {
				if want, ok := says[r.Name]; ok && !strings.HasPrefix(fmt.Sprint(r.Outcome, " ", r.Reason), want) {
					t.Errorf("%s: %s %s, want %s", r.Name, r.Outcome, r.Reason, want)
				}
			}
		})
	}
}

// TestNameOfOtherCaseIsStored: a server may store unknown members, if they do not change others.
func TestNameOfOtherCaseIsStored(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for dialect, other := range map[string]string{worth: "FIRST_NAME", testinium: "NAME"} {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			c := config(s, dialect, newUser(t, s))
			c.Require, c.Only = nil, []string{"member-names-are-exact"}
			server := &storing{takes: func(name string) bool { return name == other }, values: map[string]json.RawMessage{}}
			c = around(t, c, func(c *call) answer { return server.serve(c).without("Dragoman-Changed").without("Dragoman-Ignored") })
			report := check(t, c)
			if len(report.Results) != 1 || report.Results[0].Outcome != conformance.Differs || len(report.Restoration.Kept) != 1 || report.Restoration.Kept[0].Member != other {
				t.Errorf("%+v", report)
			}
		})
	}
}

// TestUnreadableUserIsRestored: a written value breaks the server's answers until it is overwritten.
func TestUnreadableUserIsRestored(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	c := config(s, worth, newUser(t, s))
	c.Require, c.Only = nil, []string{"get-shows-the-user", "update-sets-each-member"}
	var spoiled atomic.Bool
	c = around(t, c, func(c *call) answer {
		if c.update() {
			spoiled.Store(strings.Contains(string(c.body), "Check"))
		}
		a := c.send()
		if !c.update() && spoiled.Load() {
			a.body = []byte(`{"data":{"first_name":NaN}}`)
		}
		return a
	})
	if report := check(t, c); !report.Restoration.Done {
		t.Errorf("the restoration is %+v", report.Restoration)
	}
}

// TestTokenMayBeOwn: Testinium shows no UUID to compare with the token's.
func TestTokenMayBeOwn(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for dialect, want := range map[string]bool{worth: false, testinium: true} {
		c := config(s, dialect, newUser(t, s))
		claims := servertest.Manager()
		claims.UserID = &servertest.GraceUUID
		c.Token, c.Only = s.Token(claims), []string{"get-shows-the-user"}
		var text strings.Builder
		c.Began = conformance.Text{W: &text}.Began
		if report := check(t, c); report.MayBeOwn != want || strings.Contains(text.String(), "The token names a user by a UUID") != want {
			t.Errorf("%s: %v\n%s", dialect, report.MayBeOwn, text.String())
		}
	}
}
