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
			for range 2 {
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
