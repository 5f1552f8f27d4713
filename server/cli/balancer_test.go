package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// replica is a running server that can be told to stop and started anew, at the same address.
type replica struct {
	t           *testing.T
	dir         string
	environment []string
	address     string
	process     *exec.Cmd
	ended       chan error
}

// start runs the server until it listens.
func (r *replica) start() {
	r.t.Helper()
	read, write := io.Pipe()
	c := exec.Command(program(r.t), "serve")
	c.Dir, c.Stderr = r.dir, write
	c.Env = append([]string{"HOME=" + r.dir, "DRAGOMAN_LISTEN=" + r.address}, r.environment...)
	if err := c.Start(); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan error, 1)
	r.process, r.ended = c, ended
	listens := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(read)
		for lines.Scan() {
			if address := listening.FindStringSubmatch(lines.Text()); address != nil {
				listens <- address[1]
			}
		}
	}()
	go func() {
		ended <- c.Wait()
		close(ended)
		write.Close()
	}()
	select {
	case r.address = <-listens:
	case err := <-ended:
		r.t.Fatalf("the server ends with %v", err)
	}
}

// stop tells the server to stop, and waits until it has.
func (r *replica) stop() {
	r.t.Helper()
	if err := r.process.Process.Signal(syscall.SIGTERM); err != nil {
		r.t.Error(err)
	}
	select {
	case err := <-r.ended:
		if err != nil {
			r.t.Errorf("the server ends with %v", err)
		}
	case <-time.After(time.Minute):
		r.t.Errorf("the server does not stop: %v", r.process.Process.Kill())
	}
}

// deployment is docker-compose.yml without docker: its balancer's configuration, and two servers with its variables.
type deployment struct {
	*replica // the first
	second   *replica
	url      string // the balancer's
	jwt      []byte
}

// deploy starts a deployment over an SQLite file with the sandbox in it. What is changed is where things are, and times.
func deploy(t *testing.T, changes ...string) *deployment {
	t.Helper()
	haproxy := tool(t, "haproxy")
	project := compose(t)
	b := readBalancer(t, project)
	d := &deployment{jwt: []byte(secretOfTokens)}
	dir := writeFiles(t, map[string]string{"database": "sqlite:users.db\n", "secret-key": keyOfNow + "\n", "jwt-secret": secretOfTokens + "\n"})
	s, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + filepath.Join(dir, "users.db"), SecretKey: storetest.Key})
	if err != nil {
		t.Fatal(err)
	}
	storetest.Directory(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var environment []string
	for name, value := range variables(replicas(project)[0]) {
		environment = append(environment, name+"="+strings.ReplaceAll(value, "/run/secrets/", ""))
	}
	environment = append(environment, "DRAGOMAN_TRUSTED_PROXY=127.0.0.1/32", "DRAGOMAN_DRAIN_DELAY=1s")
	environment = append(environment, changes...) // of two of one name the last counts
	d.replica = &replica{t: t, dir: dir, environment: environment, address: "127.0.0.1:0"}
	d.second = &replica{t: t, dir: dir, environment: environment, address: "127.0.0.1:0"}
	d.start()
	t.Cleanup(d.stop)
	d.second.start()
	t.Cleanup(d.second.stop)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	d.url = "http://" + l.Addr().String()
	text := rewritten(t, b.text, "bind :8080", "bind fd@3", " inter 2s ", " inter 200ms ", b.servers[0], d.address, b.servers[1], d.second.address)
	config := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	check := exec.CommandContext(t.Context(), haproxy, "-c", "-f", config)
	check.ExtraFiles = []*os.File{socket}
	if out, err := check.CombinedOutput(); err != nil || strings.Contains(string(out), "[WARNING]") {
		t.Errorf("haproxy.cfg: %v: %s", err, out)
	}
	c := exec.CommandContext(t.Context(), haproxy, "-db", "-f", config)
	c.ExtraFiles = []*os.File{socket}
	startProxy(t, c)
	// From now on only the balancer has the socket.
	if err := errors.Join(socket.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	return d
}

// client gives an HTTP client that calls from an address of this machine's.
func client(t *testing.T, from string) *http.Client {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	transport := &http.Transport{DialContext: dialer.DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

// patch changes Ada's, Grace's or Alan's first name.
func (d *deployment) patch(ctx context.Context, c *http.Client, path, name string) (status int, err error) {
	token, err := auth.Sign(d.jwt, auth.Claims{Subject: "operator", Customers: []string{auth.AllCustomers}, Authorities: []string{"ROLE_ADMIN"}, Expires: time.Hour}, time.Now())
	if err != nil {
		return 0, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPatch, d.url+path, strings.NewReader(`{"first_name":"`+name+`"}`))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := c.Do(r)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, errors.Join(err, answer.Body.Close())
}

const patchOfGrace = "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users/0cfecc31-e3f4-4fce-9a27-f36ea6256a10"

// TestRollingRestart restarts one server after the other behind the balancer of docker-compose.yml, each as soon
// as the other says that it is ready, while clients write.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	d := deploy(t, "DRAGOMAN_RATE_LIMIT_ADDRESS=100000", "DRAGOMAN_RATE_LIMIT_ADDRESS_BURST=100000",
		"DRAGOMAN_RATE_LIMIT_PRINCIPAL=100000", "DRAGOMAN_RATE_LIMIT_PRINCIPAL_BURST=100000")
	stop := make(chan struct{})
	var clients sync.WaitGroup
	var done [2]atomic.Int64
	for i, path := range []string{patchOfAda, patchOfGrace} {
		c := client(t, "127.0.0.1")
		clients.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if status, err := d.patch(t.Context(), c, path, fmt.Sprint("name ", n)); err != nil || status != http.StatusOK {
					t.Errorf("request %d of client %d: %d, %v", n, i, status, err)
					return
				}
				done[i].Add(1)
			}
		})
	}
	for _, r := range []*replica{d.replica, d.second, d.replica} {
		before := done[0].Load() + done[1].Load()
		r.stop()
		r.start()
		if after := done[0].Load() + done[1].Load(); after == before {
			t.Error("nobody wrote during the restart")
		}
	}
	close(stop)
	clients.Wait()
	s := storetest.Open(t, "sqlite:"+filepath.Join(d.dir, "users.db"))
	for i, key := range []store.UserKey{store.UserByID(3393, 6860), store.UserByID(3393, 6861)} {
		u, err := s.FindUser(context.Background(), key)
		if err != nil || u.Version != 1+done[i].Load() {
			t.Errorf("user %d is at version %d after %d writes, %v", u.ID, u.Version, done[i].Load(), err)
		}
	}
}

// TestBalancerClientAddress: one client that asks too much does not take the others' share.
func TestBalancerClientAddress(t *testing.T) {
	t.Parallel()
	d := deploy(t, "DRAGOMAN_RATE_LIMIT_ADDRESS=0.001", "DRAGOMAN_RATE_LIMIT_ADDRESS_BURST=3")
	first, second := client(t, "127.0.0.2"), client(t, "127.0.0.3")
	var statuses []int
	for len(statuses) < 20 && !slices.Contains(statuses, http.StatusTooManyRequests) {
		status, err := d.patch(t.Context(), first, patchOfAda, "Ada")
		if err != nil {
			t.Fatal(err)
		}
		statuses = append(statuses, status)
	}
	if n := len(statuses); n < 4 || statuses[n-1] != http.StatusTooManyRequests {
		t.Errorf("the first client is answered %v", statuses)
	}
	if status, err := d.patch(t.Context(), second, patchOfAda, "Ada"); err != nil || status != http.StatusOK {
		t.Errorf("the second client is answered %d, %v", status, err)
	}
}
