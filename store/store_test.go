package store_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// The sandbox's users.
var (
	ada   = store.UserByID(3393, 6860)
	grace = store.UserByID(3393, 6861)
	alan  = store.UserByID(3394, 7001)
)

func find(t testing.TB, s *store.Store, key store.UserKey) store.User {
	t.Helper()
	u, err := s.FindUser(context.Background(), key)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// edit changes a user, which must succeed.
func edit(t testing.TB, s *store.Store, key store.UserKey, f func(u *store.User)) (store.User, []store.Field) {
	t.Helper()
	after, changed, err := s.UpdateUser(context.Background(), key, store.Change{Edit: pure(f)})
	if err != nil {
		t.Fatal(err)
	}
	return after, changed
}

func pure(f func(u *store.User)) func(u *store.User) error {
	return func(u *store.User) error { f(u); return nil }
}

// newUser is a valid user of customer 3393 whose e-mail and username are made of name.
func newUser(name string) store.User {
	return store.User{
		CustomerID: 3393, FirstName: name, Username: name, Email: name + "@example.com", Status: store.StatusActive,
	}
}

func create(t testing.TB, s *store.Store, u store.User) store.User {
	t.Helper()
	if err := s.CreateUser(context.Background(), &u); err != nil {
		t.Fatal(err)
	}
	return u
}

func key(u store.User) store.UserKey { return store.UserByID(u.CustomerID, u.ID) }

func TestSandbox(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		storetest.Directory(t, s) // does nothing
		c, err := s.FindCustomer(ctx, store.CustomerByUUID(uuid.MustParse("2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1")))
		if err != nil || c.ID != 3393 || c.Name != "Sandbox" {
			t.Errorf("%+v, %v", c, err)
		}
		if c, err := s.FindCustomer(ctx, store.CustomerByID(3394)); err != nil || c.Name != "Elsewhere" {
			t.Errorf("%+v, %v", c, err)
		}
		byUUID := find(t, s, store.UserByUUID(3393, uuid.MustParse("94520740-d63c-4e02-85ca-c4e138801e73")))
		if u := find(t, s, ada); !reflect.DeepEqual(u, byUUID) || u.Username != "adalovelace" || u.Roles != store.Roles(3) {
			t.Errorf("%+v", u)
		}
		if u := find(t, s, grace); u.Email != "grace.hopper@example.com" || u.Roles != store.Roles(2, 3) {
			t.Errorf("%+v", u)
		}
		if u := find(t, s, alan); u.Version != 1 || u.Status != store.StatusActive || len(u.AccessToken) != 32 {
			t.Errorf("%+v", u)
		}
		for _, id := range []int64{5251, 5267} {
			if _, err := s.FindCompany(ctx, 3393, id); err != nil {
				t.Error(err)
			}
		}
		if err := s.Ping(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestFindTenantIsolation(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		users := map[string]store.UserKey{
			"another's id":   store.UserByID(3394, 6860),
			"another's uuid": store.UserByUUID(3394, uuid.MustParse("94520740-d63c-4e02-85ca-c4e138801e73")),
			"no such id":     store.UserByID(3393, 1),
			"no such uuid":   store.UserByUUID(3393, uuid.Nil),
			"zero key":       {},
		}
		for name, key := range users {
			if u, err := s.FindUser(ctx, key); !errors.Is(err, store.ErrNotFound) || u.ID != 0 {
				t.Errorf("%s: found %d, %v", name, u.ID, err)
			}
			_, _, err := s.UpdateUser(ctx, key, store.Change{Edit: func(*store.User) error { t.Error("edited"); return nil }})
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for name, key := range map[string]store.CustomerKey{
			"no such id": store.CustomerByID(1), "no such uuid": store.CustomerByUUID(uuid.Nil), "zero key": {},
		} {
			if _, err := s.FindCustomer(ctx, key); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("customer, %s: %v", name, err)
			}
		}
		for name, ids := range map[string][2]int64{"another's": {3393, 2760}, "none": {3393, 1}, "no customer": {1, 5251}} {
			if _, err := s.FindCompany(ctx, ids[0], ids[1]); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("company, %s: %v", name, err)
			}
		}
	})
}

func TestUserRoundTrip(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		var last atomic.Uint32
		rapid.Check(t, func(t *rapid.T) {
			u := storetest.UserGen().Draw(t, "user")
			u.ID, u.CustomerID = 0, 3393
			// Collisions are for other tests.
			storetest.Distinct(&u, last.Add(1))
			if err := s.CreateUser(context.Background(), &u); err != nil {
				t.Fatal(err)
			}
			if u.Version != 1 {
				t.Fatalf("version %d", u.Version)
			}
			got, err := s.FindUser(context.Background(), key(u))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, u) {
				t.Fatalf("stored\n%+v, got\n%+v", u, got)
			}
		})
	})
}

func TestTimesHaveMillisecondsOnBothEngines(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		ctx := context.Background()
		now := time.Date(2024, 2, 29, 23, 59, 59, 999_999_999, time.FixedZone("", 5*3600))
		s, err := store.Open(ctx, store.Config{URL: url, SecretKey: storetest.Key, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		storetest.Directory(t, s)
		want := time.Date(2024, 2, 29, 18, 59, 59, 999_000_000, time.UTC)
		reset := now.Add(time.Hour)
		after, _ := edit(t, s, ada, func(u *store.User) { u.LastPasswordResetAt = &reset })
		for _, u := range []store.User{after, find(t, s, ada)} {
			if u.CreatedAt != want || u.UpdatedAt != want || *u.LastPasswordResetAt != want.Add(time.Hour) {
				t.Errorf("%v %v %v", u.CreatedAt, u.UpdatedAt, u.LastPasswordResetAt)
			}
		}
		c, err := s.FindCustomer(ctx, store.CustomerByID(3393))
		if err != nil || c.CreatedAt != want || c.UpdatedAt != want {
			t.Errorf("%v %v %v", c.CreatedAt, c.UpdatedAt, err)
		}
		_, write := s.Pools()
		var stored int64
		if err := write.QueryRow("SELECT created_at FROM users WHERE id = 6860").Scan(&stored); err != nil || stored != want.UnixMilli() {
			t.Errorf("stored %d, %v", stored, err)
		}
		if _, changed := edit(t, s, ada, func(u *store.User) { at := want.Add(time.Hour + time.Microsecond); u.LastPasswordResetAt = &at }); len(changed) > 0 {
			t.Errorf("a microsecond changed %v", changed)
		}
	})
}

func TestCreateGeneratesMissingIDs(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		a, b := create(t, s, newUser("a")), create(t, s, newUser("b"))
		if a.ID <= 7001 || b.ID <= a.ID || b.ID >= 1<<53 {
			t.Errorf("ids %d, %d after 7001", a.ID, b.ID)
		}
		if a.UUID == uuid.Nil || a.UUID == b.UUID || a.AccessToken == b.AccessToken {
			t.Errorf("uuids %v, %v", a.UUID, b.UUID)
		}
		far := newUser("far")
		far.ID = 1 << 40
		create(t, s, far)
		below := newUser("below")
		below.ID = 9999
		create(t, s, below)
		if u := create(t, s, newUser("next")); u.ID != 1<<40+1 {
			t.Errorf("id %d after 1<<40", u.ID)
		}
		last := newUser("last")
		last.ID = 1 << 52
		create(t, s, last)
		if u := create(t, s, newUser("after")); u.ID != 1<<52+1 {
			t.Errorf("id %d after the highest that can be given", u.ID)
		}
		beyond := newUser("beyond")
		beyond.ID = 1<<52 + 2
		if err := s.CreateUser(context.Background(), &beyond); err == nil {
			t.Error("an id was given that leaves no room for generated ones")
		}
	})
}

func TestGivenAndGeneratedIDsAreDisjoint(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		var g group
		for i := range 4 {
			g.Go(func() {
				for j := range 10 {
					u := newUser(uuid.NewString())
					if i%2 == 0 {
						u.ID = int64(8000 + 7*j + i)
					}
					err := s.CreateUser(context.Background(), &u)
					// A generated id may have reached the explicit one first; never the other way round.
					if err != nil && !(u.ID != 0 && errors.Is(err, store.ErrConflict)) {
						t.Error(err)
					}
				}
			})
		}
		g.Wait()
	})
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		all := newUser("x")
		all.ID, all.UUID = 6860, uuid.MustParse("94520740-d63c-4e02-85ca-c4e138801e73")
		all.Username, all.Email = "AdaLovelace", "ADA.LOVELACE@EXAMPLE.COM"
		before := all
		err := s.CreateUser(ctx, &all)
		var conflict *store.ConflictError
		if !errors.As(err, &conflict) || !slices.Equal(conflict.Fields,
			[]store.Field{store.FieldID, store.FieldUUID, store.FieldUsername, store.FieldEmail}) {
			t.Errorf("got %v", err)
		}
		if !reflect.DeepEqual(all, before) {
			t.Errorf("left %+v", all)
		}

		homeless := newUser("x")
		homeless.CustomerID = 1
		if err := s.CreateUser(ctx, &homeless); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("no customer: %v", err)
		}
		if err := s.CreateCompany(ctx, &store.Company{CustomerID: 1}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("no customer: %v", err)
		}
		if err := s.CreateCustomer(ctx, &store.Customer{ID: 3393, Name: "x"}); !errors.Is(err, store.ErrConflict) {
			t.Errorf("customer's id: %v", err)
		}
		if err := s.CreateCompany(ctx, &store.Company{ID: 5251, CustomerID: 3394}); !errors.Is(err, store.ErrConflict) {
			t.Errorf("company's id: %v", err)
		}
		var fields *store.FieldErrors
		for _, id := range []int64{-1, 1 << 53} {
			u := newUser("x")
			u.ID = id
			if err := s.CreateUser(ctx, &u); !errors.As(err, &fields) || (*fields)[0].Field != store.FieldID {
				t.Errorf("id %d: %v", id, err)
			}
		}
		if err := s.CreateCustomer(ctx, &store.Customer{Name: "a\x00b"}); !errors.As(err, &fields) {
			t.Errorf("U+0000: %v", err)
		}
	})
}
