package conformance_test

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/conformance"
	"github.com/dragoman-id/dragoman/server/description"
)

func TestLawsAreComplete(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)+$`)
	sentence := regexp.MustCompile(`^\S.*\.$`)
	for _, dialect := range dialects {
		// Where a vendor has published the document, what Dragoman added is in the overlay.
		added := "openapi/" + dialect + ".overlay.yaml"
		if _, err := os.Stat("../../" + added); err != nil {
			added = "openapi/" + dialect + ".yaml"
		}
		var names []string
		for _, l := range conformance.Laws(describe(dialect)) {
			if !name.MatchString(l.Name) || slices.Contains(names, l.Name) {
				t.Errorf("%s: the name %q", dialect, l.Name)
			}
			names = append(names, l.Name)
			if !sentence.MatchString(l.Says) || !sentence.MatchString(l.Why) || l.Source == "" {
				t.Errorf("%s %s: says %q, why %q, source %q", dialect, l.Name, l.Says, l.Why, l.Source)
			}
			if !slices.Contains([]conformance.Grade{conformance.Vendor, conformance.HTTP, conformance.Own}, l.Grade) || (l.Grade == conformance.Own) && l.Feature == "" {
				t.Errorf("%s %s: grade %q, feature %q", dialect, l.Name, l.Grade, l.Feature)
			}
			if own := strings.HasPrefix(l.Source, "SEMANTICS.md"); own != (l.Grade == conformance.Own) && !strings.HasPrefix(l.Source, "the document of ") && l.Source != added {
				t.Errorf("%s %s: a law of grade %s from %s", dialect, l.Name, l.Grade, l.Source)
			}
		}
		if len(names) < 80 {
			t.Errorf("%s has %d laws", dialect, len(names))
		}
	}
	if laws := conformance.Laws(description.API{Name: "latin"}); laws != nil {
		t.Errorf("a dialect that is none has %d laws", len(laws))
	}
}

// A source must name a section or file that exists.
func TestSourcesExist(t *testing.T) {
	t.Parallel()
	semantics, err := os.ReadFile("../SEMANTICS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, dialect := range dialects {
		for _, l := range conformance.Laws(describe(dialect)) {
			for source := range strings.SplitSeq(l.Source, "; ") {
				if section, ok := strings.CutPrefix(source, "SEMANTICS.md, "); ok && !strings.Contains(string(semantics), "\n## "+section+"\n") {
					t.Errorf("%s: SEMANTICS.md has no section %q", l.Name, section)
				}
				if strings.HasPrefix(source, "openapi/") {
					if _, err := os.Stat("../../" + source); err != nil {
						t.Errorf("%s: %v", l.Name, err)
					}
				}
			}
		}
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	laws := conformance.Laws(describe(worth))
	names := func(only, skip []string) []string {
		selected, err := conformance.Select(laws, only, skip)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, l := range selected {
			names = append(names, l.Name)
		}
		return names
	}
	if all := names(nil, nil); len(all) != len(laws) {
		t.Errorf("%d laws of %d", len(all), len(laws))
	}
	if got := names([]string{"if-none-match-*", "null-is-refused"}, []string{"*-stale-*"}); !slices.Equal(got, []string{"null-is-refused", "if-none-match-with-the-present-etag-is-304", "if-none-match-with-the-present-etag-on-an-update-is-412"}) {
		t.Errorf("selected %v", got)
	}
	for _, c := range []struct {
		only, skip []string
		want       string
	}{
		{[]string{"nul-is-refused"}, nil, "the nearest is null-is-refused"},
		{nil, []string{"patch-keeps-absent-member"}, "the nearest is patch-keeps-absent-members"},
		{[]string{"["}, nil, "not a pattern"},
		{[]string{"null-is-refused"}, []string{"null-*"}, "no law is left"},
	} {
		if _, err := conformance.Select(laws, c.only, c.skip); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v without %v: %v", c.only, c.skip, err)
		}
	}
}

// aReport has a law of each outcome.
func aReport() conformance.Report {
	laws := conformance.Laws(describe(worth))
	return conformance.Report{
		Dialect: worth, Update: "updateCustomerUser", Target: "https://staging.example.com/auth/api/v1", Customer: "c", User: "u",
		Features: []conformance.Feature{conformance.ETags}, Requests: 12, Started: time.Date(2026, 11, 24, 1, 2, 3, 0, time.UTC), Took: 1500 * time.Millisecond,
		Results: []conformance.Result{
			{Law: laws[0], Outcome: conformance.Holds, Took: time.Second},
			{Law: laws[1], Outcome: conformance.Broken, Request: "GET <x>\n\n{\"a\":\"\x00]]>\"}", Answer: "200 OK", Expected: "this & that", Got: "\"other\""},
			{Law: laws[2], Outcome: conformance.Differs, Reason: "it is left open", Request: "GET x", Answer: "200 OK", Expected: "this", Got: "that"},
			{Law: laws[3], Outcome: conformance.Skipped, Reason: "no token"},
			{Law: laws[4], Outcome: conformance.Unchecked, Reason: "interrupted"},
		},
		Restoration: conformance.Restoration{Reason: "it gives 500", Request: "PATCH https://x", Body: `{"first_name":"Ada"}`},
	}
}

func TestJUnit(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	if err := aReport().WriteJUnit(&text); err != nil {
		t.Fatal(err)
	}
	type detail struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	var read struct {
		XMLName xml.Name `xml:"testsuites"`
		Suite   struct {
			Tests     int    `xml:"tests,attr"`
			Failures  int    `xml:"failures,attr"`
			Errors    int    `xml:"errors,attr"`
			Skipped   int    `xml:"skipped,attr"`
			Time      string `xml:"time,attr"`
			Timestamp string `xml:"timestamp,attr"`
			Cases     []struct {
				Name      string  `xml:"name,attr"`
				ClassName string  `xml:"classname,attr"`
				Failure   *detail `xml:"failure"`
				Error     *detail `xml:"error"`
				Skipped   *detail `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(text.String()), &read); err != nil {
		t.Fatalf("%v\n%s", err, text.String())
	}
	s := read.Suite
	if s.Tests != 6 || s.Failures != 1 || s.Errors != 2 || s.Skipped != 2 || s.Time != "1.500" || s.Timestamp != "2026-11-24T01:02:03" || len(s.Cases) != 6 {
		t.Fatalf("the suite is %+v", s)
	}
	broken := s.Cases[1]
	if broken.ClassName != "dragoman.check.worth.vendor" || broken.Failure == nil || broken.Failure.Message != `expected this & that, got "other"` || !strings.Contains(broken.Failure.Text, "GET <x>") {
		t.Errorf("the broken law is %+v", broken)
	}
	if s.Cases[0].Failure != nil || s.Cases[2].Skipped == nil || s.Cases[3].Skipped.Message != "no token" || s.Cases[4].Error.Message != "interrupted" || !strings.Contains(s.Cases[5].Error.Text, `{"first_name":"Ada"}`) {
		t.Errorf("the cases are %s", text.String())
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	if err := aReport().WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	var read struct {
		Dialect, Update string
		Summary         map[string]int
		Restoration     struct {
			Done bool
			Body string
		}
		Laws []struct{ Name, Outcome, Grade, Why, Source, Expected string }
	}
	if err := json.Unmarshal([]byte(text.String()), &read); err != nil {
		t.Fatal(err)
	}
	for _, o := range conformance.Outcomes {
		if read.Summary[string(o)] != 1 {
			t.Errorf("%d are %s", read.Summary[string(o)], o)
		}
	}
	law := read.Laws[1]
	if read.Dialect != worth || read.Update != "updateCustomerUser" || read.Restoration.Done || read.Restoration.Body == "" || law.Outcome != "broken" || law.Grade == "" || law.Why == "" || law.Source == "" || law.Expected != "this & that" {
		t.Errorf("the report is %s", text.String())
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	r := aReport()
	var plain, coloured strings.Builder
	for w, colours := range map[*strings.Builder]bool{&plain: false, &coloured: true} {
		text := conformance.Text{W: w, Colours: colours}
		text.Began(r)
		for _, result := range r.Results {
			text.Result(result)
		}
		text.Ended(r)
		text.Alarm(r)
	}
	if strings.Contains(plain.String(), "\x1b") || !strings.Contains(coloured.String(), "\x1b[31mBROKEN \x1b[0m") {
		t.Errorf("colours:\n%s\n%s", plain.String(), coloured.String())
	}
	law := r.Results[1].Law
	for _, part := range []string{
		"ok       get-shows-the-user\n", "BROKEN   " + law.Name, "GET <x>", "200 OK", "this & that", law.Why, law.Source,
		"differs  ", "expected this, got that", "skipped  ", "no token", "UNKNOWN  ", "interrupted", "5 laws: 1 hold, 1 broken, 1 differ, 1 skipped, 1 not checked",
		"broken: " + law.Name + ": " + law.Says, "PATCH https://x",
	} {
		if !strings.Contains(plain.String(), part) {
			t.Errorf("the text does not say %q:\n%s", part, plain.String())
		}
	}
}
