package conformance

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/dragoman-id/dragoman/server/description"
)

// conflicts are the laws about what a 412 says has changed, and about updates that are merged with that.
var conflicts = []Law{
	{Name: "stale-if-match-is-explained", Grade: Own, Feature: Explains, check: staleExplained,
		Says:   "The 412 to an update with an older ETag in If-Match has the current ETag, each member that has changed since with whether the update is in conflict with it, and those in conflict in Dragoman-Conflict.",
		Why:    "A client can then show a person what somebody else has changed, instead of only that something was.",
		Source: "SEMANTICS.md, Preconditions, and what changed"},
	{Name: "merge-keeps-what-others-wrote", Grade: Own, Feature: Explains, check: mergeKeeps,
		Says:   "With Prefer: merge=untouched an update with an older ETag in If-Match succeeds if it is in conflict with nothing, changes what it names, or as a PUT what differs from that version, and keeps what has changed since.",
		Why:    "Two people can edit different fields of a user without waiting for each other, and neither loses anything.",
		Source: "SEMANTICS.md, Preconditions, and what changed"},
	{Name: "merge-of-a-conflict-is-412", Grade: Own, Feature: Explains, check: mergeOfConflict,
		Says:   "With Prefer: merge=untouched an update that asks for another value of a member that has changed since is 412 and changes nothing.",
		Why:    "A merge that overwrites is the lost update that If-Match prevents.",
		Source: "SEMANTICS.md, Preconditions, and what changed"},
}

const (
	dragomanConflict = "Dragoman-Conflict"
	merge            = "merge=untouched"
)

// wantChanges requires that a 412 names exactly these members as changed, with their states.
func (t *trial) wantChanges(x exchange, want map[string]string) {
	t.want(x, "the user is not at this version", http.StatusPreconditionFailed)
	value, _ := decode(x.body)
	fields, states := description.At(value, t.d.ChangedField), description.At(value, t.d.ChangedState)
	got := map[string]string{}
	for i := range min(len(fields), len(states)) {
		got[fmt.Sprint(fields[i])] = fmt.Sprint(states[i])
	}
	var inConflict []string
	for name, state := range want {
		if state == "conflict" {
			inConflict = append(inConflict, name)
		}
	}
	if encode(got) != encode(want) {
		t.broken(x, "as changed "+encode(want), "%s", printable(encode(got)))
	}
	t.wantHeader(x, dragomanConflict, strings.Join(inConflict, ", "))
	if _, now := t.show(); etag(x) != etag(now) {
		t.broken(x, "the current ETag, "+etag(now), "ETag: %s", etag(x))
	}
}

// sinceThen changes a member, and returns the ETag of before and the update that changed it.
func (t *trial) sinceThen(m memberOf) (stale string, theirs object) {
	stale = t.strong()
	theirs = t.change(m)
	t.update(theirs)
	return stale, theirs
}

func staleExplained(t *trial) {
	first, second := t.d.members[0], t.d.members[1]
	stale, theirs := t.sinceThen(first)
	for state, body := range map[string]object{"conflict": t.change(first), "same": theirs, "moved": t.change(second)} {
		x := t.send(t.updateRequest(body.String()).with("If-Match", stale))
		t.wantChanges(x, map[string]string{first.header(): state})
	}
}

func mergeKeeps(t *trial) {
	first, second := t.d.members[0], t.d.members[1]
	stale, theirs := t.sinceThen(first)
	ours := t.change(second)
	x := t.send(t.updateRequest(ours.String()).with("If-Match", stale).with("Prefer", merge))
	t.want(x, "it is in conflict with nothing", http.StatusOK)
	t.wantHeader(x, "Preference-Applied", merge)
	t.wantHeader(x, "Dragoman-Changed", second.header())
	t.wantShown(x, first.name, theirs.value(first.name))
	t.wantShown(x, second.name, ours.value(second.name))
	// What both ask for is no conflict, and an update that only does that changes nothing.
	x = t.send(t.updateRequest(theirs.String()).with("If-Match", stale).with("Prefer", merge))
	t.want(x, "it asks for what is there", http.StatusOK)
	t.wantHeader(x, "Dragoman-Changed", "")
	t.wantShown(x, second.name, ours.value(second.name))
}

func mergeOfConflict(t *trial) {
	first := t.d.members[0]
	stale, _ := t.sinceThen(first)
	t.wantRequestsRefused(http.StatusPreconditionFailed, "it is in conflict with what was written since",
		t.updateRequest(t.change(first).String()).with("If-Match", stale).with("Prefer", merge))
}
