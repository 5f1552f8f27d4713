package cli

import (
	"encoding/json"
	"net"
	"net/http"
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
	for _, name := range []string{"1.db", "2.db"} { // of servers that could not listen
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s was created", name)
		}
	}
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
		{"--listen=127.0.0.1:1 serve", "", 80, "unknown flag --listen|after its name"},
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
		{"token", "", 1, "DRAGOMAN_JWT_SECRET|serve --dev"},
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

func TestBadSettings(t *testing.T) {
	t.Parallel()
	checkUser := " --customer 2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1 --user 94520740-d63c-4e02-85ca-c4e138801e73"
	testMessages(t, []message{
		// Addresses.
		{"serve --mock --listen TAKEN", "", 1, "another program already listens on TAKEN|--listen (DRAGOMAN_LISTEN)"},
		{"serve --listen TAKEN --database sqlite:1.db", "KEYS", 1, "another program already listens on TAKEN|--listen (DRAGOMAN_LISTEN)"},
		{"serve --listen 127.0.0.1:0 --admin-listen TAKEN --database sqlite:2.db", "KEYS", 1, "another program already listens on TAKEN|--admin-listen (DRAGOMAN_ADMIN_LISTEN)"},
		{"serve --mock --listen 256.0.0.1:1", "", 1, "cannot be found|--listen (DRAGOMAN_LISTEN)"},
		{"serve --mock --listen 192.0.2.1:8080", "", 1, "not an address of this machine|--listen (DRAGOMAN_LISTEN)"},
		{"serve --listen 8080", "KEYS", 80, `"8080" is not an address to listen on|--listen (DRAGOMAN_LISTEN)|HOST:PORT`},
		{"serve --listen 127.0.0.1:99999", "KEYS", 80, "--listen (DRAGOMAN_LISTEN)"},
		{"serve --admin-listen 9090", "KEYS", 80, `"9090" is not an address to listen on|--admin-listen (DRAGOMAN_ADMIN_LISTEN)`},
		{"serve --admin-listen 127.0.0.1:8080", "KEYS", 80, "--admin-listen (DRAGOMAN_ADMIN_LISTEN)"},
		{"serve --admin-pprof", "KEYS", 80, "--admin-pprof|--admin-listen"},
		{"serve --dev --listen 0.0.0.0:8080", "", 80, "--dev|--listen (DRAGOMAN_LISTEN)"},
		{"ready --listen foo", "", 80, "--listen (DRAGOMAN_LISTEN)"},
		// Keys.
		{"serve", "DRAGOMAN_JWT_SECRET=Zecret DRAGOMAN_SECRET_KEY=Zecret", 80, "6 bytes and needs at least 32|--jwt-secret (DRAGOMAN_JWT_SECRET)|openssl rand -base64 48|--secret-key (DRAGOMAN_SECRET_KEY)|openssl rand -base64 32"},
		{"serve", "KEYS DRAGOMAN_OLD_SECRET_KEY=Zecret", 80, "--old-secret-key (DRAGOMAN_OLD_SECRET_KEY)"},
		{"serve", "", 80, "DRAGOMAN_JWT_SECRET|DRAGOMAN_SECRET_KEY|openssl rand|--dev"},
		{"token", "DRAGOMAN_JWT_SECRET=Zecret", 80, "--jwt-secret (DRAGOMAN_JWT_SECRET)|openssl rand"},
		{"token --expires 0s", "DRAGOMAN_JWT_SECRET=0123456789012345678901234567890123456789", 80, "--expires"},
		{"export", "DRAGOMAN_SECRET_KEY=Zecret", 80, "--secret-key (DRAGOMAN_SECRET_KEY)|openssl rand"},
		{"serve --jwt-public-key-file text.pem --issuer i --audience a", "KEYS", 80, "--jwt-public-key-file (DRAGOMAN_JWT_PUBLIC_KEY_FILE)|PEM"},
		{"serve --jwks-url none --issuer i --audience a", "KEYS", 80, "--jwks-url (DRAGOMAN_JWKS_URL)|none: no such file"},
		{"serve --jwks-url https://keys.example.com/", "KEYS", 80, "--issuer|--audience"},
		{"serve --tls-cert text.pem", "KEYS", 80, "--tls-cert|--tls-key"},
		{"serve --tls-cert text.pem --tls-key text.pem", "KEYS", 80, "--tls-cert|PEM"},
		{"serve --config none", "", 80, "--config (DRAGOMAN_CONFIG)|none: no such file"},
		{"serve --config folder", "", 80, "--config (DRAGOMAN_CONFIG)|is a directory"},
		// Limits and times.
		{"serve --rate-limit-address=-5", "KEYS", 80, "--rate-limit-address|more than 0"},
		{"serve --rate-limit-principal=NaN", "KEYS", 80, "--rate-limit-principal|more than 0"},
		{"serve --rate-limit-principal-burst=0", "KEYS", 80, "--rate-limit-principal-burst|1 or more"},
		{"serve --max-in-flight=-1", "KEYS", 80, "--max-in-flight"},
		{"serve --remembered-users=-1", "KEYS", 80, "--remembered-users"},
		{"serve --database-wait=-1s", "KEYS", 80, "--database-wait"},
		{"serve --read-timeout=-1s --drain-delay=-1s", "KEYS", 80, "--read-timeout|--drain-delay"},
		{"serve --request-timeout=1h", "KEYS", 80, "--request-timeout|--write-timeout"},
		{"serve --cors-origin=app", "KEYS", 80, "--cors-origin|https://app.example.com"},
		{"serve --admin-host=http://h/", "KEYS", 80, "--admin-host"},
		{"serve --trusted-proxy=::ffff:10.0.0.0/104", "KEYS", 80, "--trusted-proxy"},
		// Databases.
		{"serve --database users.db", "KEYS", 80, "--database (DRAGOMAN_DATABASE)|write sqlite:users.db"},
		{"migrate --database ./x.db", "", 80, "--database (DRAGOMAN_DATABASE)|write sqlite:./x.db"},
		{"export --database /tmp/x.db", "KEYS", 80, "write sqlite:/tmp/x.db"},
		{"backup copy.db --database x", "", 80, "write sqlite:x"},
		{"migrate", "DRAGOMAN_DATABASE=u:Zecret", 80, "--database (DRAGOMAN_DATABASE)|such as sqlite:users.db or postgres://"},
		{"migrate", "DRAGOMAN_DATABASE=Zecret@h", 80, "--database (DRAGOMAN_DATABASE)"},
		{"migrate --database postgre://u:Zecret@h/d", "", 80, "did you mean postgres://"},
		{"migrate --database Postgresql://u:Zecret@h/d", "", 80, "did you mean postgres://"},
		{"migrate --database mysql://u:Zecret@h/d", "", 80, "must begin with sqlite:, postgres://"},
		{"migrate --database SQLITE:x.db", "", 80, "did you mean sqlite:"},
		{"migrate --database=", "", 80, "--database (DRAGOMAN_DATABASE)|is empty"},
		{"migrate --database sqlite:", "", 80, "--database (DRAGOMAN_DATABASE)|path of a file"},
		{"migrate --database sqlite:none/x.db", "", 1, "--database (DRAGOMAN_DATABASE)|none/x.db: no such file"},
		{"migrate --database postgres://u:Zecret@127.0.0.1:1/x --database-wait 300ms", "", 1, "127.0.0.1:1: connect: connection refused|--database (DRAGOMAN_DATABASE)|--database-wait (DRAGOMAN_DATABASE_WAIT)|next_try_in=100ms"},
		{"serve --listen 127.0.0.1:0 --database postgres://u:Zecret@127.0.0.1:1/x --database-wait 0s", "KEYS", 1, "connection refused|--database (DRAGOMAN_DATABASE)|--database-wait (DRAGOMAN_DATABASE_WAIT)"},
		// Files.
		{"import none.csv", "KEYS", 2, "FILE: |none.csv: no such file"},
		{"import folder --format csv", "KEYS", 2, "FILE: |is a directory"},
		{"import none.txt", "KEYS", 2, "none.txt|--format csv or --format ndjson"},
		{"import users.csv --database sqlite:none.db", "KEYS", 1, "--database (DRAGOMAN_DATABASE)|none.db: no such file"},
		{"export --output none/out.csv", "KEYS", 2, "--output|none: no such file"},
		{"export --output out.txt", "KEYS", 2, "--format csv or --format ndjson"},
		{"backup none/copy.db", "", 2, "FILE|none: no such file"},
		{"export --customer Acme", "KEYS", 2, "neither the id nor the UUID of a customer"},
		// The kit.
		{"check", "", 2, "no target, no dialect, no token, no customer, no user|--target (DRAGOMAN_CHECK_TARGET)|--dialect (DRAGOMAN_CHECK_DIALECT)|--token-file (DRAGOMAN_CHECK_TOKEN_FILE)|--customer (DRAGOMAN_CHECK_CUSTOMER)|--user (DRAGOMAN_CHECK_USER)|for example: dragoman check --target https://"},
		{"check --dialect worth --target http://h" + checkUser, "", 2, "no token|--token-file (DRAGOMAN_CHECK_TOKEN_FILE)"},
		{"check --token Zecret --target http://h" + checkUser, "", 2, "no dialect|--dialect (DRAGOMAN_CHECK_DIALECT)"},
		{"check --dialect foo --token Zecret --target http://h" + checkUser, "", 2, `no dialect "foo"|--dialect|worth, testinium`},
		{"check --dialect worth --token Zecret --target foo" + checkUser, "", 2, "--target must be an http or https URL"},
		{"check --dialect worth --token x --target http://u:Zecret@h/" + checkUser, "", 2, "--target must be a URL without user"},
		{"check --dialect worth --token-file none --target http://h" + checkUser, "", 2, "--token-file|none: no such file"},
		{"check --dialect worth --token-file empty --target http://h" + checkUser, "", 2, "--token-file|empty is empty"},
		{"check --dialect worth --token Zecret --target http://h --customer 1 --user 2", "", 2, "must be a UUID|worth"},
		{"check --dialect worth --token Zecret --target http://h --json none/r.json" + checkUser, "", 2, "none/r.json|--json"},
		{"check --dialect worth --token Zecret --target http://127.0.0.1:1" + checkUser, "", 2, "connection refused"},
	})
}

// TestBackupKeepsFile: the message names it.
func TestBackupKeepsFile(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{"taken.db": "something"})
	if status, _, said := dragoman(t, dir, "", "migrate", "--database=sqlite:d.db"); status != 0 {
		t.Fatal(said)
	}
	message{"backup taken.db --database=sqlite:d.db", "", 2, "taken.db is there already|name a file that is not"}.test(t, dir, strings.NewReplacer())
}

// TestInvalidFileNamesLine: each key once, without what stands behind it.
func TestInvalidFileNamesLine(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{"c.yaml": "database-wait: 5\njwt-secret: 12345\nlisten: [1]\nsecret-key: {a: Zecret}\ntrusted-proxy: foo\nlissten: Zecret\n"})
	message{"serve --config c.yaml", "", 80, "c.yaml:1: database-wait must be a duration|c.yaml:2: jwt-secret must be text|c.yaml:3: listen|c.yaml:4: secret-key|c.yaml:5: trusted-proxy must be a network|c.yaml:6: there is no key lissten, did you mean listen?"}.test(t, dir, strings.NewReplacer())
}

// TestBannerListsAPIs compares them with the servers' own document of APIs.
func TestBannerListsAPIs(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"--dev", "--mock"} {
		var paths []string
		said := serve(t, t.TempDir(), nil, []string{"serve", kind, "--listen=127.0.0.1:0"}, func(address string) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/.well-known/api-catalog", nil)
			if err != nil {
				t.Error(err)
				return
			}
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer answer.Body.Close()
			var catalogue struct {
				Linkset []struct{ Anchor string }
			}
			if err := json.NewDecoder(answer.Body).Decode(&catalogue); err != nil {
				t.Error(err)
			}
			for _, api := range catalogue.Linkset {
				paths = append(paths, address+api.Anchor)
			}
		})
		if len(paths) < 3 {
			t.Errorf("%s serves %v", kind, paths)
		}
		for _, path := range paths {
			if !strings.Contains(said, "http://"+path+"\n") {
				t.Errorf("%s does not name %s: %s", kind, path, said)
			}
		}
	}
}
