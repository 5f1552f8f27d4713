package userfile_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
	"github.com/dragoman-id/dragoman/store/userfile"
)

// public returns what a file tells of a user.
func public(u store.User) store.User {
	u.PasswordHash, u.VCSPassword, u.AccessToken = nil, nil, ""
	u.VCSPasswordSealed, u.AccessTokenSealed = nil, ""
	return u
}

// TestRoundTrip exports what was imported: the same users, but for secrets, and the same file.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		var last atomic.Int64
		last.Store(10_000)
		rapid.Check(t, func(t *rapid.T) {
			format := rapid.SampledFrom([]userfile.Format{userfile.CSV, userfile.NDJSON}).Draw(t, "format")
			users := rapid.SliceOfN(storetest.UserGen(), 0, 5).Draw(t, "users")
			customer := store.Customer{Name: "of this run alone"}
			if err := s.CreateCustomer(context.Background(), &customer); err != nil {
				t.Fatal(err)
			}
			for i := range users {
				u := &users[i]
				// Collisions are for other tests.
				u.ID, u.CustomerID = last.Add(1), customer.ID
				storetest.Distinct(u, uint32(u.ID))
			}
			var file bytes.Buffer
			w := userfile.NewWriter(&file, format, s.Catalogue())
			for i := range users {
				if err := w.Write(&users[i]); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			source, err := userfile.CopySource(context.Background(), bytes.NewReader(file.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			defer source.Close()
			_, err = userfile.Import{Store: s, Format: format, Refused: func(line *userfile.LineError) { t.Error(line) }}.Run(context.Background(), source)
			if err != nil {
				t.Fatal(err)
			}
			stored, err := s.UsersAfter(context.Background(), customer.ID, 0, 10)
			if err != nil || len(stored) != len(users) {
				t.Fatal(len(stored), err)
			}
			for i := range users {
				if got, want := public(stored[i]), public(users[i]); !reflect.DeepEqual(got, want) {
					t.Fatalf("stored\n%+v, want\n%+v", got, want)
				}
				if u := stored[i]; len(u.AccessToken) != 32 || u.AccessToken == users[i].AccessToken || u.PasswordHash != nil || u.VCSPassword != nil {
					t.Fatalf("a secret came along, or none was made: %+v", u)
				}
			}
			var again bytes.Buffer
			key := store.CustomerByID(customer.ID)
			n, err := userfile.Export{Store: s, Format: format, Customer: &key}.Run(context.Background(), &again)
			if err != nil || n != int64(len(users)) {
				t.Fatal(n, err)
			}
			if again.String() != file.String() {
				t.Fatalf("exported\n%s, imported\n%s", again.String(), file.String())
			}
		})
	})
}

func TestExportHasNoSecrets(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		secret, hash := "the VCS password", "$argon2id$v=19$m=65536,t=1,p=2$c2FsdHNhbHRzYWx0c2FsdA$aGFzaA"
		u, _, err := s.UpdateUser(ctx, store.UserByID(3393, 6860), store.Change{Edit: func(u *store.User) error {
			u.VCSPassword, u.PasswordHash = &secret, &hash
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []userfile.Format{userfile.CSV, userfile.NDJSON} {
			text := written(t, s, f)
			for _, told := range []string{secret, hash, u.AccessToken, u.AccessTokenSealed, *u.VCSPasswordSealed} {
				if strings.Contains(text, told) {
					t.Errorf("%s tells %q", f, told)
				}
			}
			if n := strings.Count(text, "\n"); f == userfile.CSV && n != 4 || f == userfile.NDJSON && n != 3 {
				t.Errorf("%s has %d lines:\n%s", f, n, text)
			}
			// What one engine and one format wrote, an empty directory reads, whichever they are.
			other := storetest.Open(t, storetest.SQLiteURL(t))
			for _, id := range []int64{3393, 3394} {
				if err := other.CreateCustomer(ctx, &store.Customer{ID: id}); err != nil {
					t.Fatal(err)
				}
			}
			mustTake(t, other, f, text)
			if again := written(t, other, f); again != text {
				t.Errorf("%s\nbecame\n%s", text, again)
			}
		}
	})
}

func TestExportOfOneCustomer(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		key := store.CustomerByID(3394)
		var out bytes.Buffer
		n, err := userfile.Export{Store: s, Format: userfile.NDJSON, Customer: &key}.Run(context.Background(), &out)
		if err != nil || n != 1 || !strings.Contains(out.String(), "alan.turing@example.com") || strings.Contains(out.String(), "ada") {
			t.Errorf("%d, %v: %s", n, err, out.String())
		}
		key = store.CustomerByID(1)
		if _, err := (userfile.Export{Store: s, Customer: &key}).Run(context.Background(), &out); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
}

func TestExportWithoutUsers(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		if text := written(t, s, userfile.CSV); !strings.HasPrefix(text, "id,uuid,customer,") || strings.Count(text, "\n") != 1 {
			t.Errorf("%q", text)
		}
		if text := written(t, s, userfile.NDJSON); text != "" {
			t.Errorf("%q", text)
		}
		mustTake(t, s, userfile.CSV, written(t, s, userfile.CSV))
	})
}

func TestWriteFileIsAtomic(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name, broken := filepath.Join(dir, "users.csv"), errors.New("broken")
	fails := func(w io.Writer) error {
		if _, err := io.WriteString(w, "half"); err != nil {
			t.Error(err)
		}
		return broken
	}
	if err := userfile.WriteFile(name, fails); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if err := userfile.WriteFile(name, func(w io.Writer) error { _, err := io.WriteString(w, "whole"); return err }); err != nil {
		t.Error(err)
	}
	if err := userfile.WriteFile(name, fails); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	if text, err := os.ReadFile(name); err != nil || string(text) != "whole" {
		t.Errorf("%q, %v", text, err)
	}
	if err := userfile.WriteFile(filepath.Join(dir, "none", "users.csv"), fails); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestFormatOf(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]userfile.Format{
		"a.csv": userfile.CSV, "A.CSV": userfile.CSV, "x/a.ndjson": userfile.NDJSON, "a.jsonl": userfile.NDJSON, "a.json": "", "csv": "", "-": "", "": "",
	} {
		if got, ok := userfile.FormatOf(name); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", name, got, ok)
		}
	}
}

// FuzzReader: no file makes a reader panic, loop, or say something else of a line than what a second reading says.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		"", header, header + "3393,a,b,a@b\n", "\ufeff" + header + "3393,\"a\r\n\"\"b\",,a@b\r\n", header + "\"", header + "\"a\"b,\r,\"",
		`{"customer":3393,"first_name":"a","last_name":"b","email":"a@b","roles":["ROLE_USER"],"mobile":null}`, "{}\n[]\n\n{\"id\":1", "\xff\x00",
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, text string, ndjson bool) {
		format := userfile.CSV
		if ndjson {
			format = userfile.NDJSON
		}
		r, last := userfile.NewReader(strings.NewReader(text), format, &store.Catalogue{}), int64(0)
		for range strings.Count(text, "\n") + 3 {
			row, err := r.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			line := row.Line
			if bad := (*userfile.LineError)(nil); errors.As(err, &bad) {
				line = bad.Line
			} else if err != nil {
				t.Fatal(err)
			}
			if line <= last {
				t.Fatalf("line %d after line %d", line, last)
			}
			last = line
		}
		t.Fatal("there are more rows than lines")
	})
}
