package settings_test

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/dragoman-id/dragoman/server/settings"
)

// grammar is a command line with a flag of each kind. Its variables are not set.
type grammar struct {
	ConfigFile string       `name:"config" env:"-"`
	Serve      serveFlags   `cmd:""`
	Ask        askFlags     `cmd:""`
	Version    versionFlags `cmd:""`
}

type serveFlags struct {
	Listen   string         `default:"127.0.0.1:1" env:"-"`
	Database string         `secret:"password" env:"-"`
	Key      string         `secret:"" env:"-"`
	OldKey   []string       `secret:"" env:"-"`
	Wait     time.Duration  `default:"90m" env:"-"`
	Burst    int            `env:"-"`
	Rate     float64        `env:"-"`
	Try      bool           `env:"-"`
	Level    string         `enum:"low,high" default:"low" env:"-"`
	Proxy    []netip.Prefix `env:"-"`
	Origin   []string       `env:"-"`
	Cert     string         `type:"existingfile" env:"-"`
}

type askFlags struct {
	Database string `env:"-"`
	Question string `env:"-"`
}

type versionFlags struct{}

// parse parses a command line with a configuration file of this text.
func parse(t *testing.T, text string, args ...string) (grammar, []settings.Setting, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	write(t, path, text)
	var g grammar
	r := settings.New("serve")
	k, err := kong.New(&g, append(r.Options(), kong.Writers(io.Discard, io.Discard))...)
	if err != nil {
		t.Fatal(err)
	}
	c, err := k.Parse(append([]string{"--config=" + path}, args...))
	if err != nil {
		var problems settings.Problems
		if !errors.As(err, &problems) {
			t.Fatalf("%v is not Problems", err)
		}
		return g, nil, errors.New(strings.ReplaceAll(problems.Error(), path, "c.yaml"))
	}
	list := r.Settings(c)
	for i := range list {
		list[i].From = strings.ReplaceAll(list[i].From, path, "c.yaml")
	}
	return g, list, nil
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFileSetsEveryKindOfFlag(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "key"), "s3cret \n")
	write(t, filepath.Join(dir, "old"), "one\ntwo,three\n")
	write(t, filepath.Join(dir, "cert"), "")
	g, list, err := parse(t, `# Everything.
listen: "8080"
database: 'postgres://u:p@h/d'
key-file: `+dir+`/key
old-key-file: `+dir+`/old
wait: 15s
burst: 7
rate: 1
try: true
level: high
proxy: [10.0.0.0/8, "fd00::/8"]
origin:
  - https://a.example.com
  - b,c
cert: `+dir+`/cert
`, "serve")
	if err != nil {
		t.Fatal(err)
	}
	want := serveFlags{
		Listen: "8080", Database: "postgres://u:p@h/d", Key: "s3cret ", OldKey: []string{"one", "two", "three"},
		Wait: 15 * time.Second, Burst: 7, Rate: 1, Try: true, Level: "high",
		Proxy:  []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
		Origin: []string{"https://a.example.com", "b,c"}, Cert: dir + "/cert",
	}
	if !reflect.DeepEqual(g.Serve, want) {
		t.Errorf("got %+v, want %+v", g.Serve, want)
	}
	shown := []settings.Setting{
		{Name: "listen", Value: "8080", From: "c.yaml:2"}, {Name: "database", Value: "postgres://***@h/d", From: "c.yaml:3"},
		{Name: "key", Value: "***", From: "c.yaml:4 (" + dir + "/key)"}, {Name: "old-key", Value: "***", From: "c.yaml:5 (" + dir + "/old)"},
		{Name: "wait", Value: "15s", From: "c.yaml:6"}, {Name: "burst", Value: 7, From: "c.yaml:7"}, {Name: "rate", Value: 1.0, From: "c.yaml:8"},
		{Name: "try", Value: true, From: "c.yaml:9"}, {Name: "level", Value: "high", From: "c.yaml:10"},
		{Name: "proxy", Value: []string{"10.0.0.0/8", "fd00::/8"}, From: "c.yaml:11"},
		{Name: "origin", Value: []string{"https://a.example.com", "b,c"}, From: "c.yaml:13"}, {Name: "cert", Value: dir + "/cert", From: "c.yaml:15"},
	}
	if !reflect.DeepEqual(list, shown) {
		t.Errorf("shown are %+v, want %+v", list, shown)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "# nothing\n", "---\n", "null\n", "proxy: []\n", "{}"} {
		g, list, err := parse(t, text, "serve")
		if want := (serveFlags{Listen: "127.0.0.1:1", Wait: 90 * time.Minute, Level: "low"}); err != nil || !reflect.DeepEqual(g.Serve, want) {
			t.Fatalf("%q gives %+v, %v", text, g.Serve, err)
		}
		for _, s := range list {
			want := settings.Setting{Name: s.Name, From: "not set"}
			switch s.Name {
			case "listen":
				want.Value, want.From = "127.0.0.1:1", "default"
			case "wait":
				want.Value, want.From = "1h30m", "default"
			case "level":
				want.Value, want.From = "low", "default"
			case "try":
				want.Value, want.From = false, "default"
			case "burst":
				want.Value = 0
			case "rate":
				want.Value = 0.0
			}
			if !reflect.DeepEqual(s, want) {
				t.Errorf("with %q: %+v, want %+v", text, s, want)
			}
		}
	}
}

func TestCommandLinePrecedence(t *testing.T) {
	t.Parallel()
	g, list, err := parse(t, "listen: file\nburst: 3\nproxy: [10.0.0.0/8]\nkey: k\n", "serve", "--listen=line", "--proxy=fd00::/8")
	if err != nil || g.Serve.Listen != "line" || g.Serve.Burst != 3 || len(g.Serve.Proxy) != 1 || g.Serve.Proxy[0].Bits() != 8 || !g.Serve.Proxy[0].Addr().Is6() {
		t.Errorf("%+v, %v", g.Serve, err)
	}
	if list[0].From != "--listen" || list[5].From != "c.yaml:2" {
		t.Errorf("%+v", list)
	}
}

// TestOtherCommandsUseSharedFlags checks that a command ignores invalid values of flags that it does not have.
func TestOtherCommandsUseSharedFlags(t *testing.T) {
	t.Parallel()
	g, _, err := parse(t, "database: d\nwait: never\ncert: /nowhere\n", "ask")
	if err != nil || g.Ask.Database != "d" {
		t.Errorf("%+v, %v", g.Ask, err)
	}
	if _, _, err := parse(t, "databse: d\n", "ask"); err == nil {
		t.Error("a mistyped key is overlooked")
	}
	if _, _, err := parse(t, "question: q\n", "ask"); err == nil || err.Error() != "c.yaml:1: there is no key question" {
		t.Errorf("a key that is no setting: %v", err)
	}
	if _, _, err := parse(t, "nonsense", "version"); err != nil {
		t.Errorf("a command without settings reads them: %v", err)
	}
}

func TestFileProblems(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"listen: 8080":            "c.yaml:1: listen must be text: put it in quotes",
		"listen: 2026-01-01":      "c.yaml:1: listen must be text: put it in quotes",
		"listen: true":            "c.yaml:1: listen must be text: put it in quotes",
		"listen:":                 "c.yaml:1: listen has no value",
		"listen: [a]":             "c.yaml:1: listen must be a single value",
		"listen: {a: b}":          "c.yaml:1: listen must be a single value",
		"listen: |\n  a\n  b\n":   "c.yaml:1: listen must be on one line",
		"wait: 15":                `c.yaml:1: wait must be a duration with its unit, such as 15s, not "15"`,
		"wait: soon":              `c.yaml:1: wait must be a duration with its unit, such as 15s, not "soon"`,
		"burst: 1.5":              "c.yaml:1: burst must be a whole number",
		"burst: '1'":              "c.yaml:1: burst must be a whole number",
		"rate: fast":              "c.yaml:1: rate must be a number",
		"try: yes":                "c.yaml:1: try must be true or false",
		"level: middle":           `c.yaml:1: level must be one of low, high, not "middle"`,
		"proxy: [10.0.0.0/8, 10]": `c.yaml:1: proxy must be a network, such as 10.0.0.0/8, not "10"`,
		"proxy: [[10.0.0.0/8]]":   "c.yaml:1: proxy must be a list of single values",
		"cert: /no/such/file":     "c.yaml:1: cert cannot be used: stat /no/such/file: no such file or directory",
		"key-file: /no/such/file": "c.yaml:1: key-file: open /no/such/file: no such file or directory",
		"key-file: /dev/null":     "c.yaml:1: key-file: /dev/null is empty",
		"key-file: /dev/zero":     "c.yaml:1: key-file: /dev/zero has more than 65536 bytes, too many for a secret",
		"key-file: [a]":           "c.yaml:1: key-file must be the path of a file",
		"key: a\nkey-file: b":     "c.yaml:2: key and key-file are both set: leave one of them out",
		"key: 12345678":           "c.yaml:1: key must be text: put it in quotes",
		"listen-file: a":          "c.yaml:1: there is no key listen-file",
		"lsiten: a":               "c.yaml:1: there is no key lsiten, did you mean listen?",
		"OLD_KEY: a":              "c.yaml:1: there is no key OLD_KEY, did you mean old-key?",
		"help: true":              "c.yaml:1: there is no key help",
		"config: a":               "c.yaml:1: there is no key config",
		"<<: {listen: a}":         "c.yaml:1: there is no key <<",
		"? [a]\n: b":              "c.yaml:1: a key must be a name",
		"- listen":                "c.yaml:1: the file must have keys with values, such as listen: 127.0.0.1:8080",
		"listen: a\n---\n":        "c.yaml: there is more than one document",
		"listen: a\nlisten: a\n":  "c.yaml:2: listen is set a second time, after line 1",
		"try: 1\n\nburst: x\nwiat: 1s\nwait: 1\n": "c.yaml:1: try must be true or false\nc.yaml:3: burst must be a whole number\n" +
			"c.yaml:4: there is no key wiat, did you mean wait?\n" + `c.yaml:5: wait must be a duration with its unit, such as 15s, not "1"`,
	} {
		if _, _, err := parse(t, text, "serve"); err == nil || err.Error() != want {
			t.Errorf("%q is refused with\n%v\nwant\n%s", text, err, want)
		}
	}
	for _, text := range []string{"listen: [", "\tlisten: a", "listen: *a", "listen: \"\xff\"", strings.Repeat("#", 1<<20+1)} {
		if _, _, err := parse(t, text, "serve"); err == nil || !strings.Contains(err.Error(), "c.yaml") {
			t.Errorf("%.20q is refused with %v", text, err)
		}
	}
	if _, _, err := parse(t, "key: *hunter", "serve"); err == nil || strings.Contains(err.Error(), "hunter") {
		t.Errorf("an error shows an unknown anchor: %v", err)
	}
	if _, _, err := parse(t, "", "--config=/no/such/file", "serve"); err == nil || err.Error() != "configuration file of --config (DRAGOMAN_CONFIG): open /no/such/file: no such file or directory" {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestListsInFile: an item of a list in YAML is a value as it is, whatever characters it has, and each item is checked.
func TestListsInFile(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		`origin: ['a\,b']`:                   {`a\,b`},
		`origin: ['a\\,b', 'c\']`:            {`a\\,b`, `c\`},
		`origin: ["a,b", 'c,', ',', '\,']`:   {"a,b", "c,", ",", `\,`},
		`origin: ['\', '[1]', 'null', '{}']`: {`\`, "[1]", "null", "{}"},
		`origin: ['"', "\u00e9"]`:            {`"`, "é"},
		`origin: 'a\,b'`:                     {"a,b"}, // a text, as on the command line
		`origin: a,b`:                        {"a", "b"},
		`origin: []`:                         nil,
	} {
		g, _, err := parse(t, text, "serve")
		if err != nil || !slices.Equal(g.Serve.Origin, want) {
			t.Errorf("%s: %q, %v, want %q", text, g.Serve.Origin, err, want)
		}
	}
	for text, want := range map[string]string{
		"proxy:\n- 10.0.0.0/8\n- '10.0.0.0/8,fd00::/8'\n": `c.yaml:2: proxy must be a network, such as 10.0.0.0/8, not "10.0.0.0/8,fd00::/8"`,
		"proxy: ['']":        "c.yaml:1: proxy is empty: give it a value, or leave it out",
		"origin: [a, '', b]": "c.yaml:1: origin is empty: give it a value, or leave it out",
		"origin: [a, '']":    "c.yaml:1: origin is empty: give it a value, or leave it out",
	} {
		if _, _, err := parse(t, text, "serve"); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
