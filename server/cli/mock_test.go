package cli

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/mock"
)

// TestMockWritesNoFiles runs it as in an image, whose variables are for a server in earnest, where no file can grow.
func TestMockWritesNoFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// A limit holds for root too, which a folder that cannot be written does not.
	c := exec.CommandContext(t.Context(), "sh", "-c", `ulimit -f 0 && exec "$0" "$@"`, program(t), "serve", "--listen=127.0.0.1:0")
	variables := []string{
		"DRAGOMAN_MOCK=true", "DRAGOMAN_DATABASE=sqlite:" + dir + "/dragoman.db", "DRAGOMAN_JWT_SECRET=short", "TMPDIR=" + dir, "SQLITE_TMPDIR=" + dir,
	}
	token, err := mock.Token()
	if err != nil {
		t.Fatal(err)
	}
	said := serveBy(t, dir, variables, c, func(address string) {
		const user = "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users"
		for _, call := range []struct{ method, path, body, want string }{
			{http.MethodPatch, user + "/94520740-d63c-4e02-85ca-c4e138801e73", `{"first_name":"Augusta"}`, "success"},
			{http.MethodGet, user + "?sort=first_name", "", "Augusta"},
			{http.MethodGet, "/directory/v1/changes", "", `"requestId"`},
			{http.MethodPost, "/mock/reset", "", ""},
			{http.MethodGet, user, "", `"first_name":"Ada"`},
		} {
			r, err := http.NewRequestWithContext(t.Context(), call.method, "http://"+address+call.path, strings.NewReader(call.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header = http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}}
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err != nil || answer.StatusCode >= http.StatusBadRequest || !bytes.Contains(body, []byte(call.want)) {
				t.Errorf("%s %s: %v, %s %s", call.method, call.path, err, answer.Status, body)
			}
		}
	})
	if !strings.Contains(said, token) {
		t.Errorf("it does not print its token:\n%s", said)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

// TestMockRejectsFlags: a flag that has no effect would be a surprise.
func TestMockRejectsFlags(t *testing.T) {
	t.Parallel()
	file := filepath.Join(writeFiles(t, map[string]string{"c.yaml": "database: sqlite:x.db\n"}), "c.yaml")
	for flag, refused := range map[string]bool{
		"--database=sqlite:x.db": true, "--jwt-secret=" + mock.Secret: true, "--dev": true, "--rate-limit-address=1": true, "--issuer=x": true,
		"--listen=0.0.0.0:0": false, "--mock-seed=2": false, "--config=c.yaml": false, "--cors-origin=http://localhost:3000": false, "--request-timeout=1s": false, "--log-level=error": false,
	} {
		var c commandLine
		parser, err := newParser(&c)
		if err != nil {
			t.Fatal(err)
		}
		k, err := parser.Parse([]string{"serve", "--mock", strings.Replace(flag, "c.yaml", file, 1)})
		if err != nil {
			t.Fatal(err)
		}
		if err := checkMock(k); (err != nil) != refused {
			t.Errorf("%s: %v", flag, err)
		} else if name, _, _ := strings.Cut(flag, "="); refused && !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named: %v", flag, err)
		}
	}
}

// TestConfigMockInvalid: as of any server, with all the reasons.
func TestConfigMockInvalid(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{"c.yaml": "mock: true\ndatabase: postgres://u@h/d\njwt-secret: short\n"})
	for _, args := range []string{"--mock", "--mock --listen=0.0.0.0:80 --format=json", usesFile} {
		if status, _, said := configured(t, dir, nil, "", append([]string{"config"}, strings.Fields(args)...)...); status != 0 || said != "" {
			t.Errorf("config %s: status %d, %s", args, status, said)
		}
	}
	const want = "dragoman: error: a mock has its own directory, keys and limits, and speaks plain HTTP: leave out --issuer, or --mock\n" +
		`                 "8080" is not an address to listen on: set --listen (DRAGOMAN_LISTEN) to HOST:PORT, such as 127.0.0.1:8080` + "\n" +
		`                 --cors-origin "x" does not start with http:// or https://: set an origin such as https://app.example.com, with a scheme, a host and optionally a port` + "\n"
	for _, command := range []string{"config", "serve"} {
		status, _, said := configured(t, dir, nil, "", command, "--mock", "--issuer=me", "--listen=8080", "--cors-origin=x")
		if status != 80 || said != want {
			t.Errorf("%s: status %d, %s\nwant\n%s", command, status, said, want)
		}
	}
}

// TestMockSecretRejected: a server in earnest that trusted it would trust everybody.
func TestMockSecretRejected(t *testing.T) {
	t.Parallel()
	for _, dev := range []bool{false, true} {
		c := serveCommand{issuerFlags: issuerFlags{tokenFlags: tokenFlags{JWTSecret: mock.Secret}}, secretKeyFlags: secretKeyFlags{SecretKey: keyOfNow}, Dev: dev}
		if _, err := c.config(); err == nil || !strings.Contains(err.Error(), "the mock's") {
			t.Errorf("with dev %t: %v", dev, err)
		}
	}
}

// TestMockToken: `dragoman token --mock` is how to be somebody else.
func TestMockToken(t *testing.T) {
	t.Parallel()
	secret, err := (&signCommand{Mock: true, tokenFlags: tokenFlags{JWTSecret: "another"}}).secret()
	if err != nil || secret != mock.Secret {
		t.Errorf("it signs with %q, %v", secret, err)
	}
}
