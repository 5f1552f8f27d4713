package server_test

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

// eachUpdate runs f for every update of every dialect, about a user of its own.
func eachUpdate(t *testing.T, f func(t *testing.T, s *servertest.Server, u update)) {
	t.Helper()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for _, d := range servertest.Dialects() {
			for _, operation := range d.Updates {
				t.Run(d.Name+"/"+operation, func(t *testing.T) { f(t, s, newUpdate(t, s, d.API, operation)) })
			}
		}
	})
}

// update is an update of a dialect, about a user of the sandbox.
type update struct {
	dialect description.API
	description.Operation
	user    store.User
	subject description.Subject
}

func newUpdate(t testing.TB, s *servertest.Server, d description.API, operation string) update {
	t.Helper()
	u := s.CreateUser(t, store.User{
		FirstName: "Mary", LastName: "Jackson", Username: "mary", Email: "mary@example.com", Mobile: new("1"), Roles: store.Roles(3), Status: store.StatusActive,
	})
	return update{d, servertest.Operation(t, d, operation), u, of(sandbox, party{id: u.ID, uuid: u.UUID.String()})}
}

// send sends a body about the user, as an administrator.
func (u update) send(t testing.TB, s *servertest.Server, body map[string]any, header http.Header) servertest.Answer {
	t.Helper()
	return u.sendText(s, servertest.Encode(t, body), header)
}

func (u update) sendText(s *servertest.Server, body string, header http.Header) servertest.Answer {
	r := servertest.Request{Method: u.Method, Body: body}
	r.Path, r.Header = u.About(u.subject)
	r.Header.Set("Content-Type", "application/json")
	for name, values := range header {
		r.Header[name] = values
	}
	return s.Ask(servertest.Administrator(), r)
}

// TestSharedUpdateRules of preconditions and of what is shown, in every dialect.
func TestSharedUpdateRules(t *testing.T) {
	t.Parallel()
	eachUpdate(t, func(t *testing.T, s *servertest.Server, u update) { u.check(t, s) })
}

// check updates everything of the user, under preconditions that are false and under one that is true.
func (u update) check(t testing.TB, s *servertest.Server) {
	t.Helper()
	everything := u.dialect.Everything(u.OperationID, s.Unique("everything", 64))
	read, _ := s.Show(t, u.dialect, servertest.Administrator(), u.subject)
	tag := read.Header.Get("ETag")
	for _, c := range []struct {
		name   string
		header http.Header
	}{
		{"a stale If-Match", http.Header{"If-Match": {`"0"`}}},
		{"If-None-Match with its version", http.Header{"If-None-Match": {tag}}},
	} {
		if a := u.send(t, s, everything, c.header); a.Status != http.StatusPreconditionFailed {
			t.Errorf("%s: %s was answered %d %s, want 412", u.OperationID, c.name, a.Status, a.Body)
		}
		if d := servertest.Differences(u.user, s.FindUser(t, u.user.ID)); len(d) > 0 {
			t.Fatalf("%s: under %s %v was written", u.OperationID, c.name, d)
		}
	}
	a := u.send(t, s, everything, http.Header{"If-Match": {tag}})
	if a.Status != http.StatusOK {
		t.Fatalf("%s: a body that sets everything was answered %d %s", u.OperationID, a.Status, a.Body)
	}
	if a.Header.Get("Dragoman-Changed") == "" {
		t.Errorf("%s: a body that sets everything was answered without Dragoman-Changed", u.OperationID)
	}
	after, shown := s.Show(t, u.dialect, servertest.Administrator(), u.subject)
	if got := a.Header.Get("ETag"); got == "" || got == tag || got != after.Header.Get("ETag") {
		t.Errorf("%s: the answer's ETag is %q, after %q; reading the user gives %q", u.OperationID, got, tag, after.Header.Get("ETag"))
	}
	b, _ := u.dialect.Request(u.OperationID)
	sent, compared := b.In(servertest.Copy(t, everything)), 0
	for _, m := range b.Members {
		for _, value := range description.At(sent, m.Path) {
			if is := description.At(shown, m.Path); m.Effect == description.Replaces && !m.Secret && len(is) > 0 {
				if compared++; !servertest.Contains(is[0], value) {
					t.Errorf("%s: %s was set to %v, and is shown as %v", u.OperationID, m.Path, value, is)
				}
			}
		}
	}
	if compared < 5 {
		t.Errorf("%s: only %d members are shown", u.OperationID, compared)
	}
}

// Each writer adds its own letter to what it read, the updates of all dialects taking turns.
func TestConcurrentIfMatch(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		var updates []update
		for _, d := range servertest.Dialects() {
			for _, operation := range d.Updates {
				u := update{d.API, servertest.Operation(t, d.API, operation), s.FindUser(t, servertest.Ada), servertest.AdaSubject}
				updates = append(updates, u)
			}
		}
		each(func(i int) {
			letter := string(rune('A' + i))
			for {
				a, err := updates[i%len(updates)].append(t, s, letter)
				if err != nil || a.Status != http.StatusOK && a.Status != http.StatusPreconditionFailed {
					t.Errorf("writer %d: %d %s %v", i, a.Status, a.Body, err)
					return
				}
				if a.Status == http.StatusOK {
					return
				}
			}
		})
		u := s.FindUser(t, servertest.Ada)
		added := strings.TrimPrefix(u.FirstName, "Ada")
		for i := range writers {
			if letter := string(rune('A' + i)); strings.Count(added, letter) != 1 {
				t.Errorf("%s is not once in %q", letter, added)
			}
		}
		if u.Version != 1+writers {
			t.Errorf("version %d", u.Version)
		}
	})
}

// append adds a letter to the first name that it reads, under If-Match.
func (u update) append(t testing.TB, s *servertest.Server, letter string) (servertest.Answer, error) {
	read, shown := s.Show(t, u.dialect, servertest.Administrator(), u.subject)
	b, ok := u.dialect.Request(u.OperationID)
	if !ok {
		return read, fmt.Errorf("%s has no table of the request of %s", u.dialect.Name, u.OperationID)
	}
	name, _ := b.Member("FirstName")
	body := map[string]any{}
	if b.Whole() {
		body = servertest.Project(t, b, shown)
		maps.DeleteFunc(body, func(_ string, value any) bool { return value == nil })
	}
	description.Set(body, name.Path, fmt.Sprint(description.At(shown, name.Path)[0], letter))
	return u.sendText(s, b.Around(servertest.Encode(t, body)), http.Header{"If-Match": {read.Header.Get("ETag")}}), nil
}
