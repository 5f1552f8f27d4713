package store_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestPreviewEqualsUpdate: what a preview returns is what the update after it returns, and only that writes.
func TestPreviewEqualsUpdate(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		rapid.Check(t, func(t *rapid.T) {
			key := rapid.SampledFrom([]store.UserKey{ada, grace, store.UserByID(3393, 4711)}).Draw(t, "key")
			like := storetest.UserGen().Draw(t, "like")
			fields := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"name", "email", "taken", "username", "status", "roles", "vcs", "bad"}), rapid.ID).Draw(t, "fields")
			change := store.Change{UsernameFollowsEmail: rapid.Bool().Draw(t, "follows"), Edit: func(u *store.User) error {
				for _, f := range fields {
					switch f {
					case "name":
						u.FirstName = like.FirstName
					case "email":
						u.Email = like.Email
					case "taken":
						u.Email = "grace.hopper@example.com"
					case "username":
						u.Username = like.Username
					case "status":
						u.Status, u.AccountNonLocked = like.Status, like.AccountNonLocked
					case "roles":
						u.Roles = like.Roles
					case "vcs":
						u.VCSPassword = like.VCSPassword
					case "bad":
						u.LastName = "a\x00b"
					}
				}
				return nil
			}}
			version := func() int64 {
				u, err := s.FindUser(context.Background(), key)
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					t.Fatal(err)
				}
				return u.Version
			}
			before := version()
			preview, would, previewErr := s.PreviewUpdate(context.Background(), key, change)
			if now := version(); now != before {
				t.Errorf("a preview has made version %d of %d", now, before)
			}
			after, changed, err := s.UpdateUser(context.Background(), key, change)
			if (err == nil) != (previewErr == nil) || err != nil && err.Error() != previewErr.Error() {
				t.Fatalf("the preview is refused for %v, the update for %v", previewErr, err)
			}
			if !slices.Equal(would, changed) || len(store.Diff(&preview, &after)) > 0 || preview.Version != after.Version {
				t.Errorf("the preview is %v\n%+v\nand the update %v\n%+v", would, preview, changed, after)
			}
		})
	})
}

// TestPreviewCreationTakesNothing: the name is free afterwards, and refused for the reason that a creation is refused for.
func TestPreviewCreationTakesNothing(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		for name, edit := range map[string]func(u *store.User){
			"a good one": func(*store.User) {}, "no e-mail": func(u *store.User) { u.Email = "" }, "taken names": func(u *store.User) { u.Username, u.Email = "AdaLovelace", "grace.hopper@example.com" },
			"no customer": func(u *store.User) { u.CustomerID = 4711 },
		} {
			u := newUser("preview")
			edit(&u)
			preview := u
			previewErr := s.PreviewCreation(context.Background(), &preview)
			err := s.CreateUser(context.Background(), &u)
			if (err == nil) != (previewErr == nil) || err != nil && err.Error() != previewErr.Error() {
				t.Errorf("%s: the preview is refused for %v, the creation for %v", name, previewErr, err)
			}
			if err == nil && (len(store.Diff(&preview, &u)) > 1 || preview.Version != 1 || preview.ID != 0) {
				t.Errorf("%s: the preview is\n%+v\nand the creation\n%+v", name, preview, u)
			}
		}
	})
}
