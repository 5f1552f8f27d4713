package store_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// together is a directory on Postgres with a number of users beside those of the sandbox.
type together struct {
	*store.Store
	t     *testing.T
	url   string
	users []store.User
	all   sync.WaitGroup
}

func newTogether(t *testing.T, size int) *together {
	t.Helper()
	url := storetest.PostgresURL(t)
	c := &together{Store: storetest.Open(t, url), t: t, url: url}
	storetest.Directory(t, c.Store)
	c.BePatient()
	for n := range size {
		c.users = append(c.users, create(t, c.Store, newUser(fmt.Sprintf("crowd%d", n))))
	}
	return c
}

func (c *together) key(n int) store.UserKey { return store.UserByID(3393, c.users[n].ID) }

// rename changes the first names of users, so that the writes come together, and gives what became of each.
func (c *together) rename(name string) []error {
	c.t.Helper()
	for n := range c.users {
		find(c.t, c.Store, c.key(n)) // so that the writes alone are waited for
	}
	errs := make([]error, len(c.users))
	release := c.HoldWrite()
	for n := range c.users {
		c.all.Go(func() {
			_, _, errs[n] = c.UpdateUser(context.Background(), c.key(n), store.Change{Edit: pure(func(u *store.User) { u.FirstName = name })})
		})
	}
	await(c.GroupWaiting, len(c.users))
	release()
	return errs
}

// transactions tells how many transactions have written the users as they are.
func (c *together) transactions(like string) (transactions, users int) {
	c.t.Helper()
	_, db := c.Pools()
	err := db.QueryRow("SELECT count(DISTINCT xmin::text), count(*) FROM users WHERE first_name LIKE $1", like).Scan(&transactions, &users)
	if err != nil {
		c.t.Fatal(err)
	}
	return transactions, users
}

func (c *together) exec(statement string, arguments ...any) {
	c.t.Helper()
	_, db := c.Pools()
	if _, err := db.Exec(statement, arguments...); err != nil {
		c.t.Fatal(err)
	}
}

func TestWritesThatComeTogetherShareATransaction(t *testing.T) {
	t.Parallel()
	c := newTogether(t, 20)
	errs := c.rename("Together")
	c.all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	if transactions, users := c.transactions("Together"); transactions != 1 || users != 20 {
		t.Errorf("%d transactions wrote %d users", transactions, users)
	}
	for n := range c.users {
		changes, err := c.UserHistory(context.Background(), c.key(n), 1, 10)
		if err != nil || len(changes) != 1 || changes[0].Version != 2 || fmt.Sprint(changes[0].Fields) != fmt.Sprintf("[{FirstName crowd%d Together}]", n) {
			t.Errorf("history %+v, %v", changes, err)
		}
	}
}

// Two of a group that change the same user, and one whose user another server has changed, find out.
func TestAWriteOfAGroupCanBeOvertaken(t *testing.T) {
	t.Parallel()
	c := newTogether(t, 5)
	c.users[1] = c.users[0]
	other := storetest.Open(t, c.url)
	for n := range c.users {
		find(t, c.Store, c.key(n))
	}
	edit(t, other, c.key(2), func(u *store.User) { u.LastName = "King" })
	var all sync.WaitGroup
	release := c.HoldWrite()
	for n := range c.users {
		all.Go(func() {
			edit(t, c.Store, c.key(n), func(u *store.User) { u.FirstName += fmt.Sprint("+", n) })
		})
	}
	await(c.GroupWaiting, len(c.users))
	release()
	all.Wait()
	var names []string
	for n := range c.users {
		u := find(t, other, c.key(n))
		names = append(names, fmt.Sprint(u.FirstName, u.LastName, u.Version))
	}
	want := [][]string{
		{"crowd0+0+13", "crowd0+0+13", "crowd2+2King3", "crowd3+32", "crowd4+42"},
		{"crowd0+1+03", "crowd0+1+03", "crowd2+2King3", "crowd3+32", "crowd4+42"},
	}
	if !reflect.DeepEqual(names, want[0]) && !reflect.DeepEqual(names, want[1]) {
		t.Errorf("%q", names)
	}
}

// What Postgres refuses is refused to whoever asked for it.
func TestAGroupThatIsUndoneIsMadeOneByOne(t *testing.T) {
	t.Parallel()
	c := newTogether(t, 10)
	c.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$`)
	c.exec(fmt.Sprintf(`CREATE TRIGGER refuse BEFORE UPDATE ON users FOR EACH ROW WHEN (OLD.id = %d) EXECUTE FUNCTION refuse()`, c.users[4].ID))
	errs := c.rename("Alone")
	c.all.Wait()
	for n, err := range errs {
		if refused := err != nil && strings.Contains(err.Error(), "not this one"); refused != (n == 4) || n != 4 && err != nil {
			t.Errorf("user %d: %v", n, err)
		}
	}
	if transactions, users := c.transactions("Alone"); transactions != 9 || users != 9 {
		t.Errorf("%d transactions wrote %d users", transactions, users)
	}
	if u := find(t, c.Store, c.key(4)); u.FirstName != "crowd4" || u.Version != 1 {
		t.Errorf("%+v", u)
	}
}

// Somebody holds a user for a long time: whoever changes others does not wait for it.
func TestAHeldUserHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	c := newTogether(t, 10)
	_, db := c.Pools()
	holder, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec("SELECT FROM users WHERE id = $1 FOR UPDATE", c.users[4].ID); err != nil {
		t.Fatal(err)
	}
	errs := c.rename("Free")
	for done := 0; done < 9; _, done = c.transactions("Free") {
		runtime.Gosched()
	}
	// It was held all the while.
	if err := holder.Rollback(); err != nil {
		t.Fatal(err)
	}
	c.all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	if _, users := c.transactions("Free"); users != 10 {
		t.Errorf("%d users", users)
	}
}

// A group whose connection is lost may have been committed: none of its writes is made again.
func TestAGroupWhoseConnectionIsLostIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	c := newTogether(t, 4)
	c.exec(`CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$`)
	c.exec(fmt.Sprintf(`CREATE TRIGGER lose BEFORE UPDATE ON users FOR EACH ROW WHEN (OLD.id = %d) EXECUTE FUNCTION lose()`, c.users[2].ID))
	errs := c.rename("Lost")
	c.all.Wait()
	for n, err := range errs {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("user %d: %v", n, err)
		}
	}
	if _, users := c.transactions("Lost"); users != 0 {
		t.Errorf("%d users", users)
	}
	edit(t, c.Store, c.key(0), func(u *store.User) { u.FirstName = "Again" })
}

// What a write could be refused for, and others not, does not go with others.
func TestAWriteOfAUniqueValueGoesAlone(t *testing.T) {
	t.Parallel()
	c := newTogether(t, 3)
	find(t, c.Store, c.key(0))
	release := c.HoldWrite()
	edit(t, c.Store, c.key(0), func(u *store.User) { u.Email = "another@example.com" })
	_, _, err := c.UpdateUser(context.Background(), c.key(1), store.Change{Edit: pure(func(u *store.User) { u.Username = "CROWD0" })})
	if !errors.Is(err, store.ErrConflict) {
		t.Errorf("got %v", err)
	}
	release()
}

// Each query of a group finds its own user, or that there is none.
func TestQueriesThatComeTogetherAreAnsweredEach(t *testing.T) {
	t.Parallel()
	c := newTogether(t, 7) // two queries each, which is less than a full group
	var all sync.WaitGroup
	release := c.HoldRead()
	for n := range c.users {
		all.Go(func() {
			key := c.key(n)
			if n%2 == 1 {
				key = store.UserByUUID(3393, c.users[n].UUID)
			}
			if u, err := c.FindUser(context.Background(), key); err != nil || !reflect.DeepEqual(u, c.users[n]) {
				t.Errorf("got\n%+v, want\n%+v, %v", u, c.users[n], err)
			}
		})
		all.Go(func() {
			if _, err := c.FindUser(context.Background(), store.UserByID(3394, c.users[n].ID)); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("another customer's: %v", err)
			}
		})
	}
	await(c.ReadsWaiting, 2*len(c.users))
	release()
	all.Wait()
}

// Whoever has no time left does not wait for a group, and nobody else of it is called off.
func TestWhoGivesUpAGroupTakesNobodyWithIt(t *testing.T) {
	t.Parallel()
	c := newTogether(t, 3)
	for n := range c.users {
		find(t, c.Store, c.key(n))
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	var gaveUp group
	release := c.HoldWrite()
	for n := range c.users {
		ctx, wait := ctx, &gaveUp
		if n > 0 {
			ctx, wait = context.Background(), &all
		}
		wait.Go(func() {
			_, _, err := c.UpdateUser(ctx, c.key(n), store.Change{Edit: pure(func(u *store.User) { u.FirstName = "Kept" })})
			if n > 0 && err != nil || n == 0 && !errors.Is(err, context.Canceled) {
				t.Errorf("user %d: %v", n, err)
			}
		})
	}
	await(c.GroupWaiting, len(c.users))
	cancel()
	gaveUp.Wait()
	release()
	all.Wait()
	if transactions, users := c.transactions("Kept"); transactions != 1 || users != 2 {
		t.Errorf("%d transactions wrote %d users", transactions, users)
	}
}

// A group that does not come to its end is not waited for, by those either who are the last to come.
func TestAGroupIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, storetest.PostgresURL(t))
	storetest.Directory(t, s)
	find(t, s, ada)
	release := s.HoldWrite()
	edit(t, s, ada, func(u *store.User) { u.FirstName = "Augusta" })
	release()
}

func TestTheObserverIsToldOfEachStatementOfAGroup(t *testing.T) {
	t.Parallel()
	n := &noted{}
	url := storetest.PostgresURL(t)
	s, err := store.Open(context.Background(), store.Config{URL: url, SecretKey: storetest.Key, Observer: n.observer()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	storetest.Directory(t, s)
	s.BePatient()
	find(t, s, ada)
	find(t, s, grace)
	type mark struct{}
	got, _ := n.during(func() {
		var all sync.WaitGroup
		release := s.HoldWrite()
		for i, key := range []store.UserKey{ada, grace} {
			all.Go(func() {
				ctx := context.WithValue(context.Background(), mark{}, i)
				_, _, err := s.UpdateUser(ctx, key, store.Change{Edit: pure(func(u *store.User) { u.LastName = "King" })})
				if err != nil {
					t.Error(err)
				}
			})
		}
		await(s.GroupWaiting, 2)
		release()
		all.Wait()
	})
	if want := []string{"update ok", "update ok"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// While the database stands still, requests end: what they asked for is not done when it moves again.
func TestAGroupThatNobodyWaitsForIsNotMade(t *testing.T) {
	t.Parallel()
	c := newTogether(t, 3)
	for n := range c.users {
		find(t, c.Store, c.key(n))
	}
	_, db := c.Pools()
	var held []interface{ Close() error }
	for range db.Stats().MaxOpenConnections {
		conn, err := db.Conn(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
	}
	ctx, cancel := context.WithCancel(context.Background())
	release := c.HoldWrite()
	for n := range c.users {
		c.all.Go(func() {
			_, _, err := c.UpdateUser(ctx, c.key(n), store.Change{Edit: pure(func(u *store.User) { u.FirstName = "Late" })})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("user %d: %v", n, err)
			}
		})
	}
	await(c.GroupWaiting, len(c.users))
	release()
	for c.GroupWaiting() > 0 {
		runtime.Gosched() // the group waits for a connection now
	}
	cancel()
	c.all.Wait()
	for _, conn := range held {
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	edit(t, c.Store, c.key(0), func(u *store.User) { u.LastName = "After" })
	if _, users := c.transactions("Late"); users != 0 {
		t.Errorf("%d users were written", users)
	}
}

// A group of queries whose connection is lost is asked again, and nobody is told of what was.
func TestQueriesOfALostGroupAreMadeAgain(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, storetest.PostgresURL(t))
	s.BePatient()
	var lost atomic.Bool
	errs := make([]error, 4)
	var all sync.WaitGroup
	release := s.HoldRead()
	for n := range errs {
		all.Go(func() {
			var one int
			errs[n] = s.QueryTogether(context.Background(), &one, "SELECT CASE WHEN $1::bigint = 0 THEN (SELECT pg_terminate_backend(pg_backend_pid())::int) ELSE 1 END",
				func() int64 {
					if n == 2 && lost.CompareAndSwap(false, true) {
						return 0
					}
					return 1
				})
		})
	}
	await(s.ReadsWaiting, len(errs))
	release()
	all.Wait()
	for n, err := range errs {
		if err != nil {
			t.Errorf("query %d: %v", n, err)
		}
	}
}

// A write that waits for a row which somebody holds makes nobody wait again and again.
func TestAGroupThatWasOvertakenIsForgotten(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, storetest.PostgresURL(t))
	storetest.Directory(t, s)
	find(t, s, ada)
	release := s.HoldWrite()
	edit(t, s, ada, func(u *store.User) { u.FirstName = "Augusta" }) // overtakes it
	began := time.Now()
	for n := range 8 {
		edit(t, s, ada, func(u *store.User) { u.FirstName = fmt.Sprint("Augusta ", n) })
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("8 writes took %s", took)
	}
	release()
}

// Poolers in front of Postgres want statements that are not prepared.
func TestEveryModeOfTheURLWorks(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := storetest.Open(t, storetest.PostgresURL(t)+"&default_query_exec_mode="+mode)
			storetest.Directory(t, s)
			u := find(t, s, ada)
			if again := find(t, s, store.UserByUUID(u.CustomerID, u.UUID)); !reflect.DeepEqual(again, u) {
				t.Errorf("%+v, %+v", again, u)
			}
			actor := u.UUID
			after, _, err := s.UpdateUser(context.Background(), ada, store.Change{Actor: &actor, Edit: pure(func(u *store.User) { u.FirstName = "Augusta" })})
			if err != nil || *after.UpdatedBy != actor {
				t.Errorf("%+v, %v", after, err)
			}
			if stored := find(t, s, ada); !reflect.DeepEqual(stored, after) {
				t.Errorf("%+v, %+v", stored, after)
			}
		})
	}
}
