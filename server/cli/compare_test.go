package cli

import (
	"bufio"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/moving/vendortest"
	"github.com/dragoman-id/dragoman/store"
)

// startBoth starts a vendor of twenty people and a target, and returns them and the flags that compare them.
func startBoth(t *testing.T, dialect string) (v, target *vendortest.Vendor, flags []string) {
	t.Helper()
	people := func(roles *store.Catalogue) []store.User { return vendortest.People(0, 20, roles) }
	v, flags = startVendor(t, dialect, people)
	target, ofTarget := startVendor(t, dialect, people)
	return v, target, append(flags, "--dialect", dialect, "--target", target.URL, "--target-token-file", ofTarget[5], "--target-rate", "1000000")
}

// with returns flags with others after them, which are separated by spaces and win.
func with(flags []string, more string) []string {
	return append(append([]string{}, flags...), strings.Fields(more)...)
}

func TestCompare(t *testing.T) {
	t.Parallel()
	for _, dialect := range vendors {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			_, target, flags := startBoth(t, dialect)
			dir := t.TempDir()
			compare := func(more string) (status int, stdout, stderr string) {
				return dragoman(t, dir, "", append([]string{"compare"}, with(flags, more)...)...)
			}
			if status, stdout, stderr := compare(""); status != 0 || stdout != "20 users, 20 compared: 20 equal, 0 differ, 0 missing\n" || stderr != "" {
				t.Fatalf("status %d\n%s\n%s", status, stdout, stderr)
			}
			if status, stdout, _ := compare("--sample 3"); status != 0 || stdout != "20 users, 3 compared: 3 equal, 0 differ, 0 missing\n" {
				t.Errorf("a sample: status %d\n%s", status, stdout)
			}
			if _, _, stderr := compare("--rules"); !strings.Contains(stderr, "header Date ignored: the time of the answer\n") {
				t.Errorf("the rules: %s", stderr)
			}
			target.Edit(4, func(u *store.User) { u.LastName = "O'Neill" })
			target.Remove(7)
			const counts = "20 users, 20 compared: 18 equal, 1 differ, 1 missing\n"
			status, stdout, stderr := compare("")
			if status != 1 || !strings.Contains(stdout, `the source has "Invented 4" and the target "O'Neill"`) || !strings.HasSuffix(stdout, counts) ||
				!strings.Contains(stderr, "the target does not answer as the source does") {
				t.Errorf("status %d\n%s\n%s", status, stdout, stderr)
			}
			if status, stdout, _ := compare("--ignore data.last_name --ignore surname"); status != 1 || !strings.Contains(stdout, "19 equal, 0 differ, 1 missing\n") {
				t.Errorf("ignored: status %d\n%s", status, stdout)
			}
			type user struct {
				ID          string
				Differences []struct{ Field, How string }
			}
			var report struct {
				Listed, Equal, Differ, Missing int
				Users                          []user
			}
			missing := func(u user) bool { return u.Differences[0].Field == "user" }
			status, stdout, _ = compare("--format json")
			if err := json.Unmarshal([]byte(stdout), &report); err != nil || status != 1 || report.Equal != 18 || len(report.Users) != 2 || !slices.ContainsFunc(report.Users, missing) {
				t.Errorf("status %d, %v, %+v", status, err, report)
			}
			var suites struct {
				Suite struct {
					Tests    int `xml:"tests,attr"`
					Failures int `xml:"failures,attr"`
				} `xml:"testsuite"`
			}
			status, stdout, _ = compare("--format junit --output junit.xml")
			if err := xml.Unmarshal(read(t, filepath.Join(dir, "junit.xml")), &suites); err != nil || status != 1 || stdout != "" || suites.Suite.Failures != 2 || suites.Suite.Tests != 3 {
				t.Errorf("status %d, %v, %+v\n%s", status, err, suites, stdout)
			}
		})
	}
}

// TestCompareRefuses: a comparison that cannot be made ends with status 2 and a line that says what to do.
func TestCompareRefuses(t *testing.T) {
	t.Parallel()
	v, target, flags := startBoth(t, "worth")
	same := strings.Replace(v.URL, "/auth/api/v1", "", 1)
	dir := writeFiles(t, map[string]string{"empty": "\n", "no.pem": "x"})
	for name, tc := range map[string]struct {
		more   string
		status int
		stderr string
	}{
		"no dialect":                 {"--dialect bamboo", 2, "set --dialect to one of worth, testinium"},
		"no page size":               {"--page-size 0", 2, "--page-size and --target-rate must be above 0"},
		"a negative sample":          {"--sample=-1", 2, "--sample and --watch not below"},
		"no rate":                    {"--rate 0", 2, "--rate must be a number of requests per second above 0"},
		"no URL":                     {"--source ftp://x", 2, "the --source must be an http or https URL"},
		"no URL of the target":       {"--target x", 2, "the --target must be an http or https URL"},
		"the same server":            {"--target " + same, 2, "--source and --target are the same server"},
		"no token":                   {"--token-file none", 2, "reading the token of --token-file"},
		"no token of the target":     {"--target-token-file none", 2, "reading the token of --target-token-file"},
		"no token at all":            {"--target-token-file=", 2, "there is no token: set --target-token-file, or --target-token-command"},
		"a command that fails":       {"--target-token-file= --target-token-command false", 2, "the target: reading a user: running --target-token-command: "},
		"an empty token":             {"--target-token-file empty", 2, "--target-token-file gives no token"},
		"no such authority":          {"--ca-cert none.pem", 80, "none.pem"},
		"a file that is no PEM":      {"--ca-cert no.pem", 2, "holds none"},
		"no folder to write in":      {"--output none/report", 2, "--output cannot be written"},
		"no format":                  {"--format xml", 80, "--format must be one of"},
		"a target that is not there": {"--target http://127.0.0.1:1 --retry-for 1ms", 2, "the target: reading a user"},
		"a source that is not there": {"--source http://127.0.0.1:1 --retry-for 1ms", 2, "the source: reading page 1 of the users"},
		"a customer of the other":    {"--customer 3393", 2, "a customer of Worth is a UUID: see --customer"},
		"another customer":           {"--customer 0cfecc31-e3f4-4fce-9a27-f36ea6256a10", 2, "is it another customer's?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := target.Requests("GET")
			status, stdout, stderr := dragoman(t, dir, "", append([]string{"compare"}, with(flags, tc.more)...)...)
			if status != tc.status || stdout != "" || !strings.Contains(stderr, tc.stderr) || strings.Contains(stderr, vendortest.Token) {
				t.Errorf("status %d, want %d\n%s\n%s", status, tc.status, stdout, stderr)
			}
			if n := target.Requests("GET") - before; n > 0 {
				t.Errorf("the target got %d requests", n)
			}
		})
	}
	t.Run("no target", func(t *testing.T) {
		t.Parallel()
		if status, _, stderr := dragoman(t, dir, "", "compare", "--source", v.URL, "--customer", v.Customer()); status != 80 || !strings.Contains(stderr, "--target") {
			t.Errorf("status %d\n%s", status, stderr)
		}
	})
}

// TestCompareWatches: it compares until a signal comes or a token is refused, whatever fails, and ends with the status of the last comparison.
func TestCompareWatches(t *testing.T) {
	t.Parallel()
	const (
		differs = "19 equal, 1 differ, 0 missing"
		failed  = "; comparing again in "
	)
	fails := func(status int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(status); return true }
	}
	for name, tc := range map[string]struct {
		more   string
		after  []string                                  // parts of lines that are waited for, one after the other
		then   []func(source, target *vendortest.Vendor) // what is done after each
		status int
		ends   bool // by itself
	}{
		"a signal": {"", []string{differs, differs, differs}, nil, 1, false},
		"failures that pass": {"", []string{differs, failed, failed, differs}, []func(source, target *vendortest.Vendor){
			0: func(source, _ *vendortest.Vendor) { source.SetFront(fails(500)) },
			1: func(source, target *vendortest.Vendor) { source.SetFront(nil); target.SetFront(fails(500)) },
			2: func(_, target *vendortest.Vendor) { target.SetFront(nil) },
		}, 1, false},
		"a failure at the beginning": {"--source http://127.0.0.1:1", []string{failed, failed}, nil, 2, false},
		"a signal after a failure":   {"", []string{differs, failed}, []func(source, target *vendortest.Vendor){0: func(_, target *vendortest.Vendor) { target.SetFront(fails(503)) }}, 2, false},
		"a token that is refused": {"", []string{differs, "put a new one into --target-token-file"}, []func(source, target *vendortest.Vendor){
			0: func(_, target *vendortest.Vendor) { target.SetToken("another") },
		}, 2, true},
		"a token of another customer": {"", []string{differs, "is it another customer's?"}, []func(source, target *vendortest.Vendor){
			0: func(source, _ *vendortest.Vendor) { source.SetFront(fails(403)) },
		}, 2, true},
		"a token that is renewed": {"--target-token-command RENEW", []string{differs, differs, differs}, []func(source, target *vendortest.Vendor){
			0: func(_, target *vendortest.Vendor) { target.SetToken("renewed") },
		}, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, target, flags := startBoth(t, "worth")
			target.Edit(4, func(u *store.User) { u.LastName = "O'Neill" })
			args := append([]string{"compare"}, with(flags, "--watch 1ms --retry-for 1ms "+tc.more)...)
			if i := slices.Index(args, "RENEW"); i > 0 {
				args[i] = "echo renewed"
			}
			c := exec.Command(program(t), args...)
			c.Dir = t.TempDir()
			c.Env = []string{"HOME=" + c.Dir, "PATH=" + os.Getenv("PATH")}
			output, ended := startPiped(t, c)
			seen := 0
			said := readLines(output, func(line string) {
				if seen == len(tc.after) || !strings.Contains(line, tc.after[seen]) {
					return
				}
				if seen < len(tc.then) {
					tc.then[seen](v, target)
				}
				if seen++; seen == len(tc.after) && !tc.ends {
					_ = c.Process.Signal(os.Interrupt)
				}
			})
			if <-ended; c.ProcessState.ExitCode() != tc.status || seen < len(tc.after) {
				t.Errorf("status %d, want %d, after %d lines\n%s", c.ProcessState.ExitCode(), tc.status, seen, said)
			}
		})
	}
}

// readLines calls f with each line as it comes, and returns all.
func readLines(r io.Reader, f func(line string)) string {
	var all strings.Builder
	for lines := bufio.NewScanner(r); lines.Scan(); {
		all.WriteString(lines.Text() + "\n")
		f(lines.Text())
	}
	return all.String()
}
