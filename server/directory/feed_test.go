package directory_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

func TestFeedShowsANumberedChange(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		start := *readPage(t, s, who["administrator"], changes).Next
		asGrace(t, s, "request-1", http.MethodPatch, "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users/94520740-d63c-4e02-85ca-c4e138801e73",
			`{"first_name":"Augusta"}`)
		row := history(t, s, store.UserByID(servertest.Sandbox, servertest.Ada))[1]
		told := change(row, `"0cfecc31-e3f4-4fce-9a27-f36ea6256a10"`, "grace", "worth", "updateCustomerUser", "request-1",
			`{"field":"FirstName","old":"Ada","new":"Augusta"}`)
		path := fmt.Sprintf("%s?after=%d", changes, start)
		shows(t, read(s, who["administrator"], path), fmt.Sprintf(`{"changes":[{"id":%d,%s],"next":%d}`, start+1, told[1:], start+1))
		// Asked again it is the same; and behind it there is nothing.
		shows(t, read(s, who["administrator"], path), fmt.Sprintf(`{"changes":[{"id":%d,%s],"next":%d}`, start+1, told[1:], start+1))
		shows(t, read(s, who["administrator"], fmt.Sprintf("%s?after=%d", changes, start+1)), fmt.Sprintf(`{"changes":[],"next":%d}`, start+1))
	})
}

func TestFeedTenantIsolation(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for name, claims := range who {
			t.Run(name, func(t *testing.T) {
				var want []int64
				switch name {
				case "company administrator", "administrator":
					want = []int64{servertest.Ada, servertest.Grace}
				case "of both customers", "platform administrator":
					want = []int64{servertest.Ada, servertest.Grace, servertest.Alan}
				case "stranger":
					want = []int64{servertest.Alan}
				default:
					refuses(t, read(s, claims, changes), 403, forbidden)
					return
				}
				p := readPage(t, s, claims, changes)
				var got []int64
				for _, c := range p.Changes {
					got = append(got, c.User)
				}
				if slices.Sort(got); !slices.Equal(got, want) || p.Next == nil || *p.Next != 3 {
					t.Errorf("shown are the changes of %v, want %v; next is %v", got, want, p.Next)
				}
			})
		}
		// A customer that nobody has, beside one's own.
		claims := who["administrator"]
		claims.Customers = []string{"4711", "3393", "5d2b1c9e-31a5-4c39-8c1a-4a3f7cf4f0aa"}
		if got := len(readPage(t, s, claims, changes).Changes); got != 2 {
			t.Errorf("%d changes", got)
		}
	})
}

// In whatever parts it is read, the feed is the same.
func TestFeedIsReadInParts(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for _, id := range []int64{servertest.Ada, servertest.Grace} {
			rename(t, s, store.UserByID(servertest.Sandbox, id), 5)
			rename(t, s, store.UserByID(servertest.Elsewhere, servertest.Alan), 3)
		}
		for _, name := range []string{"administrator", "platform administrator"} {
			whole := readPage(t, s, who[name], changes)
			for limit := range len(whole.Changes) {
				var parts page
				for after := int64(0); ; {
					p := readPage(t, s, who[name], fmt.Sprintf("%s?after=%d&limit=%d", changes, after, limit+1))
					parts.Changes = append(parts.Changes, p.Changes...)
					if after = *p.Next; len(p.Changes) <= limit {
						break
					}
				}
				if !slices.Equal(parts.Changes, whole.Changes) {
					t.Errorf("%s, %d at once: %v, want %v", name, limit+1, parts.Changes, whole.Changes)
				}
			}
		}
	})
}

func TestFeedFollowedDuringWrites(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		const writers, writes = 4, 12 // of each dialect
		var all sync.WaitGroup
		for w := range 2 * writers {
			all.Go(func() {
				for i := range writes {
					if a := writeOf(s, w, fmt.Sprint(w, " ", i)); a.Status != http.StatusOK {
						t.Errorf("writer %d: %d %s", w, a.Status, a.Body)
						return
					}
				}
			})
		}
		// The sandbox's administrator sees its two users being created as well, the platform's all three.
		for name, count := range map[string]int{"company administrator": 2, "platform administrator": 3} {
			all.Go(func() { follow(t, s, who[name], count+2*writers*writes) })
		}
		all.Wait()
	})
}

// writeOf is a writer's write of a text of its own, through Worth to Ada's mobile number or through Testinium to Grace's VCS
// password and name.
func writeOf(s *servertest.Server, writer int, text string) servertest.Answer {
	claims := servertest.Manager()
	if writer%2 == 0 {
		path := "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users/94520740-d63c-4e02-85ca-c4e138801e73"
		return s.Ask(claims, servertest.Request{Method: http.MethodPatch, Path: path, Body: fmt.Sprintf(`{"mobile":%q}`, text)})
	}
	return s.Ask(claims, servertest.Request{Method: http.MethodPut, Path: "/account/api/v1/customers/3393/users/6861",
		Body: fmt.Sprintf(`{"name":%q,"surname":"Hopper","username":"gracehopper","email":"grace.hopper@example.com","enabled":true,"accountNonExpired":true,`+
			`"accountNonLocked":true,"credentialNonExpired":true,"authorities":[{"name":"ROLE_COMPANY_ADMIN"}],"vcsPassword":%[1]q}`, text)})
}

// follow reads the feed until so many changes were seen, each once, and each user's in the order of their versions.
func follow(t *testing.T, s *servertest.Server, claims auth.Claims, count int) {
	versions := map[int64]int64{}
	for after, seen := int64(0), 0; seen < count; {
		a := read(s, claims, fmt.Sprintf("%s?after=%d&limit=7", changes, after))
		if a.Status != http.StatusOK {
			t.Errorf("%d %s", a.Status, a.Body)
			return
		}
		var p page
		a.Decode(t, &p)
		for _, c := range p.Changes {
			if seen++; c.ID <= after || c.Version != versions[c.User]+1 {
				t.Errorf("number %d, user %d, version %d after number %d, version %d", c.ID, c.User, c.Version, after, versions[c.User])
				return
			}
			after, versions[c.User] = c.ID, c.Version
		}
		if *p.Next < after {
			t.Errorf("next is %d after %d", *p.Next, after)
			return
		}
		after = *p.Next
	}
}

func TestFaultsAreProblems(t *testing.T) {
	t.Parallel()
	paths := []string{adaHistory, changes}
	t.Run("a broken database", func(t *testing.T) {
		t.Parallel()
		servertest.Each(t, func(t *testing.T, s *servertest.Server) {
			if err := s.Store.Close(); err != nil {
				t.Fatal(err)
			}
			for _, path := range paths {
				refuses(t, read(s, who["administrator"], path), 500, "An unexpected error occurred.")
			}
		})
	})
	t.Run("no keys", func(t *testing.T) {
		t.Parallel()
		down := httptest.NewServer(http.NotFoundHandler())
		down.Close()
		s := servertest.StartWith(t, server.Config{Auth: auth.Config{Issuers: []auth.Issuer{{JWKSURL: down.URL, Rules: auth.Rules{Issuer: "issuer", Audiences: []string{"audience"}}}}}})
		for _, path := range paths {
			// {"alg":"RS256","kid":"k"}, {} and anything.
			a := s.Send(servertest.Request{Method: http.MethodGet, Path: path, Header: http.Header{"Authorization": {"Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.e30.c2ln"}}})
			refuses(t, a, 503, "The directory cannot answer at the moment.")
			a.ExpectHeader(t, "Retry-After", "1")
		}
	})
	t.Run("too many requests", func(t *testing.T) {
		t.Parallel()
		s := servertest.StartWith(t, server.Config{Limits: server.Limits{Principal: dialect.Rate{PerSecond: 1e-3, Burst: 1}}})
		read(s, who["administrator"], changes)
		for _, path := range paths {
			a := read(s, who["administrator"], path)
			refuses(t, a, 429, "The caller, or its address, has sent more requests than it may.")
			if len(a.Header["Retry-After"]) != 1 {
				t.Errorf("the answer has no Retry-After: %v", a.Header)
			}
		}
	})
	t.Run("an expired token", func(t *testing.T) {
		t.Parallel()
		clock := time.Now().Add(2 * time.Hour)
		s := servertest.StartWith(t, server.Config{Now: func() time.Time { return clock }})
		for _, path := range paths {
			a := read(s, who["administrator"], path)
			refuses(t, a, 401, "The token has expired.")
			if !strings.Contains(a.Header.Get("WWW-Authenticate"), "the token has expired") {
				t.Errorf("the challenge is %q", a.Header.Get("WWW-Authenticate"))
			}
		}
	})
}
