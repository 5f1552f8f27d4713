package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// repeatable is a write of a dialect that takes an Idempotency-Key.
type repeatable struct {
	dialect description.API
	request servertest.Request
	body    map[string]any // of the request
	update  bool           // else it creates a user
	user    store.User     // whom an update is about
}

// eachRepeatable runs f for every write of every dialect that takes an Idempotency-Key, with a user of its own.
func eachRepeatable(t *testing.T, f func(t *testing.T, s *servertest.Server, r repeatable)) {
	t.Helper()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		checked := 0
		for _, p := range walk(t, s.Store) {
			ofUser := p.OperationID == p.dialect.Create || slices.Contains(p.dialect.Updates, p.OperationID)
			if !ofUser || dialect.IsDryRun(p.Path) {
				continue
			}
			checked++
			t.Run(p.name, func(t *testing.T) {
				u := newUpdate(t, s, p.dialect, p.OperationID)
				r := repeatable{dialect: p.dialect, update: slices.Contains(p.dialect.Updates, p.OperationID), user: u.user}
				r.request.Method = p.Method
				r.request.Path, r.request.Header = p.About(u.subject)
				r.request.Header.Set("Content-Type", "application/json")
				r.body = p.dialect.Everything(p.OperationID, s.Unique("body", 64))
				f(t, s, r)
			})
		}
		if checked < 4 {
			t.Errorf("%d writes", checked)
		}
	})
}

// send sends a body with these further headers, as an administrator.
func (r repeatable) send(t testing.TB, s *servertest.Server, body map[string]any, header http.Header) servertest.Answer {
	t.Helper()
	return r.sendBy(t, s, servertest.Administrator(), body, header)
}

func (r repeatable) sendBy(t testing.TB, s *servertest.Server, who auth.Claims, body map[string]any, header http.Header) servertest.Answer {
	t.Helper()
	request := r.request
	request.Body = servertest.Encode(t, body)
	request.Header = maps.Clone(r.request.Header)
	maps.Copy(request.Header, header)
	return s.Ask(who, request)
}

// other returns a body that asks for something else.
func (r repeatable) other(t testing.TB, s *servertest.Server) map[string]any {
	return r.dialect.Everything(r.operation(t), s.Unique("other", 64))
}

func (r repeatable) operation(t testing.TB) string {
	t.Helper()
	if !r.update {
		return r.dialect.Create
	}
	for _, id := range r.dialect.Updates {
		if servertest.Operation(t, r.dialect, id).Method == r.request.Method {
			return id
		}
	}
	t.Fatal("no such update")
	return ""
}

func keyed(key string, more ...string) http.Header {
	h := http.Header{"Idempotency-Key": {key}}
	for i := 0; i < len(more); i += 2 {
		h.Set(more[i], more[i+1])
	}
	return h
}

// lasting returns the headers of an answer that do not differ from one answer to the next, and not whether it is a replay.
func lasting(h http.Header) http.Header {
	h = h.Clone()
	for _, name := range []string{"X-Request-Id", "Date", "Idempotency-Replayed", "Ratelimit", "Ratelimit-Policy"} {
		h.Del(name)
	}
	return h
}

// expectReplay fails the test unless an answer is an earlier one.
func expectReplay(t testing.TB, first, again servertest.Answer) {
	t.Helper()
	again.ExpectHeader(t, "Idempotency-Replayed", "true")
	if again.Status != first.Status || again.Body != first.Body || !reflect.DeepEqual(lasting(again.Header), lasting(first.Header)) {
		t.Errorf("the answer is\n%d %v\n%s\nthe first was\n%d %v\n%s", again.Status, lasting(again.Header), again.Body, first.Status, lasting(first.Header), first.Body)
	}
}

func expectExecuted(t testing.TB, a servertest.Answer) {
	t.Helper()
	if a.Status/100 != 2 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	a.ExpectHeader(t, "Idempotency-Replayed")
}

// changes returns how many changes of all users there are.
func changes(t testing.TB, s *servertest.Server) (n int) {
	t.Helper()
	ctx := context.Background()
	if _, err := s.Store.NumberChanges(ctx); err != nil {
		t.Fatal(err)
	}
	for after := int64(0); ; {
		page, next, err := s.Store.ListChanges(ctx, store.FeedScope{All: true}, after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if n += len(page); len(page) == 0 {
			return n
		}
		after = next
	}
}

// TestRepeatedWrite of every dialect: it is executed once, and answered as the first time.
func TestRepeatedWrite(t *testing.T) {
	t.Parallel()
	eachRepeatable(t, func(t *testing.T, s *servertest.Server, r repeatable) {
		header := keyed("first")
		if r.update {
			header.Set("If-Match", `"1"`)
		}
		before := changes(t, s)
		first := r.send(t, s, r.body, header)
		expectExecuted(t, first)
		if got := changes(t, s); got != before+1 {
			t.Errorf("%d changes instead of 1", got-before)
		}
		// The body and If-Match ask for what is not so any more: the e-mail is taken, and the version another.
		header.Set("Idempotency-Key", `"first"`)
		for range 2 {
			expectReplay(t, first, r.send(t, s, r.body, header))
		}
		if got := changes(t, s); got != before+1 {
			t.Errorf("%d changes after the replays instead of 1", got-before)
		}
		// Somebody else's change is not undone by a late retry.
		if r.update {
			expectExecuted(t, r.send(t, s, r.other(t, s), nil))
			now := s.FindUser(t, r.user.ID)
			expectReplay(t, first, r.send(t, s, r.body, header))
			if d := servertest.Differences(now, s.FindUser(t, r.user.ID)); len(d) > 0 {
				t.Errorf("a replay changes %q", d)
			}
		}
		// Another request with the key.
		for _, a := range []servertest.Answer{
			r.send(t, s, r.other(t, s), header),
			r.send(t, s, r.body, keyed("first", "If-Match", "*")),
			r.send(t, s, r.body, keyed("first", "If-Match", `"1"`, "Prefer", "handling=strict")),
		} {
			if a.Status != http.StatusUnprocessableEntity {
				t.Errorf("another request with the key: %d %s", a.Status, a.Body)
			}
			a.ExpectHeader(t, "Idempotency-Replayed")
			a.ExpectHeader(t, "Preference-Applied")
		}
	})
}

// TestRepeatedWriteThatChangesNothing is kept too, so that a late retry cannot undo what was done meanwhile.
func TestRepeatedWriteThatChangesNothing(t *testing.T) {
	t.Parallel()
	eachRepeatable(t, func(t *testing.T, s *servertest.Server, r repeatable) {
		if !r.update {
			t.Skip("a creation changes something")
		}
		expectExecuted(t, r.send(t, s, r.body, nil))
		before := changes(t, s)
		idle := servertest.Copy(t, r.body)
		for _, name := range []string{"newPassword", "password"} {
			delete(idle, name) // it always counts as a change
		}
		first := r.send(t, s, idle, keyed("idle", "Prefer", "handling=strict"))
		expectExecuted(t, first)
		first.ExpectHeader(t, "Dragoman-Changed", "")
		first.ExpectHeader(t, "Preference-Applied", "handling=strict")
		if got := changes(t, s); got != before {
			t.Errorf("%d changes instead of none", got-before)
		}
		expectExecuted(t, r.send(t, s, r.other(t, s), nil))
		expectReplay(t, first, r.send(t, s, idle, keyed("idle", "Prefer", "handling=strict")))
		if got := changes(t, s); got != before+1 {
			t.Errorf("%d changes instead of 1", got-before)
		}
	})
}

// TestRefusedWriteIsNotKept: what was refused can be mended under the same key.
func TestRefusedWriteIsNotKept(t *testing.T) {
	t.Parallel()
	eachRepeatable(t, func(t *testing.T, s *servertest.Server, r repeatable) {
		taken := servertest.Copy(t, r.body)
		o := servertest.Operation(t, r.dialect, r.operation(t))
		b, _ := r.dialect.Request(o.OperationID)
		email, _ := b.Member("Email")
		description.Set(b.In(taken), email.Path, "grace.hopper@example.com")
		for range 2 {
			a := r.send(t, s, taken, keyed("mended"))
			if a.Status != o.Taken() {
				t.Errorf("a taken e-mail: %d %s", a.Status, a.Body)
			}
			a.ExpectHeader(t, "Idempotency-Replayed")
		}
		if r.update {
			if a := r.send(t, s, r.body, keyed("mended", "If-Match", `"7"`)); a.Status != http.StatusPreconditionFailed {
				t.Errorf("a stale If-Match: %d %s", a.Status, a.Body)
			}
		}
		first := r.send(t, s, r.body, keyed("mended"))
		expectExecuted(t, first)
		expectReplay(t, first, r.send(t, s, r.body, keyed("mended")))
	})
}

// TestMalformedIdempotencyKey is a 400 that names the header. A read ignores it.
func TestMalformedIdempotencyKey(t *testing.T) {
	t.Parallel()
	eachRepeatable(t, func(t *testing.T, s *servertest.Server, r repeatable) {
		long := strings.Repeat("k", 255)
		for _, values := range [][]string{
			{""}, {`""`}, {long + "k"}, {`"` + long + `k"`}, {"a", "b"}, {"a", "a"}, {`"a"`, `"b"`}, {"é"}, {"\xff"}, {`"é"`}, {"a b"}, {`"a b"`}, {"a\tb"},
			{`"a`}, {`a"`}, {`"`}, {`a"b`}, {`"a"b"`}, {`"a\b"`}, {`"a\"`}, {`"a";x=1`}, {`"a", "b"`},
		} {
			header := http.Header{"Idempotency-Key": values}
			a := r.send(t, s, r.body, header)
			if a.Status != http.StatusBadRequest || !strings.Contains(a.Body, `Idempotency-Key must be sent once, with 1 to 255 visible ASCII characters, bare or in double quotes`) {
				t.Errorf("%q: %d %s", values, a.Status, a.Body)
			}
			show := servertest.Operation(t, r.dialect, r.dialect.Show)
			read := servertest.Request{Method: show.Method}
			read.Path, read.Header = show.About(servertest.AdaSubject)
			maps.Copy(read.Header, header)
			if a := s.Ask(servertest.Administrator(), read); a.Status != http.StatusOK {
				t.Errorf("a read with %q: %d %s", values, a.Status, a.Body)
			}
		}
		if n := s.FindUser(t, r.user.ID).Version; n != 1 {
			t.Errorf("version %d", n)
		}
		if !r.update {
			return
		}
		// The longest key, and two ways of writing one.
		for i, names := range [][2]string{{long, `"` + long + `"`}, {`a\b`, `"a\\b"`}, {"a,b;c=d", `"a,b;c=d"`}, {"#!~", `"#!~"`}, {`"a\"b"`, `"a\"b"`}} {
			first := r.send(t, s, r.body, keyed(names[0]))
			expectExecuted(t, first)
			expectReplay(t, first, r.send(t, s, r.body, keyed(names[1])))
			if i == 0 {
				expectExecuted(t, r.send(t, s, r.body, keyed(long[1:])))
			}
		}
	})
}

// TestIdempotencyKeyIsOfItsCaller: the same key is another one to another caller, for another customer, and at another operation.
func TestIdempotencyKeyIsOfItsCaller(t *testing.T) {
	t.Parallel()
	eachRepeatable(t, func(t *testing.T, s *servertest.Server, r repeatable) {
		if !r.update {
			t.Skip("the e-mail is taken by then")
		}
		key := s.Unique("shared", 64)
		first := r.send(t, s, r.body, keyed(key))
		expectExecuted(t, first)
		another := servertest.Administrator()
		another.Subject = "somebody else"
		expectExecuted(t, r.sendBy(t, s, another, r.body, keyed(key)))
		// This server does not check who the issuer is, so it accepts tokens of several.
		namesake := servertest.Administrator()
		namesake.Issuer = "https://another.example.com"
		expectExecuted(t, r.sendBy(t, s, namesake, r.body, keyed(key)))
		expectReplay(t, first, r.send(t, s, r.body, keyed(key)))
		for _, other := range r.dialect.Updates {
			if o := servertest.Operation(t, r.dialect, other); o.OperationID != r.operation(t) {
				another := r
				another.request.Method = o.Method
				expectExecuted(t, another.send(t, s, another.dialect.Everything(other, s.Unique("another", 64)), keyed(key)))
			}
		}
	})
}

// TestIdempotencyKeyOfOneOfSeveralIssuers: a caller's key is the same at a server with one issuer and at one with several, as in a rolling
// restart with another configuration.
func TestIdempotencyKeyOfOneOfSeveralIssuers(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		const one, two = "https://one.example.com", "https://two.example.com"
		scope := &auth.Scope{Customers: []string{"3393"}}
		issuers := []auth.Issuer{
			{Secret: servertest.Secret, Rules: auth.Rules{Issuer: one, Scope: scope}}, {Secret: servertest.Secret, Rules: auth.Rules{Issuer: two, Scope: scope}},
		}
		before := servertest.StartWith(t, server.Config{Database: url, Auth: auth.Config{Issuers: issuers[:1]}})
		after := servertest.StartWith(t, server.Config{Database: url, Auth: auth.Config{Issuers: issuers}})
		who := servertest.Manager()
		patch := servertest.Request{Method: http.MethodPatch, Path: worthAda, Body: `{"first_name":"Augusta"}`, Header: keyed("restart")}
		who.Issuer = one
		first := before.Ask(who, patch)
		expectExecuted(t, first)
		expectReplay(t, first, after.Ask(who, patch))
		who.Issuer = two
		expectExecuted(t, after.Ask(who, patch))
	})
}

// TestReplayIsAuthorizedAnew: a recorded answer is not for a caller who may not write any more, nor for one of a lower rank.
func TestReplayIsAuthorizedAnew(t *testing.T) {
	t.Parallel()
	eachRepeatable(t, func(t *testing.T, s *servertest.Server, r repeatable) {
		caller := s.CreateUser(t, store.User{
			FirstName: "C", LastName: "C", Username: "caller", Email: "caller@example.com", Roles: store.Roles(3), Status: store.StatusActive,
			AccountNonExpired: true, AccountNonLocked: true, CredentialNonExpired: true,
		})
		who := servertest.Administrator()
		who.Subject, who.UserID = caller.UUID.String(), &caller.UUID
		first := r.sendBy(t, s, who, r.body, keyed("authorized"))
		expectExecuted(t, first)
		again := func(change func(*auth.Claims)) servertest.Answer {
			c := who
			change(&c)
			return r.sendBy(t, s, c, r.body, keyed("authorized"))
		}
		all := []auth.Permission{auth.PermissionRead, auth.PermissionWrite, auth.PermissionCreate}
		for name, change := range map[string]func(*auth.Claims){
			"a lower rank": func(c *auth.Claims) { c.Authorities, c.Permissions = []string{"ROLE_COMPANY_ADMIN"}, all },
			"no permission": func(c *auth.Claims) {
				c.Authorities, c.Permissions = []string{"ROLE_USER"}, []auth.Permission{auth.PermissionRead}
			},
			"another customer": func(c *auth.Claims) { c.Customers = []string{"3394"} },
		} {
			if a := again(change); a.Status != http.StatusForbidden {
				t.Errorf("%s: %d %s", name, a.Status, a.Body)
			}
		}
		request := r.request
		request.Body, request.Header = servertest.Encode(t, r.body), maps.Clone(r.request.Header)
		request.Header.Set("Idempotency-Key", "authorized")
		if a := s.Send(request); a.Status != http.StatusUnauthorized {
			t.Errorf("no token: %d %s", a.Status, a.Body)
		}
		expectReplay(t, first, again(func(*auth.Claims) {}))
		_, _, err := s.Store.UpdateUser(context.Background(), store.UserByID(servertest.Sandbox, caller.ID), store.Change{Edit: func(u *store.User) error {
			u.Status = store.StatusInactive
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		if a := again(func(*auth.Claims) {}); a.Status != http.StatusForbidden {
			t.Errorf("an inactive caller: %d %s", a.Status, a.Body)
		}
	})
}

// eachPair runs f against two servers of one database, on each engine.
func eachPair(t *testing.T, f func(t *testing.T, servers []*servertest.Server)) {
	t.Helper()
	storetest.EachURL(t, func(t *testing.T, url string) {
		f(t, []*servertest.Server{servertest.StartWith(t, server.Config{Database: url}), servertest.StartWith(t, server.Config{Database: url})})
	})
}

// TestRepeatedWhileUnderWay sends the same request many times at once, to two servers: all get one answer, and one change is made.
func TestRepeatedWhileUnderWay(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, servers []*servertest.Server) {
		s := servers[0]
		for _, d := range servertest.Dialects() {
			for _, operation := range append(slices.Clone(d.Updates), d.Create) {
				if operation == "" {
					continue
				}
				u := newUpdate(t, s, d.API, operation)
				body := d.Everything(operation, s.Unique("body", 64))
				before := changes(t, s)
				answers := make([]servertest.Answer, 12)
				var all sync.WaitGroup
				for i := range answers {
					all.Go(func() {
						header := keyed("same")
						if operation != d.Create {
							header.Set("If-Match", `"1"`)
						}
						answers[i] = u.send(t, servers[i%2], body, header)
					})
				}
				all.Wait()
				executed := 0
				for _, a := range answers {
					if a.Header.Get("Idempotency-Replayed") == "" {
						executed++
					}
					if a.Status != answers[0].Status || a.Status/100 != 2 || a.Body != answers[0].Body || !reflect.DeepEqual(lasting(a.Header), lasting(answers[0].Header)) {
						t.Errorf("%s: the answers differ:\n%d %v\n%s\n%d %v\n%s", operation,
							a.Status, lasting(a.Header), a.Body, answers[0].Status, lasting(answers[0].Header), answers[0].Body)
					}
				}
				if got := changes(t, s); executed != 1 || got != before+1 {
					t.Errorf("%s: %d requests executed, %d changes", operation, executed, got-before)
				}
			}
		}
	})
}

// TestKeyedWritersOfOneUser write through two servers at once, each with a key of its own: none is lost.
func TestKeyedWritersOfOneUser(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, servers []*servertest.Server) {
		const writers = 24
		var all sync.WaitGroup
		for i := range writers {
			all.Go(func() {
				path, body := worthAda, fmt.Sprintf(`{"first_name":"Ada %d"}`, i)
				method := http.MethodPatch
				if i%3 == 0 {
					path, method, body = testiniumAda, http.MethodPut, strings.Replace(putOfAda, "Ada", fmt.Sprintf("Ada %d", i), 1)
				}
				a := servers[i%2].Ask(servertest.Manager(), servertest.Request{Method: method, Path: path, Body: body, Header: keyed(fmt.Sprint("key", i))})
				if a.Status != http.StatusOK {
					t.Errorf("%d %s", a.Status, a.Body)
				}
			})
		}
		all.Wait()
		if u := servers[0].FindUser(t, servertest.Ada); u.Version != 1+writers {
			t.Errorf("version %d after %d writes", u.Version, writers)
		}
	})
}

// TestKeyedUpdateOfAnAdministrator: whether one remains is decided under locks, with a key as without.
func TestKeyedUpdateOfAnAdministrator(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		ask := func(path, key string) servertest.Answer {
			return s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodPatch, Path: path, Body: `{"status":"INACTIVE"}`, Header: keyed(key)})
		}
		another := s.CreateUser(t, store.User{
			FirstName: "A", LastName: "B", Username: "another", Email: "another@example.com", Roles: store.Roles(2, 3), Status: store.StatusActive,
			AccountNonExpired: true, AccountNonLocked: true, CredentialNonExpired: true,
		})
		first := ask(worthUser(another.UUID.String()), "one")
		expectExecuted(t, first)
		expectReplay(t, first, ask(worthUser(another.UUID.String()), "one"))
		if a := ask(worthUser(servertest.GraceUUID.String()), "two"); a.Status != http.StatusBadRequest {
			t.Errorf("the last administrator: %d %s", a.Status, a.Body)
		}
	})
}

// TestKeyedCreationFallsBack: a handler that tries another username when one is taken does so with a key, too.
func TestKeyedCreationFallsBack(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		if _, _, err := s.Store.UpdateUser(context.Background(), store.UserByID(servertest.Sandbox, servertest.Ada), store.Change{Edit: func(u *store.User) error {
			u.Username = "free@example.com"
			return nil
		}}); err != nil {
			t.Fatal(err)
		}
		r := servertest.Request{Method: http.MethodPost, Path: usersOfWorth, Header: keyed("create"),
			Body: `{"first_name":"A","last_name":"B","email":"free@example.com","mobile":"1","subrole":{"id":"e0d4970f-0f4d-4a0d-aaa6-681a048cb656","code":"cro","label":"CRO"}}`}
		first := s.Ask(servertest.Manager(), r)
		expectExecuted(t, first)
		expectReplay(t, first, s.Ask(servertest.Manager(), r))
	})
}

// TestRetentionOfIdempotencyKeys: after it a key is new, whether or not its record is still there.
func TestRetentionOfIdempotencyKeys(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		var mu sync.Mutex
		now := time.Now()
		s := servertest.StartWith(t, server.Config{Database: url, IdempotencyRetention: new(time.Hour), Now: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return now
		}})
		who := servertest.Manager()
		who.Expires = 3 * time.Hour
		ask := func(body string) servertest.Answer {
			return s.Ask(who, servertest.Request{Method: http.MethodPatch, Path: worthAda, Body: body, Header: keyed("old")})
		}
		first := ask(`{"first_name":"One"}`)
		expectExecuted(t, first)
		pass := func(d time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			now = now.Add(d)
		}
		pass(59 * time.Minute)
		expectReplay(t, first, ask(`{"first_name":"One"}`))
		pass(2 * time.Minute)
		second := ask(`{"first_name":"Two"}`)
		expectExecuted(t, second)
		expectReplay(t, second, ask(`{"first_name":"Two"}`))
	})
}

// TestDryRunHasNoIdempotencyKey: a dry run neither uses nor makes a record.
func TestDryRunHasNoIdempotencyKey(t *testing.T) {
	t.Parallel()
	eachRepeatable(t, func(t *testing.T, s *servertest.Server, r repeatable) {
		dry := r
		dry.request.Path = "/dry-run" + r.request.Path
		for range 2 {
			expectExecuted(t, dry.send(t, s, r.body, keyed("dry")))
		}
		first := r.send(t, s, r.body, keyed("dry"))
		expectExecuted(t, first)
		if a := dry.send(t, s, r.body, keyed("dry")); a.Header.Get("Idempotency-Replayed") != "" {
			t.Errorf("a dry run repeats an answer: %d %s", a.Status, a.Body)
		}
		expectReplay(t, first, r.send(t, s, r.body, keyed("dry")))
	})
}

// TestMergedWriteIsRepeated: what was applied is a part of the recorded answer.
func TestMergedWriteIsRepeated(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		patch := func(body string, header http.Header) servertest.Answer {
			return s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodPatch, Path: worthAda, Body: body, Header: header})
		}
		expectExecuted(t, patch(`{"last_name":"King"}`, nil))
		header := keyed("merged", "If-Match", `"1"`, "Prefer", "handling=strict, merge=untouched")
		first := patch(`{"first_name":"Augusta"}`, header)
		expectExecuted(t, first)
		first.ExpectHeader(t, "Preference-Applied", "handling=strict, merge=untouched")
		expectReplay(t, first, patch(`{"first_name":"Augusta"}`, header))
		if u := s.FindUser(t, servertest.Ada); u.FirstName != "Augusta" || u.LastName != "King" || u.Version != 3 {
			t.Errorf("%+v", u)
		}
	})
}

// TestFailedCommitIsNotLoggedAsAChange: a write that is not committed with the record of its answer has changed and merged nothing.
func TestFailedCommitIsNotLoggedAsAChange(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		var j journal
		s := servertest.StartWith(t, server.Config{Database: url, Log: j.log(slog.LevelInfo)})
		base := s.FindUser(t, servertest.Ada).Version
		rewrite(t, s, servertest.Ada, func(u *store.User) { u.LastName = "King" })
		refuse := []string{"CREATE TRIGGER refuse BEFORE INSERT ON idempotency_records BEGIN SELECT RAISE(ABORT, 'refused'); END"}
		if store.EngineOf(url) == "postgres" {
			refuse = []string{
				"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION $$refused$$; END'",
				"CREATE TRIGGER refuse BEFORE INSERT ON idempotency_records FOR EACH ROW EXECUTE FUNCTION refuse()",
			}
		}
		conn := beside(t, url)
		for _, statement := range refuse {
			if _, err := conn.ExecContext(context.Background(), statement); err != nil {
				t.Fatal(err)
			}
		}
		a := s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodPatch, Path: worthAda, Body: `{"first_name":"Augusta"}`,
			Header: keyed("refused", "If-Match", fmt.Sprintf(`"%d"`, base), "Prefer", "merge=untouched", "X-Request-Id", "refused")})
		if a.Status != http.StatusInternalServerError || len(a.Header["Preference-Applied"])+len(a.Header["Dragoman-Changed"]) > 0 {
			t.Errorf("%d %v %s", a.Status, a.Header, a.Body)
		}
		if line := j.request(t, "refused"); line["changed"] != nil || line["merged"] != nil {
			t.Errorf("logged is %v", line)
		}
		if u := s.FindUser(t, servertest.Ada); u.Version != base+1 {
			t.Errorf("%+v", u)
		}
	})
}
