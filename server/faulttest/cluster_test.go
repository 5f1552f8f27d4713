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

// cluster is a test's own Postgres cluster, which it can stop, freeze and kill. Commits are durable, since fsync is on.
type cluster struct {
	dir      string
	port     int
	settings []string
	log      *os.File

	mu      sync.Mutex
	command *exec.Cmd
	ended   chan struct{}
}

// postgresPrograms returns the folder of the newest Postgres's programs, or "".
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

// owner returns the user who runs Postgres if the tests run as root, which Postgres refuses, else nil.
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
	return nil, errors.New("there is neither a user postgres nor a user nobody to run Postgres")
})

// chown makes the owner own a folder.
func chown(dir string) error {
	o, err := owner()
	if err != nil || o == nil {
		return err
	}
	return os.Chown(dir, int(o.Uid), int(o.Gid))
}

// tool returns a command that runs one of Postgres's programs.
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

// template returns the folder of an initialized cluster, which is copied for each test.
var template = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(workspace, "template")
	if err := errors.Join(os.Mkdir(dir, 0o700), chown(dir)); err != nil {
		return "", err
	}
	err := runTool(dir, "initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	return dir, err
})

// needPostgres skips the test without Postgres, or fails it if CI=true.
func needPostgres(t testing.TB) {
	t.Helper()
	if postgresPrograms() == "" {
		missing(t, "Postgres is not installed")
	}
}

// newCluster returns a cluster that is not started.
func newCluster(t testing.TB, settings ...string) *cluster {
	t.Helper()
	needPostgres(t)
	from, err := template()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{dir: folder(t), settings: settings}
	if err := chown(c.dir); err != nil {
		t.Fatal(err)
	}
	if err := copyAs(c.dir, filepath.Join(from, "data")); err != nil {
		t.Fatal(err)
	}
	c.prepare(t)
	return c
}

// prepare chooses a port and opens the log.
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
			t.Logf("the log of Postgres on port %d:\n%s", c.port, text[max(0, len(text)-3_000):])
		}
		c.log.Close()
	})
}

func copyAs(dir, from string) error {
	command := exec.Command("cp", "-a", from, filepath.Join(dir, "data")) // preserves the owner
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// running returns a cluster that is started.
func running(t testing.TB, settings ...string) *cluster {
	t.Helper()
	c := newCluster(t, settings...)
	c.start(t)
	return c
}

// launch starts Postgres and does not wait until it is ready.
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
		_ = command.Wait() // the test decides how it ends
		close(ended)
	}()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.command, c.ended = command, ended
	return nil
}

// start starts Postgres and waits until it accepts connections.
func (c *cluster) start(t testing.TB) {
	t.Helper()
	if err := c.restart(); err != nil {
		t.Fatal(err)
	}
}

// restart is like start, and returns the error.
func (c *cluster) restart() error {
	if err := c.launch(); err != nil {
		return err
	}
	return poll(waitLimit, func() error {
		conn, err := pgx.Connect(context.Background(), c.url())
		if err != nil {
			return fmt.Errorf("Postgres does not start: %w", err)
		}
		return conn.Close(context.Background())
	})
}

// url returns the URL of the cluster's database, for a superuser.
func (c *cluster) url() string { return c.urlAt(fmt.Sprintf("127.0.0.1:%d", c.port)) }

// urlAt is like url with another address, such as a proxy's. The connect timeout of a second is enough on one machine.
func (c *cluster) urlAt(address string) string {
	return "postgres://postgres@" + address + "/postgres?sslmode=disable&connect_timeout=1"
}

// stop stops Postgres in a mode of pg_ctl: fast or immediate.
func (c *cluster) stop(t testing.TB, mode string) {
	t.Helper()
	if err := runTool(c.dir, "pg_ctl", "stop", "-D", "data", "-m", mode, "-w"); err != nil {
		t.Fatal(err)
	}
	<-c.ended
}

// processes returns the ids of Postgres's processes. The first is the postmaster's.
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

// parent returns the id of a process's parent, or 0.
func parent(pid int) int {
	_, ppid := status(pid)
	return ppid
}

// alive reports whether a process is running.
func alive(pid int) bool {
	state, _ := status(pid)
	return state != "" && state != "Z" && state != "X"
}

// status returns a process's state, or "", and its parent's id.
func status(pid int) (state string, ppid int) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0
	}
	// The name, in parentheses, can contain any characters.
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

// freeze suspends all processes of Postgres. The kernel still accepts connections.
func (c *cluster) freeze() {
	all := c.processes()
	if len(all) == 0 {
		return
	}
	// After the postmaster is suspended, no process is started.
	_ = syscall.Kill(all[0], syscall.SIGSTOP)
	_ = poll(waitLimit, func() error {
		if state, _ := status(all[0]); state != "T" && alive(all[0]) {
			return errNotYet
		}
		return nil
	})
	c.signalAll(syscall.SIGSTOP)
}

// thaw resumes the processes.
func (c *cluster) thaw() { c.signalAll(syscall.SIGCONT) }

// kill kills all processes of Postgres, as in a crash of the machine, except that the kernel still writes its cache to disk.
func (c *cluster) kill() {
	c.freeze() // so that no process reacts to the end of another
	all := c.processes()
	for _, pid := range all {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if c.ended != nil {
		<-c.ended
	}
	// Postgres does not start until no process uses the old shared memory.
	_ = poll(waitLimit, func() error {
		for _, pid := range all {
			if alive(pid) {
				return errNotYet
			}
		}
		return nil
	})
}

// runs reports whether Postgres is running.
func (c *cluster) runs() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// query runs statements and returns the first column of the rows as text.
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

// checkpoint writes all changes to disk.
func (c *cluster) checkpoint(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, c.url())
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	_, err = conn.Exec(ctx, "CHECKPOINT")
	return err
}

// standby returns a started replica of c.
func (c *cluster) standby(t testing.TB) *cluster {
	t.Helper()
	s := &cluster{dir: folder(t), settings: c.settings}
	if err := chown(s.dir); err != nil {
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
