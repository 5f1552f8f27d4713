package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jellydator/ttlcache/v3"
	"golang.org/x/sync/singleflight"

	"github.com/dragoman-id/dragoman/store/engine"
)

const (
	// standingFor is how long after the beginning of its reading a standing counts. Authorization promises to see a change
	// within five seconds.
	standingFor = 4 * time.Second
	// maxStandings is how many standings are remembered, at some two hundred bytes each.
	maxStandings = 1 << 14
)

// Standing is what authorization asks about a user who calls. The zero value is that of a UUID that no user has.
type Standing struct {
	// Suspended is whether the user is not ACTIVE or one of the three flags is false.
	Suspended bool
	// Customer is the customer that the user belongs to, with its ID and UUID alone; the zero value if there is no such user.
	Customer Customer
}

// standing is a Standing in the cache.
type standing struct {
	Standing           // without the customer's UUID if it was written and not yet read
	version  int64     // 0: there is no such user
	read     time.Time // when the reading began
}

// isWhole reports whether the standing has all that authorization asks.
func (s standing) isWhole() bool { return s.version == 0 || s.Customer.UUID != uuid.Nil }

// standings remembers the standings of users who call lately, by their UUIDs.
type standings struct {
	known    *ttlcache.Cache[uuid.UUID, standing]
	replace  sync.Mutex
	readings singleflight.Group
}

func newStandings() *standings {
	return &standings{known: ttlcache.New(ttlcache.WithCapacity[uuid.UUID, standing](maxStandings))}
}

// counts reports whether the standing is fresh enough to decide. It is not if it was read in the future, as after the clock was set back.
func (s standing) counts(now time.Time) bool {
	age := now.Sub(s.read)
	return age >= 0 && age < standingFor
}

// find returns the standing of a user, if a fresh one is known.
func (s *standings) find(id uuid.UUID, now time.Time) (standing, bool) {
	item := s.known.Get(id)
	if item == nil || !item.Value().counts(now) {
		return standing{}, false
	}
	return item.Value(), true
}

// add remembers a standing and returns the one that holds: a later version, written while this one was being read, stays. Of the two, it
// has the customer's UUID that either has, since a user keeps the customer.
func (s *standings) add(id uuid.UUID, found standing, now time.Time) standing {
	s.replace.Lock()
	defer s.replace.Unlock()
	var other standing
	if item := s.known.Get(id); item != nil {
		other = item.Value()
	}
	if other.counts(now) && other.version > found.version {
		found, other = other, found
	}
	if found.Customer.ID == other.Customer.ID && !found.isWhole() {
		found.Customer = other.Customer
	}
	s.known.Set(id, found, ttlcache.NoTTL)
	return found
}

// inOrder reports whether nothing is wrong with the user's account: it is ACTIVE, not expired, not locked, and neither are its
// credentials.
func (u *User) inOrder() bool {
	return u.Status == StatusActive && u.AccountNonExpired && u.AccountNonLocked && u.CredentialNonExpired
}

// standingFields are the fields that decide whether a user is suspended.
var standingFields = []Field{FieldStatus, FieldAccountNonExpired, FieldAccountNonLocked, FieldCredentialNonExpired}

// Standing returns what authorization asks about the user with this UUID, of whichever customer. It is at most four seconds old, and
// never older than a write of this store that has returned.
func (s *Store) Standing(ctx context.Context, id uuid.UUID) (Standing, error) {
	if known, ok := s.standings.find(id, s.clock()); ok && known.isWhole() {
		return known.Standing, nil
	}
	const doing = "finding whether the caller is active"
	// One reading for all who ask at the same time, so that it must not end with the first of them.
	read := s.standings.readings.DoChan(id.String(), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), standingFor)
		defer cancel()
		return s.readStanding(ctx, doing, id)
	})
	select {
	case r := <-read:
		if r.Err != nil {
			return Standing{}, r.Err
		}
		// A write may have come in between.
		return s.standings.add(id, r.Val.(standing), s.clock()).Standing, nil
	case <-ctx.Done():
		return Standing{}, databaseError(ctx, doing, ctx.Err())
	}
}

func (s *Store) readStanding(ctx context.Context, doing string, id uuid.UUID) (standing, error) {
	found := standing{read: s.clock()}
	var u User
	var customer Customer
	into := []any{&u.Version, (*string)(&u.Status), &u.AccountNonExpired, &u.AccountNonLocked, &u.CredentialNonExpired, &customer.UUID}
	err := s.db.FindRow(ctx, []any{&customer.ID, &u.ID}, engine.SQL{Text: findClaimByUUID, Arguments: []any{id.String()}})
	if err == nil {
		err = s.db.FindRow(ctx, into, engine.SQL{Text: findStandingStatement, Arguments: []any{customer.ID, u.ID}})
	}
	if errors.Is(err, sql.ErrNoRows) {
		return found, nil
	}
	if err != nil {
		return standing{}, databaseError(ctx, doing, err)
	}
	found.version, found.Suspended, found.Customer = u.Version, !u.inOrder(), customer
	return found, nil
}

// wroteStanding remembers the standing of a user whom this store has just written, if the write changed it. A nil changed stands
// for all fields.
func (s *Store) wroteStanding(u *User, changed []Field) {
	decides := func(f Field) bool { return slices.Contains(standingFields, f) }
	if changed == nil || slices.ContainsFunc(changed, decides) {
		now := s.clock()
		s.standings.add(u.UUID, standing{Standing{!u.inOrder(), Customer{ID: u.CustomerID}}, u.Version, now}, now)
	}
}
