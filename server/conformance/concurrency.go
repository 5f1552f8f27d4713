package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// concurrency are the laws about several writers at once.
var concurrency = []Law{
	{Name: "parallel-patches-all-stay", Grade: HTTP, check: parallelPatches, of: partial,
		Says:   "Concurrent PATCHes of different members all take effect.",
		Why:    "A server that reads, changes and writes without a lock loses one of two changes that are saved at the same time.",
		Source: "RFC 5789, section 2: the changes are applied to the resource, all or none"},
	{Name: "parallel-puts-stay-whole", Grade: HTTP, check: parallelPuts, of: whole,
		Says:   "After concurrent PUTs the user is as exactly one of them says.",
		Why:    "A mixture of two is a user that no client sent.",
		Source: "RFC 9110, section 9.3.4"},
	{Name: "one-of-parallel-conditional-writes-wins", Grade: HTTP, Feature: ETags, check: oneWins,
		Says:   "Of concurrent updates with the same If-Match exactly one succeeds, and the others are 412.",
		Why:    "If two succeed, one overwrote a change that it had not seen: check and write were not atomic.",
		Source: "RFC 9110, section 13.1.1"},
	{Name: "read-modify-write-loses-nothing", Grade: HTTP, Feature: ETags, check: readModifyWrite,
		Says:   "Concurrent writers that read, append a letter, write with If-Match, and retry after a 412 lose no letter.",
		Why:    "This is how clients use the header.",
		Source: "RFC 9110, section 13.1.1"},
}

// rounds is how often concurrent writes are repeated, since a fault does not show in each of them.
const rounds = 8

// atOnce sends requests concurrently and returns their answers. Without an answer to each the law cannot be checked.
func (t *trial) atOnce(requests ...request) []exchange {
	start := make(chan struct{})
	wait := t.inParallel(len(requests), func(i int) (exchange, error) {
		<-start
		return t.client.do(t.ctx, requests[i])
	})
	close(start)
	return wait()
}

// inParallel starts n calls of f. Its result waits for them and returns their answers; see [trial.orUnchecked].
func (t *trial) inParallel(n int, f func(i int) (exchange, error)) (wait func() []exchange) {
	answers, errs := make([]exchange, n), make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			errs[i] = guarded(func() (err error) {
				answers[i], err = f(i)
				return err
			})
		})
	}
	return func() []exchange {
		group.Wait()
		for i, err := range errs {
			t.orUnchecked(answers[i], err)
		}
		return answers
	}
}

func parallelPatches(t *trial) {
	for range rounds {
		wanted := map[string]string{}
		var requests []request
		members := slices.DeleteFunc(t.texts(), func(m memberOf) bool { return m.kind == mail }) // its uniqueness may serialize the writes
		for _, m := range members {
			body := t.change(m)
			wanted[m.name] = body.value(m.name)
			requests = append(requests, t.updateRequest(body.String()))
		}
		answers := t.atOnce(requests...)
		for _, x := range answers {
			t.want(x, "the update is good", http.StatusOK)
		}
		is, _ := t.show()
		for i, m := range members {
			if is.json(m.name) != wanted[m.name] {
				t.broken(answers[i], fmt.Sprintf("%s %s, as no other update names it", m.name, wanted[m.name]), "%s", is.json(m.name))
			}
		}
	}
}

func parallelPuts(t *trial) {
	first, second := t.d.members[0], t.d.members[1]
	for range rounds {
		var bodies []object
		var requests []request
		for range t.c.Writers {
			body := t.base().with(first.name, t.fresh(first)).with(second.name, t.fresh(second))
			bodies, requests = append(bodies, body), append(requests, t.updateRequest(body.String()))
		}
		answers := t.atOnce(requests...)
		for _, x := range answers {
			t.want(x, "the update is good", http.StatusOK)
		}
		is, x := t.show()
		whole := false
		for _, body := range bodies {
			whole = whole || is.json(first.name) == body.value(first.name) && is.json(second.name) == body.value(second.name)
		}
		if !whole {
			t.broken(x, first.name+" and "+second.name+" of one update", "%s and %s", is.json(first.name), is.json(second.name))
		}
	}
}

func oneWins(t *trial) {
	m := t.d.members[0]
	for range rounds {
		tag := t.strong()
		var bodies []object
		var requests []request
		for range t.c.Writers {
			body := t.change(m)
			bodies, requests = append(bodies, body), append(requests, t.updateRequest(body.String()).with("If-Match", tag))
		}
		answers := t.atOnce(requests...)
		winner := -1
		for i, x := range answers {
			t.want(x, "one succeeds, the others conflict", http.StatusOK, http.StatusPreconditionFailed)
			if x.status == http.StatusOK && winner >= 0 {
				t.broken(x, "412, as another with the same If-Match was done", "200")
			}
			if x.status == http.StatusOK {
				winner = i
			}
		}
		if winner < 0 {
			t.broken(answers[0], "one of them is done", "none was")
		}
		t.wantShown(answers[winner], m.name, bodies[winner].value(m.name))
	}
}

// letters has the letter that each writer appends.
const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"

// maxAttempts is the number of conflicts after which a writer gives up; of concurrent writes at least one succeeds.
const maxAttempts = 3 * maxWriters

func readModifyWrite(t *trial) {
	m := t.d.members[0]
	t.update(t.base().with(m.name, `"-"`))
	t.strong()
	for _, x := range t.inParallel(t.c.Writers, func(i int) (exchange, error) { return t.append(m, letters[i:i+1]) })() {
		t.want(x, "a writer that reads again is done in the end", http.StatusOK)
	}
	is, x := t.show()
	for i := range t.c.Writers {
		if strings.Count(is.text(m.name), letters[i:i+1]) != 1 {
			t.broken(x, m.name+" with one of each of "+letters[:t.c.Writers], "%s", is.json(m.name))
		}
	}
}

// append appends a letter to a member with optimistic locking, and returns the last answer.
func (t *trial) append(m memberOf, letter string) (exchange, error) {
	var x exchange
	for range maxAttempts {
		shown, err := t.client.do(t.ctx, t.showRequest())
		if err != nil {
			return shown, err
		}
		u, ok := t.userIn(shown)
		if !ok {
			return shown, nil
		}
		body := t.base().with(m.name, encode(u.text(m.name)+letter))
		x, err = t.client.do(t.ctx, t.updateRequest(body.String()).with("If-Match", etag(shown)))
		if err != nil || x.status != http.StatusPreconditionFailed {
			return x, err
		}
	}
	return x, nil
}
