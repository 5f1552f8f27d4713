package conformance

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// Outcome is how a law ended.
type Outcome string

// The outcomes.
const (
	Holds     Outcome = "holds"
	Broken    Outcome = "broken"
	Differs   Outcome = "differs"   // what Dragoman decides is broken by a server that does not claim it
	Skipped   Outcome = "skipped"   // it is not about this server, or more would have to be allowed
	Unchecked Outcome = "unchecked" // it could not be held against the server
)

// Outcomes are all of them.
var Outcomes = []Outcome{Holds, Broken, Differs, Skipped, Unchecked}

// Result is how one law ended.
type Result struct {
	Law
	Outcome  Outcome
	Reason   string // why it was skipped or not checked, why a difference is none to mind, or what could not be tried; else empty
	Request  string // that was sent, without tokens; empty if the law holds
	Answer   string // that came
	Expected string // instead
	Got      string // what of the answer is not as expected
	Took     time.Duration
}

// Restoration is whether the user is as before.
type Restoration struct {
	Done    bool
	Reason  string // why not
	Request string // the method and the address to send Body to
	Body    string // what makes the user what it was
	// Kept is what no update gave back, in the order in which it was found. Done is about everything else.
	Kept []Kept
}

// Kept is a member of the user that the server changed during the run and that no update gives back. The run went on with what it
// had become.
type Kept struct {
	Member string `json:"member"`
	Was    string `json:"was"` // JSON
	Is     string `json:"is"`  // JSON
	Law    string `json:"law"` // whose requests changed it; empty: those before the first law
}

// String says what became of the member, in a line.
func (k Kept) String() string {
	text := fmt.Sprintf("%s was %s and is %s", k.Member, printable(k.Was), printable(k.Is))
	if k.Law != "" {
		text += ", since " + k.Law
	}
	return text
}

// Report is a whole run.
type Report struct {
	Dialect, Target, Customer, User string
	Features                        []Feature // that the server offers
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

// Count gives how many laws ended in a way.
func (r Report) Count(o Outcome) int {
	n := 0
	for _, result := range r.Results {
		if result.Outcome == o {
			n++
		}
	}
	return n
}

// Checked tells whether every law was held that could be, and the user was given back.
func (r Report) Checked() bool { return r.Count(Unchecked) == 0 && r.Restoration.Done }

// The report as JSON.
type jsonReport struct {
	Dialect     string          `json:"dialect"`
	Target      string          `json:"target"`
	Customer    string          `json:"customer"`
	User        string          `json:"user"`
	Features    []Feature       `json:"features"`
	Started     time.Time       `json:"started"`
	Seconds     float64         `json:"seconds"`
	Requests    int             `json:"requests"`
	Summary     map[Outcome]int `json:"summary"`
	Restoration jsonRestoration `json:"restoration"`
	Laws        []jsonResult    `json:"laws"`
}

type jsonRestoration struct {
	Done    bool   `json:"done"`
	Reason  string `json:"reason,omitempty"`
	Request string `json:"request,omitempty"`
	Body    string `json:"body,omitempty"`
	Kept    []Kept `json:"kept,omitempty"`
}

type jsonResult struct {
	Name     string  `json:"name"`
	Outcome  Outcome `json:"outcome"`
	Grade    Grade   `json:"grade"`
	Says     string  `json:"says"`
	Why      string  `json:"why"`
	Source   string  `json:"source"`
	Reason   string  `json:"reason,omitempty"`
	Request  string  `json:"request,omitempty"`
	Answer   string  `json:"answer,omitempty"`
	Expected string  `json:"expected,omitempty"`
	Got      string  `json:"got,omitempty"`
	Seconds  float64 `json:"seconds"`
}

// WriteJSON writes the report as one JSON object.
func (r Report) WriteJSON(w io.Writer) error {
	out := jsonReport{
		Dialect: r.Dialect, Target: r.Target, Customer: r.Customer, User: r.User, Features: r.Features,
		Started: r.Started, Seconds: r.Took.Seconds(), Requests: r.Requests,
		Summary: map[Outcome]int{}, Restoration: jsonRestoration(r.Restoration), Laws: []jsonResult{},
	}
	for _, o := range Outcomes {
		out.Summary[o] = r.Count(o)
	}
	for _, result := range r.Results {
		out.Laws = append(out.Laws, jsonResult{
			Name: result.Name, Outcome: result.Outcome, Grade: result.Grade, Says: result.Says, Why: result.Why, Source: result.Source,
			Reason: result.Reason, Request: result.Request, Answer: result.Answer, Expected: result.Expected, Got: result.Got,
			Seconds: result.Took.Seconds(),
		})
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(out); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// The report as JUnit's XML, in what all of its readers have in common.
type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Time       string          `xml:"time,attr"`
	Timestamp  string          `xml:"timestamp,attr"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	ClassName string       `xml:"classname,attr"`
	Name      string       `xml:"name,attr"`
	Time      string       `xml:"time,attr"`
	Failure   *junitDetail `xml:"failure"`
	Error     *junitDetail `xml:"error"`
	Skipped   *junitDetail `xml:"skipped"`
}

type junitDetail struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// restorationCase is the test case that says whether the user was given back.
const restorationCase = "the-user-is-given-back"

// WriteJUnit writes the report as JUnit's XML: a broken law is a failure, one that could not be checked an error, one that
// differs or was skipped is skipped. A last case says whether the user was given back.
func (r Report) WriteJUnit(w io.Writer) error {
	class := "dragoman.check." + r.Dialect
	suite := junitSuite{
		Name:      "dragoman check " + r.Dialect,
		Tests:     len(r.Results) + 1,
		Failures:  r.Count(Broken),
		Errors:    r.Count(Unchecked),
		Skipped:   r.Count(Skipped) + r.Count(Differs),
		Time:      seconds(r.Took),
		Timestamp: r.Started.Format("2006-01-02T15:04:05"),
		Properties: []junitProperty{
			{"target", r.Target}, {"customer", r.Customer}, {"user", r.User}, {"features", list(r.Features)},
		},
	}
	for _, result := range r.Results {
		suite.Cases = append(suite.Cases, result.junit(class))
	}
	restored := junitCase{ClassName: class, Name: restorationCase, Time: seconds(0)}
	if !r.Restoration.Done {
		suite.Errors++
		restored.Error = &junitDetail{Message: r.Restoration.Reason, Text: r.Restoration.Request + "\n\n" + r.Restoration.Body}
	}
	for _, k := range r.Restoration.Kept {
		suite.Properties = append(suite.Properties, junitProperty{"not given back", k.String()})
	}
	suite.Cases = append(suite.Cases, restored)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(junitSuites{Suites: []junitSuite{suite}}); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func (r Result) junit(class string) junitCase {
	c := junitCase{ClassName: class + "." + string(r.Grade), Name: r.Name, Time: seconds(r.Took)}
	detail := &junitDetail{Message: r.Reason, Text: r.detail()}
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

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

// detail is all that there is to say about a result that is not simply good; empty if that is nothing.
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
	part("Came:", r.Answer)
	part("Expected:", r.Expected)
	part("Got:", r.Got)
	part("Why it matters:", r.Why)
	part("Source:", r.Source)
	return b.String()
}

// indent puts a text to the right, empty lines apart.
func indent(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		if line != "" {
			lines[i] = "    " + line
		}
	}
	return strings.Join(lines, "\n")
}
