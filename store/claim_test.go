package store_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// column returns the text of each row of a query, sorted.
func column(t *testing.T, s *store.Store, query string) (all []string) {
	t.Helper()
	_, db := s.Pools()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		all = append(all, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// checkClaims checks that every unique value of every user is claimed by that user, and nothing else is claimed.
func checkClaims(t *testing.T, s *store.Store) {
	t.Helper()
	claimed := column(t, s, "SELECT kind || ' ' || value || ' ' || customer_id || ' ' || user_id FROM claims")
	var want []string
	for kind, value := range map[string]string{"id": "CAST(id AS TEXT)", "uuid": "CAST(uuid AS TEXT)", "username": "username_fold", "email": "email_fold"} {
		want = append(want, column(t, s, fmt.Sprintf("SELECT '%s ' || %s || ' ' || customer_id || ' ' || id FROM users", kind, value))...)
	}
	slices.Sort(want)
	if !slices.Equal(claimed, want) {
		t.Errorf("claimed are\n%q\nand should be\n%q", claimed, want)
	}
}

// TestClaimsFollowUsers compares the claims with the users after each way of writing, and after each refusal.
func TestClaimsFollowUsers(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s := storetest.Open(t, url)
		storetest.Directory(t, s)
		checkClaims(t, s)
		mary := create(t, s, newUser("mary"))
		write(t, s, []store.ImportRow{row(1, newUser("imported")), row(2, newUser("second"))})
		checkClaims(t, s)
		for _, change := range []func(u *store.User){
			func(u *store.User) { u.Username = "MARY" },
			func(u *store.User) { u.Username, u.Email = "maria", "maria@example.com" },
			func(u *store.User) { u.Email = "mary@example.com" },
			func(u *store.User) { u.FirstName = "Mary" },
		} {
			edit(t, s, key(mary), change)
			checkClaims(t, s)
		}
		if _, _, err := s.RestoreUser(t.Context(), key(mary), 3, nil); err != nil {
			t.Fatal(err)
		}
		checkClaims(t, s)
		again := newUser("MARIA")
		if err := s.CreateUser(t.Context(), &again); !slices.Equal(conflictOf(err), []store.Field{store.FieldUsername, store.FieldEmail}) {
			t.Error(err)
		}
		// What was given up is free.
		create(t, s, newUser("mary"))
		checkClaims(t, s)
		if _, err := store.Migrate(t.Context(), url, store.Wait{}); err != nil {
			t.Fatal(err)
		}
		checkClaims(t, s)
	})
}

// TestOneOfSeveralGetsAName has creators and writers of two customers, in two servers, race for names: each has one owner.
func TestOneOfSeveralGetsAName(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		servers := []*store.Store{storetest.Open(t, url), storetest.Open(t, url)}
		storetest.Directory(t, servers[0])
		const names, rivals = 20, 4
		var writers []store.UserKey
		for i := range names {
			writers = append(writers, key(create(t, servers[0], newUser(fmt.Sprint("writer", i)))))
		}
		var g group
		var won [names]atomic.Int64
		for n := range names {
			name := fmt.Sprintf("name%d", n)
			count := func(err error) {
				if err == nil {
					won[n].Add(1)
				} else if conflictOf(err) == nil {
					t.Error(err)
				}
			}
			for i := range rivals {
				g.Go(func() {
					u := newUser(name)
					u.CustomerID = 3393 + int64(i/2)
					count(servers[i%2].CreateUser(context.Background(), &u))
				})
			}
			g.Go(func() {
				_, _, err := servers[n%2].UpdateUser(context.Background(), writers[n], store.Change{Edit: pure(func(u *store.User) {
					u.Username, u.Email = name, name+"@example.com"
				})})
				count(err)
			})
		}
		g.Wait()
		for n := range won {
			if w := won[n].Load(); w != 1 {
				t.Errorf("%d got name %d", w, n)
			}
		}
		checkClaims(t, servers[0])
	})
}

// TestRenameAfterRefolding renames a user whose fold another program has computed anew: the claim to the new fold ends.
func TestRenameAfterRefolding(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s := storetest.Open(t, url)
		storetest.Directory(t, s)
		find(t, s, ada) // which is cached
		_, db := s.Pools()
		execute(t, db, "UPDATE users SET username_fold = 'other rules' WHERE id = 6860",
			"DELETE FROM claims WHERE kind = 'username' AND user_id = 6860",
			"INSERT INTO claims (kind, value, customer_id, user_id) VALUES ('username', 'other rules', 3393, 6860)")
		edit(t, s, ada, func(u *store.User) { u.Username = "ada" })
		checkClaims(t, s)
	})
}

// TestMigrationClaimsNames migrates a database that has no claims yet, with a reserved fold, and repairs what an operator's statements do.
func TestMigrationClaimsNames(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		db := migrateTo(t, url, 7)
		execute(t, db, oldCustomer(1), oldCustomer(2), oldUser(1, 1), oldUser(2, 2), oldUser(3, 2),
			"INSERT INTO reserved_folds (field, fold, user_id) VALUES ('email', 'e1', 2)",
			"UPDATE folding SET rules = '"+store.FoldRules+"'")
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		s := storetest.Open(t, url)
		s.SealAccessTokens(t)
		if shared := column(t, s, "SELECT value FROM claims WHERE shared"); !slices.Equal(shared, []string{"e1"}) {
			t.Errorf("shared are %q", shared)
		}
		migrate := func() {
			t.Helper()
			if _, err := store.Migrate(t.Context(), url, store.Wait{}); err != nil {
				t.Fatal(err)
			}
		}
		// The reservation is of a name that user 2 does not have.
		migrate()
		checkClaims(t, s)
		_, db = s.Pools()
		execute(t, db, "UPDATE users SET email = 'operator@example.com', email_fold = 'operator@example.com' WHERE id = 3")
		migrate()
		checkClaims(t, s)
	})
}
