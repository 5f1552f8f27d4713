//go:build linux

package faulttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// cluster is a Postgres of a test's own, which it may stop, freeze and kill. It keeps what it has committed, as fsync is on.
type cluster struct {
	dir      string
	port     int
	settings []string
	log      *os.File

	mu      sync.Mutex
	command *exec.Cmd
	ended   chan struct{}
}

// postgresPrograms is the folder of Postgres's programs, the newest ones.
var postgresPrograms = sync.OnceValue(func() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		if path, err := exec.LookPath("initdb"); err == nil {
			found = []string{path}
		}
	}
	slices.SortFunc(found, func(a, b string) int { return len(a) - len(b) + strings.Compare(a, b) })
	if len(found) == 0 {
		return ""
	}
	return filepath.Dir(found[len(found)-1])
})

// owner is who runs Postgres, as it refuses to be root; nil is whoever runs the tests.
var owner = sync.OnceValues(func() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("there is neither a user postgres nor nobody to run Postgres as")
})

// give hands a folder over to the owner.
func give(dir string) error {
	o, err := owner()
	if err != nil || o == nil {
		return err
	}
	return os.Chown(dir, int(o.Uid), int(o.Gid))
}

// tool makes a command of one of Postgres's programs.
func tool(dir, name string, arguments ...string) (*exec.Cmd, error) {
	o, err := owner()
	if err != nil {
		return nil, err
	}
	command := exec.Command(filepath.Join(postgresPrograms(), name), arguments...)
	command.Dir = dir
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=" + dir}
	command.SysProcAttr = &syscall.SysProcAttr{Credential: o, Pdeathsig: syscall.SIGKILL}
	return command, nil
}

func runTool(dir, name string, arguments ...string) error {
	command, err := tool(dir, name, arguments...)
	if err != nil {
		return err
	}
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// template is an initialized cluster, which the others are copies of.
var template = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(workspace, "template")
	if err := errors.Join(os.Mkdir(dir, 0o700), give(dir)); err != nil {
		return "", err
	}
	err := runTool(dir, "initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	return dir, err
})

// needPostgres skips the test where there is none.
func needPostgres(t testing.TB) {
	t.Helper()
	if postgresPrograms() == "" {
		missing(t, "Postgres is not installed here")
	}
}

// newCluster makes a cluster that does not run yet.
func newCluster(t testing.TB, settings ...string) *cluster {
	t.Helper()
	needPostgres(t)
	from, err := template()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{dir: folder(t), settings: settings}
	if err := give(c.dir); err != nil {
		t.Fatal(err)
	}
	if err := copyAs(c.dir, filepath.Join(from, "data")); err != nil {
		t.Fatal(err)
	}
	c.prepare(t)
	return c
}

// prepare takes a port and opens a log.
func (c *cluster) prepare(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.port = l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if c.log, err = os.Create(filepath.Join(c.dir, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.kill()
		if t.Failed() {
			text, _ := os.ReadFile(c.log.Name())
			t.Logf("Postgres on port %d said:\n%s", c.port, text[max(0, len(text)-3_000):])
		}
		c.log.Close()
	})
}

func copyAs(dir, from string) error {
	command := exec.Command("cp", "-a", from, filepath.Join(dir, "data")) // keeps the owner
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// running makes a cluster and starts it.
func running(t testing.TB, settings ...string) *cluster {
	t.Helper()
	c := newCluster(t, settings...)
	c.start(t)
	return c
}

// launch starts Postgres and does not wait for it.
func (c *cluster) launch() error {
	arguments := []string{"-D", "data", "-p", strconv.Itoa(c.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "shared_buffers=16MB", "-c", "autovacuum=off", "-c", "log_min_error_statement=panic"}
	for _, s := range c.settings {
		arguments = append(arguments, "-c", s)
	}
	command, err := tool(c.dir, "postgres", arguments...)
	if err != nil {
		return err
	}
	command.Stdout, command.Stderr = c.log, c.log
	if err := command.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = command.Wait() // how it ends is what the test asked for
		close(ended)
	}()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.command, c.ended = command, ended
	return nil
}

// start starts Postgres and waits until it serves.
func (c *cluster) start(t testing.TB) {
	t.Helper()
	if err := c.restart(); err != nil {
		t.Fatal(err)
	}
}

// restart is start for those who have no test at hand.
func (c *cluster) restart() error {
	if err := c.launch(); err != nil {
		return err
	}
	return poll(patience, func() error {
		conn, err := pgx.Connect(context.Background(), c.url())
		if err != nil {
			return fmt.Errorf("Postgres does not start: %w", err)
		}
		return conn.Close(context.Background())
	})
}

// url is that of the cluster's database, for an owner of everything.
func (c *cluster) url() string { return c.urlAt(fmt.Sprintf("127.0.0.1:%d", c.port)) }

// urlAt is url by way of another address, such as a proxy's. A second is enough to connect on one machine.
func (c *cluster) urlAt(address string) string {
	return "postgres://postgres@" + address + "/postgres?sslmode=disable&connect_timeout=1"
}

// stop ends Postgres in one of pg_ctl's modes: fast or immediate.
func (c *cluster) stop(t testing.TB, mode string) {
	t.Helper()
	if err := runTool(c.dir, "pg_ctl", "stop", "-D", "data", "-m", mode, "-w"); err != nil {
		t.Fatal(err)
	}
	<-c.ended
}

// processes gives Postgres's processes, the first one first.
func (c *cluster) processes() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.command == nil {
		return nil
	}
	first := c.command.Process.Pid
	all := []int{first}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err == nil && parent(pid) == first {
			all = append(all, pid)
		}
	}
	return all
}

// parent gives the process that started a process, 0 if it is unknown.
func parent(pid int) int {
	_, ppid := status(pid)
	return ppid
}

// alive reports whether a process has not ended.
func alive(pid int) bool {
	state, _ := status(pid)
	return state != "" && state != "Z" && state != "X"
}

// status gives what /proc tells of a process: its state, empty if there is none, and its parent.
func status(pid int) (state string, ppid int) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0
	}
	// The name, in parentheses, may hold anything.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return "", 0
	}
	ppid, _ = strconv.Atoi(string(fields[1]))
	return string(fields[0]), ppid
}

func (c *cluster) signalAll(s syscall.Signal) {
	for _, pid := range c.processes() {
		_ = syscall.Kill(pid, s) // it may have ended just now
	}
}

// freeze stops every process of Postgres where it stands; the system goes on taking connections for it.
func (c *cluster) freeze() {
	all := c.processes()
	if len(all) == 0 {
		return
	}
	// The first one starts the others: once it has stopped, there are no more of them.
	_ = syscall.Kill(all[0], syscall.SIGSTOP)
	_ = poll(patience, func() error {
		if state, _ := status(all[0]); state != "T" && alive(all[0]) {
			return errNotYet
		}
		return nil
	})
	c.signalAll(syscall.SIGSTOP)
}

// thaw lets them go on.
func (c *cluster) thaw() { c.signalAll(syscall.SIGCONT) }

// kill ends every process of Postgres at once, as a crash of the machine would, but for what the system still writes.
func (c *cluster) kill() {
	c.freeze() // so that none does anything more on seeing another gone
	all := c.processes()
	for _, pid := range all {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if c.ended != nil {
		<-c.ended
	}
	// Their memory is shared until the last of them is gone, and Postgres does not start again before.
	_ = poll(patience, func() error {
		for _, pid := range all {
			if alive(pid) {
				return errNotYet
			}
		}
		return nil
	})
}

// runs reports whether Postgres has been started and has not ended.
func (c *cluster) runs() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// query runs a statement and gives the first column of its rows as text.
func (c *cluster) query(t testing.TB, statement string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.url())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	results, err := conn.PgConn().Exec(t.Context(), statement).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	var column []string
	for _, r := range results {
		for _, row := range r.Rows {
			column = append(column, string(row[0]))
		}
	}
	return column
}

// checkpoint has Postgres write all to the disk that it has.
func (c *cluster) checkpoint(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, c.url())
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	_, err = conn.Exec(ctx, "CHECKPOINT")
	return err
}

// standby makes a cluster that follows c, and starts it.
func (c *cluster) standby(t testing.TB) *cluster {
	t.Helper()
	s := &cluster{dir: folder(t), settings: c.settings}
	if err := give(s.dir); err != nil {
		t.Fatal(err)
	}
	err := runTool(s.dir, "pg_basebackup", "-D", "data", "-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", c.url())
	if err != nil {
		t.Fatal(err)
	}
	s.prepare(t)
	s.start(t)
	return s
}

// promote makes a standby the primary.
func (c *cluster) promote(t testing.TB) {
	t.Helper()
	if err := runTool(c.dir, "pg_ctl", "promote", "-D", "data", "-w"); err != nil {
		t.Fatal(err)
	}
}
