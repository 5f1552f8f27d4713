package store_test

import (
	"bytes"
	"context"
	"encoding/json"
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

// openForErasing opens the store at url with a ledger, whose path it returns.
func openForErasing(t *testing.T, url string) (s *store.Store, list string) {
	t.Helper()
	list = filepath.Join(t.TempDir(), "erasures")
	return openWithLedger(t, url, list, nil), list
}

func openWithLedger(t *testing.T, url, list string, now func() time.Time) *store.Store {
	t.Helper()
	return storetest.OpenWith(t, store.Config{URL: url, ErasureLedger: list, Now: now})
}

func erase(t *testing.T, s *store.Store, k store.UserKey) store.Erased {
	t.Helper()
	done, err := s.EraseUser(t.Context(), store.Erasure{Key: k})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func isErased(t *testing.T, s *store.Store, k store.UserKey) bool {
	t.Helper()
	u := find(t, s, k)
	return u.Erased()
}

// canaries are texts that are nowhere but where a person has put them.
type canaries []string

func (c *canaries) text(part string) string {
	text := "Canary" + part + strings.ReplaceAll(uuid.NewString(), "-", "")
	*c = append(*c, text, strings.ToLower(text))
	return text
}

// fill gives every field of a user a value of its own, in so many versions.
func (c *canaries) fill(t *testing.T, s *store.Store, k store.UserKey, versions int) {
	t.Helper()
	for range versions {
		id := uuid.New()
		token := strings.ReplaceAll(uuid.NewString(), "-", "")
		*c = append(*c, id.String(), token)
		values := store.User{
			FirstName: c.text("First"), LastName: c.text("Last"), Username: c.text("name"), Email: c.text("mail") + "@example.com",
			Mobile: new("+44" + c.text("Mobile")[:40]), VCSPassword: new(c.text("Vcs")), PasswordHash: new(c.text("Hash")), AccessToken: token,
			ExternalAuthID: &id, LastPasswordResetAt: new(time.UnixMilli(1700000000000)),
			ExternalID: new(c.text("External")), DisplayName: new(c.text("Display")),
		}
		*c = append(*c, (*values.Mobile)[3:])
		edit(t, s, k, func(u *store.User) {
			u.FirstName, u.LastName, u.Username, u.Email, u.Mobile = values.FirstName, values.LastName, values.Username, values.Email, values.Mobile
			u.VCSPassword, u.PasswordHash, u.AccessToken = values.VCSPassword, values.PasswordHash, values.AccessToken
			u.ExternalAuthID, u.LastPasswordResetAt = values.ExternalAuthID, values.LastPasswordResetAt
			u.ExternalID, u.DisplayName = values.ExternalID, values.DisplayName
			u.EmailVerified, u.FirstLogin = !u.EmailVerified, !u.FirstLogin
		})
	}
}

// in returns those that are in a text.
func (c *canaries) in(text []byte) (found []string) {
	for _, canary := range *c {
		if bytes.Contains(text, []byte(canary)) {
			found = append(found, canary)
		}
	}
	return found
}

// TestErasedUser looks at what an erasure leaves of a user, in the row, the history, the feed and what others did.
func TestErasedUser(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s, list := openForErasing(t, url)
		storetest.Directory(t, s)
		var c canaries
		c.fill(t, s, ada, 3)
		before := find(t, s, ada)
		subject := c.text("Subject")
		// What Ada did to others, and to herself.
		for k, origin := range map[store.UserKey]store.Origin{
			grace: {Subject: subject, Dialect: "worth", Operation: "o"}, alan: {Subject: "https://issuer.example.com " + strings.ToUpper(before.Email), Dialect: "worth", Operation: "o"},
			ada: {Subject: subject, Dialect: "worth", Operation: "o"},
		} {
			actor := &before.UUID
			if k == alan {
				actor = nil
			}
			_, _, err := s.UpdateUser(store.WithOrigin(t.Context(), origin), k, store.Change{Actor: actor, Edit: pure(func(u *store.User) { u.Mobile = new("1") })})
			if err != nil {
				t.Fatal(err)
			}
		}
		// A system account may have the name of a user.
		account := before.Username
		_, _, err := s.UpdateUser(store.WithOrigin(t.Context(), store.Origin{Subject: before.Username, Dialect: "cli"}), grace,
			store.Change{Edit: pure(func(u *store.User) { u.Mobile = new("2") })})
		if err != nil {
			t.Fatal(err)
		}
		commit(t, prepare(t, s, ada, 0, firstName(c.text("Keyed"))), recordOf("k", "request", "the answer"))
		commit(t, prepare(t, s, grace, 0, firstName("Keyed")), recordOf("another", "request", "the answer"))
		if _, _, err := listChanges(s, store.FeedScope{All: true}, 0, 1); err != nil {
			t.Fatal(err)
		}
		before = find(t, s, ada)
		rows := history(t, s, ada)

		preview, err := s.PreviewErasure(t.Context(), store.Erasure{Key: ada})
		if err != nil || preview.Done || find(t, s, ada).Version != before.Version || len(entries(t, list)) > 0 {
			t.Fatalf("%+v, %v", preview, err)
		}
		done := erase(t, s, ada)
		if done.Changes != preview.Changes || done.Changes != before.Version || done.Subjects != 2 || preview.Subjects != 2 || done.Records != 1 || preview.Records != 1 ||
			!slices.Equal(done.Fields, preview.Fields) {
			t.Errorf("foreseen %+v, done %+v", preview, done)
		}
		after := find(t, s, ada)
		name := before.UUID.String() + "@erased.invalid"
		want := store.User{
			ID: before.ID, UUID: before.UUID, CustomerID: before.CustomerID, Username: name, Email: name, Status: store.StatusInactive,
			CreatedAt: before.CreatedAt, CreatedBy: before.CreatedBy, UpdatedAt: after.UpdatedAt, Version: before.Version + 1,
			AccessTokenSealed: after.AccessTokenSealed, DeprovisionedAt: after.DeprovisionedAt,
		}
		want.ComputeFolds()
		if after.DeprovisionedAt == nil || !after.DeprovisionedAt.Equal(after.UpdatedAt) {
			t.Errorf("provisioning clients still see the user: %v", after.DeprovisionedAt)
		}
		if got, wants := jsonOf(t, after), jsonOf(t, want); got != wants || !after.Erased() {
			t.Errorf("there is\n%s\nwant\n%s", got, wants)
		}
		kept := map[store.Field]bool{
			store.FieldRoles: true, store.FieldStatus: true, store.FieldAccountNonExpired: true, store.FieldAccountNonLocked: true,
			store.FieldCredentialNonExpired: true, store.FieldEmailVerified: true, store.FieldFirstLogin: true, store.FieldLegalHoldAt: true,
		}
		now := history(t, s, ada)
		if len(now) != len(rows)+1 {
			t.Fatalf("%d changes after %d", len(now), len(rows))
		}
		for i, row := range rows {
			for n := range row.Fields {
				f := &row.Fields[n]
				if kept[f.Field] || f.Field.Secret() {
					continue
				}
				for _, value := range []*any{&f.Old, &f.New} {
					if *value != nil {
						*value = "erased"
					}
				}
			}
			if row.Actor != nil && *row.Actor == before.UUID {
				row.Subject = "erased"
			}
			if got, want := jsonOf(t, now[i]), jsonOf(t, row); got != want {
				t.Errorf("the history has\n%s\nwant\n%s", got, want)
			}
		}
		last := now[len(now)-1]
		if last.Operation != store.OperationErased || last.Version != after.Version || last.Fields[0] != (store.FieldChange{Field: store.FieldFirstName, Old: "erased", New: ""}) {
			t.Errorf("%+v", last)
		}
		for k, want := range map[store.UserKey][]string{grace: {"", "erased", account, ""}, alan: {"", "erased"}} {
			var got []string
			for _, change := range history(t, s, k) {
				got = append(got, change.Subject)
			}
			if !slices.Equal(got, want) {
				t.Errorf("subjects %q, want %q", got, want)
			}
		}
		if _, found := findRecord(t, s, recordOf("k", "", "").Key); found {
			t.Error("the answer to a write to the user is still there")
		}
		if _, found := findRecord(t, s, recordOf("another", "", "").Key); !found {
			t.Error("the answer to a write to another user is gone")
		}
		if _, err := s.NumberChanges(t.Context()); err != nil {
			t.Fatal(err)
		}
		changes, _, err := listChanges(s, store.FeedScope{All: true}, 0, 1000)
		if err != nil || changes[len(changes)-1].UserID != before.ID || changes[len(changes)-1].Operation != store.OperationErased {
			t.Errorf("%+v, %v", changes[len(changes)-1], err)
		}
		c = slices.DeleteFunc(c, func(text string) bool { return strings.EqualFold(text, account) })
		if found := c.in([]byte(jsonOf(t, changes))); len(found) > 0 {
			t.Errorf("the feed has %q", found)
		}
		if list := entries(t, list); len(list) != 1 || list[0].UUID != before.UUID || !list[0].At.Equal(after.UpdatedAt) {
			t.Errorf("the ledger has %+v", list)
		}
		// The names are free.
		create(t, s, store.User{CustomerID: 3394, Username: before.Username, Email: strings.ToUpper(before.Email), Status: store.StatusActive})
		// Once more changes nothing.
		if again := erase(t, s, ada); !again.Done || again.User.Version != after.Version || len(entries(t, list)) != 1 {
			t.Errorf("%+v", again)
		}
	})
}

func entries(t *testing.T, path string) []ledger.Entry {
	t.Helper()
	all, err := ledger.At(path).Entries()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestErasedUserCannotBeChanged, whatever the write is, and nobody else can pass for one.
func TestErasedUserCannotBeChanged(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s, _ := openForErasing(t, url)
		other := storetest.Open(t, url) // caches the user as it was
		storetest.Directory(t, s)
		edit(t, other, ada, func(u *store.User) { u.FirstName = "Augusta" })
		erased := erase(t, s, ada).User
		for _, s := range []*store.Store{s, other} {
			for name, change := range map[string]func(u *store.User){
				"names": func(u *store.User) { u.FirstName = "Ada" }, "nothing": func(*store.User) {},
				"status": func(u *store.User) { u.Status = store.StatusActive }, "invalid": func(u *store.User) { u.Email = "no e-mail" },
			} {
				if _, _, err := s.UpdateUser(t.Context(), ada, store.Change{Edit: pure(change)}); !errors.Is(err, store.ErrErased) {
					t.Errorf("%s: %v", name, err)
				}
				if _, _, err := s.PreviewUpdate(t.Context(), ada, store.Change{Edit: pure(change)}); !errors.Is(err, store.ErrErased) {
					t.Errorf("previewing %s: %v", name, err)
				}
				if _, _, _, err := s.PrepareUpdate(t.Context(), ada, store.Change{Edit: pure(change)}, 0); !errors.Is(err, store.ErrErased) {
					t.Errorf("preparing %s: %v", name, err)
				}
			}
			if _, _, err := s.RestoreUser(t.Context(), ada, 1, nil); !errors.Is(err, store.ErrErased) && !errors.Is(err, store.ErrValueErased) {
				t.Errorf("restoring: %v", err)
			}
			if _, _, err := s.SetLegalHold(t.Context(), ada, true, nil); !errors.Is(err, store.ErrErased) {
				t.Errorf("a legal hold: %v", err)
			}
			// What the caller's own rules refuse comes first.
			mine := errors.New("mine")
			if _, _, err := s.UpdateUser(t.Context(), ada, store.Change{Edit: func(*store.User) error { return mine }}); !errors.Is(err, mine) {
				t.Errorf("%v", err)
			}
		}
		if u := find(t, other, ada); u.Version != erased.Version {
			t.Errorf("version %d after %d", u.Version, erased.Version)
		}
		for _, name := range []string{uuid.NewString() + "@erased.invalid", "a@ERASED.invalid", "a@ｅｒａｓｅｄ。invalid"} {
			var wrong *store.FieldErrors
			u := newUser("somebody")
			u.Email = name
			if err := s.CreateUser(t.Context(), &u); !errors.As(err, &wrong) || (*wrong)[0].Field != store.FieldEmail {
				t.Errorf("%s as an e-mail: %v", name, err)
			}
			u = newUser("somebody")
			u.Username = name
			if err := s.CreateUser(t.Context(), &u); !errors.As(err, &wrong) || (*wrong)[0].Field != store.FieldUsername {
				t.Errorf("%s as a username: %v", name, err)
			}
		}
	})
}

func TestRefusedErasures(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s, list := openForErasing(t, url)
		storetest.Directory(t, s)
		refused := func(e store.Erasure, field store.Field) {
			t.Helper()
			_, err := s.EraseUser(t.Context(), e)
			_, foreseen := s.PreviewErasure(t.Context(), e)
			for _, err := range []error{err, foreseen} {
				var wrong *store.FieldErrors
				if !errors.As(err, &wrong) || len(*wrong) != 1 || (*wrong)[0].Field != field {
					t.Errorf("%v, want an error of %s", err, field)
				}
			}
		}
		refused(store.Erasure{Key: grace}, store.FieldStatus)
		refused(store.Erasure{Key: ada, Reason: "as Lovelace asked"}, store.FieldReason)
		for _, name := range []string{"Formerly", "Ada"} {
			if _, _, err := s.UpdateUser(t.Context(), ada, store.Change{Edit: pure(firstName(name))}); err != nil {
				t.Fatal(err)
			}
		}
		refused(store.Erasure{Key: ada, Reason: "once known as FORMERLY"}, store.FieldReason)
		refused(store.Erasure{Key: ada, Reason: strings.Repeat("x", 501)}, store.FieldReason)
		if _, changed, err := s.SetLegalHold(t.Context(), ada, true, nil); err != nil || !slices.Equal(changed, []store.Field{store.FieldLegalHoldAt}) {
			t.Errorf("%v, %v", changed, err)
		}
		if _, changed, err := s.SetLegalHold(t.Context(), ada, true, nil); err != nil || len(changed) > 0 {
			t.Errorf("set again: %v, %v", changed, err)
		}
		refused(store.Erasure{Key: ada}, store.FieldLegalHoldAt)
		if _, _, err := s.RestoreUser(t.Context(), ada, 1, nil); err != nil || find(t, s, ada).LegalHoldAt == nil {
			t.Errorf("a restore lifts the hold: %v", err)
		}
		if _, _, err := s.SetLegalHold(t.Context(), ada, false, nil); err != nil {
			t.Error(err)
		}
		no := errors.New("no")
		if _, err := s.EraseUser(t.Context(), store.Erasure{Key: ada, Allow: func(*store.User) error { return no }}); !errors.Is(err, no) {
			t.Error(err)
		}
		if _, err := s.EraseUser(t.Context(), store.Erasure{Key: store.UserByID(3394, 6860)}); !errors.Is(err, store.ErrNotFound) {
			t.Error(err)
		}
		if got := entries(t, list); len(got) > 0 {
			t.Errorf("the ledger has %+v", got)
		}
		if _, err := s.EraseUser(t.Context(), store.Erasure{Key: ada, Reason: "case 4711"}); err != nil {
			t.Error(err)
		}
	})
}

// TestErasureNeedsLedger: without a place to remember it, an erasure would not outlive a restore.
func TestErasureNeedsLedger(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s := storetest.Open(t, url)
		storetest.Directory(t, s)
		if path, isFile := strings.CutPrefix(url, "sqlite:"); isFile {
			erase(t, s, ada)
			if got := entries(t, path+".erasures"); len(got) != 1 {
				t.Errorf("%+v", got)
			}
			link := filepath.Join(t.TempDir(), "link.db")
			if err := os.Symlink(path, link); err != nil {
				t.Fatal(err)
			}
			linked := storetest.Open(t, "sqlite:"+link)
			erase(t, linked, key(create(t, linked, newUser("somebody"))))
			if got := entries(t, path+".erasures"); len(got) != 2 {
				t.Errorf("by a link to the file: %+v", got)
			}
			return
		}
		for _, do := range []func(context.Context, store.Erasure) (store.Erased, error){s.EraseUser, s.PreviewErasure} {
			if _, err := do(t.Context(), store.Erasure{Key: ada}); !errors.Is(err, store.ErrNoLedger) {
				t.Error(err)
			}
		}
		missing := openWithLedger(t, url, filepath.Join(t.TempDir(), "no folder", "erasures"), nil)
		if _, err := missing.EraseUser(t.Context(), store.Erasure{Key: ada}); err == nil || isErased(t, s, ada) {
			t.Errorf("erased without a ledger: %v", err)
		}
		// A server does not start without it, as the volume that it is on may be missing, and with it whom to erase.
		if err := missing.CheckErasures(t.Context()); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "erasure ledger") {
			t.Errorf("%v", err)
		}
	})
}

// TestOnlyValuesAreErasedFromHistory: the exception to a history that is append-only replaces values and subjects, by one text.
func TestOnlyValuesAreErasedFromHistory(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		_, write := s.Pools()
		fields := func(values string) string {
			return "UPDATE user_changes SET fields = '" + values + "' WHERE user_id = 6860"
		}
		row := history(t, s, ada)[0]
		whole := row.Fields
		with := func(change func(f []store.FieldChange) []store.FieldChange) string {
			return fields(jsonOf(t, change(slices.Clone(whole))))
		}
		for name, statement := range map[string]string{
			"another value":   with(func(f []store.FieldChange) []store.FieldChange { f[0].New = "Augusta"; return f }),
			"another field":   with(func(f []store.FieldChange) []store.FieldChange { f[0].Field = "LastName"; return f }),
			"a field less":    with(func(f []store.FieldChange) []store.FieldChange { return f[1:] }),
			"a field more":    with(func(f []store.FieldChange) []store.FieldChange { return append(f, f[0]) }),
			"another order":   with(func(f []store.FieldChange) []store.FieldChange { f[0], f[1] = f[1], f[0]; return f }),
			"none":            fields("[]"),
			"a member more":   strings.Replace(with(func(f []store.FieldChange) []store.FieldChange { return f }), `"field"`, `"x":1,"field"`, 1),
			"an object":       fields("{}"),
			"another actor":   "UPDATE user_changes SET actor = '94520740-d63c-4e02-85ca-c4e138801e73'",
			"another time":    "UPDATE user_changes SET at = at + 1",
			"another request": "UPDATE user_changes SET request_id = 'erased'",
		} {
			if _, err := write.Exec(statement); err == nil || !strings.Contains(err.Error(), "append-only") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if now := history(t, s, ada)[0]; jsonOf(t, now) != jsonOf(t, row) {
			t.Errorf("%+v", now)
		}
		erased := with(func(f []store.FieldChange) []store.FieldChange { f[0].New, f[3].New = "erased", "erased"; return f })
		if _, err := write.Exec(erased); err != nil {
			t.Error(err)
		}
		if now := history(t, s, ada)[0]; now.Fields[0].New != "erased" || now.Fields[1].New != "Lovelace" {
			t.Errorf("%+v", now)
		}
	})
}

// TestErasedBytes looks for what a user had in every byte that is kept: the file and its log, or what pg_dump finds.
func TestErasedBytes(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s, _ := openForErasing(t, url)
		storetest.Directory(t, s)
		var c canaries
		k := key(create(t, s, newUser("somebody")))
		// Others beside the user, so that pages are split and merged.
		for i := range 150 {
			create(t, s, newUser(fmt.Sprint("neighbour", i)))
			if i%10 == 0 {
				c.fill(t, s, k, 3)
				commit(t, prepare(t, s, k, 0, firstName(c.text("Keyed"))), recordOf(fmt.Sprint("k", i), "request", "the answer"))
			}
			if i%50 == 0 {
				if _, err := s.IndexUsers(t.Context()); err != nil {
					t.Fatal(err)
				}
				if _, err := s.NumberChanges(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if found := c.in(storetest.Stored(t, url)); len(found) == 0 {
			t.Fatal("the test does not find what is there")
		}
		erase(t, s, k)
		if _, err := s.IndexUsers(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		if found := c.in(storetest.Stored(t, url)); len(found) > 0 {
			t.Errorf("%d of %d are still stored: %q", len(found), len(c), found)
		}
	})
}
