package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
	"github.com/jackc/pgx/v5/pgconn"
)

// noted is what an observer was told.
type noted struct {
	mu         sync.Mutex
	statements []store.Statement
	retries    []store.Retry
}

func (n *noted) observer() store.Observer {
	return store.Observer{
		Statement: func(_ context.Context, s store.Statement) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.statements = append(n.statements, s)
		},
		Retry: func(_ context.Context, why store.Retry) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.retries = append(n.retries, why)
		},
	}
}

// during gives what is noted while f runs: the statements' kinds and how they ended, and the retries.
func (n *noted) during(f func()) (statements []string, retries []store.Retry) {
	n.mu.Lock() // a transaction whose context has ended may still be rolled back
	n.statements, n.retries = nil, nil
	n.mu.Unlock()
	f()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.statements {
		statements = append(statements, fmt.Sprintf("%s %s", s.Kind, s.Outcome()))
	}
	return statements, n.retries
}

func eachNoted(t *testing.T, f func(t *testing.T, s *store.Store, n *noted)) {
	t.Helper()
	storetest.EachURL(t, func(t *testing.T, url string) {
		n := &noted{}
		s, err := store.Open(context.Background(), store.Config{URL: url, SecretKey: storetest.Key, Observer: n.observer()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		storetest.Directory(t, s)
		f(t, s, n)
	})
}

func TestObserverStatements(t *testing.T) {
	t.Parallel()
	const canary = "CanaryFirstName"
	eachNoted(t, func(t *testing.T, s *store.Store, n *noted) {
		write := []string{"begin ok", "update ok", "insert ok", "insert ok", "commit ok"}
		change := func(key store.UserKey) func() error {
			return func() error {
				_, _, err := s.UpdateUser(context.Background(), key, store.Change{Edit: pure(func(u *store.User) { u.FirstName += canary })})
				return err
			}
		}
		for _, c := range []struct {
			name string
			do   func() error
			want []string
		}{
			{"a read", func() error { _, err := s.FindUser(context.Background(), ada); return err }, []string{"select ok"}},
			{"a write to a user who was just read", change(ada), write},
			{"a write to one who was just written", change(ada), write},
			{"a write to another", change(grace), append([]string{"select ok"}, write...)},
		} {
			began := time.Now()
			got, retries := n.during(func() {
				if err := c.do(); err != nil {
					t.Error(err)
				}
			})
			if !slices.Equal(got, c.want) || len(retries) > 0 {
				t.Errorf("%s: %q, want %q; retries %q", c.name, got, c.want, retries)
			}
			for _, s := range n.statements {
				if s.Text == "" || strings.Contains(s.Text, canary) || strings.Contains(s.Text, "3393") {
					t.Errorf("%s: the statement is told as %q", c.name, s.Text)
				}
				if s.Began.Before(began) || s.Took <= 0 || s.Began.Add(s.Took).After(time.Now()) {
					t.Errorf("%s: %s began at %s and took %s", c.name, s.Text, s.Began, s.Took)
				}
			}
		}
	})
}

// stalled is how long the tests have a statement run before they end it.
const stalled = 50 * time.Millisecond

func TestObserverStatementOutcomes(t *testing.T) {
	t.Parallel()
	eachNoted(t, func(t *testing.T, s *store.Store, n *noted) {
		slow := map[string]string{
			"sqlite":   "SELECT count(*) FROM (WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n)",
			"postgres": "SELECT pg_sleep(600)",
		}[s.EngineName()]
		ask := func(ctx context.Context) { _ = s.Gorm().WithContext(ctx).Exec(slow).Error }
		for want, do := range map[string]func(){
			"select ok": func() { _, _ = s.FindUser(context.Background(), store.UserByID(3393, 1)) }, // there is none
			"select canceled": func() {
				ctx, cancel := context.WithCancel(context.Background())
				time.AfterFunc(stalled, cancel)
				ask(ctx)
			},
			"select timed_out": func() {
				ctx, cancel := context.WithTimeout(context.Background(), stalled)
				defer cancel()
				ask(ctx)
			},
			"select failed": func() { _ = s.Gorm().Exec("SELECT nothing FROM nowhere").Error },
			"insert duplicate": func() {
				u := newUser("gracehopper")
				_ = s.CreateUser(context.Background(), &u)
			},
		} {
			if got, _ := n.during(do); !slices.Contains(got, want) {
				t.Errorf("%q, want %s", got, want)
			}
		}
	})
}

func TestObserverRetries(t *testing.T) {
	t.Parallel()
	undone := &pgconn.PgError{Code: "40001"}
	eachNoted(t, func(t *testing.T, s *store.Store, n *noted) {
		overtake := true
		for _, c := range []struct {
			name string
			key  store.UserKey
			edit func(u *store.User) error
			err  error
			want []store.Retry
		}{
			{"conflict", ada, func(u *store.User) error {
				if overtake {
					overtake = false
					edit(t, s, ada, func(u *store.User) { u.LastName = "King" })
				}
				u.FirstName = "Augusta"
				return nil
			}, nil, []store.Retry{store.RetryConflict}},
			{"the last administrator", grace, func(u *store.User) error { u.Status = store.StatusInactive; return nil },
				nil, []store.Retry{store.RetryNeedsLock}},
			{"undone for ever", ada, func(*store.User) error { return undone }, store.ErrBusy,
				[]store.Retry{store.RetryRolledBack, store.RetryRolledBack, store.RetryRolledBack, store.RetryRolledBack, store.RetryGivenUp}},
			{"refused", ada, func(*store.User) error { return errors.New("no") }, nil, nil},
		} {
			_, retries := n.during(func() {
				_, _, err := s.UpdateUser(context.Background(), c.key, store.Change{Edit: c.edit})
				if c.err != nil && !errors.Is(err, c.err) {
					t.Errorf("%s: %v", c.name, err)
				}
			})
			if !slices.Equal(retries, c.want) {
				t.Errorf("%s: %q, want %q", c.name, retries, c.want)
			}
		}
	})
}

func TestObserverStaleUsers(t *testing.T) {
	t.Parallel()
	eachNoted(t, func(t *testing.T, s *store.Store, n *noted) {
		find(t, s, ada)
		// Another server's write.
		_, db := s.Pools()
		if _, err := db.Exec("UPDATE users SET version = version + 1 WHERE id = 6860"); err != nil {
			t.Fatal(err)
		}
		_, retries := n.during(func() { edit(t, s, ada, func(u *store.User) { u.FirstName = "Augusta" }) })
		if !slices.Equal(retries, []store.Retry{store.RetryStale}) {
			t.Errorf("%q", retries)
		}
	})
}

// TestResignationOfACachedAdministrator is retried for the lock, not because the cached user was stale.
func TestResignationOfACachedAdministrator(t *testing.T) {
	t.Parallel()
	eachNoted(t, func(t *testing.T, s *store.Store, n *noted) {
		second := newUser("second")
		second.Roles, second.AccountNonExpired, second.AccountNonLocked, second.CredentialNonExpired = store.Roles(2), true, true, true
		create(t, s, second)
		find(t, s, grace)
		_, retries := n.during(func() { edit(t, s, grace, func(u *store.User) { u.Status = store.StatusInactive }) })
		if !slices.Equal(retries, []store.Retry{store.RetryNeedsLock}) {
			t.Errorf("%q", retries)
		}
	})
}

func TestPoolsAreTold(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		want := map[string][]string{"sqlite": {"read", "write", "find"}, "postgres": {"read_write", "find"}}[s.EngineName()]
		var uses []string
		for _, p := range s.PoolStates() {
			uses = append(uses, p.Use)
			if p.Max < 1 || p.InUse != 0 || p.Idle > p.Max {
				t.Errorf("%+v", p)
			}
		}
		if !slices.Equal(uses, want) {
			t.Errorf("pools %q, want %q", uses, want)
		}
	})
}
