package conformance

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Text writes the progress of a run for people: a line for each law, and the details of a broken one.
type Text struct {
	W       io.Writer // its errors are ignored
	Colours bool
}

// ANSI colour codes.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	bold   = "1"
)

func (t Text) in(colour, text string) string {
	if !t.Colours {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// Began writes the head of the report; it is for Config.Began.
func (t Text) Began(r Report) {
	features := "none of Dragoman's additions"
	if len(r.Features) > 0 {
		features = list(r.Features)
	}
	fmt.Fprintf(t.W, "Checking %s, dialect %s, update %s\ncustomer %s, user %s\nThe server offers %s.\n", r.Target, r.Dialect, r.Update, r.Customer, r.User, features)
	if r.MayBeOwn {
		fmt.Fprintln(t.W, "The token names a user by a UUID, which this dialect does not show. If that is the tested user, use another caller's token: once a law makes the user inactive, the server may answer 403.")
	}
	fmt.Fprintln(t.W)
}

// words are the outcomes as text shows them, all of one width.
var words = map[Outcome]string{Holds: "ok     ", Broken: "BROKEN ", Differs: "differs", Skipped: "skipped", Unchecked: "UNKNOWN"}

var colours = map[Outcome]string{Holds: green, Broken: red, Differs: yellow, Skipped: yellow, Unchecked: red}

// Result writes the result of a law; it is for Config.Observe.
func (t Text) Result(r Result) {
	line := t.in(colours[r.Outcome], words[r.Outcome]) + "  " + r.Name
	if r.Reason != "" {
		line += ": " + r.Reason
	}
	fmt.Fprintln(t.W, line)
	switch r.Outcome {
	case Broken:
		fmt.Fprintf(t.W, "%s\n\n", indent(r.detail()))
	case Differs:
		fmt.Fprintf(t.W, "         expected %s, got %s\n", r.Expected, r.Got)
	}
}

// Ended writes the summary of a run.
func (t Text) Ended(r Report) {
	fmt.Fprintf(t.W, "\n%d laws: %d hold, %d broken, %d differ, %d skipped, %d not checked; %d requests in %s\n", len(r.Results),
		r.Count(Holds), r.Count(Broken), r.Count(Differs), r.Count(Skipped), r.Count(Unchecked), r.Requests, r.Took.Round(time.Millisecond))
	for _, result := range r.Results {
		if result.Outcome == Broken {
			fmt.Fprintf(t.W, "%s %s: %s\n", t.in(red, "broken:"), result.Name, result.Says)
		}
	}
	if r.Restoration.Done && len(r.Restoration.Kept) == 0 {
		fmt.Fprintln(t.W, "The user was restored, as far as this dialect shows it.")
	}
}

// Alarm writes which changes to the user remain, and how to revert them; nothing if the user was restored completely.
func (t Text) Alarm(r Report) {
	if len(r.Restoration.Kept) > 0 {
		fmt.Fprintf(t.W, "\n%s\n", t.in(bold+";"+red, "The server changed members of the user that no update restores:"))
	}
	for _, k := range r.Restoration.Kept {
		fmt.Fprintf(t.W, "  %s\n", k)
	}
	if r.Restoration.Done {
		return
	}
	fmt.Fprintf(t.W, "\n%s\n%s\nTo restore it, send this request with a token that may write the user, then compare:\n\n%s\nContent-Type: application/json\n", t.in(bold+";"+red,
		"THE USER WAS NOT RESTORED."), r.Restoration.Reason, r.Restoration.Request)
	if r.CompanyHeader != "" {
		fmt.Fprintf(t.W, "%s: ...\n", r.CompanyHeader)
	}
	fmt.Fprintf(t.W, "\n%s\n\n", r.Restoration.Body)
}

// List writes laws as a table.
func List(w io.Writer, laws []Law) error {
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, "LAW\tGRADE\tNEEDS\tSAYS\tSOURCE")
	for _, l := range laws {
		fmt.Fprintf(columns, "%s\t%s\t%s\t%s\t%s\n", l.Name, l.Grade, l.needs(), l.Says, l.Source)
	}
	if err := columns.Flush(); err != nil {
		return fmt.Errorf("list the laws: %w", err)
	}
	return nil
}

// needs lists what must be offered, allowed or given for the law to be checked; "-" if nothing.
func (l Law) needs() string {
	var all []string
	if l.Feature != "" {
		all = append(all, string(l.Feature))
	}
	if l.Changes != "" {
		all = append(all, "allow "+string(l.Changes))
	}
	if l.OtherToken {
		all = append(all, "other token")
	}
	if len(all) == 0 {
		return "-"
	}
	return strings.Join(all, ", ")
}
