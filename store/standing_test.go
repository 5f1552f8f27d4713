package store_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// clock is a clock that a test moves.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// openAt opens a store by a clock of its own.
func openAt(t *testing.T, url string, c *clock, o store.Observer) *store.Store {
	t.Helper()
	return storetest.OpenWith(t, store.Config{URL: url, Now: c.now, Observer: o})
}

func wantSuspended(t *testing.T, s *store.Store, id uuid.UUID, want bool, when string) {
	t.Helper()
	if got, err := s.Standing(t.Context(), id); err != nil || got.Suspended != want {
		t.Errorf("%s: %+v, %v, want suspended %v", when, got, err, want)
	}
}

// The customer is told whether the standing was read, written, or read after it was written, and nothing is read twice.
func TestStandingTellsTheCustomer(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		var statements atomic.Int64
		c := newClock()
		s := openAt(t, url, c, store.Observer{Statement: func(context.Context, store.Statement) { statements.Add(1) }})
		storetest.Directory(t, s)
		want := func(when string, id uuid.UUID, customer int64) {
			t.Helper()
			var uuids store.Customer
			if customer != 0 {
				found, err := s.FindCustomer(t.Context(), store.CustomerByID(customer))
				if err != nil {
					t.Fatal(err)
				}
				uuids = store.Customer{ID: found.ID, UUID: found.UUID}
			}
			for range 2 {
				if got, err := s.Standing(t.Context(), id); err != nil || got.Customer != uuids {
					t.Errorf("%s: %+v, %v, want %+v", when, got, err, uuids)
				}
			}
		}
		suspend := func(u *store.User) { u.AccountNonLocked = !u.AccountNonLocked }
		id := find(t, s, ada).UUID
		want("nobody", uuid.New(), 0)
		edit(t, s, ada, suspend)
		want("written before it was read", id, 3393)
		edit(t, s, ada, suspend)
		before := statements.Load()
		if got, err := s.Standing(t.Context(), id); err != nil || got.Customer.UUID == uuid.Nil || got.Suspended || statements.Load() != before {
			t.Errorf("written after it was read: %+v, %v, %d statements", got, err, statements.Load()-before)
		}
		c.advance(5 * time.Second)
		edit(t, s, ada, suspend)
		want("written after it was forgotten", id, 3393)
		want("read", find(t, s, grace).UUID, 3393)
		newcomer := store.User{UUID: uuid.New(), CustomerID: 3394, Username: "mary", Email: "mary@example.com", Status: store.StatusActive,
			AccountNonExpired: true, AccountNonLocked: true, CredentialNonExpired: true}
		want("not yet created", newcomer.UUID, 0)
		if err := s.CreateUser(t.Context(), &newcomer); err != nil {
			t.Fatal(err)
		}
		want("created", newcomer.UUID, 3394)
	})
}

func TestStandingByWritesOfTheStore(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		c := newClock()
		s := openAt(t, url, c, store.Observer{})
		storetest.Directory(t, s)
		id := find(t, s, grace).UUID
		wantSuspended(t, s, id, false, "active")
		wantSuspended(t, s, uuid.New(), false, "nobody")
		for name, change := range map[string]func(*store.User){
			"inactive":            func(u *store.User) { u.Status = store.StatusInactive },
			"invited":             func(u *store.User) { u.Status = store.StatusInvited },
			"expired":             func(u *store.User) { u.AccountNonExpired = false },
			"locked":              func(u *store.User) { u.AccountNonLocked = false },
			"expired credentials": func(u *store.User) { u.CredentialNonExpired = false },
		} {
			before := find(t, s, ada)
			wantSuspended(t, s, before.UUID, false, "before "+name)
			edit(t, s, ada, change)
			wantSuspended(t, s, before.UUID, true, name)
			edit(t, s, ada, func(u *store.User) {
				u.Status, u.AccountNonExpired, u.AccountNonLocked, u.CredentialNonExpired = store.StatusActive, true, true, true
			})
			wantSuspended(t, s, before.UUID, false, "after "+name)
		}

		// Whoever is nobody becomes somebody at once.
		newcomer := store.User{UUID: uuid.New(), CustomerID: 3394, Username: "mary", Email: "mary@example.com", Status: store.StatusInvited,
			AccountNonExpired: true, AccountNonLocked: true, CredentialNonExpired: true}
		wantSuspended(t, s, newcomer.UUID, false, "not yet created")
		if err := s.CreateUser(t.Context(), &newcomer); err != nil {
			t.Fatal(err)
		}
		wantSuspended(t, s, newcomer.UUID, true, "created")
	})
}

// What an operator's statement or another server changed counts within five seconds, and is not asked for each time.
func TestStandingSeesOtherWritersInTime(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		c := newClock()
		s := openAt(t, url, c, store.Observer{})
		storetest.Directory(t, s)
		other := storetest.Open(t, url)
		id := find(t, s, ada).UUID

		wantSuspended(t, s, id, false, "active")
		storetest.Exec(t, url, "UPDATE users SET account_non_locked = (1 = 0) WHERE id = 6860")
		c.advance(5 * time.Second)
		wantSuspended(t, s, id, true, "locked by SQL")
		storetest.Exec(t, url, "UPDATE users SET account_non_locked = (1 = 1) WHERE id = 6860")
		c.advance(5 * time.Second)
		wantSuspended(t, s, id, false, "unlocked by SQL")

		edit(t, other, ada, func(u *store.User) { u.Status = store.StatusInactive })
		c.advance(5 * time.Second)
		wantSuspended(t, s, id, true, "deactivated by another store")
		// A clock that is set back makes nothing last longer.
		edit(t, other, ada, func(u *store.User) { u.Status = store.StatusActive })
		c.advance(-time.Hour)
		wantSuspended(t, s, id, false, "after the clock was set back")
	})
}

func TestStandingIsRemembered(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		var statements atomic.Int64
		c := newClock()
		s := openAt(t, url, c, store.Observer{Statement: func(context.Context, store.Statement) { statements.Add(1) }})
		storetest.Directory(t, s)
		id := find(t, s, ada).UUID
		wantSuspended(t, s, id, false, "first")
		before := statements.Load()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { wantSuspended(t, s, id, false, "again") })
		}
		all.Wait()
		c.advance(3 * time.Second)
		wantSuspended(t, s, id, false, "three seconds later")
		if n := statements.Load() - before; n != 0 {
			t.Errorf("%d statements", n)
		}
	})
}

// An operator's statement that keeps the version is seen by an edit all the same, although the store remembers the user.
func TestEditSeesRolesSetBySQL(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s := storetest.Open(t, url)
		storetest.Directory(t, s)
		forbidden := errors.New("forbidden")
		for _, set := range []string{"roles = 2", "status = 'INACTIVE'", "account_non_expired = (1 = 0)", "account_non_locked = (1 = 0)", "credential_non_expired = (1 = 0)"} {
			before := find(t, s, ada)
			storetest.Exec(t, url, "UPDATE users SET "+set+" WHERE id = 6860")
			_, _, err := s.UpdateUser(t.Context(), ada, store.Change{Edit: func(u *store.User) error {
				if u.Roles != before.Roles || u.Status != before.Status || u.AccountNonExpired != before.AccountNonExpired ||
					u.AccountNonLocked != before.AccountNonLocked || u.CredentialNonExpired != before.CredentialNonExpired {
					return forbidden
				}
				u.FirstName += "x"
				return nil
			}})
			if !errors.Is(err, forbidden) {
				t.Errorf("%s: %v, want the edit to see it", set, err)
			}
			storetest.Exec(t, url, "UPDATE users SET roles = 8, status = 'ACTIVE', account_non_expired = (1 = 1), account_non_locked = (1 = 1), credential_non_expired = (1 = 1) WHERE id = 6860")
		}
	})
}
