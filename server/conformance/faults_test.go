package conformance_test

import (
	"net/http"
	"os"
	"slices"
	"testing"

	"github.com/dragoman-id/dragoman/server/conformance"
	"github.com/dragoman-id/dragoman/server/servertest"
)

const (
	worth     = "worth"
	testinium = "testinium"
)

var (
	worthMembers     = []string{"first_name", "last_name", "email", "mobile", "subrole", "status"}
	testiniumMembers = []string{"name", "surname", "username", "email", "enabled", "accountNonExpired", "accountNonLocked", "credentialNonExpired", "authorities"}
	flags            = testiniumMembers[4:8]
)

// faults are servers that must not pass, each for one reason.
var faults = slices.Concat(updateFaults, otherFaults, repeatingFaults, tryingFaults, frameworkFaults, simpleFaults)

// TestFaultBreaksItsLaws runs the kit against each faulty server. It checks the laws that the fault breaks or may break, and a share
// of the others, which differs for each fault: all laws, as with ALL_LAWS=1, take minutes.
func TestFaultBreaksItsLaws(t *testing.T) {
	t.Parallel()
	share := 24
	if os.Getenv("ALL_LAWS") != "" {
		share = 1
	}
	s := servertest.Start(t)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	for i, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			u := newUser(t, s)
			c := config(s, f.dialect, u)
			c.Transport = &faulty{next: transport, api: c.Dialect, fault: f.begin(tokens{c.Token, c.OtherToken}), t: t}
			c.Only = slices.Concat(f.breaks, f.also)
			for j, law := range conformance.Laws(describe(f.dialect)) {
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
				t.Errorf("the user was not restored: %+v", report.Restoration)
			}
		})
	}
}

// A law that no fault breaks might be one that cannot fail.
func TestEveryLawHasAFault(t *testing.T) {
	t.Parallel()
	broken := map[string]bool{}
	for _, f := range faults {
		for _, name := range f.breaks {
			broken[name] = true
		}
	}
	for _, dialect := range dialects {
		for _, law := range conformance.Laws(describe(dialect)) {
			if !broken[law.Name] {
				t.Errorf("%s is broken by no fault", law.Name)
			}
		}
	}
}
