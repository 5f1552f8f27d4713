//go:build linux

package store_test

import (
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
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// pgBouncer starts a PgBouncer in front of a Postgres and returns the URL that leads through it. Without one it skips the test; if
// CI is true it fails it.
func pgBouncer(t *testing.T, database, mode string) string {
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
		"auth_type=any\npool_mode=%s\ndefault_pool_size=50\n", u.Hostname(), u.Port(), u.User.Username(), password, address.Port, mode)
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
	var said bytes.Buffer
	command.Stderr = &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Kill()
		command.Wait()
		if t.Failed() {
			t.Logf("pgbouncer said: %s", said.String())
		}
	})
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
					servers[n], errs[n] = store.Open(context.Background(), store.Config{URL: address, SecretKey: storetest.Key,
						Patience: store.Patience{For: 20 * time.Second}})
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
