package main

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
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
	worth := "--dialect worth --customer " + servertest.SandboxUUID.String() + " --user " + servertest.AdaUUID.String() + " "
	testinium := "--dialect testinium --customer 3393 --user 6860 --company 5251 "
	for _, step := range []struct {
		args      string
		variables []string
		status    int
		stdout    []string // parts of it
		stderr    string   // a part of it; empty: there is none
	}{
		{"--list", nil, 0, []string{"worth, ", "testinium, ", "patch-keeps-absent-members", "put-does-not-merge", "RFC 9110"}, ""},
		{"--list --dialect worth --only if-match-*", nil, 0, []string{"worth, 6 laws", "if-match-any-writes"}, ""},
		{"--list --only nul-is-refused", nil, 2, nil, "the nearest is null-is-refused"},
		{"--target " + s.URL + " --token-file token --other-token-file other --rate 1000 --only null-* --only other-caller-is-403 --junit r.xml --json r.json " + worth, nil, 0,
			[]string{"The server offers etag, changed, prefer, rules.", "\nok       null-is-refused\n", "\nok       other-caller-is-403\n", "2 laws: 2 hold", "The user is as it was."}, ""},
		{"--only null-* --rate 1000 --format json " + testinium, []string{"DRAGOMAN_CHECK_TOKEN=" + token, "DRAGOMAN_CHECK_TARGET=" + s.URL + "/account/api/v1/"}, 0,
			[]string{`"outcome": "holds"`}, ""},
		{"--only if-match-* --rate 1000 --token-file token --allow all --require all --target " + careless.URL + " " + worth, nil, 1,
			[]string{"\nBROKEN   if-match-with-a-stale-etag-is-412\n", "Authorization: Bearer ***", "Why it matters:", "RFC 9110, section 13.1.1", "The user is as it was."}, "does not keep every law"},
		{"--only if-match-* --rate 1000 --token-file token --target " + careless.URL + " --format junit --output broken.xml " + worth, nil, 1, nil, "does not keep every law"},
		{"--token-file token --target http://127.0.0.1:1 " + worth, nil, 2, nil, "cannot be checked"},
		{"--token x --target " + s.URL + " " + worth, nil, 2, nil, "401"},
		{"--target " + s.URL + " " + worth, nil, 2, nil, "no token"},
		{"--token-file empty --target " + s.URL + " " + worth, nil, 2, nil, "empty is empty"},
		{"--token-file none --target " + s.URL + " " + worth, nil, 2, nil, "none"},
		{"--token-file token --target " + s.URL + " --only nul-is-refused " + worth, nil, 2, nil, "the nearest is null-is-refused"},
		{"--token-file token --target " + s.URL + " --allow everything " + worth, nil, 2, nil, "identity, state, roles"},
		{"--token-file token --target " + s.URL + " --dialect worth --customer " + servertest.SandboxUUID.String() + " --user " + servertest.GraceUUID.String(), nil, 2, nil, "the subrole cro"},
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
