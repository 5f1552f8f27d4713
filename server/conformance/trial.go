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

// trial is one law being held: the requests it sends, and what it finds. A law is a function of a trial that reads from top
// to bottom as the sentence it proves. What ends it early (broken, skipped, not to be checked) unwinds to [run.try] by a
// panic of the type verdict, as encoding/json and testing end early too; no other panic is meant.
type trial struct {
	*run
	ctx context.Context
	// untried is what the law could not try with this user, and what it would need for it.
	untried []string
}

// verdict is how a law ended, if it did not simply hold.
type verdict struct {
	outcome  Outcome
	reason   string
	exchange *exchange
	expected string
	got      string
}

// send sends a request; without an answer the law cannot be checked.
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

// broken ends the law: x is not what was expected.
func (t *trial) broken(x exchange, expected, got string, args ...any) {
	panic(verdict{outcome: Broken, exchange: &x, expected: expected, got: fmt.Sprintf(got, args...)})
}

// skip ends the law: it is not about this server or this user.
func (t *trial) skip(reason string, args ...any) {
	panic(verdict{outcome: Skipped, reason: fmt.Sprintf(reason, args...)})
}

// want asks for one of some statuses.
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

// showRequest reads the user.
func (t *trial) showRequest() request { return t.showRequestOf(t.c.Customer, t.c.User) }

func (t *trial) showRequestOf(customer, id string) request {
	return t.request(t.d.show.OperationID, http.MethodGet, t.userPath(customer, id))
}

// updateRequest writes to the user.
func (t *trial) updateRequest(body string) request {
	return t.updateRequestOf(t.c.Customer, t.c.User, body)
}

func (t *trial) updateRequestOf(customer, id, body string) request {
	r := t.request(t.d.update.OperationID, t.d.update.Method, t.userPath(customer, id))
	r.header["Content-Type"] = []string{"application/json"}
	r.body, r.hasBody = body, true
	return r
}

// show reads the user, who must be there.
func (t *trial) show() (user, exchange) {
	x := t.send(t.showRequest())
	t.want(x, "the user is there", http.StatusOK)
	u, ok := t.userIn(x)
	if !ok {
		t.broken(x, "a user", "something else")
	}
	return u, x
}

// update writes to the user and must be taken.
func (t *trial) update(body object) exchange { return t.updateRaw(body.String()) }

func (t *trial) updateRaw(body string) exchange {
	x := t.send(t.updateRequest(body))
	t.want(x, "this update is good", http.StatusOK)
	return x
}

// base is an update that changes nothing of the user as found, for others to be made of.
func (t *trial) base() object { return t.d.base(t.found) }

// idle is an update that changes nothing of the user as found.
func (t *trial) idle() object { return t.d.idle(t.found) }

// change is an update that changes a member to a value that it has not had.
func (t *trial) change(m memberOf) object { return t.base().with(m.name, t.fresh(m)) }

// foundAs gives the value that gives a member back: the one found, or an empty text where there was none.
func (t *trial) foundAs(m memberOf) string {
	return m.from(t.found)
}

// renaming is an update that gives the user a new first name.
func (t *trial) renaming() object { return t.change(t.d.members[0]) }

// fresh gives a new value for a member.
func (t *trial) fresh(m memberOf) string {
	n := t.next()
	switch m.kind {
	case phone:
		return encode(fmt.Sprintf("+1202555%04d", 100+n%100)) // numbers that are kept free for fiction
	case mail:
		return encode(fmt.Sprintf("dragoman-check-%s-%d@example.com", t.nonce, n))
	case login:
		return encode(fmt.Sprintf("dragoman-check-%s-%d", t.nonce, n))
	case flag:
		return encode(t.found[m.name] != true)
	case status:
		if t.found[m.name] == "ACTIVE" {
			return `"INACTIVE"`
		}
		return `"ACTIVE"`
	case grants:
		return `[]`
	default:
		return encode(fmt.Sprintf("Check %d", n))
	}
}

// changeable gives the members that may be changed, and changed back. The law says of the others what they would need, but for
// those that are not allowed.
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

// note has the law say, if it holds, what it could not try, and what it would need.
func (t *trial) note(what, needs string) {
	text := what + ": " + needs
	if !slices.Contains(t.untried, text) {
		t.untried = append(t.untried, text)
	}
}

// texts gives those of the changeable members that hold text.
func (t *trial) texts() []memberOf {
	return slices.DeleteFunc(t.changeable(), func(m memberOf) bool { return !m.isText() })
}

// may gives the reason why a member may not be changed; empty: it may.
func (t *trial) may(m memberOf) string {
	if m.group != "" && !t.allowed(m.group) {
		return notAllowed(m.group)
	}
	switch {
	case m.kind == mail && t.found[t.d.shownAs("EmailVerified")] == true:
		return "the user's e-mail is verified, and would not be so again: take a user whose e-mail is not"
	case m.kind == status && t.found[m.name] == "INVITED":
		return "the user is invited, and could not be made so again"
	case m.kind == flag && m.field == "Status" && t.found[m.name] != true:
		return "a user who is not enabled may be invited, and could not be made so again"
	case m.kind == grants && !t.d.grantsMany():
		return "a subrole that is taken away cannot be given back by one who may not grant it"
	}
	return ""
}

// mayOrSkip gives the member of a kind, and skips the law if it may not be changed.
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

// shows asks for a value where the user is read again.
func (t *trial) wantShown(after exchange, name, value string) {
	u, _ := t.show()
	wanted, err := decode([]byte(value))
	if err != nil {
		panic(err)
	}
	if !same(u[name], wanted) {
		t.broken(after, fmt.Sprintf("a GET then shows %s %s", name, printable(value)), "it shows %s", printable(excerpt([]byte(u.json(name)))))
	}
}

// keeps asks for the user to be as before but for some members.
func (t *trial) wantUnchanged(after exchange, before user, but ...string) {
	is, _ := t.show()
	besides := slices.Concat(t.bookkeeping, but)
	if changed := differences(before, is, besides...); len(changed) > 0 {
		var all []string
		for _, name := range changed {
			all = append(all, fmt.Sprintf("%s was %s and is %s", name, before.json(name), is.json(name)))
		}
		t.broken(after, "nothing else of the user changes", "%s", strings.Join(all, ", "))
	}
}

// refused asks for bodies to be refused with a status, each, and to have changed nothing.
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
	// One of them was refused and did something: again, to see which.
	for _, r := range requests {
		before, _ = t.show()
		x := t.send(r)
		is, _ = t.show()
		if changed := differences(before, is); len(changed) > 0 {
			t.broken(x, "what is refused changes nothing", "%s changed", strings.Join(changed, ", "))
		}
	}
	_, x := t.show()
	t.broken(x, "what is refused changes nothing", "the user changed while updates were refused")
}

func newNonce() string { return strings.ToLower(rand.Text()[:8]) }
