package conformance

import (
	"net/http"
	"strings"
)

// dryRuns are the laws about updates below /dry-run, which are tried and not made.
var dryRuns = []Law{
	{Name: "dry-run-changes-nothing", Grade: Own, Feature: DryRuns, check: dryRunChangesNothing,
		Says:   "A dry run of an update changes nothing and keeps the ETag. Its answer has Dragoman-Dry-Run: true and no ETag.",
		Why:    "It is made where the write is not wanted.",
		Source: "SEMANTICS.md, Dry runs"},
	{Name: "dry-run-answers-as-the-update", Grade: Own, Feature: DryRuns, check: dryRunAnswers,
		Says:   "A dry run has the status, the body, Dragoman-Changed and Dragoman-Ignored of the same update when it is made after it, also of one that is refused.",
		Why:    "Otherwise a client learns something else than what would happen.",
		Source: "SEMANTICS.md, Dry runs"},
}

// dryRunPath is before the base path of dry runs, and dryRun the header that marks their answers.
const (
	dryRunPath = "/dry-run"
	dryRun     = "Dragoman-Dry-Run"
)

// asDryRun returns the request as a dry run.
func (r request) asDryRun() request {
	r.dry = true
	return r
}

// dryBase returns the URL of the API's dry runs.
func (c *client) dryBase() string {
	dry := *c.base
	dry.Path = strings.TrimSuffix(dry.Path, c.basePath) + dryRunPath + c.basePath
	return dry.String()
}

// tryOut sends a request as a dry run, whose answer must be marked.
func (t *trial) tryOut(r request) exchange {
	x := t.send(r.asDryRun())
	t.wantHeader(x, dryRun, "true")
	return x
}

func dryRunChangesNothing(t *trial) {
	before, shown := t.show()
	for _, m := range t.changeable() {
		x := t.tryOut(t.updateRequest(t.change(m).String()))
		t.want(x, "this update is valid", http.StatusOK)
		if got := etag(x); got != "" {
			t.broken(x, "no ETag, as there is no new version", "ETag: %s", got)
		}
		is, now := t.show()
		if changed := differences(before, is); len(changed) > 0 {
			t.broken(x, "a dry run changes nothing", "%s", changes(changed, before, is))
		}
		if etag(now) != etag(shown) {
			t.broken(x, "a GET then shows the ETag of before, "+etag(shown), "ETag: %s", etag(now))
		}
	}
}

func dryRunAnswers(t *trial) {
	m := t.d.members[0]
	for _, r := range []request{
		t.updateRequest(t.renaming().String()),
		t.updateRequest(t.idle().String()),
		t.updateRequest(t.idle().with("shoe_size", "38").String()),
		t.updateRequest(t.idle().with("shoe_size", "38").String()).with("Prefer", "handling=strict"),
		t.updateRequest(t.base().with(m.name, "1").String()),
		t.updateRequest("{"),
		t.conditional("If-Match", another(`"x"`)),
		t.conditional("If-Match", "x"),
		t.updateRequest(t.renaming().String()).by(""),
		t.updateRequestOf(t.c.Customer, t.d.noSuchUser(), t.renaming().String()),
	} {
		tried := t.tryOut(r)
		made := t.send(r)
		t.want(tried, "so is the update itself", made.status)
		for _, name := range []string{"Dragoman-Changed", "Dragoman-Ignored", "Preference-Applied"} {
			if got, want := tried.header.Get(name), made.header.Get(name); got != want {
				t.broken(tried, name+" as of the update itself: "+want, "%s: %s", name, got)
			}
		}
		if got, want := t.body(tried), t.body(made); got != want {
			t.broken(tried, "the body of the update itself, "+printable(want), "%s", printable(got))
		}
	}
}

// body returns an answer's body; of an error what it says of members, as the rest may contain the time.
func (t *trial) body(x exchange) string {
	value, err := decode(x.body)
	if err != nil {
		return string(x.body)
	}
	if x.status < http.StatusBadRequest {
		if u, ok := t.userIn(x); ok {
			for _, name := range t.d.bookkeeping {
				delete(u, name)
			}
			return encode(map[string]any(u))
		}
		return encode(value)
	}
	fields, messages := t.d.ErrorsIn(value)
	return encode([]any{fields, messages})
}
