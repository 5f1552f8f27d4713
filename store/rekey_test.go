package store_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

func TestRekeySealsEverythingAnew(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		ctx := context.Background()
		newKey := bytes.Repeat([]byte{7}, 32)
		first := storetest.Open(t, url)
		storetest.Directory(t, first)
		vcs := "git secret"
		edit(t, first, ada, func(u *store.User) { u.VCSPassword = &vcs })
		before := find(t, first, ada)

		rotating, err := store.Open(ctx, store.Config{URL: url, SecretKey: newKey, OldSecretKeys: [][]byte{storetest.Key}})
		if err != nil {
			t.Fatal(err)
		}
		defer rotating.Close()
		if u := find(t, rotating, ada); u.AccessToken != before.AccessToken || *u.VCSPassword != vcs {
			t.Error("the old key's secrets do not open")
		}
		// What is written meanwhile is under the new key already.
		edit(t, rotating, grace, func(u *store.User) { u.FirstName = "Amazing" })
		done, err := rotating.Rekey(ctx)
		if err != nil || done != (store.Rekeyed{Users: 2}) {
			t.Errorf("%+v, %v", done, err)
		}
		if done, err := rotating.Rekey(ctx); err != nil || done != (store.Rekeyed{}) {
			t.Errorf("again: %+v, %v", done, err)
		}

		alone, err := store.Open(ctx, store.Config{URL: url, SecretKey: newKey})
		if err != nil {
			t.Fatal(err)
		}
		defer alone.Close()
		after := find(t, alone, ada)
		if after.AccessToken != before.AccessToken || *after.VCSPassword != vcs || after.Version != before.Version {
			t.Errorf("%+v", after)
		}
		if got := history(t, alone, ada); len(got) != 2 {
			t.Errorf("%d changes", len(got))
		}
	})
}

// TestRekeyCountsWhatItWrote has another writer be first with one user of two.
func TestRekeyCountsWhatItWrote(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		first := storetest.Open(t, url)
		storetest.Directory(t, first)
		newKey := bytes.Repeat([]byte{7}, 32)
		c := store.Config{URL: url, SecretKey: newKey, OldSecretKeys: [][]byte{storetest.Key}}
		other, err := store.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		rotating, err := store.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		defer rotating.Close()
		done := false
		err = rotating.Gorm().Callback().Query().After("gorm:query").Register("test", func(db *gorm.DB) {
			if !done && strings.Contains(db.Statement.SQL.String(), "access_token_sealed NOT LIKE") {
				done = true
				edit(t, other, ada, func(u *store.User) { u.FirstName = "Augusta" })
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if done, err := rotating.Rekey(t.Context()); err != nil || done != (store.Rekeyed{Users: 2}) {
			t.Errorf("%+v, %v; of three another writer has sealed one", done, err)
		}
	})
}
