package compare_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/moving/compare"
	"github.com/dragoman-id/dragoman/server/moving/difference"
	"github.com/dragoman-id/dragoman/server/moving/source"
	"github.com/dragoman-id/dragoman/server/moving/vendortest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// comparison is a comparison of two fake vendors that have the same users.
type comparison struct {
	compare.Compare
	source, target *vendortest.Vendor
	notices        []string
}

func newComparison(t *testing.T, dialect string, n int) *comparison {
	t.Helper()
	roles := storetest.Open(t, store.InMemory).Catalogue()
	people := vendortest.People(0, n, roles)
	c := &comparison{source: vendortest.New(t, dialect, roles, people), target: vendortest.New(t, dialect, roles, people)}
	c.Compare = compare.Compare{Dialect: dialect, Source: client(t, c.source, "", ""), Target: client(t, c.target, "--target", "target-"),
		Rules: difference.New(dialect, nil), PageSize: 7, Workers: 2, Notice: func(text string) { c.notices = append(c.notices, text) }}
	return c
}

func client(t *testing.T, v *vendortest.Vendor, setting, of string) *source.Client {
	t.Helper()
	return source.New(config(t, v, setting, of))
}

func clientThatSays(t *testing.T, v *vendortest.Vendor, notice func(string)) *source.Client {
	t.Helper()
	c := config(t, v, "", "")
	c.Notice = notice
	return source.New(c)
}

func config(t *testing.T, v *vendortest.Vendor, setting, of string) source.Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(vendortest.Token), 0o600); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(v.URL)
	if err != nil {
		t.Fatal(err)
	}
	return source.Config{URL: u, Setting: setting, Customer: v.Customer(), Company: strconv.Itoa(vendortest.CompanyID),
		Tokens: &source.Tokens{File: file, Of: of}, Rate: 1e6, Timeout: 5 * time.Second, RetryFor: 30 * time.Second, Pause: time.Millisecond}
}

// TestCompareListThatChanges: the list is read until it stays, also when its total has stayed all along.
func TestCompareListThatChanges(t *testing.T) {
	t.Parallel()
	roles := storetest.Open(t, store.InMemory).Catalogue()
	vendortest.Each(t, func(t *testing.T, dialect string) {
		for _, added := range []int{0, 1, 2} {
			c := newComparison(t, dialect, 30)
			at := map[string]int32{"worth": 3, "testinium": 2}[dialect]
			var n atomic.Int32
			c.source.SetFront(func(http.ResponseWriter, *http.Request) bool {
				if n.Add(1) == at {
					c.source.Remove(2)
					for _, u := range vendortest.People(500, added, roles) {
						c.source.Add(u)
					}
				}
				return false
			})
			r, err := c.Run(t.Context())
			if err != nil || r.Listed != int64(29+added) || r.Equal != 29 || r.Missing != int64(added) || r.Differ+r.Gone != 0 || len(c.notices) == 0 {
				t.Errorf("%d added: %v, %+v, %q", added, err, r, c.notices)
			}
		}
	})
}

// TestCompareUnstableList: users of a list that never stays are not compared.
func TestCompareUnstableList(t *testing.T) {
	t.Parallel()
	list := func(alter func(data map[string]any)) func(string, http.Header, map[string]any) {
		return func(operation string, _ http.Header, body map[string]any) {
			if operation == "list" {
				alter(body["data"].(map[string]any))
			}
		}
	}
	for name, tc := range map[string]struct {
		dialect string
		spoil   func(v *vendortest.Vendor)
		want    string
	}{
		"a total that lies": {"worth", func(v *vendortest.Vendor) {
			v.Alter = list(func(data map[string]any) { data["total_items"] = "11" })
		}, "5 times: it says that there are 11 users, and 10 were seen"},
		"a page that is ignored": {"worth", func(v *vendortest.Vendor) {
			v.Page = func(int) int { return 1 }
			v.Alter = list(func(data map[string]any) { data["total_pages"] = math.MaxInt64 })
		}, "5 times: it says that there are 10 users, and 7 were seen"},
		"a user twice": {"testinium", func(v *vendortest.Vendor) {
			v.Add(vendortest.People(3, 1, storetest.Open(t, store.InMemory).Catalogue())[0])
		}, "5 times: it says that there are 11 users, and 10 were seen"},
	} {
		c := newComparison(t, tc.dialect, 10)
		tc.spoil(c.source)
		if _, err := c.Run(t.Context()); !errors.Is(err, source.ErrListChanges) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCompareSample(t *testing.T) {
	t.Parallel()
	vendortest.Each(t, func(t *testing.T, dialect string) {
		c := newComparison(t, dialect, 20)
		c.Sample = 5
		r, err := c.Run(t.Context())
		if err != nil || r.Listed != 20 || r.Equal != 5 || r.Differences() {
			t.Errorf("%v, %+v", err, r)
		}
	})
}

// TestCompareHugeIDs: a user whose id the target cannot have is missing there, and the id is shown to the last digit.
func TestCompareHugeIDs(t *testing.T) {
	t.Parallel()
	c := newComparison(t, "testinium", 5)
	c.source.Edit(3, func(u *store.User) { u.Username = "huge" })
	roles := storetest.Open(t, store.InMemory).Catalogue()
	beyond := vendortest.People(7, 1, roles)[0]
	beyond.ID = 1<<53 + 3
	c.source.Add(beyond)
	c.source.Alter = func(operation string, _ http.Header, body map[string]any) {
		if operation != "list" {
			return
		}
		for _, u := range body["#value"].([]any) {
			if u := u.(map[string]any); u["username"] == "huge" {
				u["entityId"] = json.Number("92233720368547758080")
			}
		}
	}
	r, err := c.Run(t.Context())
	missing := map[string]bool{}
	for _, u := range r.Users {
		missing[u.ID] = u.Differences[0].Field == "user"
	}
	if err != nil || r.Equal != 4 || r.Missing != 2 || !missing["9007199254740995"] || !missing["92233720368547758080"] {
		t.Errorf("%v, %+v", err, r)
	}
}

// TestCompareNothing: a comparison of nobody shows nothing, and is an error.
func TestCompareNothing(t *testing.T) {
	t.Parallel()
	vendortest.Each(t, func(t *testing.T, dialect string) {
		empty := newComparison(t, dialect, 0)
		if _, err := empty.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "the source: the list of users is empty, so that nothing was compared") {
			t.Errorf("an empty list: %v", err)
		}
		c := newComparison(t, dialect, 10)
		c.source.SetFront(gone(t, c.source, 10))
		if r, err := c.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "the source: it lists users and has none of the 10 that were asked for, so that nothing was compared") {
			t.Errorf("%v, %+v", err, r)
		}
	})
}

// TestCompareGone: users whom the source lists and does not have differ, if the list has them still.
func TestCompareGone(t *testing.T) {
	t.Parallel()
	vendortest.Each(t, func(t *testing.T, dialect string) {
		c := newComparison(t, dialect, 10)
		c.source.SetFront(gone(t, c.source, 3))
		r, err := c.Run(t.Context())
		var text, junit strings.Builder
		if err := errors.Join(r.WriteText(&text), r.WriteJUnit(&junit)); err != nil {
			t.Fatal(err)
		}
		const want = "users who differ in user: 3\n10 users, 10 compared: 7 equal, 3 differ, 0 missing\n"
		if err != nil || !r.Differences() || !strings.HasSuffix(text.String(), want) || strings.Count(text.String(), "and has none when asked for it") != 3 || !strings.Contains(junit.String(), `failures="3"`) {
			t.Errorf("%v, %q, %s", err, text.String(), junit.String())
		}
		removed := newComparison(t, dialect, 10)
		removed.Workers = 1
		away := gone(t, removed.source, 3)
		var once sync.Once
		removed.source.SetFront(func(w http.ResponseWriter, r *http.Request) bool {
			answered := away(w, r)
			if answered {
				once.Do(func() {
					for range 3 {
						removed.source.Remove(0)
					}
				})
			}
			return answered
		})
		if r, err := removed.Run(t.Context()); err != nil || r.Gone != 3 || r.Differences() {
			t.Errorf("removed meanwhile: %v, %+v", err, r)
		}
	})
}

// gone answers 404 for the first n of a vendor's users, who stay in the list.
func gone(t *testing.T, v *vendortest.Vendor, n int) func(http.ResponseWriter, *http.Request) bool {
	t.Helper()
	people := vendortest.People(0, n, storetest.Open(t, store.InMemory).Catalogue())
	return func(w http.ResponseWriter, r *http.Request) bool {
		for i := range people {
			if strings.HasSuffix(r.URL.Path, v.UserPath(&people[i])) {
				w.WriteHeader(http.StatusNotFound)
				return true
			}
		}
		return false
	}
}

// TestCompareNoID: a record of the list without an id that can be asked for is an error that names it.
func TestCompareNoID(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		dialect string
		alter   func(record map[string]any)
		want    string
	}{
		{"worth", func(record map[string]any) { record["id"] = 7 }, "the source: page 2 of the users, record 3: id is missing or no text"},
		{"worth", func(record map[string]any) { delete(record, "id") }, "the source: page 2 of the users, record 3: id is missing or no text"},
		{"worth", func(record map[string]any) { record["id"] = "" }, "the source: page 2 of the users, record 3: id is missing or no text"},
		{"testinium", func(record map[string]any) { record["entityId"] = nil }, "the source: reading the list of users: record 10: entityId is missing or no number"},
		{"testinium", func(record map[string]any) { record["entityId"] = "x" }, "the source: reading the list of users: record 10: entityId is missing or no number"},
	} {
		c := newComparison(t, tc.dialect, 20)
		c.source.Alter = func(operation string, _ http.Header, body map[string]any) {
			if operation != "list" {
				return
			}
			records, _ := body["#value"].([]any)
			if data, ok := body["data"].(map[string]any); ok {
				records = data["records"].([]any)
			}
			for _, record := range records {
				if record := record.(map[string]any); record["last_name"] == "Invented 9" || record["surname"] == "Invented 9" {
					tc.alter(record)
				}
			}
		}
		if _, err := c.Run(t.Context()); err == nil || err.Error() != tc.want {
			t.Errorf("%v, want %s", err, tc.want)
		}
	}
}

// TestCompareNoise: what differs in the same member both times is a difference, also with other values, and what has gone is noise.
func TestCompareNoise(t *testing.T) {
	t.Parallel()
	vendortest.Each(t, func(t *testing.T, dialect string) {
		c := newComparison(t, dialect, 10)
		var n atomic.Int64
		changing := func(member string) func(string, http.Header, map[string]any) {
			return func(operation string, _ http.Header, body map[string]any) {
				if data, ok := body["data"].(map[string]any); ok {
					body = data
				}
				if operation == "show" {
					body[member] = fmt.Sprint(n.Add(1))
				}
			}
		}
		for member, how := range map[string]string{"last_login": difference.Missing, "email": difference.Differs} {
			c.source.Alter = changing(member)
			r, err := c.Run(t.Context())
			if err != nil || r.Differ != 10 || len(r.Noise) > 0 || r.Users[0].Differences[0].How != how || !strings.HasSuffix(r.Users[0].Differences[0].Field, member) {
				t.Errorf("%s: %v, %+v", member, err, r)
			}
		}
		seen := map[any]bool{}
		var mu sync.Mutex
		c.source.Alter = func(operation string, _ http.Header, body map[string]any) {
			if data, ok := body["data"].(map[string]any); ok {
				body = data
			}
			mu.Lock()
			defer mu.Unlock()
			if id := fmt.Sprint(body["id"], body["entityId"]); operation == "show" && !seen[id] {
				seen[id] = true
				body["email"] = "once"
			}
		}
		if r, err := c.Run(t.Context()); err != nil || r.Equal != 10 || len(r.Noise) != 1 {
			t.Errorf("once: %v, %+v", err, r)
		}
	})
}

// TestCompareFaultsThatPass: one side fails for a while, and nothing differs.
func TestCompareFaultsThatPass(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(w http.ResponseWriter, r *http.Request, v *vendortest.Vendor){
		"429 without Retry-After": func(w http.ResponseWriter, _ *http.Request, _ *vendortest.Vendor) { w.WriteHeader(429) },
		"500":                     func(w http.ResponseWriter, _ *http.Request, _ *vendortest.Vendor) { w.WriteHeader(500) },
		"HTML": func(w http.ResponseWriter, _ *http.Request, _ *vendortest.Vendor) {
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, "<html>We are back soon.</html>")
		},
		"half an answer": func(w http.ResponseWriter, r *http.Request, v *vendortest.Vendor) {
			whole := httptest.NewRecorder()
			v.SetFront(nil)
			v.ServeHTTP(whole, r)
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", strconv.Itoa(whole.Body.Len()))
			_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vendortest.Each(t, func(t *testing.T, dialect string) {
				for side := range 2 {
					c := newComparison(t, dialect, 10)
					v := []*vendortest.Vendor{c.source, c.target}[side]
					var n atomic.Int32
					v.SetFront(func(w http.ResponseWriter, r *http.Request) bool {
						if n.Add(1) != 4 {
							return false
						}
						fault(w, r, v)
						return true
					})
					if r, err := c.Run(t.Context()); err != nil || r.Equal != 10 || len(r.Noise) > 0 {
						t.Errorf("of side %d: %v, %+v", side, err, r)
					}
				}
			})
		})
	}
}

// TestCompareRestoresRate: an answer 429 lowers the rate of the comparison that got it, and not of later ones.
func TestCompareRestoresRate(t *testing.T) {
	t.Parallel()
	c := newComparison(t, "worth", 10)
	var notices []string
	c.Source = clientThatSays(t, c.source, func(text string) { notices = append(notices, text) })
	var n atomic.Int32
	c.source.SetFront(func(w http.ResponseWriter, _ *http.Request) bool {
		if n.Load() != 0 {
			return false
		}
		n.Store(1)
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	for range 2 {
		if r, err := c.Run(t.Context()); err != nil || r.Equal != 10 {
			t.Errorf("%v, %+v", err, r)
		}
		n.Store(0)
	}
	slower := slices.DeleteFunc(notices, func(text string) bool { return !strings.Contains(text, "going on with") })
	if len(slower) != 2 || slower[0] != slower[1] {
		t.Errorf("%q", slower)
	}
}

// TestCompareFaultsThatStay: they end the comparison with a line that names the side and its settings.
func TestCompareFaultsThatStay(t *testing.T) {
	t.Parallel()
	status := func(status int) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
	for name, tc := range map[string]struct {
		answer         func(w http.ResponseWriter, r *http.Request)
		source, target string
	}{
		"HTML": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			io.WriteString(w, "<html>")
		}, "is --source the URL of the API?", "is --target the URL of the API?"},
		"a token of another customer": {status(403), "is it another customer's?", "is it another customer's?"},
		"a token that is refused":     {status(401), "put a new one into --token-file, or name a command", "put a new one into --target-token-file, or name a command that prints one with --target-token-command"},
		"a redirection": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
		}, "the token was not sent there: if it has moved, change --source", "the token was not sent there: if it has moved, change --target"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vendortest.Each(t, func(t *testing.T, dialect string) {
				for side, want := range map[string]string{"the source: ": tc.source, "the target: ": tc.target} {
					c := newComparison(t, dialect, 5)
					v := c.source
					if side == "the target: " {
						v = c.target
					}
					v.SetFront(func(w http.ResponseWriter, r *http.Request) bool { tc.answer(w, r); return true })
					_, err := c.Run(t.Context())
					if err == nil || !strings.HasPrefix(err.Error(), side) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), vendortest.Token) {
						t.Errorf("it ends with %v, want %s%s", err, side, want)
					}
				}
			})
		})
	}
}
