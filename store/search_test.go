package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestGramHashStays: the hashes are stored.
func TestGramHashStays(t *testing.T) {
	t.Parallel()
	for gram, want := range map[string]int32{"ada": -1434071219, "é.@": 1296046341} {
		if got := store.GramHash(3393, gram); got != want {
			t.Errorf("%q: %d, want %d", gram, got, want)
		}
	}
}

// mentions reports whether a search for part finds a user.
func mentions(u *store.User, part string) bool {
	part = store.Fold(part)
	texts := []string{u.FirstNameFold, u.LastNameFold, u.EmailFold}
	if u.EmailSearch != nil {
		texts = append(texts, *u.EmailSearch)
	}
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, part) })
}

// TestSearchIgnoresIndexState: whatever part of the users is indexed, and whether candidates are few or many, a search finds the users
// that contain the text.
func TestSearchIgnoresIndexState(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		ctx := context.Background()
		s := storetest.Open(t, url)
		all := map[int64]*store.User{}
		for _, u := range crowded(t, s) {
			all[u.ID] = &u
		}
		if _, err := s.IndexUsers(ctx); err != nil {
			t.Fatal(err)
		}
		storetest.Exec(t, url, "ANALYZE") // Postgres then knows some of the trigrams as common
		word := rapid.OneOf(rapid.SampledFrom(names), rapid.StringN(0, 12, 60).Filter(func(s string) bool { return !strings.Contains(s, "\x00") }),
			rapid.StringMatching(`[a-c%_!\\. ]{0,8}`))
		n := 0
		rapid.Check(t, func(t *rapid.T) {
			for range rapid.IntRange(0, 3).Draw(t, "changes") {
				u := rapid.SampledFrom(slices.SortedFunc(mapsValues(all), byID)).Draw(t, "user")
				n++
				after, _, err := s.UpdateUser(ctx, store.UserByID(u.CustomerID, u.ID), store.Change{Edit: func(u *store.User) error {
					switch rapid.IntRange(0, 2).Draw(t, "field") {
					case 0:
						u.FirstName = word.Draw(t, "first name")
					case 1:
						u.LastName = word.Draw(t, "last name")
					default:
						u.Email = fmt.Sprintf("%s.%d@%s", rapid.SampledFrom([]string{"Ada", "bob", "zoë"}).Draw(t, "local"), n,
							rapid.SampledFrom([]string{"example.com", "bücher.example", "xn--bcher-kva.example"}).Draw(t, "domain"))
					}
					return nil
				}})
				if err != nil {
					t.Fatal(err)
				}
				all[u.ID] = &after
			}
			if rapid.Bool().Draw(t, "index") {
				if _, err := s.IndexUsers(ctx); err != nil {
					t.Fatal(err)
				}
			}
			u := rapid.SampledFrom(slices.SortedFunc(mapsValues(all), byID)).Draw(t, "like")
			text := []rune(rapid.SampledFrom([]string{u.FirstName, u.LastName, u.Email, u.EmailFold, word.Draw(t, "word")}).Draw(t, "text"))
			from := rapid.IntRange(0, len(text)).Draw(t, "from")
			part := string(text[from:rapid.IntRange(from, len(text)).Draw(t, "to")])
			var want []int64
			for _, u := range all {
				if u.CustomerID == 3393 && mentions(u, part) {
					want = append(want, u.ID)
				}
			}
			slices.Sort(want)
			for _, most := range []int{0, 3, 4000} {
				s.SetMaxCandidates(most)
				got, total, err := s.ListUsers(ctx, 3393, store.Query{Filters: []store.Filter{store.Mentions(part)}}, store.Window{Limit: 1000})
				if err != nil || !slices.Equal(ids(got), want) || int(total) != len(want) {
					t.Fatalf("%q, at most %d candidates: %v of %d, want %v, %v", part, most, ids(got), total, want, err)
				}
			}
		})
	})
}

func mapsValues(m map[int64]*store.User) func(yield func(*store.User) bool) {
	return func(yield func(*store.User) bool) {
		for _, u := range m {
			if !yield(u) {
				return
			}
		}
	}
}

func byID(a, b *store.User) int { return int(a.ID - b.ID) }

// TestIndexLeadsToFewCandidates: once users are indexed, others than those with the text are not looked at, nor another customer's.
func TestIndexLeadsToFewCandidates(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		storetest.SkipDistributed(t, url, "searches have no index there")
		ctx := context.Background()
		s := storetest.Open(t, url)
		all := crowded(t, s)
		if got, _, err := s.Candidates(ctx, 3393, "jeanna"); err != nil || len(got) != len(all) {
			t.Fatalf("of %d pending users %d are candidates, %v", len(all), len(got), err)
		}
		if n, err := s.IndexUsers(ctx); err != nil || int(n) < len(all) {
			t.Fatalf("indexed %d changes, %v", n, err)
		}
		if n, err := s.IndexUsers(ctx); err != nil || n != 0 {
			t.Fatalf("indexed %d changes again, %v", n, err)
		}
		for _, text := range []string{"σωκράτη", "a.b", "emile", "100%"} {
			var want []int64
			for i := range all {
				if mentions(&all[i], text) {
					want = append(want, all[i].ID)
				}
			}
			if got, few, err := s.Candidates(ctx, 3393, text); err != nil || !few || len(want) == 0 || !slices.Equal(got, want) {
				t.Errorf("%q: %v, %t, want %v, %v", text, got, few, want, err)
			}
		}
		// A program of an older version knows only the users' table.
		storetest.Exec(t, url, fmt.Sprintf("UPDATE users SET last_name_fold = 'noether', last_name = 'Noether' WHERE id = %d", all[5].ID))
		if got, _, err := s.Candidates(ctx, 3393, "noether"); err != nil || !slices.Equal(got, []int64{all[5].ID}) {
			t.Errorf("written by another program: %v, %v", got, err)
		}
		if _, err := store.Migrate(ctx, url, store.Wait{}); err != nil {
			t.Fatal(err)
		}
		if got, _, err := s.Candidates(ctx, 3393, "other"); err != nil || len(got) > 0 {
			t.Errorf("after migrating others are candidates: %v, %v", got, err)
		}
		if got, _, err := s.Candidates(ctx, 3393, "noether"); err != nil || !slices.Equal(got, []int64{all[5].ID}) {
			t.Errorf("after migrating: %v, %v", got, err)
		}
	})
}

func TestKeepIndexing(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s := storetest.Open(t, url)
		storetest.Directory(t, s)
		ctx, cancel := context.WithCancel(context.Background())
		reports, ended := make(chan error, 10), make(chan struct{})
		go func() {
			defer close(ended)
			s.KeepIndexing(ctx, func(err error) { reports <- err })
		}()
		defer func() { cancel(); <-ended }()
		settled := func() bool {
			got, _, err := s.Candidates(ctx, 3393, "xyz")
			if err != nil {
				t.Fatal(err)
			}
			return len(got) == 0
		}
		for deadline := time.Now().Add(30 * time.Second); !settled(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("users stay pending")
			}
		}
		storetest.Exec(t, url, "ALTER TABLE search_pending RENAME TO elsewhere")
		if err := <-reports; err == nil {
			t.Error("recovered before it failed")
		}
		storetest.Exec(t, url, "ALTER TABLE elsewhere RENAME TO search_pending")
		if err := <-reports; err != nil {
			t.Errorf("reported %v twice", err)
		}
	})
}
