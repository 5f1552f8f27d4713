package store_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"pgregory.net/rapid"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

func TestWriteChangesOnlyWhatItEdits(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		actor := uuid.New()
		before := find(t, s, ada)
		after, changed, err := s.UpdateUser(context.Background(), ada, store.Change{
			Actor: &actor,
			Edit: pure(func(u *store.User) {
				u.LastName, u.AccountNonLocked = "", false
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		if want := []store.Field{store.FieldLastName, store.FieldAccountNonLocked}; !slices.Equal(changed, want) {
			t.Errorf("changed %v", changed)
		}
		want := before
		want.LastName, want.LastNameFold, want.AccountNonLocked, want.Version, want.UpdatedBy = "", "", false, 2, &actor
		want.UpdatedAt = after.UpdatedAt
		if !reflect.DeepEqual(after, want) {
			t.Errorf("got\n%+v, want\n%+v", after, want)
		}
		if stored := find(t, s, ada); !reflect.DeepEqual(stored, after) {
			t.Errorf("stored\n%+v, returned\n%+v", stored, after)
		}
		back, _ := edit(t, s, ada, func(u *store.User) { u.AccountNonLocked = true })
		if !back.AccountNonLocked || back.Version != 3 || back.UpdatedBy != nil {
			t.Errorf("%+v", back)
		}
	})
}

// Whatever is edited to whatever, what is stored is what was edited.
func TestAWriteStoresEveryField(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		version := int64(1)
		rapid.Check(t, func(t *rapid.T) {
			u := storetest.UserGen().Draw(t, "user")
			before, err := s.FindUser(context.Background(), ada)
			if err != nil {
				t.Fatal(err)
			}
			after, changed, err := s.UpdateUser(context.Background(), ada, store.Change{Edit: pure(func(v *store.User) { *v = u })})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(changed, store.Diff(&before, &after)) {
				t.Fatalf("changed %v", changed)
			}
			if len(changed) > 0 {
				version++
			}
			if !store.SameMailbox(before.Email, u.Email) {
				u.EmailVerified = false
			}
			if d := store.Diff(&u, &after); len(d) > 0 || after.Version != version || after.ID != 6860 {
				t.Fatalf("%v differ, version %d of %d", d, after.Version, version)
			}
			stored, err := s.FindUser(context.Background(), ada)
			if err != nil || !reflect.DeepEqual(stored, after) {
				t.Fatalf("stored %+v, %v", stored, err)
			}
		})
	})
}

func TestUnchangedEditWritesNothing(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		secret, empty := "s3cret", ""
		edit(t, s, ada, func(u *store.User) { u.VCSPassword = &secret })
		before := find(t, s, ada)
		actor := uuid.New()
		after, changed, err := s.UpdateUser(context.Background(), ada, store.Change{
			Actor:                &actor,
			UsernameFollowsEmail: true,
			Edit: pure(func(u *store.User) {
				same := "s3cret"
				u.VCSPassword, u.Mobile = &same, &empty
				u.FirstName = "Ada"
			}),
		})
		if err != nil || len(changed) > 0 {
			t.Errorf("changed %v, %v", changed, err)
		}
		if !reflect.DeepEqual(after, before) || !reflect.DeepEqual(find(t, s, ada), before) {
			t.Errorf("before\n%+v, after\n%+v", before, after)
		}
	})
}

func TestEditCannotChangeBookkeeping(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		before := find(t, s, ada)
		after, changed := edit(t, s, ada, func(u *store.User) {
			*u = store.User{
				FirstName: u.FirstName, LastName: u.LastName, Username: u.Username, Email: u.Email, Roles: u.Roles, Status: u.Status,
				AccountNonExpired: true, AccountNonLocked: true, CredentialNonExpired: true,
				AccessToken: u.AccessToken, EmailVerified: true,
				ID: 1, UUID: uuid.New(), CustomerID: 3394, Version: 77, UsernameFold: "x", EmailFold: "y", AccessTokenSealed: "z",
			}
		})
		if len(changed) > 0 || !reflect.DeepEqual(after, before) {
			t.Errorf("changed %v, got\n%+v, want\n%+v", changed, after, before)
		}
	})
}

func TestFailedEditWritesNothing(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		moved := errors.New("the user has moved on")
		_, _, err := s.UpdateUser(context.Background(), ada, store.Change{Edit: func(u *store.User) error {
			u.FirstName, u.Email = "x", "grace.hopper@example.com"
			return fmt.Errorf("edit: %w", moved)
		}})
		if !errors.Is(err, moved) || errors.Is(err, store.ErrConflict) {
			t.Errorf("got %v", err)
		}
		if u := find(t, s, ada); u.FirstName != "Ada" || u.Version != 1 {
			t.Errorf("%+v", u)
		}
	})
}

func TestEmailChangeBeyondCaseUnverifies(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		u, changed := edit(t, s, ada, func(u *store.User) { u.Email = "Ada.Lovelace@Example.com" })
		if !u.EmailVerified || u.Email != "Ada.Lovelace@Example.com" || !slices.Equal(changed, []store.Field{store.FieldEmail}) {
			t.Errorf("case: changed %v: %+v", changed, u)
		}
		u, changed = edit(t, s, ada, func(u *store.User) { u.Email = "ada@example.com" })
		if u.EmailVerified || !slices.Equal(changed, []store.Field{store.FieldEmail, store.FieldEmailVerified}) {
			t.Errorf("beyond: changed %v: %+v", changed, u)
		}
	})
}

func TestVerificationOutlivesOnlyASCIICase(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		for i, pair := range otherMailboxes {
			for _, from := range []int{0, 1} {
				u := newUser("x")
				// A name of its own beside it, so that the pairs are free.
				u.Email, u.EmailVerified = fmt.Sprintf("u%d.%d.%s", i, from, pair[from]), true
				u.Username = u.Email
				u = create(t, s, u)
				after, changed, err := s.UpdateUser(t.Context(), key(u), store.Change{
					Edit:                 pure(func(u *store.User) { u.Email = fmt.Sprintf("u%d.%d.%s", i, from, pair[1-from]) }),
					UsernameFollowsEmail: true,
				})
				if err != nil || after.EmailVerified || after.Username != after.Email || !slices.Contains(changed, store.FieldEmailVerified) {
					t.Errorf("%+q to %+q: changed %v, %v", u.Email, after.Email, changed, err)
				}
			}
		}
	})
}

// TestInvisibleCharactersAreRefusedInNewNames: a row that has some already keeps them.
func TestInvisibleCharactersAreRefusedInNewNames(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		const reason = "must not contain invisible characters or bidirectional controls"
		for _, r := range "\u00ad\u200b\u200d\u202e\u2066\u3164\ufe0f\ufeff\U000e0041\u2800" {
			for field, edit := range map[store.Field]func(u *store.User){
				store.FieldUsername: func(u *store.User) { u.Username = "ad" + string(r) + "min" },
				store.FieldEmail:    func(u *store.User) { u.Email = "ad" + string(r) + "min@example.com" },
			} {
				u := newUser("fresh")
				edit(&u)
				for name, err := range map[string]error{
					"create": s.CreateUser(t.Context(), &u),
					"update": func() error {
						_, _, err := s.UpdateUser(t.Context(), ada, store.Change{Edit: pure(edit)})
						return err
					}(),
				} {
					var fields *store.FieldErrors
					if !errors.As(err, &fields) || !reflect.DeepEqual(*fields, store.FieldErrors{{Field: field, Reason: reason}}) {
						t.Errorf("%s with %U: %v", name, r, err)
					}
				}
			}
		}
		_, db := s.Pools()
		if _, err := db.Exec("UPDATE users SET username = 'ad\u200ba', username_fold = 'ad\u200ba', email = 'ad\u00ada@example.com', email_fold = 'ad\u00ada@example.com', version = 7 WHERE id = 6860"); err != nil {
			t.Fatal(err)
		}
		_, changed := edit(t, s, ada, func(u *store.User) {
			u.FirstName, u.Username, u.Email = "Augusta", "ad\u200ba", "ad\u00ada@example.com"
		})
		if !slices.Equal(changed, []store.Field{store.FieldFirstName}) {
			t.Errorf("changed %v", changed)
		}
	})
}

// A label that begins with xn-- must be what IDNA encodes its own decoded form to.
func TestEncodedLabelsOfNewEmails(t *testing.T) {
	t.Parallel()
	const (
		invisible = "must not contain invisible characters or bidirectional controls"
		encoded   = "must not have a domain with a label that begins with xn-- and is not encoded as IDNA does"
		long      = "must not have a domain with a label that has more than 63 characters when it is encoded"
	)
	want := map[string]string{
		"a@xn--bcher-kva.example":                   "",
		"b@XN--STRAE-OQA.example":                   "",
		"c@xn--mgberp4a5d4ar.example":               "",
		"d@example.xn--p1ai":                        "",
		"e@xn--i-7iq.example":                       "",
		"xn--a@example.com":                         "", // no label
		"a@axn--a.example":                          "",
		"a@xn--1ug.example":                         invisible, // U+200D alone
		"a@XN--1UG.example":                         invisible,
		"a@xn--mgba3gch31f060k.com":                 invisible, // U+200C where IDNA allows it
		"a@xn--admin-pz3b.example":                  encoded,   // U+202E
		"a@xn--vhk.example":                         encoded,   // U+3164
		"a@b.xn--admin-1ha":                         encoded,   // U+00AD
		"a@ｘｎ－－1ug.example":                         invisible, // mapped to it
		"a@xn--a.example":                           encoded,
		"a@example.xn--a":                           encoded,
		"a@xn--aa-a.example":                        encoded,
		"a@xn--é.example":                           encoded,
		"a@xn--xn---epa.example":                    encoded, // encoded twice
		"a@xn--BCHER-2PA.example":                   encoded, // a capital umlaut
		"a@xn--99999999.example":                    encoded,
		"a@" + strings.Repeat("ü", 60) + ".example": long,
	}
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		for email, reason := range want {
			u := newUser("fresh")
			u.Username, u.Email = email, email
			_, _, updated := s.UpdateUser(t.Context(), ada, store.Change{Edit: pure(func(u *store.User) { u.Email = "u." + email })})
			for name, err := range map[string]error{"create": s.CreateUser(t.Context(), &u), "update": updated} {
				var fields *store.FieldErrors
				if errors.As(err, &fields) && reflect.DeepEqual(*fields, store.FieldErrors{{Field: store.FieldEmail, Reason: reason}}) || err == nil && reason == "" {
					continue
				}
				t.Errorf("%s with %s: %v, want %q", name, email, err, reason)
			}
		}
	})
}

func TestEmptyTextMeansNone(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		mobile, secret, empty := "+44 20", "pw", ""
		u, changed := edit(t, s, ada, func(u *store.User) { u.Mobile, u.VCSPassword = &mobile, &secret })
		if *u.Mobile != mobile || *u.VCSPassword != secret || len(changed) != 2 {
			t.Errorf("set: %v", changed)
		}
		edit(t, s, ada, func(u *store.User) { u.Mobile, u.VCSPassword = &empty, &empty })
		if u := find(t, s, ada); u.Mobile != nil || u.VCSPassword != nil || u.VCSPasswordSealed != nil {
			t.Errorf("cleared: %+v", u)
		}
	})
}

func TestInvalidUserIsRefusedOnBothEngines(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("ж", n) }
	ptr := func(s string) *string { return &s }
	cases := []struct {
		name string
		edit func(u *store.User)
		want store.FieldErrors
	}{
		{"names", func(u *store.User) { u.FirstName, u.LastName = long(256), "a\x00" }, store.FieldErrors{
			{store.FieldFirstName, "must have at most 255 characters"}, {store.FieldLastName, "must not contain U+0000"}}},
		{"UTF-8", func(u *store.User) { u.FirstName = "\xff" }, store.FieldErrors{{store.FieldFirstName, "must be valid UTF-8"}}},
		{"username", func(u *store.User) { u.Username = "" }, store.FieldErrors{
			{store.FieldUsername, "must be one or more characters without white space"}}},
		{"long", func(u *store.User) { u.Username, u.Email, u.Mobile = long(255), long(250)+"@ж.ж", ptr(long(65)) }, store.FieldErrors{
			{store.FieldUsername, "must have at most 254 characters"}, {store.FieldMobile, "must have at most 64 characters"}}},
		{"email", func(u *store.User) { u.Email = "ada" }, store.FieldErrors{{store.FieldEmail, "must be an e-mail address"}}},
		{"long email", func(u *store.User) { u.Email = long(250) + "@ж.жж" }, store.FieldErrors{
			{store.FieldEmail, "must have at most 254 characters"}}},
		{"mobile", func(u *store.User) { u.Mobile = ptr("\x00") }, store.FieldErrors{{store.FieldMobile, "must not contain U+0000"}}},
		{"roles", func(u *store.User) { u.Roles = store.Roles(3, 6) }, store.FieldErrors{{store.FieldRoles, "must be roles of the catalogue"}}},
		{"bit 0", func(u *store.User) { u.Roles = 1 }, store.FieldErrors{{store.FieldRoles, "must be roles of the catalogue"}}},
		{"sign", func(u *store.User) { u.Roles = -1 }, store.FieldErrors{{store.FieldRoles, "must be roles of the catalogue"}}},
		{"status", func(u *store.User) { u.Status = "active" }, store.FieldErrors{{store.FieldStatus, "must be INVITED, ACTIVE or INACTIVE"}}},
		{"secrets", func(u *store.User) { u.PasswordHash, u.AccessToken, u.VCSPassword = ptr("\x00"), "F", ptr("\x00") }, store.FieldErrors{
			{store.FieldPasswordHash, "must not contain U+0000"},
			{store.FieldAccessToken, "must be 32 lower-case hexadecimal digits"},
			{store.FieldVCSPassword, "must not contain U+0000"}}},
	}
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		for _, c := range cases {
			_, _, err := s.UpdateUser(context.Background(), ada, store.Change{Edit: pure(c.edit)})
			var fields *store.FieldErrors
			if !errors.As(err, &fields) || !reflect.DeepEqual(*fields, c.want) {
				t.Errorf("%s: got %v, want %v", c.name, err, &c.want)
			}
		}
		edit(t, s, ada, func(u *store.User) {
			u.FirstName, u.LastName, u.Username, u.Email = long(255), "", long(254), long(250)+"@ж.ж"
			u.Mobile, u.Roles = ptr(long(64)), 0
		})
	})
}

func TestStoredValuesDoNotFailOtherEdits(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		_, db := s.Pools()
		// As a newer program with a role 13 would have left it.
		if _, err := db.Exec("UPDATE users SET roles = roles + 8192 WHERE id = 6860"); err != nil {
			t.Fatal(err)
		}
		u, changed := edit(t, s, ada, func(u *store.User) { u.FirstName = "Augusta" })
		if !u.Roles.Has(13) || !u.Roles.Has(3) || len(changed) != 1 {
			t.Errorf("changed %v, roles %v", changed, u.Roles.IDs())
		}
	})
}

// afterNameWasFree runs f once, when an update has asked whether a username is taken and is about to be written.
func afterNameWasFree(t *testing.T, s *store.Store, f func()) {
	t.Helper()
	done := false
	err := s.Gorm().Callback().Query().After("gorm:query").Register("test", func(db *gorm.DB) {
		if !done && slices.Contains(db.Statement.Vars, any("username")) {
			done = true
			f()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
