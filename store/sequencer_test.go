package store_test

import (
	"context"
	"fmt"
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

var everyone = store.FeedScope{All: true}

// listChanges numbers what is committed and then lists changes.
func listChanges(s *store.Store, scope store.FeedScope, after int64, limit int) ([]store.NumberedChange, int64, error) {
	if _, err := s.NumberChanges(context.Background()); err != nil {
		return nil, 0, err
	}
	return s.ListChanges(context.Background(), scope, after, limit)
}

// eventually fails the test unless done becomes true within ten seconds.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("timed out waiting for ", what)
		}
	}
}

// keepNumbering runs the sequencer of s until the test ends or stop is called, and returns what it reports.
func keepNumbering(t *testing.T, s *store.Store) (reports func() []error, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	var all []error
	var running sync.WaitGroup
	running.Go(func() {
		s.KeepNumbering(ctx, func(err error) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, err)
		})
	})
	stop = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(stop)
	return func() []error {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}, stop
}

func highest(t *testing.T, s *store.Store) int64 {
	t.Helper()
	_, next, err := s.ListChanges(context.Background(), everyone, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// TestSequencerNumbersEveryWrite: whichever way a change is written, and by whichever program, it comes into the feed by itself.
func TestSequencerNumbersEveryWrite(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s, other := storetest.Open(t, url), storetest.Open(t, url)
		keepNumbering(t, s)
		for _, write := range []struct {
			name string
			do   func()
			want int64 // changes in the feed afterwards
		}{
			{"the sandbox", func() { storetest.Directory(t, s) }, 3},
			{"another store's write", func() { create(t, other, newUser("other")) }, 4},
			{"a create", func() { create(t, s, newUser("mary")) }, 5},
			{"an update", func() { edit(t, s, ada, func(u *store.User) { u.FirstName = "Augusta" }) }, 6},
			{"an update of a unique value", func() { edit(t, s, ada, func(u *store.User) { u.Username = "augusta" }) }, 7},
		} {
			write.do()
			eventually(t, write.name, func() bool { return highest(t, s) == write.want })
			if n := highest(t, other); n != write.want {
				t.Errorf("%s: the other store has %d changes", write.name, n)
			}
		}
	})
}

// TestOneSequencerWorksAtATime lets several programs number while others write: no number is given twice or left out.
func TestOneSequencerWorksAtATime(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		stores := []*store.Store{storetest.Open(t, url), storetest.Open(t, url)}
		storetest.Directory(t, stores[0])
		for _, s := range stores {
			keepNumbering(t, s)
		}
		var writers sync.WaitGroup
		const writes = 20
		for i, s := range stores {
			for _, key := range []store.UserKey{ada, grace} {
				writers.Go(func() {
					for n := range writes {
						edit(t, s, key, func(u *store.User) { u.FirstName = fmt.Sprint(i, " ", n) })
						if _, err := s.NumberChanges(context.Background()); err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		writers.Wait()
		eventually(t, "all changes", func() bool { return highest(t, stores[0]) == 3+4*writes })
		changes, _, err := stores[1].ListChanges(context.Background(), everyone, 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		versions := map[int64]int64{}
		for i, c := range changes {
			if c.Number != int64(i)+1 || c.Version != versions[c.UserID]+1 {
				t.Errorf("change %d has number %d and version %d of user %d, after version %d", i, c.Number, c.Version, c.UserID, versions[c.UserID])
			}
			versions[c.UserID] = c.Version
		}
	})
}

// TestNumberingRests checks that changes that keep coming do not keep the sequencer at work: one round numbers many of them.
func TestNumberingRests(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		var rounds atomic.Int64
		s, err := store.Open(context.Background(), store.Config{URL: url, SecretKey: storetest.Key, Observer: store.Observer{
			Statement: func(_ context.Context, s store.Statement) {
				if strings.HasPrefix(s.Text, "INSERT INTO feed (") {
					rounds.Add(1)
				}
			},
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		storetest.Directory(t, s)
		rounds.Store(0) // the migration's is none
		began := time.Now()
		_, stop := keepNumbering(t, s)
		for n := 0; n < 20 || rounds.Load() < 3; n++ {
			edit(t, s, ada, func(u *store.User) { u.FirstName = fmt.Sprint("Ada ", n) })
		}
		stop()
		if most := int64(time.Since(began)/store.NumberingPause) + 1; rounds.Load() > most {
			t.Errorf("%d rounds in %s, want %d at most", rounds.Load(), time.Since(began), most)
		}
	})
}

// TestListChangesOnlyReads: a reader of the feed causes no write, though there are changes without a number.
func TestListChangesOnlyReads(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		n := &noted{}
		s, err := store.Open(context.Background(), store.Config{URL: url, SecretKey: storetest.Key, Observer: n.observer()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		storetest.Directory(t, s)
		got, _ := n.during(func() {
			if changes, next, err := s.ListChanges(context.Background(), everyone, 0, 10); err != nil || len(changes) != 0 || next != 0 {
				t.Errorf("%v, next %d, %v", changes, next, err)
			}
		})
		if want := []string{"select ok", "select ok"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// TestFeedOfAReadOnlyPostgres: on a standby the feed is served as far as it is numbered.
func TestFeedOfAReadOnlyPostgres(t *testing.T) {
	t.Parallel()
	url := storetest.PostgresURL(t)
	s := storetest.Open(t, url)
	storetest.Directory(t, s)
	if _, err := s.NumberChanges(context.Background()); err != nil {
		t.Fatal(err)
	}
	edit(t, s, ada, func(u *store.User) { u.FirstName = "Augusta" })
	standby := storetest.Open(t, url+"&default_transaction_read_only=on")
	if changes, next, err := standby.ListChanges(context.Background(), everyone, 0, 10); err != nil || len(changes) != 3 || next != 3 {
		t.Errorf("%v, next %d, %v", changes, next, err)
	}
}

// TestSequencerGoesOnAfterAFault: it reports a fault once, and its end.
func TestSequencerGoesOnAfterAFault(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		_, write := s.Pools()
		execute(t, write, "ALTER TABLE feed_pending RENAME TO gone")
		reports, stop := keepNumbering(t, s)
		eventually(t, "the fault to be reported", func() bool { return len(reports()) == 1 && reports()[0] != nil })
		execute(t, write, "ALTER TABLE gone RENAME TO feed_pending")
		eventually(t, "the feed", func() bool { return highest(t, s) == 3 })
		eventually(t, "the end to be reported", func() bool { return len(reports()) == 2 && reports()[1] == nil })
		stop()
	})
}
