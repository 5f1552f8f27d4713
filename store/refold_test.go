package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/text/cases"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

const (
	nfc = "ren\u00e9"
	nfd = "rene\u0301"
)

// oldFold is Fold as it was before folds were normalized.
func oldFold(s string) string { return cases.Fold().String(s) }

// named is a user of the version before folds were normalized.
type named struct {
	id                                   int64
	firstName, lastName, username, email string
}

func (n named) values() string {
	quoted := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	var values []string
	for _, text := range []string{n.firstName, n.lastName, n.username, n.email} {
		values = append(values, quoted(text), quoted(oldFold(text)))
	}
	return fmt.Sprintf(`(%d, '94520740-d63c-4e02-85ca-%012[1]x', 1, %s, 8, 'ACTIVE', true, true, true, '', true, false, 1, 1, 4)`,
		n.id, strings.Join(values, ", "))
}

// oldDirectory makes a database of the version before folds were normalized.
func oldDirectory(t *testing.T, url string, users ...named) {
	t.Helper()
	db := migrateTo(t, url, 6)
	defer db.Close()
	execute(t, db, oldCustomer(1))
	insertOld(t, db, users...)
}

func insertOld(t *testing.T, db *sql.DB, users ...named) {
	t.Helper()
	for some := range slices.Chunk(users, 500) {
		var rows []string
		for _, u := range some {
			rows = append(rows, u.values())
		}
		execute(t, db, `INSERT INTO users (id, uuid, customer_id, first_name, first_name_fold, last_name, last_name_fold,
			username, username_fold, email, email_fold, roles, status, account_non_expired, account_non_locked, credential_non_expired,
			access_token_sealed, email_verified, first_login, created_at, updated_at, version) VALUES `+strings.Join(rows, ", "))
	}
}

// folds returns the folded columns of a user.
func folds(t *testing.T, s *store.Store, id int64) (first, username, email string, search *string) {
	t.Helper()
	_, db := s.Pools()
	err := db.QueryRow(fmt.Sprintf("SELECT first_name_fold, username_fold, email_fold, email_search FROM users WHERE id = %d", id)).
		Scan(&first, &username, &email, &search)
	if err != nil {
		t.Fatal(err)
	}
	return first, username, email, search
}

// collided returns collisions as text.
func collided(t *testing.T, s *store.Store) []string {
	t.Helper()
	all, err := s.Collisions(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range all {
		line := string(c.Field)
		for _, u := range c.Users {
			if u.UUID == uuid.Nil || u.CustomerID == 0 {
				t.Errorf("%+v", u)
			}
			line += fmt.Sprintf(" %d", u.ID)
		}
		got = append(got, line)
	}
	return got
}

// checkFolded wants the folded columns of a user to be those of a new one.
func checkFolded(t *testing.T, s *store.Store, u named) {
	t.Helper()
	want := store.User{FirstName: u.firstName, LastName: u.lastName, Username: u.username, Email: u.email}
	want.ComputeFolds()
	first, username, email, search := folds(t, s, u.id)
	if first != want.FirstNameFold || username != want.UsernameFold || email != want.EmailFold || (search == nil) != (want.EmailSearch == nil) ||
		search != nil && *search != *want.EmailSearch {
		t.Errorf("user %d is folded %+q, %+q, %+q, %v; want %+q, %+q, %+q, %v", u.id, first, username, email, search,
			want.FirstNameFold, want.UsernameFold, want.EmailFold, want.EmailSearch)
	}
}

func TestRefold(t *testing.T) {
	t.Parallel()
	users := []named{
		{1, "Ada", "Lovelace", "ada", "Ada@example.com"},
		{2, nfd, "\u212b", nfd + "2", nfd + "@example.com"},
		{3, "Max", "", "max", "max@stra\u00dfe.example"},
		{4, "", "", "xn", "x@XN--BCHER-KVA.example"},
		{5, "", "", "straße", "Übung@exämple.example"},
		// The fold of the first is free only once the second has another.
		{6, "", "", "u6", "max@\uff53trasse.example"},
	}
	storetest.EachURL(t, func(t *testing.T, url string) {
		oldDirectory(t, url, users...)
		s := storetest.Open(t, url)
		s.SealAccessTokens(t)
		for _, u := range users {
			checkFolded(t, s, u)
		}
		if got := collided(t, s); len(got) > 0 {
			t.Errorf("collisions: %q", got)
		}
		// Nobody's version changed, nor did anything that a client sees.
		if _, db := s.Pools(); count(t, db, "SELECT count(*) FROM users WHERE version = 4 AND updated_at = 1") != len(users) {
			t.Error("a version changed")
		}
		for search, want := range map[string]int64{nfc + "@": 2, "BÜCHER.ex": 4, "xn--bcher": 4, "strasse": 3, "bu\u0308cher": 4, "ÜBUNG@exä": 5} {
			found, _, err := s.ListUsers(t.Context(), 1, store.Query{Filters: []store.Filter{store.Mentions(search)}}, store.Window{Limit: 10})
			if err != nil || !slices.Contains(ids(found), want) {
				t.Errorf("search %q finds %v, %v", search, ids(found), err)
			}
		}
		for email, want := range map[string]int64{nfc + "@EXAMPLE.com": 2, "x@bücher.example": 4, "MAX@straße.example": 3, "max@strasse.example": 6} {
			found, _, err := s.ListUsers(t.Context(), 1, store.Query{Filters: []store.Filter{store.HasEmail(email)}}, store.Window{Limit: 10})
			if err != nil || !slices.Equal(ids(found), []int64{want}) {
				t.Errorf("e-mail %q finds %v, %v", email, ids(found), err)
			}
		}
	})
}

func writing(s *store.Store) *sql.DB {
	_, db := s.Pools()
	return db
}

func count(t *testing.T, db *sql.DB, query string) (n int) {
	t.Helper()
	if err := db.QueryRow(query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRefoldKeepsCollisions(t *testing.T) {
	t.Parallel()
	users := []named{
		// Two of whom one has the common fold already.
		{1, "", "", "u1", nfc + "@example.com"},
		{2, "", "", "u2", nfd + "@example.com"},
		// Three of whom none has.
		{3, "", "", "u3", "i\u0302\u0323@bücher.example"},
		{4, "", "", "u4", "\u00ee\u0323@bücher.example"},
		{5, "", "", "u5", "i\u0323\u0302@xn--bcher-kva.example"},
		// The same of usernames.
		{6, "", "", nfd, "u6@example.com"},
		{7, "", "", nfc, "u7@example.com"},
		{8, "Bystander", "", "u8", "u8@example.com"},
	}
	storetest.EachURL(t, func(t *testing.T, url string) {
		oldDirectory(t, url, users...)
		s := storetest.Open(t, url)
		s.SealAccessTokens(t)
		want := []string{"Username 6 7", "Email 3 4 5", "Email 1 2"}
		sorted := func(lines []string) []string { return slices.Sorted(slices.Values(lines)) }
		if got := collided(t, s); !slices.Equal(sorted(got), sorted(want)) {
			t.Fatalf("collisions %q, want %q", got, want)
		}
		for _, u := range users {
			if _, username, email, _ := folds(t, s, u.id); username != oldFold(u.username) || email != oldFold(u.email) {
				t.Errorf("user %d is folded %+q, %+q", u.id, username, email)
			}
		}
		// Each is still found, searched and changed in other fields, and may keep its name.
		for _, u := range users[:7] {
			found, _, err := s.ListUsers(t.Context(), 1, store.Query{Filters: []store.Filter{store.HasEmail(u.email)}}, store.Window{Limit: 10})
			if err != nil || !slices.Contains(ids(found), u.id) {
				t.Errorf("%d is not found by its e-mail: %v, %v", u.id, ids(found), err)
			}
			local, _, _ := strings.Cut(u.email, "@")
			found, _, err = s.ListUsers(t.Context(), 1, store.Query{Filters: []store.Filter{store.Mentions(local)}}, store.Window{Limit: 10})
			if err != nil || !slices.Contains(ids(found), u.id) {
				t.Errorf("%d is not found by a search: %v, %v", u.id, ids(found), err)
			}
		}
		// Nobody takes either form.
		for _, form := range []string{nfc + "@example.com", nfd + "@example.com", strings.ToUpper(nfc) + "@EXAMPLE.com",
			users[2].email, users[3].email, users[4].email, "\u1ecb\u0302@xn--bcher-kva.example"} {
			checkTaken(t, s, form, "free", store.FieldEmail)
		}
		for _, form := range []string{nfc, nfd, strings.ToUpper(nfd)} {
			checkTaken(t, s, "free@example.com", form, store.FieldUsername)
		}
	})
}

// checkTaken tries to create a user, to import one, and to change one, and wants a conflict.
func checkTaken(t *testing.T, s *store.Store, email, username string, want store.Field) {
	t.Helper()
	ctx := context.Background()
	u := store.User{CustomerID: 1, Username: username, Email: email, Status: store.StatusActive}
	if err := s.CreateUser(ctx, &u); !slices.Equal(conflictOf(err), []store.Field{want}) {
		t.Errorf("creating %+q, %+q: %v", email, username, err)
	}
	i, err := s.NewImport(ctx)
	if err != nil {
		t.Fatal(err)
	}
	rows := []store.ImportRow{{Line: 1, Customer: store.CustomerByID(1), User: u}}
	refused, err := i.Check(ctx, rows)
	if err != nil || len(refused) != 1 || len(refused[0].Errors) != 1 || refused[0].Errors[0].Field != want {
		t.Errorf("checking an import of %+q, %+q: %v, %v", email, username, refused, err)
	}
	// As if it had become taken after the check.
	sent := false
	var conflict *store.ImportError
	err = i.Write(ctx, func() ([]store.ImportRow, error) {
		if sent {
			return nil, io.EOF
		}
		sent = true
		return rows, nil
	})
	if !errors.As(err, &conflict) {
		t.Errorf("importing %+q, %+q: %v", email, username, err)
	}
}

func TestRefoldTenThousand(t *testing.T) {
	t.Parallel()
	var users []named
	for i := range int64(10_000) {
		u := named{i + 1, fmt.Sprintf("%s %d", nfd, i), "x", fmt.Sprintf("u%d", i), fmt.Sprintf("%s%d@example.com", nfd, i)}
		if i%7 == 0 {
			u.email = fmt.Sprintf("u%d@bücher%d.example", i, i%10)
		}
		if i%3 == 0 {
			u.firstName, u.email = "Ada", fmt.Sprintf("u%d@example.com", i)
		}
		users = append(users, u)
	}
	users = append(users, named{10_001, "", "", "c1", nfc + "1@example.com"}, named{10_002, "", "", nfd, "c2@example.com"}, named{10_003, "", "", nfc, "c3@example.com"})
	storetest.EachURL(t, func(t *testing.T, url string) {
		oldDirectory(t, url, users...)
		// Several begin at once, and some are interrupted on their way.
		var wg sync.WaitGroup
		for n := range 4 {
			wg.Go(func() {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				var statements atomic.Int64
				c := store.Config{URL: url, SecretKey: storetest.Key}
				if n%2 == 0 {
					c.Observer.Statement = func(context.Context, store.Statement) {
						if statements.Add(1) == int64(40+2000*n) {
							cancel()
						}
					}
				}
				s, err := store.Open(ctx, c)
				if err == nil {
					err = s.Close()
				}
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for range 2 {
			if _, err := store.Migrate(t.Context(), url, store.Wait{}); err != nil {
				t.Fatal(err)
			}
		}
		s := storetest.Open(t, url)
		want := []string{"Username 10002 10003", "Email 2 10001"}
		if got := collided(t, s); !slices.Equal(got, want) {
			t.Errorf("collisions %q, want %q", got, want)
		}
		for i := 0; i < len(users); i += 7 {
			if u := users[i]; u.id != 10_002 {
				checkFolded(t, s, u)
			}
		}
		if n := count(t, writing(s), "SELECT count(*) FROM users WHERE first_name_fold LIKE '"+nfd+"%' OR email_fold LIKE '"+nfd+"%'"); n != 1 {
			t.Errorf("%d users are folded by the old rules", n)
		}
	})
}

// TestCollisionEnds renames users until one is left who has the name to itself.
func TestCollisionEnds(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		storetest.SkipDistributed(t, url, "claims are not corrected there after names were changed by SQL")
		s := storetest.Open(t, url)
		if err := s.CreateCustomer(t.Context(), &store.Customer{ID: 1}); err != nil {
			t.Fatal(err)
		}
		first := create(t, s, store.User{CustomerID: 1, Username: "first", Email: nfc + "@example.com", Status: store.StatusActive, EmailVerified: true})
		second := create(t, s, store.User{CustomerID: 1, Username: "second", Email: "second@example.com", Status: store.StatusActive})
		third := create(t, s, store.User{CustomerID: 1, Username: "third", Email: "third@example.com", Status: store.StatusActive})
		// A program of the version before renames two of them, to what it takes for names of their own.
		_, db := s.Pools()
		old := func(id int64, email string) {
			execute(t, db, fmt.Sprintf("UPDATE users SET email = '%s', email_fold = '%s', version = version + 1 WHERE id = %d", email, oldFold(email), id))
		}
		old(second.ID, nfd+"@example.com")
		old(third.ID, "max@straße.example")
		migrate := func() {
			t.Helper()
			if _, err := store.Migrate(t.Context(), url, store.Wait{}); err != nil {
				t.Fatal(err)
			}
		}
		migrate()
		want := []string{fmt.Sprintf("Email %d %d", first.ID, second.ID)}
		if got := collided(t, s); !slices.Equal(got, want) {
			t.Fatalf("collisions %q, want %q", got, want)
		}
		checkFolded(t, s, named{third.ID, "", "", "third", "max@straße.example"})
		if _, err := s.LocateUser(t.Context(), strings.ToUpper(nfc)+"@example.com"); !errors.Is(err, store.ErrAmbiguous) {
			t.Errorf("the e-mail of two locates one: %v", err)
		}
		if k, err := s.LocateUser(t.Context(), nfd+"@example.com"); err != nil || k != key(second) {
			t.Errorf("an e-mail byte for byte locates %v, %v", k, err)
		}
		// Others are changed, and the names put back unchanged.
		for _, u := range []store.User{first, second} {
			after, changed := edit(t, s, key(u), func(u *store.User) { u.FirstName, u.Email = "Renée", string([]byte(u.Email)) })
			if !slices.Equal(changed, []store.Field{store.FieldFirstName}) || after.Version == 1 {
				t.Errorf("changed %v", changed)
			}
		}
		// A spelling that is another's is refused, also of the two to each other.
		_, _, err := s.UpdateUser(t.Context(), key(second), store.Change{Edit: pure(func(u *store.User) { u.Email = strings.ToUpper(u.Email) })})
		if !slices.Equal(conflictOf(err), []store.Field{store.FieldEmail}) {
			t.Errorf("another case: %v", err)
		}
		_, _, err = s.UpdateUser(t.Context(), key(third), store.Change{Edit: pure(func(u *store.User) { u.Email = nfd + "@EXAMPLE.com" })})
		if !slices.Equal(conflictOf(err), []store.Field{store.FieldEmail}) {
			t.Errorf("a third: %v", err)
		}
		// The holder changes something else that is unique.
		edit(t, s, key(first), func(u *store.User) { u.Username = "primus" })
		edit(t, s, key(first), func(u *store.User) { u.Email = "first@example.com" })
		// The common fold is still the second's.
		_, _, err = s.UpdateUser(t.Context(), key(third), store.Change{Edit: pure(func(u *store.User) { u.Email = nfc + "@example.com" })})
		if !slices.Equal(conflictOf(err), []store.Field{store.FieldEmail}) {
			t.Errorf("the fold that the holder gave up: %v", err)
		}
		migrate()
		if got := collided(t, s); len(got) > 0 {
			t.Errorf("collisions %q", got)
		}
		checkFolded(t, s, named{second.ID, "Renée", "", "second", nfd + "@example.com"})
		// It is taken like any other, and free once it is given up.
		edit(t, s, key(second), func(u *store.User) { u.Email = "second@example.com" })
		edit(t, s, key(third), func(u *store.User) { u.Email = nfc + "@example.com" })
	})
}

// TestReservedFoldUnderConcurrency has many writers want the reserved fold, by every way, while its owner gives it up: one gets it.
func TestReservedFoldUnderConcurrency(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		oldDirectory(t, url, named{1, "", "", "u1", "i\u0302\u0323@example.com"}, named{2, "", "", "u2", "\u00ee\u0323@example.com"})
		s := storetest.Open(t, url)
		s.SealAccessTokens(t)
		if got := collided(t, s); !slices.Equal(got, []string{"Email 1 2"}) {
			t.Fatalf("collisions %q", got)
		}
		_, db := s.Pools()
		var wg sync.WaitGroup
		var got atomic.Int64
		for i := range 8 {
			wg.Go(func() {
				u := store.User{CustomerID: 1, Username: fmt.Sprintf("rival%d", i), Email: "\u1ecb\u0302@example.com", Status: store.StatusActive}
				for range 20 {
					err := s.CreateUser(context.Background(), &u)
					if err == nil {
						got.Add(1)
						return
					}
					if !slices.Equal(conflictOf(err), []store.Field{store.FieldEmail}) && !errors.Is(err, store.ErrBusy) {
						t.Error(err)
					}
				}
			})
		}
		for id := range int64(2) {
			edit(t, s, store.UserByID(1, id+1), func(u *store.User) { u.Email = fmt.Sprintf("free%d@example.com", id) })
		}
		wg.Wait()
		if n := got.Load(); n > 1 {
			t.Errorf("%d users have the e-mail", n)
		}
		if n := count(t, db, "SELECT count(*) FROM reserved_folds"); n != 0 {
			t.Errorf("%d folds are reserved", n)
		}
		if _, err := store.Migrate(t.Context(), url, store.Wait{}); err != nil {
			t.Fatal(err)
		}
		checkClaims(t, s)
		if got.Load() == 0 {
			create(t, s, store.User{CustomerID: 1, Username: "late", Email: "\u1ecb\u0302@example.com", Status: store.StatusActive})
		}
	})
}
