package cli

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestImportAndExport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const users = "customer,first_name,last_name,email\n42,Ada,Lovelace,ada@example.com\n42,Grace,Hopper,grace@example.com\n"
	if err := os.WriteFile(filepath.Join(dir, "users.csv"), []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		args   string
		input  string
		status int
		stdout string // all of it
		stderr string // a part of it; empty: there is none
	}{
		{"customer add --dev --name Acme --id 42 --uuid 2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1 --company Labs --company 7=Acme", "", 0,
			"customer_id=42\ncustomer_uuid=2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1\ncompany_id=1\ncompany_id=7\n", ""},
		{"customer add --dev --name Acme --id 42", "", 2, "", "already exists"},
		{"customer add --dev --name Acme --uuid 42", "", 2, "", `"42" is no UUID`},
		{"customer add --dev --name= --id 44", "", 2, "", "must have a name"},
		{"customer add --dev --name Nameless --company=", "", 2, "", "must have a name"},
		{"customer add --dev --id 43", "", 80, "", "--name"},
		{"import --dev --dry-run users.csv", "", 0, "users that can be imported: 2\n", ""},
		{"import --dev users.csv", "", 0, "imported users: 2\n", ""},
		{"import --dev users.csv", "", 2, "", "line 3: email is already taken\n"},
		{"import --dev --format csv --batch 1 -", "customer,first_name,last_name,email\n42,Alan,Turing,alan@example.com\n", 0, "imported users: 1\n", ""},
		{"import --dev -", users, 2, "", "--format"},
		{"import --dev --batch=-1 users.csv", "", 2, "", "--batch"},
		{"import --dev none.csv", "", 2, "", "none.csv"},
		{"import users.csv", "", 2, "", "line 3: email is already taken\n"}, // with the key in .dragoman/
		{"import --database=postgres://127.0.0.1:1/d users.csv", "", 80, "", "DRAGOMAN_SECRET_KEY"},
		{"export --dev --customer 43", "", 2, "", "there is no customer 43"},
		{"export --dev --customer x", "", 2, "", `"x" is neither`},
		{"export --dev --output users.txt", "", 2, "", "--format"},
		{"export --dev --customer 2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1 --output out.ndjson", "", 0, "", ""},
	} {
		status, stdout, stderr := dragoman(t, dir, step.input, strings.Fields(step.args)...)
		if status != step.status || status != 80 && stdout != step.stdout || !strings.Contains(stderr, step.stderr) || step.stderr == "" && stderr != "" {
			t.Errorf("%s: status %d, printed %q and %q", step.args, status, stdout, stderr)
		}
	}
	status, stdout, stderr := dragoman(t, dir, "", "export", "--dev", "--format", "ndjson")
	out, err := os.ReadFile(filepath.Join(dir, "out.ndjson"))
	if err != nil || status != 0 || stderr != "" || stdout != string(out) || strings.Count(stdout, "\n") != 3 {
		t.Errorf("status %d, %v, printed %q and %q, wrote %q", status, err, stdout, stderr, out)
	}
	left, err := filepath.Glob(filepath.Join(dir, "dragoman-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestUnknownFlag(t *testing.T) {
	t.Parallel()
	status, out, said := dragoman(t, t.TempDir(), "", "serve", "--lissten=127.0.0.1:0")
	if status != 80 || strings.Count(out+said, "\n") > 6 || !strings.Contains(said, "unknown flag --lissten") || !strings.Contains(out+said, "dragoman serve --help") {
		t.Errorf("status %d, %s%s", status, out, said)
	}
}

func TestRootRedirects(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]int{"--docs": http.StatusFound, "--no-docs": http.StatusNotFound} {
		serve(t, t.TempDir(), nil, []string{"serve", "--dev", "--listen=127.0.0.1:0", flag}, func(address string) {
			for _, accept := range []string{"", "text/html", "application/json"} {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/", nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Accept", accept)
				answer, err := http.DefaultTransport.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				answer.Body.Close()
				if location := answer.Header.Get("Location"); answer.StatusCode != want || want == http.StatusFound && strings.TrimPrefix(location, "/") != "docs" {
					t.Errorf("%s, Accept %q: %s to %q", flag, accept, answer.Status, location)
				}
			}
		})
	}
}
