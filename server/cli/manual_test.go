package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// stepsOfCI names the step of .ci/run that runs each make command of the manual. TestManualRuns skips these commands.
var stepsOfCI = map[string]string{
	"make run":          ".ci/newcomer",
	"make build":        "make schemathesis", // begins with it
	"make test":         "make test",
	"make schemathesis": "make schemathesis",
	"make breaking":     "make lint-openapi breaking",
	"make keycloak":     "make keycloak",
}

// TestManualRuns runs the console blocks of README and the guide as a reader would: the blocks of a page one after another in
// one shell and one empty folder, with the program on the PATH.
//
// A line that begins with "$ " is a command, which goes on over backslashes and here-documents. The lines below it are what
// it must print. There "..." stands for anything within a line, and for any lines where it is alone. Values that differ from
// run to run are compared by their form alone: see forms. A server that a page starts runs until the page ends, on free ports.
// Its log and its other output are compared apart, and the page need not show all lines of the log.
//
// A block that only other programs or machines can run is a sh block below a comment, <!-- not run: REASON -->.
func TestManualRuns(t *testing.T) {
	t.Parallel()
	for path, text := range manual(t) {
		commands := commandsOf(text)
		if len(commands) == 0 {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(path), ".md"), func(t *testing.T) {
			t.Parallel()
			if strings.Contains(text, "$ curl ") {
				tool(t, "curl")
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			t.Cleanup(cancel)
			r := newReader(ctx, t)
			r.run(commands)
			if err := r.shell.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestManualExplainsUnrunCommands: each block of commands is run by TestManualRuns or by .ci/run, or says why it is not.
func TestManualExplainsUnrunCommands(t *testing.T) {
	t.Parallel()
	ci, err := os.ReadFile(root + ".ci/run")
	if err != nil {
		t.Fatal(err)
	}
	left := maps.Clone(stepsOfCI)
	for path, text := range manual(t) {
		for _, b := range block.FindAllStringSubmatch(text, -1) {
			reason, language, content := b[1], b[2], b[3]
			if slices.Contains([]string{"sh", "bash", "shell"}, language) && reason == "" {
				t.Errorf("%s: make this a console block, which is run, or say above it why it is not, <!-- not run: REASON -->:\n%s", path, content)
			}
			if language == "console" && !strings.HasPrefix(content, "$ ") {
				t.Errorf("%s: this begins with no command:\n%s", path, content)
			}
		}
		for _, c := range commandsOf(text) {
			target, isMake := c.makeTarget()
			if !isMake {
				continue
			}
			if step := stepsOfCI[target]; step == "" || !strings.Contains(string(ci), "\n"+step) {
				t.Errorf("%s: no step of .ci/run is known to run %q", path, target)
			}
			delete(left, target)
		}
	}
	if len(left) > 0 {
		t.Errorf("the manual does not have %v", slices.Sorted(maps.Keys(left)))
	}
}

// shellCommand is a command of a page, and what the page says that it prints.
type shellCommand struct{ text, output string }

// makeTarget returns the first two words of a make command.
func (c shellCommand) makeTarget() (string, bool) {
	words := strings.Fields(c.text)
	return strings.Join(words[:min(2, len(words))], " "), len(words) > 1 && words[0] == "make"
}

var (
	block        = regexp.MustCompile("(?ms)^(<!-- not run: [^\n]+ -->\n)?```([a-z]*)\n(.*?)^```$")
	hereDocument = regexp.MustCompile(`<<'?(\w+)'?`)
)

// commandsOf returns the commands of a page's console blocks.
func commandsOf(page string) (commands []shellCommand) {
	for _, b := range block.FindAllStringSubmatch(page, -1) {
		if b[2] != "console" {
			continue
		}
		for lines := strings.Split(strings.TrimSuffix(b[3], "\n"), "\n"); len(lines) > 0; {
			var c shellCommand
			c, lines = cutCommand(lines)
			commands = append(commands, c)
		}
	}
	return commands
}

// cutCommand takes the first command and its output from the lines of a block.
func cutCommand(lines []string) (c shellCommand, rest []string) {
	n := 1
	for n < len(lines) && strings.HasSuffix(lines[n-1], `\`) {
		n++
	}
	if end := hereDocument.FindStringSubmatch(lines[n-1]); end != nil {
		n += slices.Index(lines[n:], end[1]) + 1
	}
	next := n
	for next < len(lines) && !strings.HasPrefix(lines[next], "$ ") {
		next++
	}
	return shellCommand{
		text:   strings.TrimPrefix(strings.Join(lines[:n], "\n"), "$ "),
		output: strings.Join(lines[n:next], "\n"),
	}, lines[next:]
}

// reader runs the commands of one page.
type reader struct {
	t       *testing.T
	dir     string
	shell   io.WriteCloser
	printed *bufio.Reader
	ports   []string // pairs for strings.NewReplacer: a port in the page, and the one that the test uses
}

func newReader(ctx context.Context, t *testing.T) *reader {
	r := &reader{t: t, dir: t.TempDir(), ports: []string{":9090", ":" + freePort(t), ":8090", ":" + freePort(t)}}
	bin := t.TempDir()
	if err := os.Symlink(program(t), filepath.Join(bin, "dragoman")); err != nil {
		t.Fatal(err)
	}
	// Into a pipe, curl would show its progress.
	if err := os.WriteFile(filepath.Join(r.dir, ".curlrc"), []byte("silent\nshow-error\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sh := exec.CommandContext(ctx, tool(t, "sh"))
	sh.Dir = r.dir
	sh.Env = []string{"HOME=" + r.dir, "TMPDIR=" + r.dir, "PATH=" + bin + ":" + os.Getenv("PATH")}
	var err error
	if r.shell, err = sh.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	read, ended := startPiped(t, sh)
	r.printed = bufio.NewReader(read)
	t.Cleanup(func() {
		r.shell.Close()
		read.Close() // else the shell may wait for somebody who reads
		<-ended
	})
	return r
}

// run runs commands and compares what they print. Those after a "dragoman serve" run while that server does.
func (r *reader) run(commands []shellCommand) {
	for i, c := range commands {
		if _, isMake := c.makeTarget(); isMake {
			continue
		}
		if strings.HasPrefix(c.text, "dragoman serve") {
			args := append(strings.Fields(r.real(c.text))[1:], "--listen=127.0.0.1:0")
			said := serve(r.t, r.dir, nil, args, func(address string) {
				r.ports = append(r.ports, ":8080", address[strings.LastIndex(address, ":"):])
				r.run(commands[i+1:])
			})
			log, others := splitLog(said)
			wantedLog, wantedOthers := splitLog(c.output)
			r.compare(c.text, others, wantedOthers)
			r.compare(c.text, log, "...\n"+strings.ReplaceAll(wantedLog, "\n", "\n...\n"))
			return
		}
		r.compare(c.text, r.enter(c.text), c.output)
	}
}

const endOfOutput = "that is what it printed"

// enter runs a command in the shell, and returns what it printed.
func (r *reader) enter(command string) string {
	// The empty line ends output that does not end in a newline.
	if _, err := fmt.Fprintf(r.shell, "{\n%s\n} </dev/null\necho\necho '%s'\n", r.real(command), endOfOutput); err != nil {
		r.t.Error(err)
	}
	var output strings.Builder
	for {
		line, err := r.printed.ReadString('\n')
		if err != nil {
			r.t.Errorf("the shell ended: %v", err)
		}
		if err != nil || line == endOfOutput+"\n" {
			return output.String()
		}
		output.WriteString(line)
	}
}

// real replaces the ports of the page by those that the test uses.
func (r *reader) real(text string) string { return strings.NewReplacer(r.ports...).Replace(text) }

// splitLog separates the lines of a log from others.
func splitLog(text string) (log, others string) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "time=") {
			log += line
		} else {
			others += line
		}
	}
	return log, others
}

// forms are the values that are compared by their form alone, and the name that replaces them on both sides.
var forms = []struct {
	form *regexp.Regexp
	name string
}{
	{regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`\b1[78]\d{11}\b`), "MILLISECONDS"},
	{regexp.MustCompile(`eyJ[\w-]+(\.[\w-]+\.[\w-]+|\.\.\.)`), "TOKEN"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "SECRET"},
	{regexp.MustCompile(`\b\d+(\.\d+)?(ms|s)\b|\bduration_ms=[\d.]+`), "DURATION"},
	{regexp.MustCompile(`\b\d+ (bytes|requests)\b`), "SIZE"},
}

// compare reports an error if a command did not print what the page says.
func (r *reader) compare(command, got, want string) {
	got = strings.ReplaceAll(strings.TrimRight(got, "\n"), "\r", "")
	pattern := strings.TrimRight(r.real(want), "\n")
	for _, f := range forms {
		got, pattern = f.form.ReplaceAllString(got, f.name), f.form.ReplaceAllString(pattern, f.name)
	}
	pattern = regexp.QuoteMeta("\n" + pattern)
	pattern = strings.ReplaceAll(pattern, "\n"+`\.\.\.`+"\n", "(\n.*)*\n")
	pattern = regexp.MustCompile(`\n\\\.\\\.\\\.$`).ReplaceAllString(pattern, "(\n.*)*")
	pattern = strings.ReplaceAll(pattern, `\.\.\.`, ".*")
	if !regexp.MustCompile(`\A` + pattern + `\z`).MatchString("\n" + got) {
		r.t.Errorf("$ %s\nprints\n%s\nand the page says\n%s", command, got, want)
	}
}

// freePort returns a port that nobody listens on, below those that outgoing connections take.
func freePort(t *testing.T) string {
	for range 20 {
		port := fmt.Sprint(20000 + rand.IntN(12000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}
