package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// requestHash is the hash of a request, of which a text stands for all.
func requestHash(text string) [sha256.Size]byte { return sha256.Sum256([]byte(text)) }

// recordOf is a record of a request of the sandbox's, under a key of that name.
func recordOf(name, request, answer string) store.Record {
	return store.Record{
		Key: store.RecordKey{CustomerID: 3393, Hash: sha256.Sum256([]byte(name))}, Request: requestHash(request), Answer: []byte(answer),
	}
}

// prepare prepares an edit of a user. The caller must close what it returns.
func prepare(t *testing.T, s *store.Store, k store.UserKey, attempt int, change func(u *store.User)) *store.Prepared {
	t.Helper()
	_, _, p, err := s.PrepareUpdate(context.Background(), k, store.Change{Edit: pure(change)}, attempt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func firstName(name string) func(u *store.User) { return func(u *store.User) { u.FirstName = name } }

func commit(t *testing.T, p *store.Prepared, r store.Record) {
	t.Helper()
	if err := p.Commit(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	p.Close()
}

// keyed does everything that there is to do under an idempotency key.
func keyed(t *testing.T, s *store.Store, u store.User) {
	t.Helper()
	ctx := context.Background()
	for attempt := range 2 {
		r := recordOf(fmt.Sprint("keyed", attempt), "request", "answer")
		commit(t, prepare(t, s, key(u), attempt, firstName(fmt.Sprint("Keyed ", attempt))), r)
		if _, err := s.FindRecord(ctx, r.Key); err != nil {
			t.Fatal(err)
		}
	}
	commit(t, prepare(t, s, key(u), 0, func(u *store.User) { u.Email = fmt.Sprintf("keyed%d@example.com", u.ID) }), recordOf("e-mail", "request", "answer"))
	commit(t, prepare(t, s, key(u), 0, func(*store.User) {}), recordOf("nothing", "request", "answer"))
	created := newUser(fmt.Sprint("keyed-creation", u.ID))
	p, err := s.PrepareCreate(ctx, &created)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, p, recordOf("creation", "request", "answer"))
}

func findRecord(t *testing.T, s *store.Store, k store.RecordKey) (r store.Record, found bool) {
	t.Helper()
	r, err := s.FindRecord(context.Background(), k)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return r, err == nil
}

// TestRecordIsWrittenWithTheWrite, locked or not; of a write that is given up there is neither.
func TestRecordIsWrittenWithTheWrite(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		for attempt := range 2 {
			before := find(t, s, ada)
			r := recordOf(fmt.Sprint("key", attempt), "a request", "an answer")
			p := prepare(t, s, ada, attempt, firstName(fmt.Sprint("Ada ", attempt)))
			if _, found := findRecord(t, s, r.Key); found {
				t.Error("there is a record before the write")
			}
			commit(t, p, r)
			got, found := findRecord(t, s, r.Key)
			if !found || string(got.Answer) != "an answer" || !got.Matches(requestHash("a request")) || got.Matches(requestHash("another")) {
				t.Errorf("found %v, %q", found, got.Answer)
			}
			if u := find(t, s, ada); u.FirstName != fmt.Sprint("Ada ", attempt) || u.Version != before.Version+1 {
				t.Errorf("%+v", u)
			}
			given := recordOf(fmt.Sprint("given up", attempt), "a request", "an answer")
			prepare(t, s, ada, attempt, firstName("Given Up")).Close()
			if _, found := findRecord(t, s, given.Key); found {
				t.Error("there is a record of a write that was given up")
			}
		}
		if got := history(t, s, ada); len(got) != 3 {
			t.Errorf("%d changes", len(got))
		}
	})
}

// TestPreparedWriteIsOvertaken: what was prepared counts only as long as it is right.
func TestPreparedWriteIsOvertaken(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		refused := func(what string, p *store.Prepared, r store.Record) {
			t.Helper()
			if err := p.Commit(ctx, r); !errors.Is(err, store.ErrPrepareAgain) {
				t.Errorf("%s: %v", what, err)
			}
			if _, found := findRecord(t, s, r.Key); found {
				t.Errorf("%s: there is a record", what)
			}
		}
		p := prepare(t, s, ada, 0, firstName("Second"))
		edit(t, s, ada, firstName("First"))
		refused("another writer was first", p, recordOf("one", "r", "a"))
		if u := find(t, s, ada); u.FirstName != "First" {
			t.Errorf("%+v", u)
		}
		// A value is taken meanwhile.
		p = prepare(t, s, ada, 0, func(u *store.User) { u.Email = "wanted@example.com" })
		edit(t, s, grace, func(u *store.User) { u.Email = "wanted@example.com" })
		refused("the e-mail is taken meanwhile", p, recordOf("two", "r", "a"))
		one, two := newUser("created"), newUser("created")
		first, err := s.PrepareCreate(ctx, &one)
		if err != nil {
			t.Fatal(err)
		}
		second, err := s.PrepareCreate(ctx, &two)
		if err != nil {
			t.Fatal(err)
		}
		commit(t, first, recordOf("three", "r", "a"))
		refused("the user is created meanwhile", second, recordOf("four", "r", "a"))
		// What is taken already is said at once.
		_, _, _, err = s.PrepareUpdate(ctx, ada, store.Change{Edit: pure(func(u *store.User) { u.Email, u.Username = "WANTED@example.com", "alanturing" })}, 0)
		if got := conflictOf(err); len(got) != 2 {
			t.Errorf("conflicts %v of %v", got, err)
		}
		if _, err := s.PrepareCreate(ctx, &two); len(conflictOf(err)) != 2 {
			t.Errorf("creating it again: %v", err)
		}
		// A key is another write's meanwhile: of the same user, of another one, of one that changes nothing.
		r := recordOf("five", "r", "a")
		p, q, idle := prepare(t, s, ada, 0, firstName("Third")), prepare(t, s, grace, 0, firstName("Amazing")), prepare(t, s, grace, 0, func(*store.User) {})
		commit(t, p, r)
		for what, late := range map[string]*store.Prepared{"another user": q, "nothing": idle} {
			if err := late.Commit(ctx, r); !errors.Is(err, store.ErrPrepareAgain) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if u := find(t, s, grace); u.FirstName == "Amazing" {
			t.Error("the write of a key that was used is written")
		}
		if err := s.PrepareNothing().Commit(ctx, r); !errors.Is(err, store.ErrPrepareAgain) {
			t.Errorf("no write: %v", err)
		}
		commit(t, s.PrepareNothing(), recordOf("six", "r", "a"))
	})
}

// TestLastAdministratorIsPreparedUnderLocks: the first attempt asks for another one.
func TestLastAdministratorIsPreparedUnderLocks(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		second := newUser("second")
		second.Roles, second.AccountNonExpired, second.AccountNonLocked, second.CredentialNonExpired = store.Roles(2, 3), true, true, true
		second.Status = store.StatusActive
		second = create(t, s, second)
		inactive := store.Change{Edit: pure(func(u *store.User) { u.Status = store.StatusInactive })}
		if _, _, _, err := s.PrepareUpdate(ctx, key(second), inactive, 0); !errors.Is(err, store.ErrPrepareAgain) {
			t.Errorf("without a lock: %v", err)
		}
		_, _, p, err := s.PrepareUpdate(ctx, key(second), inactive, 1)
		if err != nil {
			t.Fatal(err)
		}
		commit(t, p, recordOf("one", "r", "a"))
		if _, _, _, err := s.PrepareUpdate(ctx, grace, inactive, 1); !errors.As(err, new(*store.FieldErrors)) {
			t.Errorf("the last: %v", err)
		}
	})
}

// TestRecordsUnderOneKeyAtOnce: one of many writers of different users wins.
func TestRecordsUnderOneKeyAtOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	storetest.EachURL(t, func(t *testing.T, url string) {
		stores := []*store.Store{storetest.Open(t, url), storetest.Open(t, url)}
		storetest.Directory(t, stores[0])
		const writers = 16
		users := make([]store.User, writers)
		for i := range users {
			users[i] = create(t, stores[0], newUser(fmt.Sprint("writer", i)))
		}
		r := recordOf("shared", "r", "a")
		var all sync.WaitGroup
		var mu sync.Mutex
		written := 0
		for i, u := range users {
			all.Go(func() {
				s := stores[i%2]
				_, _, p, err := s.PrepareUpdate(ctx, key(u), store.Change{Edit: pure(firstName("Written"))}, i/2%2)
				if err != nil {
					t.Error(err)
					return
				}
				defer p.Close()
				err = p.Commit(ctx, r)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					written++
				case !errors.Is(err, store.ErrPrepareAgain):
					t.Error(err)
				}
			})
		}
		all.Wait()
		changed := 0
		for _, u := range users {
			if find(t, stores[0], key(u)).Version == 2 {
				changed++
			}
		}
		if written != 1 || changed != 1 {
			t.Errorf("%d wrote, %d users changed", written, changed)
		}
	})
}

// TestRecordsArePruned after their retention, in several transactions, and counted.
func TestRecordsArePruned(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		ctx := context.Background()
		now := time.Now()
		s, err := store.Open(ctx, store.Config{URL: url, SecretKey: storetest.Key, IdempotencyRetention: time.Hour, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, known := s.Records(); known {
			t.Error("the state is known before it was asked for")
		}
		const old = 600
		for i := range old {
			commit(t, s.PrepareNothing(), recordOf(fmt.Sprint("old", i), "r", "a"))
		}
		first := now
		now = now.Add(30 * time.Minute)
		r := recordOf("young", "r", "a")
		commit(t, s.PrepareNothing(), r)
		if n, err := s.PruneRecords(ctx); err != nil || n != 0 {
			t.Errorf("pruned %d, %v", n, err)
		}
		if state, _ := s.Records(); state.Records != old+1 || state.Oldest.UnixMilli() != first.UnixMilli() {
			t.Errorf("%+v", state)
		}
		now = now.Add(31 * time.Minute)
		// One that is not pruned yet is none: it makes way for its successor.
		expired := recordOf("old0", "another request", "b")
		if _, found := findRecord(t, s, expired.Key); found {
			t.Error("an expired record is found")
		}
		commit(t, s.PrepareNothing(), expired)
		if n, err := s.PruneRecords(ctx); err != nil || n != old-1 {
			t.Errorf("pruned %d, %v", n, err)
		}
		if state, known := s.Records(); !known || state.Records != 2 {
			t.Errorf("%+v", state)
		}
		if _, found := findRecord(t, s, r.Key); !found {
			t.Error("a record was pruned before its time")
		}
	})
}

// TestRecordsAreSealed: the database has neither the answer nor a hash of the request that could be guessed, and a record that is moved to
// another key does not open.
func TestRecordsAreSealed(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s := storetest.Open(t, url)
		r, other := recordOf("one", "r", "the secret answer"), recordOf("two", "r", "a")
		commit(t, s.PrepareNothing(), r)
		commit(t, s.PrepareNothing(), other)
		rows := strings.Join(tableRows(t, url)["idempotency_records"], "\n")
		hash := requestHash("r")
		for _, text := range []string{"secret answer", fmt.Sprintf("%x", hash), string(hash[:])} {
			if strings.Contains(rows, text) {
				t.Errorf("the database has %q", text)
			}
		}
		storetest.Exec(t, url, "UPDATE idempotency_records SET sealed = (SELECT max(sealed) FROM idempotency_records)")
		opened := 0
		for _, k := range []store.RecordKey{r.Key, other.Key} {
			if _, err := s.FindRecord(context.Background(), k); err == nil {
				opened++
			}
		}
		if opened != 1 {
			t.Errorf("%d records open with one sealed text", opened)
		}
	})
}

// TestRekeySealsRecordsAnew: they are found under the new key alone, and still recognize their request.
func TestRekeySealsRecordsAnew(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		ctx := context.Background()
		first := storetest.Open(t, url)
		for i := range 600 {
			commit(t, first.PrepareNothing(), recordOf(fmt.Sprint("key", i), "r", "a"))
		}
		newKey := bytes.Repeat([]byte{7}, 32)
		rotating, err := store.Open(ctx, store.Config{URL: url, SecretKey: newKey, OldSecretKeys: [][]byte{storetest.Key}})
		if err != nil {
			t.Fatal(err)
		}
		defer rotating.Close()
		open := func() error {
			s, err := store.Open(ctx, store.Config{URL: url, SecretKey: newKey})
			if err != nil {
				return err
			}
			defer s.Close()
			for i := range 600 {
				r, found := findRecord(t, s, recordOf(fmt.Sprint("key", i), "", "").Key)
				if !found || !r.Matches(requestHash("r")) || r.Matches(requestHash("x")) || string(r.Answer) != "a" {
					return fmt.Errorf("record %d: found %t", i, found)
				}
			}
			return nil
		}
		if err := open(); !errors.Is(err, store.ErrSecretKey) {
			t.Errorf("with records under the old key: %v", err)
		}
		if done, err := rotating.Rekey(ctx); err != nil || done != (store.Rekeyed{Records: 600}) {
			t.Errorf("%+v, %v", done, err)
		}
		if err := open(); err != nil {
			t.Error(err)
		}
	})
}
