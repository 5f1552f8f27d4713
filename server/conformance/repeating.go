package conformance

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
)

// repeating are the laws about updates with an Idempotency-Key.
var repeating = []Law{
	{Name: "idempotency-key-executes-once", Grade: Own, Feature: Repeats, check: keyExecutesOnce,
		Says:   "An update that is repeated under its Idempotency-Key, bare or quoted, gets its first answer, also under If-Match, and is not executed again.",
		Why:    "A client whose answer was lost repeats the request: it must neither be refused nor undo what others wrote since.",
		Source: "SEMANTICS.md, Repeated writes"},
	{Name: "idempotency-key-of-an-idle-update-is-kept", Grade: Own, Feature: Repeats, check: keyOfIdle,
		Says:   "An update that changes nothing is not executed either when it is repeated later under its Idempotency-Key.",
		Why:    "By then it might change something.",
		Source: "SEMANTICS.md, Repeated writes"},
	{Name: "idempotency-key-of-another-request-is-422", Grade: Own, Feature: Repeats, check: keyOfAnother,
		Says:   "Another body, If-Match or Prefer under an Idempotency-Key that was used is 422 and changes nothing.",
		Why:    "A client that uses a key twice by mistake would take the answer to one write for that to another.",
		Source: "SEMANTICS.md, Repeated writes"},
	{Name: "idempotency-key-of-a-refused-update-is-free", Grade: Own, Feature: Repeats, check: keyOfRefused,
		Says:   "A refused update is not kept: corrected, it is executed under the same Idempotency-Key.",
		Why:    "Otherwise a failure that has passed would be repeated.",
		Source: "SEMANTICS.md, Repeated writes"},
	{Name: "idempotency-key-malformed-is-refused", Grade: Own, Feature: Repeats, check: keyMalformed,
		Says:   "An Idempotency-Key that is empty, too long, sent twice, not visible ASCII, or has an unbalanced double quote is 400. A read ignores it.",
		Why:    "If it were ignored, the write would lack the protection that the client asked for.",
		Source: "SEMANTICS.md, Repeated writes"},
	{Name: "idempotency-key-in-parallel-executes-once", Grade: Own, Feature: Repeats, check: keyInParallel,
		Says:   "Concurrent updates that are the same request under one Idempotency-Key all get the same answer, and one of them is executed.",
		Why:    "A client that has waited for too long repeats a request that is still executed.",
		Source: "SEMANTICS.md, Repeated writes"},
}

const (
	idempotencyKey = "Idempotency-Key"
	replayed       = "Idempotency-Replayed"
)

// key returns an idempotency key that was not used before.
func (t *trial) key() string { return fmt.Sprintf("dragoman-check-%s-%d", t.nonce, t.next()) }

// perAnswer are the headers that differ between two answers to the same request.
var perAnswer = slices.Concat([]string{"X-Request-Id", "Ratelimit", "Ratelimit-Policy", "Connection", replayed}, unimportant)

// wantRepeated requires that again is the answer to an earlier request, and says so.
func (t *trial) wantRepeated(first, again exchange) {
	t.want(again, "it was executed before", first.status)
	t.wantHeader(again, replayed, "true")
	t.wantSameAnswer(first, again)
}

func (t *trial) wantSameAnswer(first, again exchange) {
	a, b := first.header.Clone(), again.header.Clone()
	for _, name := range perAnswer {
		a.Del(name)
		b.Del(name)
	}
	if !reflect.DeepEqual(a, b) {
		t.broken(again, fmt.Sprintf("the headers of the first answer, %v", a), "%v", b)
	}
	if string(first.body) != string(again.body) {
		t.broken(again, "the body of the first answer, "+printable(excerpt(first.body)), "%s", printable(excerpt(again.body)))
	}
}

// wantExecuted requires that an update succeeds and is no repetition.
func (t *trial) wantExecuted(x exchange) exchange {
	t.want(x, "this update is valid", http.StatusOK)
	if got := x.header.Get(replayed); got != "" {
		t.broken(x, "no "+replayed+", as it was not sent before", "%s: %s", replayed, got)
	}
	return x
}

func keyExecutesOnce(t *trial) {
	for _, conditional := range []bool{true, false} {
		key := t.key()
		update := t.updateRequest(t.renaming().String())
		if conditional && t.has[ETags] {
			update = update.with("If-Match", t.strong())
		}
		first := t.wantExecuted(t.send(update.with(idempotencyKey, key)))
		for _, k := range []string{key, `"` + key + `"`} {
			t.wantRepeated(first, t.send(update.with(idempotencyKey, k)))
		}
		other := t.renaming()
		t.update(other)
		t.wantRepeated(first, t.send(update.with(idempotencyKey, key)))
		m := t.d.members[0]
		t.wantShown(first, m.name, other.value(m.name))
	}
}

func keyOfIdle(t *trial) {
	m := t.d.members[0]
	idle := t.renaming()
	t.update(idle)
	update := t.updateRequest(idle.String()).with(idempotencyKey, t.key())
	first := t.wantExecuted(t.send(update))
	other := t.renaming()
	t.update(other)
	t.wantRepeated(first, t.send(update))
	t.wantShown(first, m.name, other.value(m.name))
}

func keyOfAnother(t *trial) {
	update := t.updateRequest(t.renaming().String()).with(idempotencyKey, t.key())
	t.wantExecuted(t.send(update))
	another := update
	another.body = t.renaming().String()
	t.wantRequestsRefused(http.StatusUnprocessableEntity, "the key is that of another request",
		another, update.with("If-Match", "*"), update.with("Prefer", "handling=strict"))
}

func keyOfRefused(t *trial) {
	key := t.key()
	for range 2 {
		t.wantRequestsRefused(http.StatusPreconditionFailed, "the user is not at this version",
			t.conditional("If-Match", another(`"x"`)).with(idempotencyKey, key))
	}
	update := t.updateRequest(t.renaming().String()).with(idempotencyKey, key)
	t.wantRepeated(t.wantExecuted(t.send(update)), t.send(update))
}

func keyMalformed(t *trial) {
	var requests []request
	for _, values := range [][]string{
		{""}, {`""`}, {strings.Repeat("k", 256)}, {"a", "b"}, {"a", "a"}, {"a b"}, {`"a b"`}, {"\u00e9"}, {`"a`}, {`a"`}, {`a"b`}, {`"a\b"`}, {`"a"b"`},
	} {
		requests = append(requests, t.updateRequest(t.renaming().String()).with(idempotencyKey, values...))
	}
	t.wantRequestsRefused(http.StatusBadRequest, "it is no key", requests...)
	for _, r := range requests {
		t.want(t.send(t.showRequest().with(idempotencyKey, r.header.Values(idempotencyKey)...)), "a read ignores it", http.StatusOK)
	}
	t.wantExecuted(t.send(t.updateRequest(t.renaming().String()).with(idempotencyKey, strings.Repeat("k", 200)+t.key())))
}

func keyInParallel(t *trial) {
	for range rounds {
		update := t.updateRequest(t.renaming().String()).with(idempotencyKey, t.key())
		var requests []request
		for range t.c.Writers {
			requests = append(requests, update)
		}
		answers := t.atOnce(requests...)
		executed := 0
		for _, x := range answers {
			t.want(x, "they are one update, which is valid", http.StatusOK)
			t.wantSameAnswer(answers[0], x)
			if x.header.Get(replayed) == "" {
				executed++
			}
		}
		if executed != 1 {
			t.broken(answers[0], "all answers but one with "+replayed, "%d without", executed)
		}
	}
}
