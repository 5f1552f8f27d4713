//go:build linux

package faulttest

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// program is a process of the program.
type program struct {
	address string // host:port; empty before it listens
	admin   string // host:port of the admin listener
	log     *programLog
	command *exec.Cmd
	ended   chan struct{} // closed at the end of the process
	err     error         // how it ended
	client
}

// waitLimit limits waits for things that usually take less than a second.
const waitLimit = 20 * time.Second

// environment returns the program's environment variables. It inherits only PATH from the test.
func environment(database string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=/nonexistent",
		"DRAGOMAN_DATABASE=" + database,
		"DRAGOMAN_JWT_SECRET=" + string(servertest.Secret),
		"DRAGOMAN_SECRET_KEY=" + base64.StdEncoding.EncodeToString(storetest.Key),
		"DRAGOMAN_LOG_FORMAT=json",
	}
}

// start starts the program without waiting until it listens. The caller must kill it.
func start(binary, dir string, env []string, arguments ...string) (*program, error) {
	p := &program{log: newProgramLog(), ended: make(chan struct{})}
	p.command = exec.Command(binary, arguments...)
	p.command.Env = env
	p.command.Dir = dir
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := p.command.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.log.follow(stderr)
		p.err = p.command.Wait()
		close(p.ended)
	}()
	return p, nil
}

// launch is like start, and kills the program at the end of the test.
func launch(t testing.TB, binary string, env []string, arguments ...string) *program {
	t.Helper()
	p, err := start(binary, folder(t), env, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the log of process %d:\n%s", p.command.Process.Pid, p.log)
		}
	})
	return p
}

// serving launches `dragoman serve` with the sandbox, and waits until it listens.
func serving(t testing.TB, database string, arguments ...string) *program {
	t.Helper()
	return servingAs(t, dragoman(t), environment(database), arguments...)
}

func servingAs(t testing.TB, binary string, env []string, arguments ...string) *program {
	t.Helper()
	p := launch(t, binary, env, serve(arguments...)...)
	if err := p.awaitListening(); err != nil {
		t.Fatal(err)
	}
	return p
}

// serve returns the arguments of a server with the sandbox and without limits. Arguments take precedence.
func serve(arguments ...string) []string {
	return append([]string{"serve", "--dev", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--rate-limit-address=0", "--rate-limit-principal=0", "--max-in-flight=0",
		"--request-timeout=1s"}, arguments...)
}

func (p *program) awaitListening() error {
	line, err := p.log.await(func(l logLine) bool { return l["msg"] == "listening" }, p.ended)
	if err != nil {
		return fmt.Errorf("does not listen: %w\n%s", err, p.log)
	}
	p.address, _ = line["address"].(string)
	if found := p.log.find(func(l logLine) bool { return l["admin"] != nil }); len(found) > 0 {
		p.admin, _ = found[0]["admin"].(string)
	}
	p.client = newClient("http://" + p.address)
	return nil
}

// kill kills the process, as in a crash.
func (p *program) kill() {
	_ = p.command.Process.Kill() // it may have ended already
	<-p.ended
	p.client.close()
}

// signal sends the process a signal.
func (p *program) signal(t testing.TB, s os.Signal) {
	t.Helper()
	if err := p.command.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// awaitEnd waits for the end of the process and returns its exit code.
func (p *program) awaitEnd(t testing.TB, limit time.Duration) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(limit):
		t.Fatalf("the program has not ended within %s\n%s", limit, p.log)
	}
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) {
		t.Fatal(p.err)
	}
	return p.command.ProcessState.ExitCode()
}

// logLine is a line of the program's JSON log.
type logLine map[string]any

// programLog is the standard error of a process.
type programLog struct {
	mu    sync.Mutex
	lines []logLine
	text  strings.Builder
	added chan struct{} // closed and replaced when a line is added
}

func newProgramLog() *programLog { return &programLog{added: make(chan struct{})} }

func (l *programLog) follow(r io.Reader) {
	for s := bufio.NewScanner(r); s.Scan(); {
		line := logLine{}
		if json.Unmarshal(s.Bytes(), &line) != nil {
			line = logLine{"msg": s.Text()} // not from the logger
		}
		l.mu.Lock()
		l.lines = append(l.lines, line)
		l.text.WriteString(s.Text() + "\n")
		close(l.added)
		l.added = make(chan struct{})
		l.mu.Unlock()
	}
}

func (l *programLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.text.String()
	if most := 6_000; len(text) > most {
		text = "...\n" + text[len(text)-most:]
	}
	return text
}

// find returns the lines that match.
func (l *programLog) find(match func(logLine) bool) []logLine {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.lines), func(line logLine) bool { return !match(line) })
}

// await waits for a line that matches.
func (l *programLog) await(match func(logLine) bool, ended <-chan struct{}) (logLine, error) {
	deadline := time.After(waitLimit)
	for {
		l.mu.Lock()
		added := l.added
		l.mu.Unlock()
		if found := l.find(match); len(found) > 0 {
			return found[0], nil
		}
		select {
		case <-added:
		case <-ended:
			if found := l.find(match); len(found) > 0 {
				return found[0], nil
			}
			return nil, errors.New("the process has ended")
		case <-deadline:
			return nil, fmt.Errorf("not within %s", waitLimit)
		}
	}
}

// expectLog waits for a line that contains each of the texts. A request's line is written after its response.
func (p *program) expectLog(t testing.TB, texts ...string) {
	t.Helper()
	if _, err := p.log.await(says(texts...), p.ended); err != nil {
		t.Errorf("no line of the log contains %q: %v", texts, err)
	}
}

// expectGone waits for a request's line that contains each of the texts, and expects it to report that the client is gone.
func (p *program) expectGone(t testing.TB, texts ...string) {
	t.Helper()
	line, err := p.log.await(says(append(texts, `"msg":"request"`)...), p.ended)
	if err != nil {
		t.Errorf("no line of the log contains %q: %v", texts, err)
	} else if line["level"] != "INFO" || line["status"] != 499.0 || line["refusal"] != "client_gone" {
		t.Errorf("the line of a request whose client is gone is %v", line)
	}
}

// expectMetric expects a series with at least this value.
func (p *program) expectMetric(t testing.TB, series string, least float64) {
	t.Helper()
	if value, ok := p.metric(t, series); !ok || value < least {
		t.Errorf("%s is %g, %t, want %g", series, value, ok, least)
	}
}

// metric returns the value of a series, and whether there is one.
func (p *program) metric(t testing.TB, series string) (value float64, ok bool) {
	t.Helper()
	c := newClient("http://" + p.admin)
	defer c.close()
	a := c.expect(t, http.StatusOK, request{method: http.MethodGet, path: "/metrics"})
	for line := range strings.Lines(a.body) {
		if text, found := strings.CutPrefix(line, series+" "); found {
			value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				t.Errorf("%s is %s", series, text)
			}
			return value, true
		}
	}
	return 0, false
}

// says returns a function that matches lines that contain each of the texts.
func says(texts ...string) func(logLine) bool {
	return func(l logLine) bool {
		text, _ := json.Marshal(l)
		return !slices.ContainsFunc(texts, func(s string) bool { return !strings.Contains(string(text), s) })
	}
}

var administrator = sync.OnceValue(func() string {
	token, err := auth.Sign(servertest.Secret, servertest.Administrator(), time.Now())
	if err != nil {
		panic(err)
	}
	return token
})
