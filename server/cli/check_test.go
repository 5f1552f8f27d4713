package cli

import (
	"bufio"
	"encoding/json"
	"encoding/xml"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/servertest"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	careless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("If-Match")
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(careless.Close)
	dir := t.TempDir()
	token := s.Token(servertest.Manager())
	other := servertest.Manager()
	other.Customers = []string{"3394"}
	for name, text := range map[string]string{"token": token + "\n", "other": s.Token(other), "empty": " \n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		args      string
		variables []string
		status    int
		stdout    []string // parts of it
		stderr    string   // a part of it; empty: there is none
	}{
		{"--list", nil, 0, []string{"worth, ", "testinium, ", "patch-keeps-absent-members", "put-does-not-merge", "RFC 9110"}, ""},
		{"--list --dialect worth --only if-match-*", nil, 0, []string{"worth, 7 laws", "if-match-any-writes"}, ""},
		{"--list --only nul-is-refused", nil, 2, nil, "the nearest is null-is-refused"},
		{"--target " + s.URL + " --token-file token --other-token-file other --rate 1000 --only null-* --only other-caller-is-403 --junit r.xml --json r.json " + checkOfWorth, nil, 0,
			[]string{"The server offers etag, changed, prefer, repeat, dry-run, conflict, rules.", "\nok       null-is-refused\n", "\nok       other-caller-is-403\n", "2 laws: 2 hold", "The user was restored, as far as this dialect shows it."}, ""},
		{"--only null-* --rate 1000 --format json " + checkOfTestinium, []string{"DRAGOMAN_CHECK_TOKEN=" + token, "DRAGOMAN_CHECK_TARGET=" + s.URL + "/account/api/v1/"}, 0,
			[]string{`"outcome": "holds"`}, ""},
		{"--only if-match-* --rate 1000 --token-file token --allow all --require all --target " + careless.URL + " " + checkOfWorth, nil, 1,
			[]string{"\nBROKEN   if-match-with-a-stale-etag-is-412\n", "Authorization: Bearer ***", "Why it matters:", "RFC 9110, section 13.1.1", "The user was restored, as far as this dialect shows it."}, "does not keep every law"},
		{"--only if-match-* --rate 1000 --token-file token --target " + careless.URL + " --format junit --output broken.xml " + checkOfWorth, nil, 1, nil, "does not keep every law"},
		{"--token-file token --target http://127.0.0.1:1 --junit none.xml " + checkOfWorth, nil, 2, nil, "cannot be checked"},
		{"--token-file token --target " + s.URL + " --only null-* --junit nowhere/r.xml " + checkOfWorth, nil, 2, nil, "the report could not be written"},
		{"--token x --target " + s.URL + " " + checkOfWorth, nil, 2, nil, "401"},
		{"--target " + s.URL + " " + checkOfWorth, nil, 2, nil, "no token"},
		{"--token-file empty --target " + s.URL + " " + checkOfWorth, nil, 2, nil, "empty is empty"},
		{"--token-file none --target " + s.URL + " " + checkOfWorth, nil, 2, nil, "none"},
		{"--token-file token --target " + s.URL + " --only nul-is-refused " + checkOfWorth, nil, 2, nil, "the nearest is null-is-refused"},
		{"--token-file token --target " + s.URL + " --allow everything " + checkOfWorth, nil, 2, nil, "identity, state, roles"},
		{"--token-file token --target " + s.URL + " --dialect worth --customer " + servertest.SandboxUUID.String() + " --user " + servertest.GraceUUID.String(), nil, 2, nil, "the role cro"},
		{"--format yaml", nil, 80, nil, "--format"},
	} {
		status, stdout, stderr := configured(t, dir, step.variables, "", append([]string{"check"}, strings.Fields(step.args)...)...)
		if status != step.status || !strings.Contains(stderr, step.stderr) || step.stderr == "" && stderr != "" {
			t.Errorf("%s: status %d, printed %q and %q", step.args, status, stdout, stderr)
		}
		for _, part := range step.stdout {
			if !strings.Contains(stdout, part) {
				t.Errorf("%s: did not print %q but %s", step.args, part, stdout)
			}
		}
		if strings.Contains(stdout+stderr, token) || strings.Contains(stdout, "\x1b") {
			t.Errorf("%s: printed a token or a colour: %s%s", step.args, stdout, stderr)
		}
	}
	for file, unmarshal := range map[string]func([]byte, any) error{"r.xml": xml.Unmarshal, "broken.xml": xml.Unmarshal, "r.json": json.Unmarshal} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		var read struct{}
		if err := unmarshal(text, &read); err != nil {
			t.Errorf("%s: %v\n%s", file, err, text)
		}
	}
}

// TestCheckMock is what the guide has for a CI: the mock keeps every law there is.
func TestCheckMock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	token := func(customer string) string {
		status, token, stderr := dragoman(t, dir, "", "token", "--mock", "--customer", customer, "--authority", "ROLE_COMPANY_ADMIN")
		if status != 0 {
			t.Fatal(stderr)
		}
		return strings.TrimSpace(token)
	}
	variables := []string{"DRAGOMAN_CHECK_TOKEN=" + token("3393"), "DRAGOMAN_CHECK_OTHER_TOKEN=" + token("3394")}
	serve(t, dir, nil, []string{"serve", "--mock", "--listen=127.0.0.1:0"}, func(address string) {
		for _, args := range []string{checkOfWorth, checkOfTestinium} {
			args := "check --rate 10000 --allow all --require all --target http://" + address + " " + args
			status, stdout, stderr := configured(t, dir, variables, "", strings.Fields(args)...)
			if status != 0 || !strings.Contains(stdout, " 0 broken, 0 differ,") || stderr != "" {
				t.Errorf("%s: status %d, printed %s%s", args, status, stdout, stderr)
			}
		}
	})
}

// Ada, in each dialect.
var (
	checkOfWorth     = "--dialect worth --customer " + servertest.SandboxUUID.String() + " --user " + servertest.AdaUUID.String() + " "
	checkOfTestinium = "--dialect testinium --customer 3393 --user 6860 --company 5251 "
)

// TestCheckInterrupted: Ctrl-C while the user is another.
func TestCheckInterrupted(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	before := s.FindUser(t, servertest.Ada)
	c := exec.CommandContext(t.Context(), program(t), strings.Fields("check --rate 200 --target "+s.URL+" "+checkOfWorth)...)
	c.Env = []string{"DRAGOMAN_CHECK_TOKEN=" + s.Token(servertest.Manager())}
	var said strings.Builder
	c.Stderr = &said
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var printed strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		printed.WriteString(lines.Text() + "\n")
		if strings.HasSuffix(lines.Text(), "update-answers-as-documented") {
			if err := c.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
	}
	var exit *exec.ExitError
	if err := c.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(said.String(), "not everything could be checked") {
		t.Errorf("it ends with %v: %s", err, said.String())
	}
	if !strings.Contains(printed.String(), "UNKNOWN  headers-match-the-document: interrupted\n") || !strings.Contains(printed.String(), "The user was restored, as far as this dialect shows it.\n") {
		t.Errorf("it printed %s", printed.String())
	}
	after := s.FindUser(t, servertest.Ada)
	after.Version, after.UpdatedAt, after.UpdatedBy = before.Version, before.UpdatedAt, before.UpdatedBy
	if differing := servertest.Differences(before, after); len(differing) > 0 {
		t.Errorf("the user is not as before: %v", differing)
	}
}
