package cli

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/moving/vendortest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

func TestShadow(t *testing.T) {
	t.Parallel()
	for _, dialect := range vendors {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			v, target, flags := startBoth(t, dialect)
			users := vendortest.People(0, 5, storetest.Open(t, store.InMemory).Catalogue())
			if status, stdout, stderr, report := shadowed(t, v, flags, "", users[:4]...); status != 0 || report.Operations[0].Equal != 4 || !strings.Contains(stdout, "other requests: 1\n") {
				t.Errorf("status %d, %+v\n%s\n%s", status, report, stdout, stderr)
			}
			target.Edit(4, func(u *store.User) { u.LastName = "O'Neill" })
			status, stdout, stderr, report := shadowed(t, v, flags, "", users...)
			if o := report.Operations[0]; status != 1 || o.Equal != 4 || o.Differ != 1 || strings.Contains(stdout, "O'Neill") || !strings.Contains(stdout, "hmac:") ||
				!strings.Contains(stderr, "the target does not answer as the source does") {
				t.Errorf("status %d, %+v\n%s\n%s", status, report, stdout, stderr)
			}
			if status, stdout, _, _ := shadowed(t, v, flags, "--show-values", users[4]); status != 1 || !strings.Contains(stdout, `the source has "Invented 4" and the target "O'Neill"`) {
				t.Errorf("with values: status %d\n%s", status, stdout)
			}
			if status, _, _, report := shadowed(t, v, flags, "--ignore data.last_name --ignore surname", users[4]); status != 0 || report.Operations[0].Equal != 1 {
				t.Errorf("ignored: status %d, %+v", status, report)
			}
			if status, _, _, report := shadowed(t, v, flags, "--sample 0", users[4]); status != 0 || report.Operations[0].NotSampled != 1 {
				t.Errorf("no sample: status %d, %+v", status, report)
			}
			if status, stdout, stderr, _ := shadowed(t, v, flags, "--target http://127.0.0.1:1", users[4]); status != 2 || !strings.Contains(stderr, "nothing was compared") || !strings.Contains(stdout, "connection refused") {
				t.Errorf("no target: status %d\n%s\n%s", status, stdout, stderr)
			}
		})
	}
}

// shadowReport is a part of the report in JSON.
type shadowReport struct {
	Operations []struct {
		Equal, Differ int
		NotSampled    int `json:"not_sampled"`
	}
}

// shadowed starts a shadow, asks it for users and for something else, and ends it.
func shadowed(t *testing.T, v *vendortest.Vendor, flags []string, more string, users ...store.User) (status int, stdout, stderr string, report shadowReport) {
	t.Helper()
	dir := t.TempDir()
	base, err := url.Parse(v.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program(t), append([]string{"shadow", "--listen", "127.0.0.1:0", "--json", "report.json"}, with(shadowFlags(flags), more)...)...)
	c.Dir, c.Env = dir, []string{"HOME=" + dir}
	var out strings.Builder
	c.Stdout = &out
	read, write := io.Pipe()
	c.Stderr = write
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- c.Wait()
		write.Close()
	}()
	said := readLines(read, func(line string) {
		_, at, ok := strings.Cut(line, " is listening on ")
		if !ok {
			return
		}
		for i := range users {
			answered(t, at+base.Path+v.UserPath(&users[i]))
		}
		answered(t, at+"/elsewhere")
		_ = c.Process.Signal(os.Interrupt)
	})
	<-ended
	file := filepath.Join(dir, "report.json")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the report has the mode %v, %v", info, err)
	}
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &report)
	}
	if err != nil || len(report.Operations) != 1 {
		t.Fatalf("%v, %s\n%s", err, text, said)
	}
	return c.ProcessState.ExitCode(), out.String(), said, report
}

// shadowFlags returns those of the flags of compare that shadow has.
func shadowFlags(flags []string) (kept []string) {
	for i := 0; i < len(flags); i += 2 {
		switch flags[i] {
		case "--source", "--dialect", "--target", "--target-token-file":
			kept = append(kept, flags[i:i+2]...)
		}
	}
	return kept
}

// answered asks for a URL as a client of a vendor does.
func answered(t *testing.T, url string) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Error(err)
		return
	}
	r.Header.Set("Authorization", "Bearer "+vendortest.Token)
	r.Header.Set("current-company-id", "5251")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
}

func TestShadowRefuses(t *testing.T) {
	t.Parallel()
	v, _, flags := startBoth(t, "worth")
	dir := writeFiles(t, map[string]string{"empty": "\n", "no.pem": "x"})
	listening := strings.TrimPrefix(strings.TrimSuffix(v.URL, "/auth/api/v1"), "http://")
	port, port2 := freePort(t), freePort(t)
	for name, tc := range map[string]struct {
		more   string
		status int
		stderr string
	}{
		"no dialect":              {"--dialect bamboo", 2, "set --dialect to one of worth, testinium"},
		"no part":                 {"--sample 2", 2, "--sample must be from 0 to 1"},
		"no workers":              {"--workers 0", 2, "--workers, --queue, --max-body, --timeout and --every above 0"},
		"no URL":                  {"--source x", 2, "the --source must be an http or https URL"},
		"no URL of the target":    {"--target x", 2, "the --target must be an http or https URL"},
		"the same server":         {"--target " + v.URL, 2, "--source and --target are the same server"},
		"the same by a name":      {"--target " + strings.Replace(v.URL, "127.0.0.1", "localhost", 1), 2, "--source and --target are the same server"},
		"it is its own source":    {"--listen 127.0.0.1:" + port + " --source http://localhost:" + port, 2, "--source leads to 127.0.0.1, on which --listen"},
		"it is its own target":    {"--listen 0.0.0.0:" + port2 + " --target http://127.0.0.1:" + port2, 2, "--target leads to 127.0.0.1, on which --listen"},
		"less memory than bodies": {"--max-memory 10", 2, "--max-memory must be at least three times --max-body"},
		"no token of the target":  {"--target-token-file none", 2, "reading the token of --target-token-file"},
		"an empty token":          {"--target-token-file empty", 2, "--target-token-file gives no token"},
		"a file that is no PEM":   {"--ca-cert no.pem", 2, "holds none"},
		"no folder to write in":   {"--json none/report.json", 2, "--json cannot be written"},
		"an address that is not":  {"--listen here", 2, "--listen: "},
		"an address in use":       {"--listen " + listening, 2, "--listen: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, stdout, stderr := dragoman(t, dir, "", append([]string{"shadow", "--listen", "127.0.0.1:0"}, with(shadowFlags(flags), tc.more)...)...)
			if status != tc.status || stdout != "" || !strings.Contains(stderr, tc.stderr) {
				t.Errorf("status %d, want %d\n%s\n%s", status, tc.status, stdout, stderr)
			}
		})
	}
}

func TestCheckLoop(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		listening, url string
		loop           bool
	}{
		{"127.0.0.1:8090", "http://127.0.0.1:8090/x", true}, {"127.0.0.1:8090", "https://127.0.0.1:8090", true}, {"127.0.0.1:8090", "http://LOCALHOST:8090", true},
		{"127.0.0.1:8090", "http://localhost.:8090", true}, {"127.0.0.1:8090", "http://0.0.0.0:8090", true}, {"127.0.0.1:8090", "http://:8090", true},
		{"[::1]:8090", "http://localhost:8090", true}, {"[::1]:8090", "http://[::1]:8090", true}, {"[::1]:8090", "http://127.0.0.1:8090", false},
		{"127.0.0.1:8090", "http://[::ffff:127.0.0.1]:8090", true}, {"0.0.0.0:8090", "http://127.0.0.1:8090", true}, {"[::]:8090", "http://localhost:8090", true},
		{"0.0.0.0:80", "http://localhost", true}, {"127.0.0.1:443", "https://localhost", true}, {"127.0.0.1:80", "https://localhost", false},
		{"127.0.0.1:8090", "http://127.0.0.1:8091", false}, {"127.0.0.1:8090", "http://127.0.0.2:8090", false}, {"0.0.0.0:8090", "http://192.0.2.1:8090", false},
		{"0.0.0.0:8090", "http://[::1]:8090", false}, {"127.0.0.1:8090", "http://nowhere.invalid:8090", false},
	} {
		own, err := net.ResolveTCPAddr("tcp", tc.listening)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(tc.url)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkLoop(t.Context(), "--source", u, own); (err != nil) != tc.loop {
			t.Errorf("%s while listening on %s: %v", tc.url, tc.listening, err)
		}
	}
}

func TestIsSameServer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		a, b string
		same bool
	}{
		{"http://x.example/a", "http://X.example:80/a", true}, {"http://127.0.0.1:8080", "http://localhost:8080", true}, {"http://[::1]:8080", "http://0.0.0.0:8080", true},
		{"http://localhost:8080/a", "http://localhost:8080/b", false}, {"http://localhost:8080", "http://localhost:9090", false},
		{"http://a.localhost:8080", "http://b.localhost:8080", false}, {"http://127.0.0.1", "http://127.0.0.2", false}, {"http://x.example", "https://x.example", false},
	} {
		a, errA := url.Parse(tc.a)
		b, errB := url.Parse(tc.b)
		if errA != nil || errB != nil || isSameServer(a, b) != tc.same {
			t.Errorf("%s and %s: %v %v", tc.a, tc.b, errA, errB)
		}
	}
}
