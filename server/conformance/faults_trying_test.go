package conformance_test

import (
	"bytes"
	"net/http"
	"strings"
)

// dry tells whether the request is an update as a dry run.
func (c *call) dry() bool { return c.update() && strings.HasPrefix(c.URL.Path, "/dry-run/") }

// stale tells whether the request is an update with an ETag in If-Match that is not the current one.
func (c *call) stale() bool {
	if !c.update() || c.dry() || !strings.HasPrefix(c.Header.Get("If-Match"), `"`) {
		return false
	}
	_, etag := c.present()
	return !strings.Contains(c.Header.Get("If-Match"), etag)
}

// tryingFaults are in what a dry run does, in what a 412 says, and in what is merged.
var tryingFaults = []fault{
	{
		name: "a dry run that writes", dialect: worth,
		breaks: []string{"dry-run-changes-nothing"},
		also:   []string{"dry-run-answers-as-the-update"},
		begin: plainly(func(c *call) answer {
			if !c.dry() {
				return c.send()
			}
			c.URL.Path = strings.TrimPrefix(c.URL.Path, "/dry-run")
			return c.send().set("Dragoman-Dry-Run", "true").without("ETag")
		}),
	},
	{
		name: "a dry run with an ETag", dialect: testinium,
		breaks: []string{"dry-run-changes-nothing"},
		begin: answering(func(c *call, a answer) answer {
			if c.dry() && a.status == http.StatusOK {
				return a.set("ETag", `"999"`)
			}
			return a
		}),
	},
	{
		name: "a dry run that is not marked", dialect: "toy",
		breaks: []string{"dry-run-changes-nothing", "dry-run-answers-as-the-update"},
		begin: answering(func(c *call, a answer) answer {
			if c.dry() {
				return a.without("Dragoman-Dry-Run")
			}
			return a
		}),
	},
	{
		name: "a dry run that evaluates no precondition", dialect: worth,
		breaks: []string{"dry-run-answers-as-the-update"},
		begin: editing(func(c *call) {
			if c.dry() && strings.HasPrefix(c.Header.Get("If-Match"), `"`) {
				c.Header.Del("If-Match")
			}
		}),
	},
	{
		name: "every change a conflict", dialect: worth,
		breaks: []string{"stale-if-match-is-explained"},
		begin: answering(func(_ *call, a answer) answer {
			a.body = bytes.ReplaceAll(a.body, []byte(`"state":"moved"`), []byte(`"state":"conflict"`))
			return a
		}),
	},
	{
		name: "an ETag of before in a 412", dialect: testinium,
		breaks: []string{"stale-if-match-is-explained"},
		begin: answering(func(c *call, a answer) answer {
			if a.status == http.StatusPreconditionFailed {
				return a.set("ETag", `"0"`)
			}
			return a
		}),
	},
	{
		name: "no list of conflicts", dialect: "toy",
		breaks: []string{"stale-if-match-is-explained"},
		begin:  answering(func(_ *call, a answer) answer { return a.without("Dragoman-Conflict") }),
	},
	{
		name: "no merge", dialect: worth,
		breaks: []string{"merge-keeps-what-others-wrote"},
		begin: editing(func(c *call) {
			if strings.HasPrefix(c.Header.Get("Prefer"), "merge") {
				c.Header.Del("Prefer")
			}
		}),
	},
	{
		name: "a merge that overwrites", dialect: worth,
		breaks: []string{"merge-of-a-conflict-is-412"},
		also:   []string{"merge-keeps-what-others-wrote"},
		begin: editing(func(c *call) {
			if strings.HasPrefix(c.Header.Get("Prefer"), "merge") && c.stale() {
				c.Header.Del("If-Match")
			}
		}),
	},
	{
		name: "a merge of a PUT that replaces everything", dialect: testinium,
		breaks: []string{"merge-keeps-what-others-wrote"},
		also:   []string{"merge-of-a-conflict-is-412"},
		begin: plainly(func(c *call) answer {
			if !strings.HasPrefix(c.Header.Get("Prefer"), "merge") || !c.stale() {
				return c.send()
			}
			c.Header.Del("If-Match")
			return c.send().set("Preference-Applied", "merge=untouched").set("Dragoman-Changed", "surname")
		}),
	},
}
