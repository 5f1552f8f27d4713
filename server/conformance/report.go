package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dragoman-id/dragoman/server/junit"
)

// Outcome is the outcome of checking a law.
type Outcome string

// The outcomes.
const (
	Holds     Outcome = "holds"
	Broken    Outcome = "broken"
	Differs   Outcome = "differs"   // the server breaks a law of Dragoman's that it does not claim to keep
	Skipped   Outcome = "skipped"   // the law does not apply to the server or the user, or needs more than is allowed
	Unchecked Outcome = "unchecked" // the law could not be checked
)

// Outcomes lists all outcomes.
var Outcomes = []Outcome{Holds, Broken, Differs, Skipped, Unchecked}

// Result is the result of checking one law.
type Result struct {
	Law
	Outcome Outcome `json:"outcome"`
	// Reason says why the law was skipped or not checked, why a difference is no fault, or what a law that holds could not try.
	Reason   string        `json:"reason,omitempty"`
	Request  string        `json:"request,omitempty"` // without tokens; empty if the law holds
	Answer   string        `json:"answer,omitempty"`
	Expected string        `json:"expected,omitempty"`
	Got      string        `json:"got,omitempty"` // the part of the answer that is not as expected
	Took     time.Duration `json:"-"`
}

// Restoration says whether the user was restored after the last law.
type Restoration struct {
	Done    bool   `json:"done"`
	Reason  string `json:"reason,omitempty"`  // why the user was not restored
	Request string `json:"request,omitempty"` // the method and the URL to send Body to
	Body    string `json:"body,omitempty"`    // the update that restores the user
	// Kept lists the changes that no update reverts, in the order in which they were found. Done is about everything else.
	Kept []Kept `json:"kept,omitempty"`
}

// Kept is a member of the user that the server changed during the run and that no update restores. The run continues with the new
// value as the baseline.
type Kept struct {
	Member string `json:"member"`
	Was    string `json:"was"` // JSON
	Is     string `json:"is"`  // JSON
	Law    string `json:"law"` // the law whose requests changed it; empty: it changed before the first law
}

// String describes the change in one line.
func (k Kept) String() string {
	text := fmt.Sprintf("%s was %s and is %s", k.Member, printable(k.Was), printable(k.Is))
	if k.Law != "" {
		text += ", since " + k.Law
	}
	return text
}

// Report is the report of a run.
type Report struct {
	Dialect, Target, Customer, User string
	// Update is the operationId of the update that was tested.
	Update   string
	Features []Feature // that the server offers
	// MayBeOwn: the token names a user, and the dialect does not show whether it is the one who is written to. Once a law makes
	// its own user inactive, a server may refuse the token.
	MayBeOwn    bool
	Results     []Result
	Restoration Restoration
	Requests    int
	Started     time.Time
	Took        time.Duration
	// CompanyHeader is the header that names the company that the caller acts in; empty in a dialect that has none.
	CompanyHeader string
}

// Count returns the number of laws with an outcome.
func (r Report) Count(o Outcome) int {
	n := 0
	for _, result := range r.Results {
		if result.Outcome == o {
			n++
		}
	}
	return n
}

// Checked reports whether no law is Unchecked, and the user was restored.
func (r Report) Checked() bool { return r.Count(Unchecked) == 0 && r.Restoration.Done }

// The report as JSON.
type jsonReport struct {
	Dialect     string          `json:"dialect"`
	Update      string          `json:"update"`
	Target      string          `json:"target"`
	Customer    string          `json:"customer"`
	User        string          `json:"user"`
	Features    []Feature       `json:"features"`
	Started     time.Time       `json:"started"`
	Seconds     float64         `json:"seconds"`
	Requests    int             `json:"requests"`
	Summary     map[Outcome]int `json:"summary"`
	Restoration Restoration     `json:"restoration"`
	Laws        []jsonResult    `json:"laws"`
}

type jsonResult struct {
	Result
	Seconds float64 `json:"seconds"`
}

// WriteJSON writes the report as one JSON object.
func (r Report) WriteJSON(w io.Writer) error {
	out := jsonReport{
		Dialect: r.Dialect, Update: r.Update, Target: r.Target, Customer: r.Customer, User: r.User, Features: r.Features,
		Started: r.Started, Seconds: r.Took.Seconds(), Requests: r.Requests,
		Summary: map[Outcome]int{}, Restoration: r.Restoration, Laws: []jsonResult{},
	}
	for _, o := range Outcomes {
		out.Summary[o] = r.Count(o)
	}
	for _, result := range r.Results {
		out.Laws = append(out.Laws, jsonResult{result, result.Took.Seconds()})
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(out); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// restorationCase is the name of the test case that says whether the user was restored.
const restorationCase = "user-is-restored"

// WriteJUnit writes the report in JUnit's XML. Broken laws are failures, Unchecked ones errors; Differs and Skipped count as
// skipped. The last case says whether the user was restored.
func (r Report) WriteJUnit(w io.Writer) error {
	class := "dragoman.check." + r.Dialect
	suite := junit.Suite{
		Name:      "dragoman check " + r.Dialect,
		Tests:     len(r.Results) + 1,
		Failures:  r.Count(Broken),
		Errors:    r.Count(Unchecked),
		Skipped:   r.Count(Skipped) + r.Count(Differs),
		Time:      junit.Seconds(r.Took),
		Timestamp: junit.Timestamp(r.Started),
		Properties: []junit.Property{
			{Name: "target", Value: r.Target},
			{Name: "customer", Value: r.Customer},
			{Name: "user", Value: r.User},
			{Name: "features", Value: list(r.Features)},
		},
	}
	for _, result := range r.Results {
		suite.Cases = append(suite.Cases, result.junit(class))
	}
	restored := junit.Case{ClassName: class, Name: restorationCase}
	if !r.Restoration.Done {
		suite.Errors++
		restored.Error = &junit.Detail{Message: r.Restoration.Reason, Text: r.Restoration.Request + "\n\n" + r.Restoration.Body}
	}
	for _, k := range r.Restoration.Kept {
		suite.Properties = append(suite.Properties, junit.Property{Name: "not restored", Value: k.String()})
	}
	suite.Cases = append(suite.Cases, restored)
	return junit.Write(w, suite)
}

func (r Result) junit(class string) junit.Case {
	c := junit.Case{ClassName: class + "." + string(r.Grade), Name: r.Name, Time: junit.Seconds(r.Took)}
	detail := &junit.Detail{Message: r.Reason, Text: r.detail()}
	switch r.Outcome {
	case Broken:
		detail.Message, detail.Type = fmt.Sprintf("expected %s, got %s", r.Expected, r.Got), string(r.Grade)
		c.Failure = detail
	case Unchecked:
		c.Error = detail
	case Skipped, Differs:
		c.Skipped = detail
	}
	return c
}

// detail describes a result with everything that helps to understand it; empty if it has neither request nor expectation.
func (r Result) detail() string {
	if r.Request == "" && r.Expected == "" {
		return ""
	}
	var b strings.Builder
	part := func(title, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%s\n%s\n", title, indent(text))
		}
	}
	part("The law:", r.Says)
	part("Sent:", r.Request)
	part("Received:", r.Answer)
	part("Expected:", r.Expected)
	part("Got:", r.Got)
	part("Why it matters:", r.Why)
	part("Source:", r.Source)
	return b.String()
}

// indent indents the lines of a text that are not empty.
func indent(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		if line != "" {
			lines[i] = "    " + line
		}
	}
	return strings.Join(lines, "\n")
}
