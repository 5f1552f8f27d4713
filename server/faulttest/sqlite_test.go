//go:build linux

package faulttest

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// lockVariable makes the test binary lock the database file that the variable names until its standard input ends.
const lockVariable = "DRAGOMAN_FAULTTEST_HOLD"

func lockSQLite(path string) {
	db, err := sql.Open("sqlite", path)
	if err == nil {
		db.SetMaxOpenConns(1)
		_, err = db.Exec("BEGIN EXCLUSIVE")
	}
	fmt.Println(err)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// lockFile makes another process lock a database file until release.
func lockFile(t testing.TB, path string) (release func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self)
	command.Env = append(os.Environ(), lockVariable+"="+path)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	locked := true
	release = func() {
		if locked {
			locked = false
			in.Close()
			_ = command.Wait()
		}
	}
	t.Cleanup(release)
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "<nil>\n" {
		t.Fatalf("the other process does not lock the file: %s, %v", line, err)
	}
	return release
}

// sqliteFile returns the path and the URL of a new database file.
func sqliteFile(t testing.TB) (path, url string) {
	t.Helper()
	path = filepath.Join(folder(t), "dragoman.db")
	return path, "sqlite:" + path
}

func TestFileLockedByOtherProcess(t *testing.T) {
	t.Parallel()
	path, url := sqliteFile(t)
	p := serving(t, url)
	before := p.look(t)
	release := lockFile(t, path)
	p.expectUnavailable(t, answered, writes...)
	for _, r := range reads[:5] { // the feed writes: it numbers new changes
		p.expect(t, http.StatusOK, r)
	}
	p.expectHealth(t, http.StatusOK)
	if after := p.look(t); after != before {
		t.Errorf("%+v became %+v", before, after)
	}

	// A canceled request does not wait.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.send(ctx, patchAda); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the request ended with %v", err)
	}
	p.expectGone(t, `"PATCH"`, "client_gone", "context canceled")
	release()
	recovers(t, p)
}

func TestClientGoneInterruptsQuery(t *testing.T) {
	t.Parallel()
	path, url := sqliteFile(t)
	p := serving(t, url, "--request-timeout=25s")
	slow(t, path)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	if a, err := p.send(ctx, request{method: http.MethodGet, path: worthUsers + "?search=q"}); err == nil {
		t.Fatalf("the query is too fast to cancel: %s", a)
	}
	p.expectGone(t, `"GET"`, "interrupted")
	t.Logf("interrupted %s after it began", time.Since(start))
}

// slow makes searches slow, by a view in the place of the table of users that repeats each user many times.
func slow(t testing.TB, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(10000)") // the server writes to its index
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	statements := []string{
		"ALTER TABLE users RENAME TO users_kept",
		`CREATE VIEW users AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000)
			SELECT users_kept.* FROM n CROSS JOIN users_kept`,
	}
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFileDeleted(t *testing.T) {
	t.Parallel()
	path, url := sqliteFile(t)
	p := serving(t, url)
	p.expect(t, http.StatusOK, request{method: http.MethodPatch, path: worthAda, body: `{"first_name":"Before"}`})
	before := p.look(t)
	kept := path + ".kept"
	if err := os.Rename(path, kept); err != nil {
		t.Fatal(err)
	}
	p.expectUnavailable(t, answered, append(reads, writes...)...)
	p.expectHealth(t, http.StatusServiceUnavailable)
	if _, err := os.Stat(path); err == nil {
		t.Error("a new file was made in its place")
	}
	p.expectLog(t, "deleted or replaced")
	if err := os.Rename(kept, path); err != nil {
		t.Fatal(err)
	}
	within(t, recovery, "recovery", p.succeeds(t, reads[0]))
	if after := p.look(t); after != before {
		t.Errorf("%+v became %+v", before, after)
	}
	recovers(t, p)
}

// TestFileReplaced checks that the new file is served, and that nothing of the old file's write-ahead log gets into it.
func TestFileReplaced(t *testing.T) {
	t.Parallel()
	path, url := sqliteFile(t)
	p := serving(t, url)
	old := p.look(t)
	backup := path + ".backup"
	copySQLite(t, path, backup)
	p.burst(t, 8) // several connections
	for k := range 20 {
		p.expect(t, http.StatusOK, request{method: http.MethodPatch, path: worthAda, body: fmt.Sprintf(`{"first_name":"Later-%d"}`, k)})
	}
	later := p.look(t)
	gone := path + ".gone"
	if err := errors.Join(os.Rename(path, gone), os.Rename(backup, path)); err != nil {
		t.Fatal(err)
	}
	within(t, recovery, "recovery", p.succeeds(t, reads[0]))
	if now := p.look(t); now != old {
		t.Errorf("the new file has %+v; served is %+v", old, now)
	}
	recovers(t, p)
	p.signal(t, syscall.SIGTERM)
	p.awaitEnd(t, waitLimit)

	// The old file has all acknowledged writes.
	q := serving(t, "sqlite:"+gone)
	if now := q.look(t); now != later {
		t.Errorf("the old file had %+v, now %+v", later, now)
	}
}

// TestFileReplacedUnderLoad checks that each acknowledged write is in one of the two files.
func TestFileReplacedUnderLoad(t *testing.T) {
	t.Parallel()
	path, url := sqliteFile(t)
	p := serving(t, url)
	backup, gone := path+".backup", path+".gone"
	copySQLite(t, path, backup)
	ctx, stop := context.WithCancel(t.Context())
	acknowledged := make(chan []string)
	go func() {
		var all []string
		for k := 0; ctx.Err() == nil; k++ {
			name := fmt.Sprintf("Name-%d", k)
			a, err := p.send(context.Background(), request{method: http.MethodPatch, path: worthAda, body: `{"first_name":"` + name + `"}`})
			if err == nil && a.status == http.StatusOK {
				all = append(all, name)
			}
		}
		acknowledged <- all
	}()
	within(t, waitLimit, "some writes", func() error {
		if len(p.log.find(says(`"PATCH"`, "200"))) < 20 {
			return errNotYet
		}
		return nil
	})
	if err := errors.Join(os.Rename(path, gone), os.Rename(backup, path)); err != nil {
		t.Fatal(err)
	}
	before := len(p.log.find(says(`"PATCH"`, `"status":200`)))
	within(t, recovery, "writes into the new file", func() error {
		if len(p.log.find(says(`"PATCH"`, `"status":200`))) < before+20 {
			return errNotYet
		}
		return nil
	})
	stop()
	all := <-acknowledged
	p.signal(t, syscall.SIGTERM)
	p.awaitEnd(t, waitLimit)
	p.expectNoFault(t)
	kept := firstNames(t, path) + firstNames(t, gone)
	for _, name := range all {
		if !strings.Contains(kept, `"`+name+`"`) {
			t.Errorf("%s was acknowledged and is in neither file", name)
		}
	}
	t.Logf("%d acknowledged writes", len(all))
}

// firstNames returns the history of a file as text, and checks the file's integrity.
func firstNames(t testing.TB, path string) string {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var all, check string
	if err := db.QueryRow("SELECT group_concat(fields) FROM user_changes").Scan(&all); err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&check); err != nil || check != "ok" {
		t.Errorf("%s: %s, %v", path, check, err)
	}
	return all
}

// copySQLite makes a consistent copy of a database in use.
func copySQLite(t testing.TB, from, to string) {
	t.Helper()
	db, err := sql.Open("sqlite", from)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("VACUUM INTO ?", to); err != nil {
		t.Fatal(err)
	}
}

// TestFileReplacedByOtherFile puts a file that is not a database in the place of the directory.
func TestFileReplacedByOtherFile(t *testing.T) {
	t.Parallel()
	path, url := sqliteFile(t)
	p := serving(t, url)
	kept, other := path+".kept", path+".other"
	if err := os.WriteFile(other, []byte(strings.Repeat("no database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Rename(path, kept), os.Rename(other, path)); err != nil {
		t.Fatal(err)
	}
	p.expectUnavailable(t, answered, append(reads, writes...)...)
	p.expectHealth(t, http.StatusServiceUnavailable)
	if err := errors.Join(os.Rename(path, other), os.Rename(kept, path)); err != nil {
		t.Fatal(err)
	}
	recovers(t, p)
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	small := smallDisk(t, 2<<20)
	p := serving(t, "sqlite:"+filepath.Join(small.dir, "dragoman.db"))
	p.look(t)
	small.fill(t)
	var refused answer
	for k := range 500 {
		refused = p.ask(t, request{method: http.MethodPatch, path: worthAda, body: fmt.Sprintf(`{"first_name":"%d"}`, k)})
		if refused.status != http.StatusOK {
			break
		}
	}
	p.expectUnavailable(t, answered, writes...)
	full := p.look(t)
	if full.etag != fmt.Sprintf(`"%d"`, full.history) {
		t.Errorf("the version and the history do not agree: %+v", full)
	}
	p.expectHealth(t, http.StatusOK)
	p.expectLog(t, "database unavailable", "full")
	small.empty(t)
	recovers(t, p)
}

// TestReadOnlyFile checks that the program does not start, and logs why.
func TestReadOnlyFile(t *testing.T) {
	t.Parallel()
	small := smallDisk(t, 2<<20)
	path := filepath.Join(small.dir, "dragoman.db")
	p := serving(t, "sqlite:"+path)
	p.signal(t, syscall.SIGTERM)
	p.awaitEnd(t, waitLimit)
	if err := remountReadOnly(small.dir); err != nil {
		t.Fatal(err)
	}
	q := launch(t, dragoman(t), environment("sqlite:"+path), serve()...)
	if code := q.awaitEnd(t, waitLimit); code == 0 || len(q.log.find(says("read-only"))) == 0 || len(q.log.find(says("waiting"))) > 0 {
		t.Errorf("it ends with %d and logs\n%s", code, q.log)
	}
}
