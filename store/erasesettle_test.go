package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/ledger"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestCompleteLedger: a ledger that was lost, cut or replaced by another one lists again whom the database knows to be erased.
func TestCompleteLedger(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s, list := openForErasing(t, url)
		storetest.Directory(t, s)
		complete := func(want int) {
			t.Helper()
			if added, err := s.CompleteLedger(t.Context()); err != nil || added != want {
				t.Errorf("%d were added, %v; want %d", added, err, want)
			}
		}
		complete(0)
		if _, err := os.Stat(list); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("there is a ledger of nobody: %v", err)
		}
		erase(t, s, ada)
		erase(t, s, key(create(t, s, newUser("somebody"))))
		complete(0)
		whole, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		half := whole[:len(whole)/2]
		stranger := []byte(uuid.NewString() + " 2025-11-30T08:00:00.123Z\n")
		for _, damage := range []struct {
			file []byte // nil: there is none
			want int
		}{
			{nil, 2}, {[]byte{}, 2}, {half, 1}, {whole[:len(whole)-2], 1}, {whole[len(half):], 1}, {slices.Concat(stranger, half), 1}, {whole, 0},
		} {
			if damage.file == nil {
				err = os.Remove(list)
			} else {
				err = os.WriteFile(list, damage.file, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			complete(damage.want)
			complete(0)
			got, err := os.ReadFile(list)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(whole)) {
				if strings.Count(string(got), line) != 1 {
					t.Errorf("%q became %q, which lacks %q", damage.file, got, line)
				}
			}
		}
		if err := os.WriteFile(list, []byte("not a ledger, but a file of somebody's, longer than a line of one is\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.CompleteLedger(t.Context()); !errors.Is(err, ledger.ErrDamaged) {
			t.Error(err)
		}
	})
}

// TestReplayErasures erases again whom a backup brings back, whatever the backup says of them.
func TestReplayErasures(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s, list := openForErasing(t, url)
		storetest.Directory(t, s)
		if err := s.CheckErasures(t.Context()); err != nil {
			t.Error(err)
		}
		adas := find(t, s, ada)
		if _, _, err := s.SetLegalHold(t.Context(), ada, true, nil); err != nil {
			t.Fatal(err)
		}
		for _, id := range []uuid.UUID{find(t, s, grace).UUID, adas.UUID, uuid.New(), adas.UUID} {
			if err := ledger.At(list).Append(t.Context(), ledger.Entry{UUID: id, At: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		err := s.CheckErasures(t.Context())
		if !errors.Is(err, store.ErrNotErased) || !strings.Contains(err.Error(), "2 users") || !strings.Contains(err.Error(), "dragoman erase --replay "+list) {
			t.Errorf("%v", err)
		}
		for _, want := range []int{2, 0} {
			var got []store.Erased
			if err := s.ReplayErasures(t.Context(), list, func(e store.Erased) { got = append(got, e) }); err != nil {
				t.Fatal(err)
			}
			if len(got) != want {
				t.Errorf("%d were erased, want %d", len(got), want)
			}
		}
		if err := s.CheckErasures(t.Context()); err != nil {
			t.Error(err)
		}
		if n := len(entries(t, list)); n != 4 {
			t.Errorf("the ledger has %d entries", n)
		}
		if !isErased(t, s, ada) || !isErased(t, s, grace) || isErased(t, s, alan) {
			t.Error("others were erased")
		}
	})
}

// TestSweepErasures erases what the user did through a server that did not know of the erasure yet.
func TestSweepErasures(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		list, now := filepath.Join(t.TempDir(), "erasures"), time.Now()
		s := openWithLedger(t, url, list, func() time.Time { return now })
		storetest.Directory(t, s)
		id := find(t, s, ada).UUID
		erase(t, s, ada)
		_, _, err := s.UpdateUser(store.WithOrigin(t.Context(), store.Origin{Subject: "ada@example.com", Dialect: "worth"}), grace,
			store.Change{Actor: &id, Edit: pure(func(u *store.User) { u.Mobile = new("1") })})
		if err != nil {
			t.Fatal(err)
		}
		commit(t, s.PrepareNothing(), recordOf("unrelated", "request", "answer"))
		for _, step := range []struct {
			settled int64
			subject string
		}{{0, "ada@example.com"}, {1, "erased"}, {0, "erased"}} {
			settled, err := s.SweepErasures(t.Context())
			if err != nil || settled != step.settled {
				t.Errorf("settled %d, %v", settled, err)
			}
			if rows := history(t, s, grace); rows[1].Subject != step.subject || *rows[1].Actor != id {
				t.Errorf("%+v", rows[1])
			}
			now = now.Add(2 * time.Minute)
		}
	})
}

// TestImportOfErasedUser: a file does not bring back whom the ledger lists, whether or not the directory knows the user.
func TestImportOfErasedUser(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s, list := openForErasing(t, url)
		storetest.Directory(t, s)
		before := find(t, s, ada)
		erase(t, s, ada)
		unknown := uuid.New()
		if err := ledger.At(list).Append(t.Context(), ledger.Entry{UUID: unknown, At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		i, err := s.NewImport(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer i.Close()
		rows := []store.ImportRow{row(1, newUser("first")), row(2, newUser("second")), row(3, newUser("third")), row(4, newUser("fourth"))}
		rows[0].User.UUID, rows[1].User.UUID, rows[2].User.UUID = before.UUID, unknown, uuid.New()
		rows[3].User.Email, rows[3].User.Username = before.Email, before.Username // they are free
		bad, err := i.Check(t.Context(), rows)
		if err != nil || len(bad) != 2 {
			t.Fatalf("%+v, %v", bad, err)
		}
		for n, r := range bad {
			if r.Line != int64(n+1) || len(r.Errors) != 1 || r.Errors[0].Field != store.FieldUUID || !strings.Contains(r.Errors[0].Reason, "erased: leave the line out") {
				t.Errorf("%+v", r)
			}
		}
		for _, damaged := range []bool{false, true} {
			if damaged {
				if err := os.WriteFile(list, []byte(strings.Repeat("no ledger at all\n", 10)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.NewImport(t.Context()); errors.Is(err, ledger.ErrDamaged) != damaged {
				t.Errorf("%v", err)
			}
		}
	})
}

// TestCopyOfRestoredDirectory: a copy does not carry on whom a backup has brought back.
func TestCopyOfRestoredDirectory(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, from string) {
		s, list := openForErasing(t, from)
		storetest.Directory(t, s)
		add := func(path string) {
			t.Helper()
			if err := ledger.At(path).Append(t.Context(), ledger.Entry{UUID: find(t, s, ada).UUID, At: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		add(list)
		to := emptyLike(t, map[string]string{"sqlite": "postgres", "postgres": "sqlite"}[store.EngineOf(from)])
		refused := func(c store.Copy, list string) {
			t.Helper()
			if _, err := c.Run(t.Context()); !errors.Is(err, store.ErrNotErased) || !strings.Contains(err.Error(), "--from") || !strings.Contains(err.Error(), "dragoman erase --replay "+list) {
				t.Errorf("%v", err)
			}
		}
		refused(store.Copy{From: from, To: to, ErasureLedger: list}, list)
		// The ledgers beside files need not be named.
		for _, url := range []string{from, to} {
			if path, isFile := strings.CutPrefix(url, "sqlite:"); isFile {
				add(path + ".erasures")
				refused(store.Copy{From: from, To: to}, path+".erasures")
			}
		}
		if err := s.ReplayErasures(t.Context(), list, func(store.Erased) {}); err != nil {
			t.Fatal(err)
		}
		if _, err := (store.Copy{From: from, To: to, ErasureLedger: list}).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		copied := openWithLedger(t, to, list, nil)
		if err := copied.CheckErasures(t.Context()); err != nil || !isErased(t, copied, ada) {
			t.Errorf("%v", err)
		}
	})
}

// TestErasureOfCollision: names that two users share, as folding has changed, are free when both are erased.
func TestErasureOfCollision(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s, _ := openForErasing(t, url)
		storetest.Directory(t, s)
		first := newUser("first")
		first.Username, first.Email = nfc+"@example.com", nfc+"@example.com"
		first = create(t, s, first)
		second := create(t, s, newUser("second"))
		_, db := s.Pools()
		execute(t, db, fmt.Sprintf("UPDATE users SET username = '%[1]s', username_fold = '%[2]s', email = '%[1]s', email_fold = '%[2]s', version = version + 1 WHERE id = %[3]d",
			nfd+"@example.com", oldFold(nfd+"@example.com"), second.ID))
		if _, err := store.Migrate(t.Context(), url, store.Wait{}); err != nil {
			t.Fatal(err)
		}
		if got := collided(t, s); len(got) != 2 {
			t.Fatalf("collisions %q", got)
		}
		erase(t, s, key(first))
		erase(t, s, key(second))
		if n := count(t, db, "SELECT count(*) FROM claims WHERE shared"); n != 0 {
			t.Errorf("%d names are still shared", n)
		}
		third := newUser("third")
		third.Username, third.Email = nfc+"@example.com", nfc+"@example.com"
		create(t, s, third)
	})
}
