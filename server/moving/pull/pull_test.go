package pull_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/moving/pull"
	"github.com/dragoman-id/dragoman/server/moving/source"
	"github.com/dragoman-id/dragoman/server/moving/vendortest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// attempt is a pull by a test, and what came of it.
type attempt struct {
	pull    pull.Pull
	tokens  source.Tokens
	file    string
	refused []string
	notices []string
	result  pull.Result
}

// newAttempt returns a pull from v into a folder of its own.
func newAttempt(t *testing.T, v *vendortest.Vendor) *attempt {
	t.Helper()
	dir := t.TempDir()
	tokenFile := filepath.Join(dir, "token")
	if err := os.WriteFile(tokenFile, []byte(vendortest.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &attempt{file: filepath.Join(dir, "users.ndjson"), tokens: source.Tokens{File: tokenFile}}
	a.pull = pull.Pull{
		Dialect: v.Dialect, Source: v.URL, Customer: v.Customer(), PageSize: 7, Journal: a.file + ".part",
		Refused: func(r pull.Refused) { a.refused = append(a.refused, r.String()) },
		Notice:  func(s string) { a.notices = append(a.notices, s) },
	}
	return a
}

// config returns the configuration of the attempt's client.
func (a *attempt) config(t *testing.T) source.Config {
	t.Helper()
	u, err := url.Parse(a.pull.Source)
	if err != nil {
		t.Fatal(err)
	}
	return source.Config{URL: u, Customer: a.pull.Customer, Company: strconv.Itoa(vendortest.CompanyID), Tokens: &a.tokens,
		Rate: 100000, Timeout: 5 * time.Second, RetryFor: 30 * time.Second, Pause: time.Millisecond, Notice: a.pull.Notice}
}

func (a *attempt) run(ctx context.Context, t *testing.T) error {
	t.Helper()
	if a.pull.Client == nil {
		a.pull.Client = source.New(a.config(t))
	}
	var err error
	a.result, err = a.pull.Run(ctx, func(write func(io.Writer) error) error {
		var out bytes.Buffer
		if err := write(&out); err != nil {
			return err
		}
		return os.WriteFile(a.file, out.Bytes(), 0o600)
	})
	return err
}

// lines returns the lines of the file, decoded.
func (a *attempt) lines(t *testing.T) []map[string]any {
	t.Helper()
	text, err := os.ReadFile(a.file)
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	for line := range bytes.Lines(text) {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, m)
	}
	return all
}

func catalogue(t *testing.T) *store.Catalogue {
	t.Helper()
	return storetest.Open(t, store.InMemory).Catalogue()
}

func TestPullKeepsIDs(t *testing.T) {
	t.Parallel()
	vendortest.Each(t, func(t *testing.T, dialect string) {
		roles := catalogue(t)
		people := vendortest.People(0, 100, roles)
		v := vendortest.New(t, dialect, roles, people)
		a := newAttempt(t, v)
		if err := a.run(t.Context(), t); err != nil {
			t.Fatal(err)
		}
		lines := a.lines(t)
		if len(lines) != len(people) || a.result.Written != int64(len(people)) || a.result.Refused != 0 {
			t.Fatalf("%d lines, %+v, refused %q", len(lines), a.result, a.refused)
		}
		for i, line := range lines {
			p := people[i]
			want := map[string]any{"uuid": p.UUID.String(), "customer": vendortest.CustomerUUID, "email": p.Email, "first_name": p.FirstName, "status": string(p.Status)}
			if dialect == "testinium" {
				want = map[string]any{"id": float64(p.ID), "customer": float64(vendortest.CustomerID), "email": p.Email, "username": p.Username, "account_non_locked": p.AccountNonLocked}
			}
			for name, value := range want {
				if line[name] != value {
					t.Errorf("user %d: %s is %v, want %v", i, name, line[name], value)
				}
			}
			if line["created_at"] != p.CreatedAt.Format(store.TimeLayout) {
				t.Errorf("user %d: created_at is %v, want %v", i, line["created_at"], p.CreatedAt)
			}
		}
		if _, err := os.Stat(a.pull.Journal); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the journal is still there: %v", err)
		}
		if other := v.Requests(http.MethodPut) + v.Requests(http.MethodPost) + v.Requests(http.MethodPatch); other != 0 {
			t.Errorf("it wrote %d times", other)
		}
	})
}

// TestPullKilledAnywhere ends a pull after each request in turn, as a kill would: what was written last is cut off in the middle too.
func TestPullKilledAnywhere(t *testing.T) {
	t.Parallel()
	vendortest.Each(t, func(t *testing.T, dialect string) {
		roles := catalogue(t)
		v := vendortest.New(t, dialect, roles, vendortest.People(0, 40, roles))
		whole := newAttempt(t, v)
		if err := whole.run(t.Context(), t); err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(whole.file)
		if err != nil {
			t.Fatal(err)
		}
		requests, cuts := []int{0, 2, 4}, []int64{30}
		if os.Getenv("TRIALS") != "" {
			requests, cuts = []int{0, 1, 2, 3, 4, 5, 6, 7}, []int64{0, 1, 30, 200, 1000}
		}
		for _, requests := range requests {
			for _, cut := range cuts {
				a := newAttempt(t, v)
				a.pull.Resume = true
				ctx, kill := context.WithCancel(t.Context())
				n := 0
				c := a.config(t)
				c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
					if n++; n > requests {
						kill()
					}
					return http.DefaultTransport.RoundTrip(r)
				})
				a.pull.Client = source.New(c)
				err := a.run(ctx, t)
				if err == nil && requests < 6 && dialect == "worth" {
					t.Fatalf("after %d requests it was not interrupted", requests)
				}
				kill()
				if info, err := os.Stat(a.pull.Journal); err == nil {
					if err := os.Truncate(a.pull.Journal, max(0, info.Size()-cut)); err != nil {
						t.Fatal(err)
					}
				}
				a.pull.Client = source.New(a.config(t))
				if err := a.run(t.Context(), t); err != nil {
					t.Fatal(err)
				}
				if got, err := os.ReadFile(a.file); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("killed after %d requests and cut by %d, it wrote %s, not %s (%v)", requests, cut, got, want, err)
				}
			}
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestPullNeedsResumeForItsJournal(t *testing.T) {
	t.Parallel()
	roles := catalogue(t)
	v := vendortest.New(t, "worth", roles, vendortest.People(0, 3, roles))
	a := newAttempt(t, v)
	if err := os.WriteFile(a.pull.Journal, []byte("{\"#pull\":1,\"dialect\":\"other\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.run(t.Context(), t); !errors.Is(err, pull.ErrJournalExists) {
		t.Errorf("it ends with %v", err)
	}
	a.pull.Resume = true
	if err := a.run(t.Context(), t); !errors.Is(err, pull.ErrOtherJournal) {
		t.Errorf("with --resume it ends with %v", err)
	}
}

func TestSecretsStayAway(t *testing.T) {
	t.Parallel()
	roles := catalogue(t)
	v := vendortest.New(t, "testinium", roles, vendortest.People(0, 30, roles))
	a := newAttempt(t, v)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var journal []byte
	_, err := func() (pull.Result, error) {
		a.pull.Client = source.New(a.config(t))
		return a.pull.Run(ctx, func(write func(io.Writer) error) error {
			var err error
			journal, err = os.ReadFile(a.pull.Journal)
			return errors.Join(err, write(io.Discard), errors.New("stop"))
		})
	}()
	if err == nil || len(journal) == 0 {
		t.Fatalf("there is no journal: %v", err)
	}
	a.pull.Resume = true
	if err := a.run(t.Context(), t); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(a.file)
	if err != nil {
		t.Fatal(err)
	}
	for _, mark := range append(vendortest.SecretMarks, vendortest.Token) {
		if bytes.Contains(journal, []byte(mark)) || bytes.Contains(file, []byte(mark)) {
			t.Errorf("%s reached the disk", mark)
		}
	}
}

// TestUsersThatDoNotFit: each is reported with the reason, and the others are written.
func TestUsersThatDoNotFit(t *testing.T) {
	t.Parallel()
	roles := catalogue(t)
	for _, tc := range []struct {
		name, dialect string
		spoil         func(u []store.User)
		alter         func(record map[string]any)
		want          string
	}{
		{"username with a space", "testinium", func(u []store.User) { u[3].Username = "two words" }, nil, "username must be one or more characters without white space"},
		{"an e-mail that also a refused user has", "testinium", func(u []store.User) { u[2].Username, u[3].Email = "two words", u[2].Email }, nil, "username must be one or more characters without white space"},
		{"two of one e-mail", "testinium", func(u []store.User) { u[3].Email = strings.ToLower(u[1].Email) }, nil, "email is also that of user 100001"},
		{"two of one e-mail", "worth", func(u []store.User) { u[3].Email = strings.ToUpper(u[1].Email) }, nil, "email is also that of user " + vendortest.People(1, 1, roles)[0].UUID.String()},
		{"id beyond 2^53", "testinium", func(u []store.User) { u[3].ID = 1<<53 + 1 }, nil, "user 9007199254740993: id must be"},
		{"id beyond int64", "testinium", nil, func(r map[string]any) { r["entityId"] = json.Number("92233720368547758080") }, "entityId is \"92233720368547758080\", which is no integer that this directory can keep"},
		{"id as text", "testinium", nil, func(r map[string]any) { r["entityId"] = "x" }, "entityId is missing or no number"},
		{"no id", "worth", nil, func(r map[string]any) { delete(r, "id") }, "id is missing or no text"},
		{"id that is no UUID", "worth", nil, func(r map[string]any) { r["id"] = "17" }, "id is no UUID"},
		{"unknown status", "worth", func(u []store.User) { u[3].Status = "SIGNUP_PENDING" }, nil, "status must be INVITED, ACTIVE or INACTIVE"},
		{"unknown subrole", "worth", nil, func(r map[string]any) { r["subrole"] = map[string]any{"id": r["id"], "code": "admin"} }, `subrole.code is "admin"`},
		{"unknown role", "testinium", nil, func(r map[string]any) { r["authorities"] = []any{map[string]any{"name": "ROLE_PILOT"}} }, `authorities has "ROLE_PILOT"`},
		{"another customer's", "testinium", nil, func(r map[string]any) { r["customer"] = 4711 }, "customer is 4711, and 3393 was asked for"},
		{"no e-mail", "worth", func(u []store.User) { u[3].Email = "" }, nil, "email must be an e-mail address"},
		{"a name that is a number", "worth", nil, func(r map[string]any) { r["first_name"] = 7 }, "first_name is a number, which the API does not document"},
		{"bad time", "worth", nil, func(r map[string]any) { r["created_at"] = "yesterday" }, "created_at has a value that the API does not document"},
	} {
		t.Run(tc.name+" "+tc.dialect, func(t *testing.T) {
			t.Parallel()
			people := vendortest.People(0, 9, roles)
			if tc.spoil != nil {
				tc.spoil(people)
			}
			v := vendortest.New(t, tc.dialect, roles, people)
			if tc.alter != nil {
				v.Alter = func(operation string, _ http.Header, body map[string]any) {
					records, _ := body["#value"].([]any)
					if data, ok := body["data"].(map[string]any); ok {
						records = data["records"].([]any)
					}
					for _, r := range records {
						if r := r.(map[string]any); strings.HasSuffix(fmt.Sprint(r["email"]), "n.3@Example.com") {
							tc.alter(r)
						}
					}
				}
			}
			a := newAttempt(t, v)
			if err := a.run(t.Context(), t); err != nil {
				t.Fatal(err)
			}
			if a.result != (pull.Result{Written: 8, Refused: 1}) || len(a.lines(t)) != 8 || len(a.refused) != 1 || !strings.Contains(a.refused[0], tc.want) {
				t.Errorf("%+v, refused %q, want %q", a.result, a.refused, tc.want)
			}
		})
	}
}

func TestTokenIsRenewed(t *testing.T) {
	t.Parallel()
	vendortest.Each(t, func(t *testing.T, dialect string) {
		roles := catalogue(t)
		v := vendortest.New(t, dialect, roles, vendortest.People(0, 20, roles))
		a := newAttempt(t, v)
		v.SetToken("renewed-1")
		count := filepath.Join(t.TempDir(), "count")
		a.tokens.Command = "echo >>" + count + "; echo renewed-$(wc -l <" + count + " | tr -d ' ')"
		var n atomic.Int32
		v.SetFront(func(http.ResponseWriter, *http.Request) bool {
			if dialect == "worth" && n.Add(1) == 3 {
				v.SetToken("renewed-2")
			}
			return false
		})
		if err := a.run(t.Context(), t); err != nil {
			t.Fatal(err)
		}
		if len(a.lines(t)) != 20 {
			t.Errorf("%d lines", len(a.lines(t)))
		}
	})
}

// TestListThatChanges: users come, go and move to other pages while the list is read.
func TestListThatChanges(t *testing.T) {
	t.Parallel()
	roles := catalogue(t)
	for name, change := range map[string]func(v *vendortest.Vendor){
		"added at the end": func(v *vendortest.Vendor) { v.Add(vendortest.People(500, 1, roles)[0]) },
		"removed":          func(v *vendortest.Vendor) { v.Remove(2) },
		"removed and added": func(v *vendortest.Vendor) {
			v.Remove(3)
			v.Add(vendortest.People(501, 1, roles)[0])
			v.Add(vendortest.People(502, 1, roles)[0])
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := vendortest.New(t, "worth", roles, vendortest.People(0, 30, roles))
			n := 0
			v.SetFront(func(http.ResponseWriter, *http.Request) bool {
				if n++; n == 3 {
					change(v)
				}
				return false
			})
			a := newAttempt(t, v)
			if err := a.run(t.Context(), t); err != nil {
				t.Fatal(err)
			}
			v.SetFront(nil)
			again := newAttempt(t, v)
			if err := again.run(t.Context(), t); err != nil {
				t.Fatal(err)
			}
			if got, want := keys(a.lines(t)), keys(again.lines(t)); !slices.Equal(got, want) {
				t.Errorf("it has %q, want %q", got, want)
			}
		})
	}
	t.Run("always", func(t *testing.T) {
		t.Parallel()
		v := vendortest.New(t, "worth", roles, vendortest.People(0, 30, roles))
		v.Alter = func(_ string, _ http.Header, body map[string]any) {
			body["data"].(map[string]any)["total_items"] = "31"
		}
		a := newAttempt(t, v)
		if err := a.run(t.Context(), t); !errors.Is(err, source.ErrListChanges) || !strings.Contains(err.Error(), "there are 31 users, and 30 were seen") {
			t.Errorf("it ends with %v", err)
		}
	})
	t.Run("the page is ignored", func(t *testing.T) {
		t.Parallel()
		v := vendortest.New(t, "worth", roles, vendortest.People(0, 30, roles))
		v.Page = func(int) int { return 1 }
		v.Alter = func(_ string, _ http.Header, body map[string]any) {
			body["data"].(map[string]any)["total_pages"] = math.MaxInt64
		}
		a := newAttempt(t, v)
		if err := a.run(t.Context(), t); !errors.Is(err, source.ErrListChanges) {
			t.Errorf("it ends with %v", err)
		}
	})
}

func keys(lines []map[string]any) []string {
	var all []string
	for _, line := range lines {
		all = append(all, fmt.Sprint(line["uuid"]))
	}
	slices.Sort(all)
	return all
}

func TestRateIsKept(t *testing.T) {
	t.Parallel()
	roles := catalogue(t)
	v := vendortest.New(t, "worth", roles, vendortest.People(0, 28, roles))
	a := newAttempt(t, v)
	c := a.config(t)
	c.Rate = 50
	a.pull.Client = source.New(c)
	began := time.Now()
	if err := a.run(t.Context(), t); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 3*20*time.Millisecond {
		t.Errorf("4 requests at 50 a second took %s", took)
	}
}
