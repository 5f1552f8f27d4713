package conformance

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// trial is the check of one law. A law's function calls its methods, which end the law early (broken, skipped or unchecked) by a
// panic of the type verdict that [run.try] recovers; any other panic is a bug.
type trial struct {
	*run
	ctx context.Context
	// untried says what the law could not try with this user, and what it would need.
	untried []string
}

// verdict is the outcome of a law that does not hold.
type verdict struct {
	outcome  Outcome
	reason   string
	exchange *exchange
	expected string
	got      string
}

// send sends a request; without an answer the law ends as unchecked.
func (t *trial) send(r request) exchange {
	x, err := t.client.do(t.ctx, r)
	t.orUnchecked(x, err)
	return x
}

func (t *trial) orUnchecked(x exchange, err error) {
	if err == nil {
		t.unreached = 0
		return
	}
	var unreached unreachedError
	if errors.As(err, &unreached) {
		t.unreached++
	}
	panic(verdict{outcome: Unchecked, reason: t.client.redact(err.Error()), exchange: &x})
}

// broken ends the law as broken, since x is not what was expected.
func (t *trial) broken(x exchange, expected, got string, args ...any) {
	panic(verdict{outcome: Broken, exchange: &x, expected: expected, got: fmt.Sprintf(got, args...)})
}

// skip ends the law as skipped.
func (t *trial) skip(reason string, args ...any) {
	panic(verdict{outcome: Skipped, reason: fmt.Sprintf(reason, args...)})
}

// want requires one of these statuses.
func (t *trial) want(x exchange, why string, statuses ...int) {
	if slices.Contains(statuses, x.status) {
		return
	}
	var all []string
	for _, s := range statuses {
		all = append(all, fmt.Sprintf("%d", s))
	}
	t.broken(x, strings.Join(all, " or ")+": "+why, "%d", x.status)
}

// showRequest returns the request that reads the user.
func (t *trial) showRequest() request { return t.showRequestOf(t.c.Customer, t.c.User) }

func (t *trial) showRequestOf(customer, id string) request {
	return t.request(t.d.show.OperationID, http.MethodGet, t.userPath(customer, id))
}

// updateRequest returns the request that updates the user.
func (t *trial) updateRequest(body string) request {
	return t.updateRequestOf(t.c.Customer, t.c.User, body)
}

func (t *trial) updateRequestOf(customer, id, body string) request {
	r := t.request(t.d.update.OperationID, t.d.update.Method, t.userPath(customer, id))
	r.header["Content-Type"] = []string{"application/json"}
	r.body, r.hasBody = t.d.request.Around(body), true
	return r
}

// show reads the user, which must exist.
func (t *trial) show() (user, exchange) {
	x := t.send(t.showRequest())
	t.want(x, "the user exists", http.StatusOK)
	u, ok := t.userIn(x)
	if !ok {
		t.broken(x, "a user", "something else")
	}
	return u, x
}

// update updates the user, which must succeed.
func (t *trial) update(body object) exchange { return t.updateRaw(body.String()) }

func (t *trial) updateRaw(body string) exchange {
	x := t.send(t.updateRequest(body))
	t.want(x, "this update is valid", http.StatusOK)
	return x
}

// base is the smallest update that changes nothing, from which others are made; see [dialect.base].
func (t *trial) base() object { return t.d.base(t.found) }

// idle is an update that changes nothing and has a member.
func (t *trial) idle() object { return t.d.idle(t.found) }

// change is an update that sets a member to a new value.
func (t *trial) change(m memberOf) object { return t.base().with(m.name, t.fresh(m)) }

// foundAs returns the JSON that resets a member.
func (t *trial) foundAs(m memberOf) string {
	return m.from(t.found)
}

// renaming is an update that sets a new first name.
func (t *trial) renaming() object { return t.change(t.d.members[0]) }

// fresh returns the JSON of a new value for a member.
func (t *trial) fresh(m memberOf) string {
	n := t.next()
	switch m.kind {
	case phone:
		return encode(fmt.Sprintf("+1202555%04d", 100+n%100)) // numbers that are reserved for fiction
	case mail:
		return encode(fmt.Sprintf("dragoman-check-%s-%d@example.com", t.nonce, n))
	case login:
		return encode(fmt.Sprintf("dragoman-check-%s-%d", t.nonce, n))
	case flag:
		return encode(t.found[m.name] != true)
	case status:
		i := slices.IndexFunc(m.values, func(value any) bool { return value != t.found[m.name] })
		return encode(m.values[i])
	case grants:
		return `[]`
	default:
		return encode(fmt.Sprintf("Check %d", n))
	}
}

// changeable returns the members that may be changed and reset. For the others that are allowed the law notes what they need.
func (t *trial) changeable() []memberOf {
	var all []memberOf
	for _, m := range t.d.members {
		switch reason := t.may(m); {
		case reason == "":
			all = append(all, m)
		case m.kind == grants && !t.d.grantsMany(): // which is so for every user
		case m.group == "" || t.allowed(m.group):
			t.note(m.name, reason)
		}
	}
	return all
}

// note adds to the result of a law that holds what it could not try, and what that needs.
func (t *trial) note(what, needs string) {
	text := what + ": " + needs
	if !slices.Contains(t.untried, text) {
		t.untried = append(t.untried, text)
	}
}

// texts returns the changeable members that are strings.
func (t *trial) texts() []memberOf {
	return slices.DeleteFunc(t.changeable(), func(m memberOf) bool { return !m.isText() })
}

// may returns the reason why a member may not be changed; empty: it may.
func (t *trial) may(m memberOf) string {
	if m.group != "" && !t.allowed(m.group) {
		return notAllowed(m.group)
	}
	switch {
	case m.kind == mail && t.found[t.d.shownAs("EmailVerified")] == true:
		return "a changed e-mail is no longer verified: take a user whose e-mail is not verified"
	case m.kind == status && !m.allows(t.found[m.name]):
		return fmt.Sprintf("no update sets the %s %v, so that it could not be reset: take a user with another", m.name, t.found[m.name])
	case m.kind == flag && m.field == "Status" && t.found[m.name] != true:
		return "a user that is not enabled may be invited, which cannot be reset: take an enabled user"
	case m.kind == grants && !t.d.grantsMany():
		return "a removed subrole cannot be restored by a caller who may not grant it"
	}
	return ""
}

// mayOrSkip returns the member of a kind, and skips the law if it may not be changed.
func (t *trial) mayOrSkip(k kind) memberOf {
	m, ok := t.d.member(k)
	if !ok {
		t.skip("the update has no such member")
	}
	if reason := t.may(m); reason != "" {
		t.skip("%s", reason)
	}
	return m
}

// wantShown requires that a read shows this value of a member.
func (t *trial) wantShown(after exchange, name, value string) {
	u, _ := t.show()
	wanted, err := decode([]byte(value))
	if err != nil {
		panic(err)
	}
	if u[name] == nil && wanted == "" && t.d.omits(name) {
		return
	}
	if !same(u[name], wanted) {
		t.broken(after, fmt.Sprintf("a GET then shows %s %s", name, printable(value)), "it shows %s", printable(excerpt([]byte(u.json(name)))))
	}
}

// wantUnchanged requires that a read shows the user as before, except for some members.
func (t *trial) wantUnchanged(after exchange, before user, but ...string) {
	is, _ := t.show()
	if changed := differences(before, is, slices.Concat(t.bookkeeping, but)...); len(changed) > 0 {
		t.broken(after, "nothing else of the user changes", "%s", changes(changed, before, is))
	}
}

// wantRefused requires that each body is rejected with a status and changes nothing.
func (t *trial) wantRefused(status int, why string, bodies ...string) {
	var requests []request
	for _, body := range bodies {
		requests = append(requests, t.updateRequest(body))
	}
	t.wantRequestsRefused(status, why, requests...)
}

func (t *trial) wantRequestsRefused(status int, why string, requests ...request) {
	before, _ := t.show()
	for _, r := range requests {
		t.want(t.send(r), why, status)
	}
	is, _ := t.show()
	if len(differences(before, is)) == 0 {
		return
	}
	// One of them was rejected but had an effect: repeat them to find out which.
	for _, r := range requests {
		before, _ = t.show()
		x := t.send(r)
		is, _ = t.show()
		if changed := differences(before, is); len(changed) > 0 {
			t.broken(x, "a rejected update changes nothing", "%s changed", strings.Join(changed, ", "))
		}
	}
	_, x := t.show()
	t.broken(x, "a rejected update changes nothing", "the user changed while updates were rejected")
}

func newNonce() string { return strings.ToLower(rand.Text()[:8]) }
