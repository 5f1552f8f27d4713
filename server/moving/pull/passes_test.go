package pull_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/moving/pull"
	"github.com/dragoman-id/dragoman/server/moving/source"
	"github.com/dragoman-id/dragoman/server/moving/vendortest"
	"github.com/dragoman-id/dragoman/store"
)

// before calls f before each request to v, with its number from 1.
func before(v *vendortest.Vendor, f func(n int)) {
	n := 0
	v.SetFront(func(http.ResponseWriter, *http.Request) bool {
		n++
		f(n)
		return false
	})
}

// emails returns the e-mails of the file, sorted.
func (a *attempt) emails(t *testing.T) []string {
	t.Helper()
	all := []string{}
	for _, line := range a.lines(t) {
		all = append(all, fmt.Sprint(line["email"]))
	}
	slices.Sort(all)
	return all
}

func emailsOf(people []store.User) []string {
	all := []string{}
	for i := range people {
		all = append(all, people[i].Email)
	}
	slices.Sort(all)
	return all
}

// TestListChangesUnnoticed: one user is removed and one added, so that the list's total stays, and somebody moves to a page that had been read.
func TestListChangesUnnoticed(t *testing.T) {
	t.Parallel()
	vendortest.Each(t, func(t *testing.T, dialect string) {
		roles := catalogue(t)
		people := vendortest.People(0, 30, roles)
		for at := 1; at <= 6; at++ {
			v := vendortest.New(t, dialect, roles, people)
			before(v, func(n int) {
				if n == at {
					v.Remove(2)
					v.Add(vendortest.People(500, 1, roles)[0])
				}
			})
			a := newAttempt(t, v)
			if err := a.run(t.Context(), t); err != nil {
				t.Fatal(err)
			}
			got, want := a.emails(t), emailsOf(append(slices.Delete(slices.Clone(people), 2, 3), vendortest.People(500, 1, roles)...))
			if unread := dialect == "testinium" && at > 2 || dialect == "worth" && at > 10; !unread && !slices.Equal(got, want) {
				t.Errorf("before request %d: it has %q, want %q", at, got, want)
			}
		}
	})
}

// TestResumeAfterListChanged: a pull that has given up on a list goes on when it is resumed, with nobody lost or doubled.
func TestResumeAfterListChanged(t *testing.T) {
	t.Parallel()
	vendortest.Each(t, func(t *testing.T, dialect string) {
		roles := catalogue(t)
		people := vendortest.People(0, 30, roles)
		v := vendortest.New(t, dialect, roles, people)
		before(v, func(n int) {
			v.Remove(1)
			people = slices.Delete(people, 1, 2)
			added := vendortest.People(500+n, 1, roles)[0]
			v.Add(added)
			people = append(people, added)
		})
		a := newAttempt(t, v)
		for range 2 {
			requests := v.Requests(http.MethodGet)
			if err := a.run(t.Context(), t); !errors.Is(err, source.ErrListChanges) || !strings.Contains(err.Error(), "there are 30 users") {
				t.Fatalf("it ends with %v", err)
			}
			if v.Requests(http.MethodGet) == requests {
				t.Fatal("it sent no request")
			}
			a.pull.Resume = true
		}
		v.SetFront(nil)
		if err := a.run(t.Context(), t); err != nil {
			t.Fatal(err)
		}
		if got, want := a.emails(t), emailsOf(people); !slices.Equal(got, want) {
			t.Errorf("it has %q, want %q", got, want)
		}
	})
}

// TestListChangesAtRandom: users come, go and come back, and pulls are killed, until all is quiet: the file has the users who are there, each once.
func TestListChangesAtRandom(t *testing.T) {
	t.Parallel()
	vendortest.Each(t, func(t *testing.T, dialect string) {
		roles := catalogue(t)
		trials := 3
		if os.Getenv("TRIALS") != "" {
			trials = 30
		}
		for range trials {
			seed := rand.Uint64()
			random := rand.New(rand.NewPCG(seed, 0))
			people, out := vendortest.People(0, 25, roles), []store.User{}
			v := vendortest.New(t, dialect, roles, people)
			a := newAttempt(t, v)
			a.pull.Resume = true
			for range 4 {
				ctx, kill := context.WithCancel(t.Context())
				before(v, func(int) {
					switch random.IntN(6) {
					case 0, 1:
						i := random.IntN(len(people))
						v.Remove(i)
						out, people = append(out, people[i]), slices.Delete(people, i, i+1)
					case 2, 3:
						if len(out) > 0 {
							v.Add(out[0])
							people, out = append(people, out[0]), out[1:]
						}
					case 4:
						if random.IntN(3) == 0 {
							kill()
						}
					}
				})
				a.pull.Client = source.New(a.config(t))
				err := a.run(ctx, t)
				kill()
				if err == nil {
					break
				}
				if !errors.Is(err, context.Canceled) && !errors.Is(err, source.ErrListChanges) {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
			v.SetFront(nil)
			a.pull.Client = source.New(a.config(t))
			if err := a.run(t.Context(), t); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if got, want := a.emails(t), emailsOf(people); !slices.Equal(got, want) {
				t.Errorf("seed %d: it has %q, want %q", seed, got, want)
			}
		}
	})
}

// TestListWithUserTwice: a list that shows a user twice is not taken.
func TestListWithUserTwice(t *testing.T) {
	t.Parallel()
	vendortest.Each(t, func(t *testing.T, dialect string) {
		roles := catalogue(t)
		v := vendortest.New(t, dialect, roles, append(vendortest.People(0, 12, roles), vendortest.People(3, 1, roles)...))
		a := newAttempt(t, v)
		if err := a.run(t.Context(), t); !errors.Is(err, source.ErrListChanges) || !strings.Contains(err.Error(), "there are 13 users, and 12 were seen") {
			t.Errorf("it ends with %v", err)
		}
	})
}

// TestRefusedUserGoes: whoever is removed while the list is read is not reported either.
func TestRefusedUserGoes(t *testing.T) {
	t.Parallel()
	roles := catalogue(t)
	v := vendortest.New(t, "testinium", roles, vendortest.People(0, 9, roles))
	v.Alter = func(_ string, _ http.Header, body map[string]any) {
		for _, u := range body["#value"].([]any) {
			if u := u.(map[string]any); u["username"] == "person3" {
				u["authorities"] = []any{map[string]any{"name": "ROLE_PILOT"}}
			}
		}
	}
	before(v, func(n int) {
		if n == 2 {
			v.Remove(3)
		}
	})
	a := newAttempt(t, v)
	if err := a.run(t.Context(), t); err != nil || a.result != (pull.Result{Written: 8}) || len(a.refused) > 0 {
		t.Errorf("%v, %+v, %q", err, a.result, a.refused)
	}
}
