package cli

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/moving/vendortest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// startVendor starts a fake vendor with people, and returns it and the flags by which the program reads it.
func startVendor(t *testing.T, dialect string, people func(roles *store.Catalogue) []store.User) (v *vendortest.Vendor, flags []string) {
	t.Helper()
	roles := storetest.Open(t, store.InMemory).Catalogue()
	v = vendortest.New(t, dialect, roles, people(roles))
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(vendortest.Token), 0o600); err != nil {
		t.Fatal(err)
	}
	flags = []string{"--source", v.URL, "--customer", v.Customer(), "--token-file", token, "--rate", "1000000"}
	if dialect == "testinium" {
		flags = append(flags, "--company", "5251")
	}
	return v, flags
}

// TestKilledPull kills the program by SIGKILL at any moment of a pull, again and again, and lets it resume: the file is that of a pull that
// nobody has disturbed, and nothing else is left.
func TestKilledPull(t *testing.T) {
	t.Parallel()
	program := program(t)
	for _, dialect := range vendors {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			v, flags := startVendor(t, dialect, func(roles *store.Catalogue) []store.User { return vendortest.People(0, 200, roles) })
			if dialect == "worth" {
				flags = append(flags, "--page-size", "20")
			}
			v.SetFront(slowly(v))
			run := func(dir string) *exec.Cmd {
				c := exec.Command(program, append([]string{"pull", dialect, "--output", "users.ndjson", "--resume"}, flags...)...)
				c.Dir, c.Env = dir, []string{"HOME=" + dir, "TMPDIR=" + dir}
				return c
			}
			whole := t.TempDir()
			began := time.Now()
			if out, err := run(whole).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			took := time.Since(began)
			want := read(t, filepath.Join(whole, "users.ndjson"))
			if n := bytes.Count(want, []byte("\n")); n != 200 {
				t.Fatalf("%d users", n)
			}
			seed := uint64(began.UnixNano()) // #nosec G115 -- any seed will do
			random, kills := rand.New(rand.NewPCG(seed, 0)), 0
			for pulls := 0; pulls < 2 || kills < 2 && pulls < 100; pulls++ { // a pull may end before its kill
				dir := t.TempDir()
				file := filepath.Join(dir, "users.ndjson")
				for ended := false; !ended; {
					c := run(dir)
					if err := c.Start(); err != nil {
						t.Fatal(err)
					}
					kill := time.AfterFunc(time.Duration(random.Int64N(int64(took))), func() { _ = c.Process.Kill() })
					err := c.Wait()
					kill.Stop()
					var status *exec.ExitError
					switch {
					case err == nil:
						ended = true
					case !errors.As(err, &status) || status.Exited():
						t.Fatalf("seed %d: %v", seed, err)
					default:
						kills++
						if got, err := os.ReadFile(file); err == nil && !bytes.Equal(got, want) {
							t.Fatalf("seed %d: there is a file that is not whole", seed)
						} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
							t.Fatal(err)
						}
					}
				}
				if got := read(t, file); !bytes.Equal(got, want) {
					t.Errorf("seed %d: after kills the file is another one:\n%s", seed, got)
				}
				entries, err := os.ReadDir(dir)
				if err != nil || len(entries) != 1 {
					t.Errorf("seed %d: left are %v, %v", seed, entries, err)
				}
			}
			if kills < 2 {
				t.Errorf("%d kills", kills)
			}
		})
	}
}

// TestPullEnds looks at the exit status and at what is said and left of pulls that do not go well.
func TestPullEnds(t *testing.T) {
	t.Parallel()
	_, flags := startVendor(t, "testinium", func(roles *store.Catalogue) []store.User {
		people := vendortest.People(0, 5, roles)
		people[2].Username = "two words"
		return people
	})
	for name, tc := range map[string]struct {
		more   string
		status int
		stderr string // a part of it
		leaves []string
	}{
		"a user that does not fit":  {"--output out.ndjson", 2, "user 3 of the list, user 100002: username must be one or more characters without white space", []string{"old.ndjson.part", "out.ndjson"}},
		"no --resume":               {"--output old.ndjson", 2, "old.ndjson.part: add --resume to continue it, or remove the file", []string{"old.ndjson.part"}},
		"another pull's journal":    {"--output old.ndjson --resume", 2, "give the same again, or remove the file", []string{"old.ndjson.part"}},
		"--resume without a file":   {"--resume", 2, "--resume needs the --output of the pull", []string{"old.ndjson.part"}},
		"no folder to write in":     {"--output none/out.ndjson", 2, "--output cannot be written", []string{"old.ndjson.part"}},
		"no URL":                    {"--source api.example.com", 2, "the --source must be an http or https URL", []string{"old.ndjson.part"}},
		"a customer of the other":   {"--customer " + vendortest.CustomerUUID, 2, "a customer of Testinium is a number: see --customer", []string{"old.ndjson.part"}},
		"another customer":          {"--customer 4711 --output out.ndjson", 1, "is it another customer's?: to continue, run the same command with --resume", []string{"old.ndjson.part", "out.ndjson.part"}},
		"a company that is no id":   {"--company Sandbox", 2, "the company that the caller acts in, a number: set --company", []string{"old.ndjson.part"}},
		"a source that is not":      {"--source http://127.0.0.1:1 --retry-for 1ms", 1, "reading the list of users: ", []string{"old.ndjson.part"}},
		"a token that is not there": {"--token-file none", 2, "reading the token of --token-file", []string{"old.ndjson.part"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := writeFiles(t, map[string]string{"old.ndjson.part": "{\"#pull\":1}\n"})
			status, _, stderr := dragoman(t, dir, "", append([]string{"pull", "testinium"}, with(flags, tc.more)...)...)
			if status != tc.status || !strings.Contains(stderr, tc.stderr) || strings.Contains(stderr, vendortest.Token) {
				t.Errorf("status %d, want %d\n%s", status, tc.status, stderr)
			}
			entries, err := os.ReadDir(dir)
			var left []string
			for _, e := range entries {
				left = append(left, e.Name())
			}
			if err != nil || !slices.Equal(left, tc.leaves) {
				t.Errorf("left is %q, want %q", left, tc.leaves)
			}
		})
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// slowly answers as the vendor does, in pieces, so that a kill has something to interrupt.
func slowly(v *vendortest.Vendor) func(w http.ResponseWriter, r *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") == "" {
			return false
		}
		whole := httptest.NewRecorder()
		fast := r.Clone(r.Context())
		fast.Header.Set("X-Fast", "true") // Front is asked again
		if r.Header.Get("X-Fast") != "" {
			return false
		}
		v.ServeHTTP(whole, fast)
		for name, values := range whole.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(whole.Code)
		body := whole.Body.String()
		const piece = 4 << 10
		for ; len(body) > piece; body = body[piece:] {
			_, _ = w.Write([]byte(body[:piece]))
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done(): // the client was killed
				return true
			case <-time.After(2 * time.Millisecond):
			}
		}
		_, _ = strings.NewReader(body).WriteTo(w)
		return true
	}
}
