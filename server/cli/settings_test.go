package cli

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// settingValues are two values, other than the default, of each flag of each command, by COMMAND/FLAG or by FLAG. FILE stands
// for the path of a file that exists, SECRETS.yaml for a configuration file.
var settingValues = map[string][2]string{
	"config": {"DIR/one.yaml", "DIR/two.yaml"},
	"listen": {"127.0.0.1:1", "[::1]:2"}, "database": {"sqlite:one.db", "postgres://u@h/d"}, "database-wait": {"3s", "4m0s"},
	"database-connections": {"7", "8"}, "no-migrate": {"true", "false"}, "distribute": {"true", "false"},
	"remembered-users": {"7", "8"}, "idempotency-retention": {"1h0m0s", "48h0m0s"}, "history-retention": {"2y", "90d"}, "erasure-ledger": {"one.erasures", "two.erasures"}, "reason": {"one", "two"}, "yes": {"true", "false"}, "replay": {"one.erasures", "two.erasures"}, "max-token-bytes": {"1024", "2048"}, "secret-key": {base64.StdEncoding.EncodeToString(make([]byte, 32)), keyOfNow},
	"scim": {"true", "false"}, "role": {"ROLE_USER", "ROLE_REPORT"}, "note": {"one", "two"},
	"old-secret-key": {keyOfBefore, keyOfNow + "," + keyOfBefore}, "jwt-secret": {secretOfTokens, "another secret"},
	"idp": {"okta", "auth0"}, "issuer": {"one", "two"}, "audience": {"one", "two,three"}, "audience-claim": {"one", "/two"}, "token-type": {"access", "any"},
	"customers-form": {"words", "keys"}, "permissions-form": {"list", "keys-by-customer"}, "authorities-form": {"keys", "words"},
	"map-customers": {"one=1", "two=2,three=3"}, "map-permissions": {"one=1", "two=2,three=3"}, "map-authorities": {"one=1", "two=2,three=3"},
	"missing-claims": {"empty", "legacy"}, "platform-administrators": {"one=two", "/three=four"}, "jwt-public-key-file": {"DIR/one.pem", "DIR/two.pem"},
	"jwks-url": {"https://one.example.com/", "https://two.example.com/"}, "jwks-refresh": {"1m0s", "2m0s"}, "jwks-max-age": {"12h0m0s", "48h0m0s"},
	"claim-user-id": {"one", "two"}, "claim-customers": {"one", "two"}, "claim-permissions": {"one", "two"}, "claim-authorities": {"one", "two"},
	"read-header-timeout": {"1s", "2s"}, "read-timeout": {"1s", "2s"}, "write-timeout": {"1s", "2s"}, "idle-timeout": {"1s", "2s"},
	"request-timeout": {"1s", "2s"}, "drain-delay": {"1s", "2s"}, "shutdown-timeout": {"1s", "2s"},
	"rate-limit-address": {"0.5", "2"}, "rate-limit-address-burst": {"1", "2"},
	"rate-limit-principal": {"0.5", "2"}, "rate-limit-principal-burst": {"1", "2"}, "trusted-proxy": {"10.0.0.0/8", "10.1.0.0/16,fd00::/8"},
	"tls-cert": {"DIR/one.pem", "DIR/two.pem"}, "tls-key": {"DIR/one.pem", "DIR/two.pem"},
	"cors-origin": {"https://one.example.com", "https://two.example.com,https://one.example.com"}, "docs": {"false", "true"},
	"admin-listen": {"127.0.0.1:1", "127.0.0.1:2"}, "admin-host": {"one.example.com", "two.example.com,one.example.com"}, "admin-pprof": {"true", "false"}, "log-format": {"json", "text"}, "log-level": {"debug", "error"},
	"dev": {"true", "false"}, "mock": {"true", "false"}, "mock-seed": {"2", "3"},
	"format": {"json", "text"}, "import/format": {"csv", "ndjson"}, "export/format": {"csv", "ndjson"}, "check/format": {"json", "junit"},
	"max-in-flight": {"1", "2"}, "spreadsheet": {"true", "false"}, "dry-run": {"true", "false"}, "batch": {"1", "2"}, "customer": {"1", "2"}, "token/customer": {"1", "2,3"}, "output": {"one", "two"},
	"name": {"one", "two"}, "id": {"1", "2"}, "uuid": {"one", "two"}, "company": {"one, and", "7=two"},
	"user": {"1", "2"}, "json": {"true", "false"}, "check/json": {"one", "two"}, "version": {"1", "2"},
	"subject": {"one", "two"}, "permission": {"one", "two,three"}, "authority": {"one", "two,three"}, "expires": {"1m0s", "2m0s"},
	"target": {"http://one", "http://two"}, "dialect": {"worth", "testinium"}, "token": {"one", "two"}, "token-file": {"one", "two"},
	"other-token": {"one", "two"}, "other-token-file": {"one", "two"}, "check/company": {"1", "2"}, "allow": {"one", "two,three"},
	"require": {"one,cid", "two,three"}, "only": {"one", "two,three"}, "skip": {"one", "two,three"}, "list": {"true", "false"},
	"junit": {"one", "two"}, "update": {"one", "two"}, "timeout": {"1s", "2s"}, "rate": {"1", "2"}, "max-requests": {"1", "2"}, "writers": {"1", "2"},
	"ca-cert": {"DIR/one.pem", "DIR/two.pem"}, "from": {"sqlite:one.db", "postgres://u@h/d"}, "to": {"sqlite:one.db", "postgres://u@h/d"},
	"source": {"https://one.example.com", "https://two.example.com"}, "token-command": {"one", "two, and three"}, "retry-for": {"1s", "2s"},
	"target-token-file": {"one", "two"}, "target-token-command": {"one", "two, and three"}, "target-rate": {"1", "2"}, "sample": {"1", "2"}, "shadow/sample": {"0.5", "0"}, "ignore": {"one", "two,three"},
	"watch": {"1s", "2s"}, "compare/format": {"json", "junit"}, "compare/company": {"1", "2"}, "rules": {"true", "false"}, "workers": {"1", "2"}, "queue": {"1", "2"},
	"max-body": {"1", "2"}, "max-memory": {"3", "4"}, "show-values": {"true", "false"}, "every": {"1s", "2s"}, "shadow/json": {"one", "two"},
	"mapping": {"one", "two"}, "prefer": {"one=worth", "two=worth,three=testinium"}, "merge/format": {"json", "text"}, "page-size": {"7", "8"}, "resume": {"true", "false"}, "pull testinium/company": {"1", "2"},
	"webhooks": {"false", "true"}, "webhook-allow-http": {"true", "false"}, "webhook-allow-network": {"10.0.0.0/8", "10.1.0.0/16,fd00::/8"},
	"webhook-proxy": {"http://one:3128", "http://two:3128"}, "url": {"https://one", "https://two"}, "overlap": {"1h0m0s", "2h0m0s"},
	"webhook add/from": {"1", "2"}, "webhook replay/from": {"1", "2"},
	"database-read": {"postgres://u@h/d", "postgres://u@g/d"}, "read-lag": {"1s", "2s"},
}

// TestSettingSources gives the flags of each command their values by flag, by variable, by the configuration file and by a
// secret's file, alone and against each other, and looks at what the command gets. It is not parallel, as it sets variables.
func TestSettingSources(t *testing.T) {
	for _, variable := range os.Environ() {
		if name, value, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "DRAGOMAN_") {
			t.Setenv(name, value) // restores it
			os.Unsetenv(name)
		}
	}
	dir := writeFiles(t, map[string]string{"one.yaml": "", "two.yaml": "", "one.pem": "", "two.pem": ""})
	inFile := map[string]bool{}
	for _, flag := range serveFlags(t) {
		inFile[flag.Name] = true
	}
	parser, err := newParser(&commandLine{})
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range parser.Model.Leaves(false) {
		t.Run(command.Path(), func(t *testing.T) {
			w := settingsWalk{dir: dir, command: command}
			var alone []setting // that exclude others
			for _, flag := range append(parser.Model.Flags, command.Flags...) {
				if flag.Name == "help" {
					continue
				}
				s := setting{flag: flag, inFile: inFile[flag.Name]}
				var ok bool
				if s.values, ok = settingValues[command.Path()+"/"+flag.Name]; !ok {
					s.values, ok = settingValues[flag.Name]
				}
				if !ok {
					t.Errorf("this test has no values for --%s: add them to settingValues", flag.Name)
					continue
				}
				if len(flag.Envs) == 0 && flag.Tag.Get("env") != "-" {
					t.Errorf("--%s has no variable", flag.Name)
				}
				for i, value := range s.values {
					s.values[i] = strings.ReplaceAll(value, "DIR", dir)
				}
				if len(flag.Xor) > 0 || flag.Name == "config" {
					alone = append(alone, s)
					continue
				}
				w.settings = append(w.settings, s)
			}
			w.walk(t)
			for _, s := range alone {
				w.settings = []setting{s}
				w.walk(t)
			}
		})
	}
}

// setting is a flag of a command, and two values for it.
type setting struct {
	flag   *kong.Flag
	inFile bool // whether the configuration file may have it
	values [2]string
}

func (s setting) hasVariable() bool { return len(s.flag.Envs) > 0 }

func (s setting) isSecret() bool { return s.hasVariable() && s.flag.Tag.Has("secret") }

func (s setting) isInFile() bool { return s.inFile && s.hasVariable() }

func (s setting) isSecretInFile() bool { return s.isInFile() && s.isSecret() }

// settingsWalk gives some settings of a command their values at the same time.
type settingsWalk struct {
	dir      string
	command  *kong.Node
	settings []setting
}

func (w *settingsWalk) walk(t *testing.T) {
	t.Helper()
	const one, two = 0, 1
	flag := func(value int) way { return way{by: (*settingsWalk).byFlag, value: value} }
	variable := func(value int) way {
		return way{by: (*settingsWalk).byVariable, has: setting.hasVariable, value: value}
	}
	file := func(value int) way { return way{by: (*settingsWalk).byFile, has: setting.isInFile, value: value} }
	secretFile := func(value int) way { return way{by: (*settingsWalk).bySecretFile, has: setting.isSecret, value: value} }
	fileOfFile := func(value int) way {
		return way{by: (*settingsWalk).byFileOfFile, has: setting.isSecretInFile, value: value}
	}
	w.expect(t, "flag", one, flag(one))
	w.expect(t, "flag", two, flag(two))
	w.expect(t, "variable", one, variable(one))
	w.expect(t, "variable", two, variable(two))
	w.expect(t, "flag over variable", one, flag(one), variable(two))
	w.expect(t, "flag over variable", two, flag(two), variable(one))
	w.expect(t, "the variable's file", one, secretFile(one))
	w.expect(t, "flag over the variable's file", one, flag(one), secretFile(two))
	w.expect(t, "configuration file", one, file(one))
	w.expect(t, "configuration file", two, file(two))
	w.expect(t, "variable over configuration file", two, variable(two), file(one))
	w.expect(t, "variable over configuration file", one, variable(one), file(two))
	w.expect(t, "flag over configuration file", one, flag(one), file(two))
	w.expect(t, "flag over variable over configuration file", one, flag(one), variable(two), file(two))
	w.expect(t, "the configuration file's file", one, fileOfFile(one))
	w.expect(t, "the variable's file over the configuration file's", two, secretFile(two), fileOfFile(one))
}

// way is a way to give settings their first or second values: by variables, arguments and lines of the configuration file.
type way struct {
	by    func(*settingsWalk, setting, string) (variable, argument, line string)
	has   func(setting) bool // whether a setting can be given so; nil: all can
	value int
}

func (w *settingsWalk) byFlag(s setting, value string) (variable, argument, line string) {
	if s.flag.IsSlice() && s.flag.Tag.Sep > 0 {
		value = strings.ReplaceAll(value, ",", "\x00--"+s.flag.Name+"=")
	}
	return "", "--" + s.flag.Name + "=" + value, ""
}

func (w *settingsWalk) byVariable(s setting, value string) (variable, argument, line string) {
	return s.flag.Envs[0] + "=" + value, "", ""
}

func (w *settingsWalk) bySecretFile(s setting, value string) (variable, argument, line string) {
	return s.flag.Envs[0] + "_FILE=" + w.write("variable's-"+s.flag.Name, value+"\n"), "", ""
}

func (w *settingsWalk) byFile(s setting, value string) (variable, argument, line string) {
	text := `"` + value + `"`
	if kind := s.flag.Target.Kind(); kind != reflect.String && kind != reflect.Slice && !strings.HasSuffix(value, "s") {
		text = value // a number or a truth value
	}
	if s.flag.IsSlice() {
		text = `["` + strings.ReplaceAll(value, ",", `", "`) + `"]`
	}
	return "", "", s.flag.Name + ": " + text
}

func (w *settingsWalk) byFileOfFile(s setting, value string) (variable, argument, line string) {
	return "", "", s.flag.Name + "-file: " + w.write("file's-"+s.flag.Name, value+"\n")
}

func (w *settingsWalk) write(name, text string) string {
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		panic(err)
	}
	return path
}

// expect parses a command line of the command, with what it requires, and looks at the settings that can be given by all the ways.
func (w *settingsWalk) expect(t *testing.T, how string, want int, ways ...way) {
	t.Helper()
	var given []setting
	for _, s := range w.settings {
		if !slices.ContainsFunc(ways, func(w way) bool { return w.has != nil && !w.has(s) }) {
			given = append(given, s)
		}
	}
	if len(given) == 0 {
		return
	}
	args, variables, lines := strings.Fields(w.command.Path()), []string(nil), ""
	for _, flag := range w.command.Flags {
		if flag.Required && !slices.ContainsFunc(given, func(s setting) bool { return s.flag.Name == flag.Name }) {
			args = append(args, "--"+flag.Name+"=1")
		}
	}
	for _, p := range w.command.Positional {
		if p.Target.CanInt() {
			args = append(args, "1")
		} else {
			args = append(args, "file.csv")
		}
	}
	for _, s := range given {
		for _, way := range ways {
			variable, argument, line := way.by(w, s, s.values[way.value])
			if variable != "" {
				variables = append(variables, variable)
			}
			if argument != "" {
				args = append(args, strings.Split(argument, "\x00")...)
			}
			if line != "" {
				lines += line + "\n"
			}
		}
	}
	if lines != "" {
		args = append(args, "--config="+w.write("settings.yaml", lines))
	}
	parser := w.parse(t, how, args, variables)
	if parser == nil {
		return
	}
	for _, command := range parser.Model.Leaves(false) {
		if command.Path() != w.command.Path() {
			continue
		}
		for _, flag := range append(parser.Model.Flags, command.Flags...) {
			for _, s := range given {
				if got := textOf(flag.Target); flag.Name == s.flag.Name && got != s.values[want] {
					t.Errorf("%s: --%s is %q, want %q", how, flag.Name, got, s.values[want])
				}
			}
		}
	}
}

// parse parses a command line with these variables set; it returns nil if it is refused.
func (w *settingsWalk) parse(t *testing.T, how string, args, variables []string) *kong.Kong {
	t.Helper()
	for _, v := range variables {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
		defer os.Unsetenv(name)
	}
	parser, err := newParser(&commandLine{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Errorf("%s: %q is refused: %v", how, args, err)
		return nil
	}
	return parser
}

// textOf is a flag's value as settingValues has it.
func textOf(v reflect.Value) string {
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() != reflect.Slice {
		return fmt.Sprint(v.Interface())
	}
	texts := make([]string, v.Len())
	for i := range texts {
		texts[i] = fmt.Sprint(v.Index(i).Interface())
	}
	return strings.Join(texts, ",")
}
