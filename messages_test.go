package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// hidden is in everything of these tests that no message may repeat.
const hidden = "Zecret"

// message is a command line that cannot be run, and what is said about it.
type message struct {
	args      string // by fields; _ is a space within one, PORT a port that is taken
	variables string // by fields
	status    int
	said      string // parts of it, separated by |
}

// longest is how many lines a message may have.
const longest = 6

func (m message) test(t *testing.T, dir string, replace *strings.Replacer) {
	t.Helper()
	args := strings.Fields(replace.Replace(m.args))
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "_", " ")
	}
	status, out, said := configured(t, dir, strings.Fields(replace.Replace(m.variables)), "", args...)
	if status != m.status || out != "" {
		t.Errorf("%q: status %d, want %d, on standard output %q, and said %s", m.args, status, m.status, out, said)
	}
	var lines []string
	for line := range strings.Lines(said) {
		if !strings.Contains(line, "level=INFO") && !strings.Contains(line, "waiting for the database") {
			lines = append(lines, line)
		}
	}
	if len(lines) > longest || len(lines) == 0 {
		t.Errorf("%q: %d lines: %s", m.args, len(lines), said)
	}
	for part := range strings.SplitSeq(m.said, "|") {
		if part = replace.Replace(part); !strings.Contains(said, part) {
			t.Errorf("%q: does not say %q but %s", m.args, part, said)
		}
	}
	if strings.Contains(said, hidden) {
		t.Errorf("%q: repeats %s: %s", m.args, hidden, said)
	}
}

// testMessages runs the programs of a table, four at once.
func testMessages(t *testing.T, messages []message) {
	t.Helper()
	dir := writeFiles(t, map[string]string{
		"text.pem": "no key\n", "taken.db": "something", "users.csv": "customer,first_name,last_name,email\n", "empty": "\n",
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	replace := strings.NewReplacer("TAKEN", l.Addr().String(), "KEYS", strings.Join(goodKeys, " "), "DIR", dir)
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	limit := make(chan struct{}, 4)
	for _, m := range messages {
		limit <- struct{}{}
		work.Go(func() {
			defer func() { <-limit }()
			m.test(t, dir, replace)
		})
	}
	work.Wait()
}

func TestBadCommandLines(t *testing.T) {
	t.Parallel()
	testMessages(t, []message{
		{"", "", 80, "name a command|serve|version|`dragoman --help`"},
		{"srve", "", 80, "unknown command srve, did you mean serve?"},
		{"frobnicate", "", 80, "unknown command frobnicate|serve, config"},
		{"Zecret@h/d", "", 80, "where the command should be"},
		{"customer", "", 80, "dragoman customer add"},
		{"customer ad", "", 80, "unknown command ad, did you mean add?|`dragoman customer --help`"},
		{"changes", "", 80, "dragoman changes number"},
		{"history", "", 80, "add --user=ID|`dragoman history --help`"},
		{"restore", "", 80, "--user=ID|--version=INT"},
		{"import", "", 80, "add FILE"},
		{"backup", "", 80, "add FILE"},
		{"import users.csv Zecret", "", 80, "an argument too many|in quotes"},
		{"version Zecret", "", 80, "an argument too many"},
		{"serve --database postgres://u:a Zecret@h/d", "", 80, "an argument too many|in quotes"},
		{"serve --database=postgres://u:a Zecret@h/d --dev", "", 80, "an argument too many"},
		{"serve --database postgres://u:a -Zecret@h/d", "", 80, "unknown flag|in quotes"},
		{"serve --database postgres://u:a -Zecret", "", 80, "unknown flag"},
		{"serve --database postgres://u:a --Zecret@h/d", "", 80, "unknown flag"},
		{"serve --database postgres://u:a -- Zecret@h/d", "", 80, "an argument too many"},
		{"serve --jwt-secret=x Zecret", "", 80, "an argument too many"},
		{"serve --jwt-secre=Zecret", "", 80, "unknown flag --jwt-secre, did you mean --jwt-secret?|`dragoman serve --help`"},
		{"serve --lissten Zecret", "", 80, "unknown flag --lissten, did you mean --listen?"},
		{"serve -lissten", "", 80, "did you mean --listen?"},
		{"serve -x", "", 80, "unknown flag -x"},
		{"--listen=127.0.0.1:1 serve", "", 80, "unknown flag --listen|behind"},
		{"--frob", "", 80, "unknown flag --frob|`dragoman --help`"},
		{"history --user 1 --frob", "", 80, "unknown flag --frob"},
		{"serve --listen", "", 80, "--listen needs a value, as in --listen=HOST:PORT"},
		{"serve --secret-key --dev", "", 80, "--secret-key needs a value"},
		{"token --jwt-secret", "", 80, "--jwt-secret needs a value"},
		{"serve --database-wait 5", "", 80, `--database-wait must be a duration with its unit, such as 15s, not "5"`},
		{"serve --remembered-users=x", "", 80, "--remembered-users must be a whole number"},
		{"serve --max-in-flight=99999999999999999999999", "", 80, "--max-in-flight must be a whole number"},
		{"serve --rate-limit-address x", "", 80, "--rate-limit-address must be a number"},
		{"serve --dev=maybe", "", 80, "--dev must be true or false"},
		{"serve --no-docs=maybe", "", 80, "--no-docs must be true or false"},
		{"serve --log-level=loud", "", 80, "--log-level must be one of debug, info, warn, error"},
		{"serve --trusted-proxy=10.0.0.0/33", "", 80, "--trusted-proxy must be a network, such as 10.0.0.0/8"},
		{"serve --trusted-proxy=10.0.0.0/8,x", "", 80, "--trusted-proxy must be a network"},
		{"token --expires=1d", "", 80, "--expires must be a duration"},
		{"token --dev --mock", "", 80, "--dev and --mock can't be used together"},
		{"export --format=xml", "", 80, "--format must be one of csv, ndjson, not"},
		{"restore --user 1 --version x", "", 80, "--version must be a whole number"},
		{"serve --tls-cert nope", "", 80, "--tls-cert cannot be used|nope: no such file"},
		{"serve --tls-cert folder", "", 80, "--tls-cert cannot be used|folder is a directory"},
		{"serve --jwt-public-key-file nope", "", 80, "--jwt-public-key-file cannot be used|nope: no such file"},
		{"check --ca-cert nope", "", 80, "--ca-cert cannot be used|nope: no such file"},
		{"check", "DRAGOMAN_CHECK_RATE=x", 80, "DRAGOMAN_CHECK_RATE must be a number"},
		{"check", "DRAGOMAN_CHECK_CA_CERT=nope", 80, "DRAGOMAN_CHECK_CA_CERT cannot be used"},
		{"check", "DRAGOMAN_CHECK_FORMAT=xml", 80, "DRAGOMAN_CHECK_FORMAT must be one of text, json, junit"},
		{"serve", "DRAGOMAN_DATABASE_WAIT=5", 80, "DRAGOMAN_DATABASE_WAIT must be a duration"},
		{"serve", "DRAGOMAN_LISTN=Zecret", 80, "there is no variable DRAGOMAN_LISTN, did you mean DRAGOMAN_LISTEN?"},
		{"serve", "DRAGOMAN_JWT_SECRET_FILE=nope", 80, "DRAGOMAN_JWT_SECRET_FILE: open nope: no such file"},
	})
}
