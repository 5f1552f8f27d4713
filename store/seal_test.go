package store_test

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// A sealed value opens for its user and column only, and what does not open is an error, never an empty secret.
func TestSealedValueIsBoundToItsRow(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := context.Background()
		storetest.Directory(t, s)
		secret := "s3cret"
		edit(t, s, ada, func(u *store.User) { u.VCSPassword = &secret })
		_, db := s.Pools()
		tamper := func(statement string) error {
			t.Helper()
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(statement); err != nil {
				t.Fatal(err)
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			_, err = s.FindUser(ctx, ada)
			return err
		}
		token, vcs := find(t, s, ada).AccessTokenSealed, *find(t, s, ada).VCSPasswordSealed
		grace := find(t, s, grace).AccessTokenSealed
		for name, statement := range map[string]string{
			"another user's":   "UPDATE users SET access_token_sealed = '" + grace + "' WHERE id = 6860",
			"another column's": "UPDATE users SET access_token_sealed = vcs_password_sealed WHERE id = 6860",
			"altered":          "UPDATE users SET access_token_sealed = '" + token[:20] + flip(token[20]) + token[21:] + "' WHERE id = 6860",
			"another key's id": "UPDATE users SET access_token_sealed = '00000000" + token[8:] + "' WHERE id = 6860",
			"no key's id":      "UPDATE users SET access_token_sealed = '" + token[9:] + "' WHERE id = 6860",
			"empty":            "UPDATE users SET access_token_sealed = '' WHERE id = 6860",
			"short":            "UPDATE users SET access_token_sealed = '" + token[:12] + "' WHERE id = 6860",
			"clear":            "UPDATE users SET vcs_password_sealed = 's3cret' WHERE id = 6860",
			"clear with a dot": "UPDATE users SET vcs_password_sealed = 's3cret.s3cret' WHERE id = 6860",
		} {
			err := tamper(statement)
			if err == nil {
				t.Errorf("%s: opened", name)
			} else if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error tells: %v", name, err)
			}
			if err := tamper("UPDATE users SET access_token_sealed = '" + token + "', vcs_password_sealed = '" + vcs + "' WHERE id = 6860"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func flip(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

func TestSealedValues(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		secret, token := "s3cret", find(t, s, ada).AccessToken
		first, _ := edit(t, s, ada, func(u *store.User) { u.VCSPassword = &secret })
		form := regexp.MustCompile(`^[0-9a-f]{8}\.[A-Za-z0-9_-]+$`)
		for _, sealed := range []string{first.AccessTokenSealed, *first.VCSPasswordSealed} {
			if !form.MatchString(sealed) {
				t.Errorf("%q", sealed)
			}
		}
		second, _ := edit(t, s, ada, func(u *store.User) { u.FirstName = "x" })
		if second.AccessTokenSealed != first.AccessTokenSealed || *second.VCSPasswordSealed != *first.VCSPasswordSealed {
			t.Error("sealed again though unchanged")
		}
		edit(t, s, ada, func(u *store.User) { u.VCSPassword = nil })
		third, _ := edit(t, s, ada, func(u *store.User) { u.VCSPassword = &secret })
		if *third.VCSPasswordSealed == *first.VCSPasswordSealed {
			t.Error("the same nonce twice")
		}
		fresh := strings.Repeat("0f", 16)
		edit(t, s, ada, func(u *store.User) { u.AccessToken = fresh })
		if u := find(t, s, ada); u.AccessToken != fresh || *u.VCSPassword != secret || token == fresh {
			t.Errorf("%+v", u)
		}
	})
}
