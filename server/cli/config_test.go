package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/dragoman-id/dragoman/server/docs/generated"
	"github.com/dragoman-id/dragoman/server/settings"
	"go.yaml.in/yaml/v4"
)

// goodKeys are variables that serve can start with.
var goodKeys = []string{"DRAGOMAN_SECRET_KEY=" + keyOfNow, "DRAGOMAN_JWT_SECRET=" + secretOfTokens}

// writeFiles writes files into a new directory, which it returns.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// effective gives the configuration as `dragoman config` prints it.
func effective(t *testing.T, dir string, variables []string, args ...string) map[string]settings.Setting {
	t.Helper()
	status, out, said := configured(t, dir, variables, "", append([]string{"config", "--format=json"}, args...)...)
	var all map[string]settings.Setting
	if err := json.Unmarshal([]byte(out), &all); err != nil || status != 0 || said != "" {
		t.Fatalf("status %d, %v: %s%s", status, err, out, said)
	}
	return all
}

// TestPrecedence takes away one source of a value after the other.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{
		"c.yaml": "issuer: of the file\naudience: of the file\ndatabase: sqlite:file.db\nlisten: 127.0.0.1:1\n", "database": "sqlite:secret.db\n",
	})
	variables := slices.Concat(goodKeys, []string{"DRAGOMAN_CONFIG=c.yaml"})
	check := func(name, value, from string, variables []string, args ...string) {
		t.Helper()
		if got := effective(t, dir, variables, args...)[name]; got.Value != value || got.From != from {
			t.Errorf("%s is %v from %q, want %s from %q", name, got.Value, got.From, value, from)
		}
	}
	variable := append(slices.Clone(variables), "DRAGOMAN_ISSUER=of the variable")
	check("issuer", "of the flag", "--issuer", variable, "--issuer=of the flag")
	check("issuer", "of the variable", "DRAGOMAN_ISSUER", variable)
	check("listen", "127.0.0.1:1", "c.yaml:4", append(slices.Clone(variables), "DRAGOMAN_LISTEN="))
	check("issuer", "of the file", "c.yaml:1", slices.Concat(goodKeys, []string{"DRAGOMAN_CONFIG=none.yaml"}), "--config=c.yaml")

	file := append(slices.Clone(variables), "DRAGOMAN_DATABASE_FILE=database")
	check("database", "sqlite:flag.db", "--database", file, "--database=sqlite:flag.db")
	check("database", "sqlite:variable.db", "DRAGOMAN_DATABASE", append(slices.Clone(variables), "DRAGOMAN_DATABASE=sqlite:variable.db"))
	check("database", "sqlite:secret.db", "DRAGOMAN_DATABASE_FILE (database)", file)
	check("database", "sqlite:file.db", "c.yaml:3", variables)
	check("database", "sqlite:dragoman.db", "default", goodKeys)
}

// TestSecretFiles: of files as containers give them, with a line break at the end.
func TestSecretFiles(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{
		"key": keyOfNow + "\n", "old": keyOfBefore + "\n" + keyOfNow + "\n", "jwt": secretOfTokens + "\r\n", "database": "sqlite:users.db",
		"c.yaml": "# for all commands\ndatabase-file: database\nsecret-key-file: key\nold-secret-key-file: old\njwt-secret-file: jwt\nissuer: me\nread-timeout: 5s\n",
	})
	for _, variables := range [][]string{
		{"DRAGOMAN_DATABASE_FILE=database", "DRAGOMAN_SECRET_KEY_FILE=key", "DRAGOMAN_OLD_SECRET_KEY_FILE=old", "DRAGOMAN_JWT_SECRET_FILE=jwt"},
		{"DRAGOMAN_CONFIG=c.yaml"},
	} {
		for _, args := range []string{"config", "migrate", "rekey", "customer add --name=Acme", "export", "token"} {
			if status, out, said := configured(t, dir, variables, "", strings.Fields(args)...); status != 0 || said != "" {
				t.Errorf("%s with %q: status %d, %s%s", args, variables, status, out, said)
			}
		}
		_, fromFile, _ := configured(t, dir, variables, "", "token", "--issuer=me", "--expires=1000h")
		_, given, _ := dragoman(t, dir, "", "token", "--issuer=me", "--expires=1000h", "--jwt-secret="+secretOfTokens)
		header := func(token string) string { return strings.Split(token, ".")[0] }
		if fromFile == "" || header(fromFile) != header(given) {
			t.Errorf("with %q the token is %s, want one like %s", variables, fromFile, given)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "users.db")); err != nil {
		t.Error(err)
	}
}

const usesFile = "--config=c.yaml"

// TestInvalidConfigurations: by serve and by config alike, with all that is wrong and nothing else.
func TestInvalidConfigurations(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{"some.file": "some text\n", "empty.file": ""})
	const noTokenKey = "no key to verify tokens with: set DRAGOMAN_ISSUER and DRAGOMAN_AUDIENCE, DRAGOMAN_JWT_SECRET, DRAGOMAN_JWT_PUBLIC_KEY_FILE or DRAGOMAN_JWKS_URL, or try `dragoman serve --dev`"
	const noSecretKey = "no key to seal secrets with: set DRAGOMAN_SECRET_KEY to 32 bytes in base64, as from `openssl rand -base64 32`, or try `--dev`"
	for _, c := range []struct {
		variables string // besides the good keys; "-NAME" takes one of them away
		args      string
		want      string // a line for each problem
	}{
		{"-DRAGOMAN_SECRET_KEY -DRAGOMAN_JWT_SECRET", "", noTokenKey + "\n" + noSecretKey},
		{"DRAGOMAN_SECRET_KEY=short DRAGOMAN_OLD_SECRET_KEY=short,shorter DRAGOMAN_JWT_SECRET=short", "",
			"the secret key is not 32 bytes in base64: set --secret-key (DRAGOMAN_SECRET_KEY) to one that `openssl rand -base64 32` has made\n" +
				strings.Repeat("an old secret key is not 32 bytes in base64: set --old-secret-key (DRAGOMAN_OLD_SECRET_KEY) to keys that --secret-key has had, as they were\n", 2) +
				"the secret has 5 bytes and needs at least 32: set --jwt-secret (DRAGOMAN_JWT_SECRET) to the output of `openssl rand -base64 48`"},
		{"DRAGOMAN_SECRET_KEY_FILE=some.file", "", "DRAGOMAN_SECRET_KEY and DRAGOMAN_SECRET_KEY_FILE are both set: unset one of them"},
		{"-DRAGOMAN_SECRET_KEY DRAGOMAN_SECRET_KEY_FILE=none.file", "", "DRAGOMAN_SECRET_KEY_FILE: open none.file: no such file or directory"},
		{"-DRAGOMAN_JWT_SECRET DRAGOMAN_JWT_SECRET_FILE=empty.file", "", "DRAGOMAN_JWT_SECRET_FILE: empty.file is empty"},
		{"-DRAGOMAN_JWT_SECRET DRAGOMAN_JWT_SECRET_FILE=.", "", "DRAGOMAN_JWT_SECRET_FILE: read .: is a directory"},
		{"DRAGOMAN_LISTEN_FILE=some.file", "", "there is no variable DRAGOMAN_LISTEN_FILE"},
		{"DRAGOMAN_LSITEN=x DRAGOMAN_JWTSECRET=x DRAGOMAN_PORT=8080 DRAGOMAN_PORT_80_TCP=x", "",
			"there is no variable DRAGOMAN_JWTSECRET, did you mean DRAGOMAN_JWT_SECRET?\nthere is no variable DRAGOMAN_LSITEN, did you mean DRAGOMAN_LISTEN?\n" +
				"there is no variable DRAGOMAN_PORT"},
		{"dragoman_require=typ=Bearer Dragoman_Issuer=x dragoman_other=x", "",
			"there is no variable Dragoman_Issuer, did you mean DRAGOMAN_ISSUER?\nthere is no variable dragoman_require, did you mean DRAGOMAN_REQUIRE?"},
		{"DRAGOMAN_TOKEN_TYPE=", "", "DRAGOMAN_TOKEN_TYPE is empty: give it a value, or leave it out"},
		{"DRAGOMAN_PLATFORM_ADMINISTRATORS=org=", "", "--platform-administrators: the value of org is empty, which a claim without a value may be too: write CLAIM=VALUE"},
		{"DRAGOMAN_PLATFORM_ADMINISTRATORS==", "", `--platform-administrators: "=" is not CLAIM=VALUE, such as token_use=access`},
		{"DRAGOMAN_READ_TIMEOUT=5 DRAGOMAN_LOG_LEVEL=loud DRAGOMAN_DEV=maybe DRAGOMAN_TRUSTED_PROXY=10.0.0.0/8,x", "",
			`DRAGOMAN_READ_TIMEOUT must be a duration with its unit, such as 15s, not "5"` + "\n" +
				`DRAGOMAN_TRUSTED_PROXY must be a network, such as 10.0.0.0/8, not "x"` + "\n" +
				`DRAGOMAN_LOG_LEVEL must be one of text, json, not "loud"` + "\n" +
				`DRAGOMAN_DEV must be true or false, not "maybe"`},
		{"DRAGOMAN_TLS_CERT=none.file", "", "DRAGOMAN_TLS_CERT cannot be used: stat DIR/none.file: no such file or directory"},
		{"DRAGOMAN_CONFIG=none.yaml", "", "configuration file of --config (DRAGOMAN_CONFIG): open none.yaml: no such file or directory"},
		{"", "--jwks-url=http://keys.example.com/ --jwks-refresh=1ms --jwt-public-key-file=some.file",
			"the public key file of --jwt-public-key-file (DRAGOMAN_JWT_PUBLIC_KEY_FILE) has no PEM block\na public key needs an issuer and an audience, --issuer and --audience, or any token that its owner signs for anyone would be accepted\n" +
				"there is both a public key and a JWKS URL: set --jwt-public-key-file or --jwks-url, and put the key into the set if both are needed\n" +
				"the JWKS would be refreshed every 1ms, and the minimum is 1s: set --jwks-refresh\n" +
				"the JWKS URL of --jwks-url (DRAGOMAN_JWKS_URL) must be https: over http others could add keys on the way, so http is for a loopback address such as http://127.0.0.1:8081/jwks.json"},
		{"-DRAGOMAN_JWT_SECRET", "--issuer=https://sso.example.com/", "an issuer whose keys are discovered needs an audience, --audience, or any token that it signs for anyone would be accepted"},
		{"-DRAGOMAN_JWT_SECRET", "--issuer=acme --audience=dragoman", "the issuer of --issuer (DRAGOMAN_ISSUER), whose keys are to be discovered, must begin with https://, or set --jwks-url (DRAGOMAN_JWKS_URL)"},
		{"-DRAGOMAN_JWT_SECRET", "--issuer=http://sso.example.com --audience=dragoman",
			"the issuer of --issuer (DRAGOMAN_ISSUER), whose keys are to be discovered, must be https: over http others could add keys on the way, so http is for a loopback address such as http://127.0.0.1:8081/jwks.json, or set --jwks-url (DRAGOMAN_JWKS_URL)"},
		{"", "--map-customers=acme --map-authorities==x --require==x --claim-permissions=/a//b --missing-claims=legacy --customers-form=keys --audience-claim=client_id",
			`--map-customers: "acme" is not THEIRS=OURS, such as acme=2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1` + "\n" + `--map-authorities: "=x" is not THEIRS=OURS, such as acme=2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1` + "\n" +
				`--require: "=x" is not CLAIM=VALUE, such as token_use=access` + "\n--audience-claim needs --audience, the values that the claim may have\n" +
				`--claim-permissions: the JSON Pointer "/a//b" has an empty step` + "\n--missing-claims=legacy cannot be combined with other names, forms or maps of claims (--claim-..., --...-form, --map-..., --idp) or several issuers, because a claim that is misspelled is missing: leave it out"},
		{"", "--jwks-url=https://keys.example.com/", "a JWKS URL needs an issuer and an audience, --issuer and --audience, or any token that its owner signs for anyone would be accepted"},
		{"", "--listen=8080 --database=mysql://h/d --tls-cert=some.file --cors-origin=x --rate-limit-address=-1 --rate-limit-principal-burst=0",
			`"8080" is not an address to listen on: set --listen (DRAGOMAN_LISTEN) to HOST:PORT, such as 127.0.0.1:8080` + "\n--database (DRAGOMAN_DATABASE) must begin with sqlite:, postgres:// or postgresql://, such as sqlite:users.db or postgres://USER@HOST:5432/NAME\n" +
				"--rate-limit-address and --rate-limit-address-burst: a rate of -1 and 1000: must be more than 0 requests a second, with a burst of 1 or more\n" +
				"--rate-limit-principal and --rate-limit-principal-burst: a rate of 200 and 0: must be more than 0 requests a second, with a burst of 1 or more\n" +
				"the certificate and its key are needed together: set both --tls-cert (DRAGOMAN_TLS_CERT) and --tls-key (DRAGOMAN_TLS_KEY)\n" +
				`--cors-origin "x" does not start with http:// or https://: set an origin such as https://app.example.com, with a scheme, a host and optionally a port`},
		{"", "--listen=127.0.0.1:65536 --database=sqlite: --rate-limit-address=0 --trusted-proxy=::ffff:10.0.0.0/104",
			"the rate limits are turned off with --dev only: set --rate-limit-address, --rate-limit-principal and --max-in-flight to what you allow\n" +
				"--trusted-proxy ::ffff:10.0.0.0/104 would match nothing: write it as IPv4\n" +
				`"127.0.0.1:65536" is not an address to listen on: set --listen (DRAGOMAN_LISTEN) to HOST:PORT, such as 127.0.0.1:8080` + "\ndatabase URL: sqlite: wants the path of a file behind it, and takes neither a host nor parameters: see --database (DRAGOMAN_DATABASE)"},
		{"", "--request-timeout=30s --idle-timeout=-1s --database-wait=-2s --remembered-users=-1 --idempotency-retention=0",
			"--database-wait must not be negative, and is -2s\n--idempotency-retention must be from 1m0s to 720h0m0s, and is 0s\n--remembered-users must be from 0 to 10000000, and is -1\n--idle-timeout must not be negative, and is -1s\n" +
				"--request-timeout (30s; 0s is no timeout) must be shorter than --write-timeout (30s), or its 503 could not be written"},
		{"", "--dev --listen=0.0.0.0:8080 --tls-cert=some.file --tls-key=some.file",
			"--dev listens on a loopback address only, such as 127.0.0.1:8080: see --listen (DRAGOMAN_LISTEN)\n--dev speaks plain HTTP: leave out --tls-cert (DRAGOMAN_TLS_CERT) and --tls-key (DRAGOMAN_TLS_KEY)"},
	} {
		want := "dragoman: error: " + strings.ReplaceAll(c.want, "\n", "\n                 ") + "\n"
		want = strings.Replace(want, "one of text, json, not", "one of debug, info, warn, error, not", 1)
		for _, command := range []string{"serve", "config"} {
			// A server that is not refused ends where it cannot listen.
			args := append([]string{command, "--listen=256.0.0.1:1"}, strings.Fields(c.args)...)
			status, _, said := configured(t, dir, change(goodKeys, strings.Fields(c.variables)), "", args...)
			said = strings.ReplaceAll(said, dir, "DIR")
			if status != 80 || said != want {
				t.Errorf("%q with %s ends with %d and says\n%s\nwant\n%s", args, c.variables, status, said, want)
			}
		}
	}
}

// change gives variables with others in their place and beside them; -NAME takes one away.
func change(variables, changes []string) []string {
	changed := slices.Clone(variables)
	for _, c := range changes {
		if name, found := strings.CutPrefix(c, "-"); found {
			changed = slices.DeleteFunc(changed, func(v string) bool { return strings.HasPrefix(v, name+"=") })
			continue
		}
		changed = append(changed, c)
	}
	return changed
}

// TestConfigFormats: people's is in the order of the flags, and says no more and no less than the others.
func TestConfigFormats(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{"c.yaml": "trusted-proxy: [10.0.0.0/8, fd00::/8]\nrate-limit-principal: 0.5\n"})
	variables := slices.Concat(goodKeys, []string{"DRAGOMAN_DATABASE=postgres://u:" + secretOfDSN + "@h/d"})
	status, out, said := configured(t, dir, variables, "", "config", usesFile)
	if status != 0 || said != "" {
		t.Fatalf("status %d, %s", status, said)
	}
	for name, want := range map[string]string{
		"listen": "127.0.0.1:8080 default", "database": "postgres://***@h/d DRAGOMAN_DATABASE", "secret-key": "*** DRAGOMAN_SECRET_KEY",
		"old-secret-key": "- not set", "trusted-proxy": "10.0.0.0/8,fd00::/8 c.yaml:1", "rate-limit-principal": "0.5 c.yaml:2", "dev": "false default",
	} {
		if line := name + " " + want; !slices.ContainsFunc(strings.Split(out, "\n"), func(l string) bool { return strings.Join(strings.Fields(l), " ") == line }) {
			t.Errorf("it does not print %q: %s", line, out)
		}
	}
	inJSON := effective(t, dir, variables, usesFile)
	_, text, _ := configured(t, dir, variables, "", "config", usesFile, "--format=yaml")
	var inYAML map[string]settings.Setting
	if err := yaml.Unmarshal([]byte(text), &inYAML); err != nil {
		t.Fatal(err)
	}
	serve := serveFlags(t)
	if lines := strings.Count(out, "\n"); lines != len(serve) || len(inJSON) != len(serve) || len(inYAML) != len(serve) {
		t.Errorf("of %d flags it prints %d, in JSON %d, in YAML %d", len(serve), lines, len(inJSON), len(inYAML))
	}
	for name, s := range inJSON {
		if y := inYAML[name]; fmt.Sprint(y) != fmt.Sprint(s) {
			t.Errorf("%s is %v in YAML, and %v in JSON", name, y, s)
		}
	}
}

// TestConfigMasksInvalidURL: what is refused is printed nonetheless, for whoever is to mend it.
func TestConfigMasksInvalidURL(t *testing.T) {
	t.Parallel()
	for _, database := range []string{"host=h user=u password=" + secretOfDSN, "postgres:u:" + secretOfDSN + "@h/d", "mysql://u:" + secretOfDSN + "@h/d"} {
		status, out, said := configured(t, t.TempDir(), slices.Concat(goodKeys, []string{"DRAGOMAN_DATABASE=" + database}), "", "config")
		if status == 0 || !strings.Contains(out, "***") || strings.Contains(out+said, secretOfDSN) {
			t.Errorf("of %s it prints, with status %d, %s%s", database, status, out, said)
		}
	}
}

// TestConfigDevCreatesNothing: it tells of the keys, and leaves it to serve to make them.
func TestConfigDevCreatesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	all := effective(t, dir, nil, "--dev")
	if s := all["secret-key"]; s.Value != nil || s.From != "--dev (.dragoman/secret-key)" {
		t.Errorf("%+v", s)
	}
	if s := all["jwt-secret"]; s.Value != nil || s.From != "--dev (.dragoman/jwt-secret)" {
		t.Errorf("%+v", s)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("it made %v, %v", entries, err)
	}
}

// TestConfigMock: no more than the mock does.
func TestConfigMock(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{"c.yaml": "mock-seed: 7\n"})
	if s := effective(t, dir, nil, "--mock", usesFile)["mock-seed"]; s.Value != 7.0 || s.From != "c.yaml:1" {
		t.Errorf("%+v", s)
	}
	if status, _, said := dragoman(t, dir, "", "config", "--mock", "--database=sqlite:x.db"); status == 0 || !strings.Contains(said, "leave out --database") {
		t.Errorf("status %d: %s", status, said)
	}
}

// TestHelp: who has a mistake in it must be able to ask.
func TestHelp(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{"c.yaml": "nonsense"})
	status, out, said := configured(t, dir, []string{"DRAGOMAN_CONFIG=c.yaml", "DRAGOMAN_NONSENSE=1"}, "", "serve", "--help")
	if status != 0 || said != "" || !strings.Contains(strings.Join(strings.Fields(out), " "), "($DRAGOMAN_JWT_SECRET, or a file that $DRAGOMAN_JWT_SECRET_FILE names)") {
		t.Errorf("status %d: %s%s", status, out, said)
	}
}

// serveFlags are the flags of serve, as kong has them.
func serveFlags(t *testing.T) []*kong.Flag {
	t.Helper()
	parser, err := newParser(&commandLine{})
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range parser.Model.Children {
		if command.Name == "serve" {
			return command.Flags
		}
	}
	t.Fatal("there is no serve")
	return nil
}

// TestSecretTags: without the tag a secret is shown.
func TestSecretTags(t *testing.T) {
	t.Parallel()
	for _, flag := range serveFlags(t) {
		sounds := slices.ContainsFunc([]string{"secret", "password", "token", "key", "database", "dsn", "webhook-proxy"}, func(word string) bool { return strings.Contains(flag.Name, word) })
		// A number, a time and one of a few words are no secrets.
		sounds = sounds && (flag.Target.Kind() == reflect.String || flag.IsSlice()) && flag.Enum == ""
		isFile := flag.Tag.Type == "existingfile" || flag.Tag.Type == "path"
		if sounds != flag.Tag.Has("secret") && !isFile {
			t.Errorf("--%s: is it a secret? Its field says %t", flag.Name, flag.Tag.Has("secret"))
		}
	}
}

// TestGeneratedFlags: the guide's page on configuration has a table of the flags of serve.
func TestGeneratedFlags(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	table.WriteString("| flag | variable | default | what |\n|---|---|---|---|\n")
	for _, flag := range serveFlags(t) {
		names, value := "`--"+flag.Name+"`", ""
		if flag.Negated || flag.Tag.Negatable != "" {
			names += ", `--no-" + flag.Name + "`"
		}
		if flag.HasDefault && flag.Default != "" {
			value = "`" + flag.Default + "`"
		}
		help := strings.ReplaceAll(flag.Help, " ("+flag.Default+")", "")
		fmt.Fprintf(&table, "| %s | `%s` | %s | %s |\n", names, flag.Envs[0], value, help)
	}
	generated.Check(t, root+"server/docs/guide/configuration.md", "flags", table.String())
}
