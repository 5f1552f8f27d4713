//go:build linux

package faulttest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// The failover test has Patroni keep a primary and a synchronous standby while clients write through two servers: one finds the primary
// by a URL with both hosts, the other through HAProxy. The primary, Patroni included, is killed and started again, or frozen and
// thawed. FAILOVERS is the number of these faults; the test is run by itself, since it measures how long they take.

const (
	failoversVariable = "FAILOVERS"
	// patroniTTL is the least that Patroni takes: so long after its last sign of life a primary loses the leader's key.
	patroniTTL = 20 * time.Second
	// failoverLimit limits the time from a fault to the new primary.
	failoverLimit = 3 * patroniTTL
	// servingAgain limits the time from the new primary to the first write.
	servingAgain = 2 * time.Second
)

// patroni returns the Python that has Patroni, from `make failover`, where Postgres's owner can run it.
func patroni(t testing.TB) string {
	t.Helper()
	needPostgres(t)
	from, err := filepath.Abs("../../.ci/patroni/venv")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(from, "made")); err != nil {
		missing(t, "Patroni is not installed: run make failover")
	}
	for _, program := range []string{"etcd", "haproxy"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(t, program+" is not installed")
		}
	}
	to := filepath.Join(folder(t), "venv")
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command("chmod", "-R", "go+rX", filepath.Dir(to)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	python := filepath.Join(to, "bin/python")
	o, err := owner()
	if err != nil {
		t.Fatal(err)
	}
	asks := exec.Command(python, "-c", "import patroni")
	asks.SysProcAttr = &syscall.SysProcAttr{Credential: o}
	if out, err := asks.CombinedOutput(); err != nil {
		t.Fatalf("the owner of Postgres cannot run Patroni: %v: %s\nremove .ci/patroni/venv, and run make failover PYTHON=FILE with a Python that every user can run, such as /usr/bin/python3", err, out)
	}
	return python
}

// node is a Postgres with its Patroni.
type node struct {
	name, dir, python string
	postgres, rest    string // addresses
	log               *os.File
	command           *exec.Cmd
	ended             chan struct{}
}

// daemon starts a program in the background, as the owner of Postgres, until the end of the test.
func daemon(t testing.TB, dir string, log *os.File, name string, arguments ...string) (*exec.Cmd, chan struct{}) {
	t.Helper()
	o, err := owner()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(name, arguments...)
	command.Dir, command.Stdout, command.Stderr = dir, log, log
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "HOME=" + dir}
	command.SysProcAttr = &syscall.SysProcAttr{Credential: o, Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = command.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill()
		<-ended
	})
	return command, ended
}

// logIn creates a log, which is shown if the test fails.
func logIn(t testing.TB, dir, name string) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(f.Name())
			t.Logf("the log of %s:\n%s", name, text[max(0, len(text)-4_000):])
		}
		f.Close()
	})
	return f
}

// ownFolder returns a new folder of Postgres's owner.
func ownFolder(t testing.TB) string {
	t.Helper()
	dir := folder(t)
	if err := chown(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func startEtcd(t testing.TB) (address string) {
	t.Helper()
	dir := ownFolder(t)
	address, peer := freeAddress(t), freeAddress(t)
	daemon(t, dir, logIn(t, dir, "etcd"), "etcd", "--data-dir=data", "--listen-client-urls=http://"+address, "--advertise-client-urls=http://"+address,
		"--listen-peer-urls=http://"+peer, "--initial-advertise-peer-urls=http://"+peer, "--initial-cluster=default=http://"+peer, "--unsafe-no-fsync")
	within(t, waitLimit, "etcd", func() error { return healthy("http://" + address + "/health") })
	return address
}

func healthy(url string) error {
	c := http.Client{Timeout: time.Second}
	a, err := c.Get(url)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, a.Status)
	}
	return nil
}

func newNode(t testing.TB, python, etcd, name string) *node {
	t.Helper()
	n := &node{name: name, dir: ownFolder(t), python: python, postgres: freeAddress(t), rest: freeAddress(t)}
	n.log = logIn(t, n.dir, name)
	config := fmt.Sprintf(`scope: dragoman
name: %s
etcd3: {host: '%s'}
restapi: {listen: '%s', connect_address: '%s'}
bootstrap:
  dcs:
    ttl: %d
    loop_wait: 1
    retry_timeout: 3
    synchronous_mode: true
    postgresql:
      use_pg_rewind: true
      parameters: {wal_log_hints: 'on', max_connections: 100, shared_buffers: 16MB}
  initdb: [{encoding: UTF8}, {locale: C}, no-sync, {auth: trust}]
postgresql:
  listen: '%s'
  connect_address: '%s'
  data_dir: data
  bin_dir: %s
  authentication:
    superuser: {username: postgres}
    replication: {username: postgres}
  parameters: {unix_socket_directories: ''}
  pg_hba: ['host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust']
`, name, etcd, n.rest, n.rest, int(patroniTTL.Seconds()), n.postgres, n.postgres, postgresPrograms())
	if err := os.WriteFile(filepath.Join(n.dir, "patroni.yml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	n.start(t)
	t.Cleanup(n.kill)
	return n
}

func (n *node) start(t testing.TB) {
	t.Helper()
	n.command, n.ended = daemon(t, n.dir, n.log, n.python, "-m", "patroni", "patroni.yml")
}

// processes returns the ids of Patroni and of all processes of its Postgres.
func (n *node) processes() []int {
	all := []int{n.command.Process.Pid}
	text, err := os.ReadFile(filepath.Join(n.dir, "data/postmaster.pid"))
	if err != nil {
		return all
	}
	first, _, _ := strings.Cut(string(text), "\n")
	postmaster, err := strconv.Atoi(first)
	if err != nil || !alive(postmaster) {
		return all
	}
	all = append(all, postmaster)
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && parent(pid) == postmaster {
			all = append(all, pid)
		}
	}
	return all
}

func (n *node) signal(s syscall.Signal) {
	// Twice, as a process may have started another one meanwhile.
	for range 2 {
		for _, pid := range n.processes() {
			_ = syscall.Kill(pid, s)
		}
	}
}

// kill kills Patroni and Postgres.
func (n *node) kill() {
	n.signal(syscall.SIGSTOP)
	all := n.processes()
	for _, pid := range all {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-n.ended
	_ = poll(waitLimit, func() error {
		for _, pid := range all {
			if alive(pid) {
				return errNotYet
			}
		}
		return nil
	})
}

// isPrimary returns nil if Patroni says that the node is the primary.
func (n *node) isPrimary() error { return healthy("http://" + n.rest + "/primary") }

// isReplicated returns nil if a synchronous standby follows the node.
func (n *node) isReplicated(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, "postgres://postgres@"+n.postgres+"/postgres?sslmode=disable&connect_timeout=1")
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	var followers int
	err = conn.QueryRow(ctx, "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum') AND state = 'streaming'").Scan(&followers)
	if err == nil && followers == 0 {
		err = errNotYet
	}
	return err
}

// throughHAProxy starts an HAProxy that leads to the primary, and returns its address.
func throughHAProxy(t testing.TB, nodes []*node) (address string) {
	t.Helper()
	dir := ownFolder(t)
	address = freeAddress(t)
	var servers strings.Builder
	for _, n := range nodes {
		_, port, _ := strings.Cut(n.rest, ":")
		fmt.Fprintf(&servers, "    server %s %s check port %s\n", n.name, n.postgres, port)
	}
	config := fmt.Sprintf(`global
    maxconn 500
defaults
    mode tcp
    timeout connect 1s
    timeout client 30m
    timeout server 30m
    timeout check 1s
listen primary
    bind %s
    option httpchk GET /primary
    http-check expect status 200
    default-server inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
%s`, address, servers.String())
	path := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("haproxy")
	if err != nil {
		t.Fatal(err)
	}
	daemon(t, dir, logIn(t, dir, "haproxy"), program, "-db", "-f", path)
	return address
}

// alternating returns a server that passes requests on to others in turn.
func alternating(t testing.TB, programs []*program) client {
	t.Helper()
	var proxies []*httputil.ReverseProxy
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	for _, p := range programs {
		target := &url.URL{Scheme: "http", Host: p.address}
		proxies = append(proxies, &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: transport})
	}
	var next atomic.Uint64
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxies[next.Add(1)%uint64(len(proxies))].ServeHTTP(w, r)
	}))
	c := newClient(front.URL)
	t.Cleanup(func() {
		c.close()
		front.Close()
		transport.CloseIdleConnections()
	})
	return c
}

func failovers(t testing.TB) int {
	t.Helper()
	if os.Getenv(failoversVariable) == "" {
		t.Skip(failoversVariable + " is not set: run make failover")
	}
	return numberIn(t, failoversVariable, 0)
}

func TestPatroniFailover(t *testing.T) {
	t.Parallel()
	faults := failovers(t)
	python := patroni(t)
	etcd := startEtcd(t)
	primary := newNode(t, python, etcd, "one")
	within(t, failoverLimit, "the first primary", primary.isPrimary)
	standby := newNode(t, python, etcd, "two")
	within(t, failoverLimit, "the standby", func() error { return primary.isReplicated(t.Context()) })

	urls := []string{
		"postgres://postgres@" + primary.postgres + "," + standby.postgres + "/postgres?sslmode=disable&target_session_attrs=read-write",
		"postgres://postgres@" + throughHAProxy(t, []*node{primary, standby}) + "/postgres?sslmode=disable",
	}
	var programs []*program
	for _, u := range urls {
		programs = append(programs, serving(t, u, "--request-timeout=10s"))
	}
	c := &crash{ledger: newLedger(), program: &program{client: alternating(t, programs)}}
	if err := c.populate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for k := range faults {
		frozen := k%2 == 1
		began, took := failOver(t, c, programs, primary, standby, frozen)
		t.Logf("fault %d (frozen: %t): the new primary after %s, served %s later; %d updates and %d creations were acknowledged so far",
			k+1, frozen, began.Round(100*time.Millisecond), took.Round(time.Millisecond), c.written, c.creations)
		if took > servingAgain {
			t.Errorf("served %s after the new primary, later than %s", took, servingAgain)
		}
		if t.Failed() {
			return
		}
		primary, standby = standby, primary
	}
	if err := c.verifyAll(t.Context(), c.program.client); err != nil {
		t.Error(err)
	}
	for _, p := range programs {
		p.expectNoFault(t)
	}
}

// failOver kills or freezes the primary while clients write, has it come back, and checks the ledger. It returns how long it took until
// the standby was the primary, and how long after that until both programs wrote.
func failOver(t testing.TB, c *crash, programs []*program, primary, standby *node, freeze bool) (promoted, served time.Duration) {
	t.Helper()
	until, stop := context.WithCancel(t.Context())
	var acknowledged atomic.Int64
	clients := c.load(until, c.program.client, func() { acknowledged.Add(1) })
	defer clients.Wait()
	defer stop()
	writes := func(n int64) func() error {
		from := acknowledged.Load()
		return func() error {
			if acknowledged.Load() < from+n {
				return errNotYet
			}
			return nil
		}
	}
	within(t, waitLimit, "clients at work", writes(40))
	start := time.Now()
	if freeze {
		primary.signal(syscall.SIGSTOP)
	} else {
		primary.kill()
	}
	within(t, failoverLimit, "the new primary", standby.isPrimary)
	promoted = time.Since(start)
	start = time.Now()
	for k, p := range programs {
		within(t, waitLimit, fmt.Sprintf("a write by server %d", k+1), p.succeeds(t, request{method: http.MethodPatch,
			path: worthUsers + "/" + graceUUID, body: fmt.Sprintf(`{"mobile":"%d"}`, time.Now().UnixMicro())}))
	}
	served = time.Since(start)
	start = time.Now()
	if freeze {
		primary.signal(syscall.SIGCONT)
	} else {
		primary.start(t)
	}
	within(t, failoverLimit, "the standby's return", func() error { return standby.isReplicated(t.Context()) })
	returned := time.Since(start)
	within(t, waitLimit, "clients at work again", writes(40))
	stop()
	clients.Wait()
	clients.mu.Lock()
	err := errors.Join(clients.errs...)
	clients.mu.Unlock()
	if err = errors.Join(err, c.verify(context.Background(), c.program.client)); err != nil {
		t.Error(err)
	}
	t.Logf("the standby returned after %s, and the ledger was compared after %s", returned, time.Since(start))
	return promoted, served
}
