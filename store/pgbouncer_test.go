//go:build linux

package store_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// pgBouncer starts a PgBouncer in front of a Postgres and returns the URL that leads through it. Without one it skips the test; if
// CI is true it fails it. The settings are further lines of its configuration.
func pgBouncer(t *testing.T, database, mode string, settings ...string) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer"
	}
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("pgbouncer is not installed, and CI is true")
		}
		t.Skip("pgbouncer is not installed")
	}
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().(*net.TCPAddr)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	password := ""
	if given, ok := u.User.Password(); ok {
		password = " password=" + given
	}
	file := filepath.Join(t.TempDir(), "pgbouncer.ini")
	text := fmt.Sprintf("[databases]\n* = host=%s port=%s user=%s%s\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port=%d\nunix_socket_dir=\n"+
		"auth_type=any\npool_mode=%s\ndefault_pool_size=50\n%s\n", u.Hostname(), u.Port(), u.User.Username(), password, address.Port, mode,
		strings.Join(settings, "\n"))
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program, file)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 { // which it refuses to be
		nobody, err := user.Lookup("nobody")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.ParseUint(nobody.Uid, 10, 32)
		gid, _ := strconv.ParseUint(nobody.Gid, 10, 32)
		command.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		for dir := filepath.Dir(file); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	log, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	up, read := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(read)
		started := false
		for lines := bufio.NewScanner(log); lines.Scan(); {
			fmt.Fprintln(&said, lines.Text())
			if !started && strings.Contains(lines.Text(), "process up") {
				started = true
				close(up)
			}
		}
	}()
	t.Cleanup(func() {
		command.Process.Kill()
		<-read
		command.Wait()
		if t.Failed() {
			t.Logf("pgbouncer said: %s", said.String())
		}
	})
	select {
	case <-up:
	case <-read:
		t.Fatal("pgbouncer ended")
	}
	u.Host = address.String()
	return u.String()
}

// TestPgBouncer: with the default URL everything works in either mode, for several servers that start at once.
func TestPgBouncer(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"session", "transaction"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			address := pgBouncer(t, storetest.PostgresDatabase(t, "ENCODING 'UTF8'"), mode)
			var servers [2]*store.Store
			errs := make([]error, len(servers))
			var all sync.WaitGroup
			for n := range servers {
				all.Go(func() {
					servers[n], errs[n] = store.Open(context.Background(), store.Config{URL: address, SecretKey: storetest.Key})
				})
			}
			all.Wait()
			for n, s := range servers {
				if errs[n] != nil {
					t.Fatal(errs[n])
				}
				t.Cleanup(func() { s.Close() })
			}
			exercise(t, servers[0])
			for n := range 200 {
				s, key := servers[n%2], []store.UserKey{ada, grace, alan}[n%3]
				all.Go(func() {
					if _, err := s.FindUser(context.Background(), key); err != nil {
						t.Errorf("read: %v", err)
					}
					_, _, err := s.UpdateUser(context.Background(), key, store.Change{Edit: pure(func(u *store.User) { u.FirstName = fmt.Sprint("name ", n) })})
					if err != nil && store.KindOf(err) != store.ErrBusy {
						t.Errorf("write: %v", err)
					}
					if _, _, err := s.ListUsers(context.Background(), 3393, store.Query{Filters: []store.Filter{store.Mentions(fmt.Sprint(n))}}, store.Window{Limit: 10}); err != nil {
						t.Errorf("list: %v", err)
					}
				})
			}
			all.Wait()
		})
	}
}

// TestPgBouncerRefusedAtStart checks which ways to send statements are refused at once in each mode, and with which remedy. The others
// must work.
func TestPgBouncerRefusedAtStart(t *testing.T) {
	t.Parallel()
	const noTransactions, loses = "set its pool_mode to transaction or session", "remove default_query_exec_mode="
	all := []string{"", "cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"}
	for _, c := range []struct {
		pooling, settings string
		refused           map[string]string // a part of the error by the way to send statements
	}{
		{pooling: "session"},
		{pooling: "transaction", refused: map[string]string{"cache_statement": loses + "cache_statement", "describe_exec": loses + "describe_exec"}},
		{pooling: "transaction", settings: "server_round_robin=1",
			refused: map[string]string{"cache_statement": loses + "cache_statement", "describe_exec": loses + "describe_exec"}},
		{pooling: "statement", refused: map[string]string{"": noTransactions, "cache_statement": noTransactions,
			"cache_describe": noTransactions, "describe_exec": noTransactions, "exec": noTransactions, "simple_protocol": noTransactions}},
	} {
		t.Run(c.pooling+" "+c.settings, func(t *testing.T) {
			t.Parallel()
			address := pgBouncer(t, storetest.PostgresDatabase(t, "ENCODING 'UTF8'"), c.pooling, c.settings)
			for _, mode := range all {
				url := address
				if mode != "" {
					url = with(t, address, "default_query_exec_mode="+mode)
				}
				err := openImpatiently(t, url)
				if want := c.refused[mode]; want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
					t.Errorf("%q: %v, want %q", mode, err, want)
				}
			}
		})
	}
}

// TestPgBouncerConcurrentMigrations has ten callers at a time migrate an empty database through a pooler whose server connections are
// fewer than they.
func TestPgBouncerConcurrentMigrations(t *testing.T) {
	t.Parallel()
	for range 5 {
		database := storetest.PostgresDatabase(t, "ENCODING 'UTF8'")
		address := pgBouncer(t, database, "transaction", "default_pool_size=3")
		var all sync.WaitGroup
		var applied atomic.Int64
		for range 10 {
			all.Go(func() {
				names, err := store.Migrate(context.Background(), address, store.Wait{})
				if err != nil {
					t.Error(err)
				}
				applied.Add(int64(len(names)))
			})
		}
		all.Wait()
		if n, err := store.Migrate(context.Background(), address, store.Wait{}); err != nil || len(n) > 0 {
			t.Errorf("afterwards %q are due, %v", n, err)
		}
		if files, err := filepath.Glob("migrations/postgres/*.sql"); err != nil || applied.Load() != int64(len(files)) {
			t.Errorf("%d migrations were applied, of %d, %v", applied.Load(), len(files), err)
		}
		c, err := pgx.Connect(t.Context(), database)
		if err != nil {
			t.Fatal(err)
		}
		var locks int
		err = c.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())").Scan(&locks)
		if err != nil || locks > 0 {
			t.Errorf("%d locks are left, %v", locks, err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
