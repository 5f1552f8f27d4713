package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// conflictsIn returns the fields of a *store.ConflictError, or fails the test.
func conflictsIn(t *testing.T, err error) []store.Field {
	t.Helper()
	var conflict *store.ConflictError
	if !errors.As(err, &conflict) {
		t.Fatalf("%v is no conflict", err)
	}
	return conflict.Fields
}

func provisioned(name, externalID string) store.User {
	u := newUser(name)
	u.ExternalID = &externalID
	return u
}

func set(t *testing.T, s *store.Store, u store.User, edit func(*store.User)) store.User {
	t.Helper()
	after, _, err := s.UpdateUser(context.Background(), key(u), store.Change{Edit: func(u *store.User) error { edit(u); return nil }})
	if err != nil {
		t.Fatal(err)
	}
	return after
}

// TestExternalIDIsUniqueWithinACustomer: by whatever way a user gets one, and no two writers get the same.
func TestExternalIDIsUniqueWithinACustomer(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := context.Background()
		storetest.Directory(t, s)
		first := create(t, s, provisioned("first", "00u1"))
		create(t, s, provisioned("other-case", "00U1"))
		elsewhere := provisioned("elsewhere", "00u1")
		elsewhere.CustomerID = 3394
		create(t, s, elsewhere)
		none := provisioned("none", "")
		if none = create(t, s, none); none.ExternalID != nil {
			t.Errorf("the empty external id is %q", *none.ExternalID)
		}

		want := []store.Field{store.FieldExternalID}
		again := provisioned("again", "00u1")
		if got := conflictsIn(t, s.CreateUser(ctx, &again)); !slices.Equal(got, want) {
			t.Errorf("a creation conflicts in %v", got)
		}
		if got := conflictsIn(t, s.PreviewCreation(ctx, &again)); !slices.Equal(got, want) {
			t.Errorf("the preview of a creation conflicts in %v", got)
		}
		twice := provisioned("first", "00u1")
		if got := conflictsIn(t, s.CreateUser(ctx, &twice)); !slices.Equal(got, []store.Field{store.FieldUsername, store.FieldEmail, store.FieldExternalID}) {
			t.Errorf("a creation conflicts in %v", got)
		}
		taking := store.Change{Edit: func(u *store.User) error { u.ExternalID = new("00u1"); return nil }}
		_, _, err := s.UpdateUser(ctx, key(none), taking)
		if got := conflictsIn(t, err); !slices.Equal(got, want) {
			t.Errorf("an update conflicts in %v", got)
		}
		_, _, err = s.PreviewUpdate(ctx, key(none), taking)
		if got := conflictsIn(t, err); !slices.Equal(got, want) {
			t.Errorf("the preview of an update conflicts in %v", got)
		}
		both := taking
		both.Edit = func(u *store.User) error { u.ExternalID, u.Status = new("00u1"), "gone"; return nil }
		_, _, err = s.UpdateUser(ctx, key(none), both)
		var invalid *store.FieldErrors
		if got := conflictsIn(t, err); !errors.As(err, &invalid) || !slices.Equal(got, want) {
			t.Errorf("an update that is invalid as well: %v", err)
		}
		tooLong := provisioned("long", fmt.Sprintf("%0257d", 1))
		if err := s.CreateUser(ctx, &tooLong); !errors.As(err, &invalid) || (*invalid)[0].Field != store.FieldExternalID {
			t.Errorf("an external id of 257 characters: %v", err)
		}

		// A restored one is another user's by now.
		gone := set(t, s, first, func(u *store.User) { u.ExternalID = nil })
		set(t, s, none, func(u *store.User) { u.ExternalID = new("00u1") })
		_, _, err = s.RestoreUser(ctx, key(gone), first.Version, nil)
		if got := conflictsIn(t, err); !slices.Equal(got, want) {
			t.Errorf("a restore conflicts in %v", got)
		}
		set(t, s, none, func(u *store.User) { u.ExternalID = nil })
		if back, _, err := s.RestoreUser(ctx, key(gone), first.Version, nil); err != nil || back.ExternalID == nil || *back.ExternalID != "00u1" {
			t.Errorf("restored %v, %v", back.ExternalID, err)
		}
	})
}

func TestImportChecksExternalIDs(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		create(t, s, provisioned("first", "00u1"))
		i, err := s.NewImport(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer i.Close()
		elsewhere := provisioned("c", "00u1")
		elsewhere.CustomerID = 3394
		bad, err := i.Check(context.Background(), []store.ImportRow{
			row(1, provisioned("a", "00u2")), row(2, provisioned("b", "00u1")), row(3, elsewhere), row(4, provisioned("d", "00u2")),
		})
		if err != nil || len(bad) != 1 || bad[0].Line != 2 || bad[0].Errors[0] != (store.FieldError{Field: store.FieldExternalID, Reason: "is already taken"}) {
			t.Errorf("refused are %v, %v", bad, err)
		}
		var repeated []store.RepeatedValue
		err = i.Repeated(func(r store.RepeatedValue) { repeated = append(repeated, r) })
		if want := (store.RepeatedValue{Line: 4, First: 1, Field: store.FieldExternalID}); err != nil || len(repeated) != 1 || repeated[0] != want {
			t.Errorf("repeated are %v, %v", repeated, err)
		}
		write(t, s, []store.ImportRow{row(1, provisioned("a", "00u2"))})
		if users, err := s.UsersWith(context.Background(), 3393, store.FieldExternalID, "00u2"); err != nil || len(users) != 1 || users[0].Username != "a" {
			t.Errorf("%v, %v", users, err)
		}
	})
}

func TestUsersWith(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		u := create(t, s, provisioned("Ünna", "00u1"))
		u = set(t, s, u, func(u *store.User) { u.Status, u.DeprovisionedAt = store.StatusInactive, new(time.Now()) })
		for _, c := range []struct {
			customer int64
			field    store.Field
			value    string
			found    bool
		}{
			{3393, store.FieldUsername, "üNNA", true},
			{3393, store.FieldEmail, "ünna@EXAMPLE.com", true},
			{3393, store.FieldExternalID, "00u1", true},
			{3393, store.FieldExternalID, "00U1", false},
			{3394, store.FieldUsername, "Ünna", false},
			{3394, store.FieldEmail, "ünna@example.com", false},
			{3394, store.FieldExternalID, "00u1", false},
			{3393, store.FieldUsername, "nobody", false},
		} {
			users, err := s.UsersWith(context.Background(), c.customer, c.field, c.value)
			if err != nil || len(users) == 1 != c.found || c.found && (users[0].ID != u.ID || users[0].AccessToken != u.AccessToken) {
				t.Errorf("%v: %v, %v", c, users, err)
			}
			filter := map[store.Field]func(string) store.Filter{
				store.FieldUsername: store.HasUsername, store.FieldEmail: store.HasEmail, store.FieldExternalID: store.HasExternalID,
			}[c.field](c.value)
			for _, seen := range []bool{true, false} {
				q := store.Query{Filters: []store.Filter{filter}, Provisioned: !seen}
				users, total, err := s.ListUsers(context.Background(), c.customer, q, store.Window{Limit: 10})
				if want := c.found && seen; err != nil || total == 1 != want || len(users) == 1 != want {
					t.Errorf("a list by %v, deprovisioned shown %v: %d of %d, %v", c, seen, len(users), total, err)
				}
			}
		}
		if _, err := s.UsersWith(context.Background(), 3393, store.FieldMobile, "1"); err == nil {
			t.Error("found by a field that is not unique")
		}
	})
}

// TestDeprovisionedAt: the marker lasts as long as the status is INACTIVE, whoever ends it, and the history tells of both.
func TestDeprovisionedAt(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		u := create(t, s, newUser("ada"))
		at := time.Date(2026, 11, 30, 8, 0, 0, 123_456_789, time.UTC)
		deprovision := func(u *store.User) { u.Status, u.DeprovisionedAt = store.StatusInactive, &at }
		if active := set(t, s, u, func(u *store.User) { u.DeprovisionedAt = &at }); active.DeprovisionedAt != nil || active.Version != u.Version {
			t.Errorf("an active user is deprovisioned at %v, version %d", active.DeprovisionedAt, active.Version)
		}
		gone := set(t, s, u, deprovision)
		if gone.DeprovisionedAt == nil || !gone.DeprovisionedAt.Equal(at.Truncate(time.Millisecond)) {
			t.Errorf("deprovisioned at %v", gone.DeprovisionedAt)
		}
		stored, err := s.FindUser(context.Background(), key(u))
		if err != nil || stored.DeprovisionedAt == nil || !stored.DeprovisionedAt.Equal(*gone.DeprovisionedAt) {
			t.Errorf("stored is %v, %v", stored.DeprovisionedAt, err)
		}
		renamed := set(t, s, u, func(u *store.User) { u.FirstName = "Augusta" })
		if renamed.DeprovisionedAt == nil {
			t.Error("another edit cleared the marker")
		}
		for _, status := range []store.Status{store.StatusActive, store.StatusInvited} {
			if back := set(t, s, u, func(u *store.User) { u.Status = status }); back.DeprovisionedAt != nil {
				t.Errorf("%s, and deprovisioned at %v", status, back.DeprovisionedAt)
			}
			set(t, s, u, deprovision)
		}
		if _, _, err := s.RestoreUser(context.Background(), key(u), 1, nil); err != nil {
			t.Fatal(err)
		}
		history, err := s.UserHistory(context.Background(), key(u), 1, 3)
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		for _, c := range history {
			for _, f := range c.Fields {
				told = append(told, fmt.Sprintf("%d %s %v %v", c.Version, f.Field, f.Old, f.New))
			}
		}
		want := []string{
			"2 Status ACTIVE INACTIVE", "2 DeprovisionedAt <nil> 2026-11-30T08:00:00.123Z", "3 FirstName ada Augusta",
			"4 Status INACTIVE ACTIVE", "4 DeprovisionedAt 2026-11-30T08:00:00.123Z <nil>",
		}
		if !slices.Equal(told, want) {
			t.Errorf("told\n%q, want\n%q", told, want)
		}
		if u, err := s.FindUser(context.Background(), key(u)); err != nil || u.DeprovisionedAt != nil || u.Status != store.StatusActive {
			t.Errorf("restored to %s, deprovisioned at %v, %v", u.Status, u.DeprovisionedAt, err)
		}
	})
}

// TestListOfProvisioned compares pages of users who are not deprovisioned with leaving the others out of the whole list.
func TestListOfProvisioned(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := context.Background()
		storetest.Directory(t, s)
		scattered(t, s)
		gone := newUser("gone")
		gone.Status, gone.DeprovisionedAt = store.StatusInactive, new(time.Now())
		create(t, s, gone)
		imported := gone
		imported.Username, imported.Email = "imported", "imported@example.com"
		write(t, s, []store.ImportRow{row(1, imported)})
		everybody, _, err := s.ListUsers(ctx, 3393, store.Query{}, store.Window{Limit: 1 << 40})
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(everybody); i += 97 {
			set(t, s, everybody[i], func(u *store.User) { u.Status, u.DeprovisionedAt = store.StatusInactive, new(time.Now()) })
			if i%5 == 0 {
				set(t, s, everybody[i], func(u *store.User) { u.Status = store.StatusActive })
			}
		}
		everybody, _, err = s.ListUsers(ctx, 3393, store.Query{}, store.Window{Limit: 1 << 40})
		if err != nil {
			t.Fatal(err)
		}
		var want []int64
		for _, u := range everybody {
			if u.DeprovisionedAt == nil {
				want = append(want, u.ID)
			}
		}
		if len(want) == len(everybody) {
			t.Fatal("nobody is deprovisioned")
		}
		for _, descending := range []bool{false, true} {
			for _, filters := range [][]store.Filter{nil, {store.Mentions("")}} {
				for offset := 0; offset < len(want)+50; offset += 1 + len(want)/9 {
					q := store.Query{Provisioned: true, Descending: descending, Filters: filters}
					users, total, err := s.ListUsers(ctx, 3393, q, store.Window{Offset: int64(offset), Limit: 20})
					if err != nil || total != int64(len(want)) {
						t.Fatalf("%d in all, want %d, %v", total, len(want), err)
					}
					var got []int64
					for _, u := range users {
						got = append(got, u.ID)
					}
					page := slices.Clone(want)
					if descending {
						slices.Reverse(page)
					}
					page = page[min(offset, len(page)):min(offset+20, len(page))]
					if !slices.Equal(got, page) {
						t.Errorf("descending %v, offset %d: %v, want %v", descending, offset, got, page)
					}
				}
			}
		}
	})
}

// TestProvisioningOfAnOldDatabase: users of an earlier version have neither of the fields, and all of them are in lists.
func TestProvisioningOfAnOldDatabase(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		db := migrateTo(t, url, 2)
		execute(t, db, oldCustomer(1), oldUser(1, 1), oldUser(2, 1), oldUser(5000, 1))
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		s := storetest.Open(t, url)
		users, err := s.FileUsersAfter(context.Background(), 1, 0, 10)
		if err != nil || len(users) != 3 {
			t.Fatalf("%d users, %v", len(users), err)
		}
		for _, u := range users {
			if u.ExternalID != nil || u.DisplayName != nil || u.DeprovisionedAt != nil {
				t.Errorf("%+v", u)
			}
		}
		gone := provisioned("gone", "x")
		gone.CustomerID, gone.DisplayName, gone.Status, gone.DeprovisionedAt = 1, new("Gone"), store.StatusInactive, new(time.Now())
		create(t, s, gone)
		_, total, err := s.ListUsers(context.Background(), 1, store.Query{Provisioned: true}, store.Window{})
		if err != nil || total != 3 {
			t.Errorf("%d users, %v", total, err)
		}
	})
}
