package store_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

func TestRekeySealsEverythingWithThePresentKey(t *testing.T) {
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
		users, err := rotating.Rekey(ctx)
		if err != nil || users != 2 {
			t.Errorf("%d users, %v", users, err)
		}
		if users, err := rotating.Rekey(ctx); err != nil || users != 0 {
			t.Errorf("again: %d users, %v", users, err)
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
