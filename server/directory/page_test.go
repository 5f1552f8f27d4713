package directory_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

const maxPageBytes = 1 << 20

// TestPagesHaveAtMost1MiB follows a user's history and the feed to the end, whose changes have the longest texts that the
// model takes.
func TestPagesHaveAtMost1MiB(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		const count = 150
		rewrite(t, s, store.UserByID(servertest.Sandbox, servertest.Ada), count)
		rename(t, s, store.UserByID(servertest.Sandbox, servertest.Grace), 20)
		rewrite(t, s, store.UserByID(servertest.Elsewhere, servertest.Alan), 5)
		for _, query := range []string{"", "limit=1000&"} {
			h := followPages(t, s, who["administrator"], adaHistory+"?"+query)
			if got, want := fmt.Sprint(h.versions()), fmt.Sprint(upTo(count+1)); got != want {
				t.Errorf("history?%s shows the versions %s", query, got)
			}
		}
		for name, c := range map[string]struct {
			query string
			total int
		}{"platform administrator": {"limit=1000&", count + 25 + 3}, "administrator": {"", count + 20 + 2}} {
			feed := followPages(t, s, who[name], changes+"?"+c.query)
			versions, last := map[int64]int64{}, int64(0)
			for _, shown := range feed.Changes {
				if shown.ID <= last || shown.Version != versions[shown.User]+1 {
					t.Fatalf("%s: number %d, user %d, version %d after number %d, version %d", name, shown.ID, shown.User, shown.Version, last, versions[shown.User])
				}
				last, versions[shown.User] = shown.ID, shown.Version
			}
			if len(feed.Changes) != c.total {
				t.Errorf("%s: %d changes, want %d", name, len(feed.Changes), c.total)
			}
		}
	})
}

func upTo(n int64) []int64 {
	all := []int64{}
	for i := range n {
		all = append(all, i+1)
	}
	return all
}

// rewrite makes so many changes of every text of a user, each of more than 10 KiB, and each fiftieth by a subject as long as a
// token has room for.
func rewrite(t *testing.T, s *servertest.Server, key store.UserKey, times int) {
	t.Helper()
	for i := range times {
		// An answer has \u003c for <, and four bytes for the others.
		name, wide := strings.Repeat("<", store.MaxNameLength-1), strings.Repeat(string([]rune("𝒜𝒵")[i%2]), store.MaxUsernameLength-12)
		ctx := context.Background()
		if i%50 == 0 {
			ctx = store.WithOrigin(ctx, store.Origin{Subject: strings.Repeat("<", 6000)})
		}
		_, _, err := s.Store.UpdateUser(ctx, key, store.Change{Edit: func(u *store.User) error {
			mobile := wide[:4*store.MaxMobileLength]
			u.FirstName, u.LastName = name+fmt.Sprint(i%2), name+fmt.Sprint(i%2)
			u.Username, u.Email, u.Mobile = fmt.Sprint(u.ID, wide), fmt.Sprint(wide, "@", u.ID), &mobile
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// followPages reads on from next to next until a page has no changes, and returns all that it was shown.
func followPages(t *testing.T, s *servertest.Server, claims auth.Claims, path string) page {
	t.Helper()
	var all page
	full := false
	for after := int64(0); ; {
		a := read(s, claims, fmt.Sprint(path, "after=", after))
		if a.Status != http.StatusOK || len(a.Body) > maxPageBytes {
			t.Fatalf("%safter=%d: %d, %d bytes", path, after, a.Status, len(a.Body))
		}
		var p page
		a.Decode(t, &p)
		if len(p.Changes) == 0 {
			if *p.Next < after {
				t.Errorf("%s: next is %d after %d", path, *p.Next, after)
			}
			break
		}
		if *p.Next <= after {
			t.Fatalf("%s: next is %d after %d", path, *p.Next, after)
		}
		after = *p.Next
		// A change has less than 64 KiB, so that more room would have taken another one.
		full = full || len(a.Body) > maxPageBytes-1<<16
		all.Changes = append(all.Changes, p.Changes...)
	}
	if !full {
		t.Errorf("%s: no page has near to 1 MiB", path)
	}
	return all
}
