//go:build linux

package faulttest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// eachDatabase runs f with the URL of an empty database of each engine.
func eachDatabase(t *testing.T, f func(t *testing.T, database string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		_, database := sqliteFile(t)
		f(t, database)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		f(t, running(t).url())
	})
}

// migrate runs `dragoman migrate` and returns the migrations that it applied.
func migrate(t testing.TB, binary, database string) (applied []string, err error) {
	t.Helper()
	command := exec.Command(binary, "migrate")
	command.Env, command.Dir = environment(database), folder(t)
	out, err := command.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "applied "); ok {
			applied = append(applied, name)
		}
	}
	return applied, nil
}

// TestConcurrentMigrations checks that each migration is applied once.
func TestConcurrentMigrations(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../store/migrations/sqlite/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal(err, "there are no migrations")
	}
	eachDatabase(t, func(t *testing.T, database string) {
		var mu sync.Mutex
		times := map[string]int{}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				applied, err := migrate(t, dragoman(t), database)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				for _, name := range applied {
					times[name]++
				}
			})
			all.Go(func() {
				p, err := start(dragoman(t), folder(t), environment(database), serve()...)
				if err != nil {
					t.Error(err)
					return
				}
				defer p.kill()
				if err := p.awaitListening(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for name, n := range times {
			if n != 1 {
				t.Errorf("%s was applied %d times", name, n)
			}
		}
		if applied, err := migrate(t, dragoman(t), database); err != nil || len(applied) > 0 {
			t.Errorf("a later run applied %v, %v", applied, err)
		}
		serving(t, database).look(t)
	})
}

// TestKilledMigration checks that a later run continues, since an unfinished migration is rolled back.
func TestKilledMigration(t *testing.T) {
	t.Parallel()
	migrateAgain := func(t *testing.T, database string, moment time.Duration) {
		t.Helper()
		p, err := start(dragoman(t), folder(t), environment(database), "migrate")
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-p.ended:
		case <-time.After(moment):
		}
		p.kill()
		if _, err := migrate(t, dragoman(t), database); err != nil {
			t.Fatalf("after a run that was killed after %s: %v", moment, err)
		}
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		for k := range 10 {
			_, database := sqliteFile(t)
			migrateAgain(t, database, time.Duration(k)*8*time.Millisecond)
			if k%3 == 0 {
				serving(t, database).look(t)
			}
		}
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		c := running(t)
		for k := range 6 {
			name := fmt.Sprintf("killed_%d", k)
			c.query(t, "CREATE DATABASE "+name)
			database := strings.Replace(c.url(), "/postgres?", "/"+name+"?", 1)
			migrateAgain(t, database, time.Duration(k)*15*time.Millisecond)
			if k%3 == 0 {
				serving(t, database).look(t)
			}
		}
	})
}

// newer builds the program with one more migration, as in a next release. Migrations only add tables, columns and indexes.
var newer = sync.OnceValues(func() (string, error) {
	overlay := map[string]map[string]string{"Replace": {}}
	for engine, integer := range map[string]string{"sqlite": "INTEGER", "postgres": "BIGINT"} {
		text := "-- +goose Up\n" +
			"ALTER TABLE users ADD COLUMN nickname TEXT;\n" +
			"ALTER TABLE users ADD COLUMN shoe_size " + integer + " NOT NULL DEFAULT 38;\n" +
			"ALTER TABLE user_changes ADD COLUMN note TEXT;\n" +
			"CREATE TABLE nicknames (name TEXT PRIMARY KEY);\n" +
			"CREATE INDEX users_nickname ON users (nickname);\n"
		place, err := filepath.Abs("../../store/migrations/" + engine + "/99999_next_release.sql")
		if err != nil {
			return "", err
		}
		file := filepath.Join(workspace, engine+".sql")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return "", err
		}
		overlay["Replace"][place] = file
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	file := filepath.Join(workspace, "newer.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return "", err
	}
	return build("newer", "-overlay", file)
})

// TestOldProgramOnNewSchema checks that the previous release serves during and after a migration, and starts after it.
func TestOldProgramOnNewSchema(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database string) {
		next, err := newer()
		if err != nil {
			t.Fatal(err)
		}
		older := serving(t, database, "--request-timeout=5s")
		l := newLoad(t, older.client)
		l.awaitWork(t)
		applied, err := migrate(t, next, database)
		if err != nil || len(applied) != 1 {
			t.Fatalf("the newer program applies %v, %v", applied, err)
		}
		both := servingAs(t, next, environment(database), "--request-timeout=5s")
		for k := range 20 {
			both.expect(t, http.StatusOK, request{method: http.MethodPatch, path: worthUsers + "/" + graceUUID, body: fmt.Sprintf(`{"mobile":"%d"}`, k)})
		}
		l.finish(t)
		both.signal(t, syscall.SIGTERM)
		older.signal(t, syscall.SIGTERM)
		if code := errors.Join(endedWell(t, both), endedWell(t, older)); code != nil {
			t.Error(code)
		}
		back := serving(t, database)
		back.expect(t, http.StatusOK, patchAda)
		back.expectNoFault(t)
	})
}

const graceUUID = "0cfecc31-e3f4-4fce-9a27-f36ea6256a10"

func endedWell(t testing.TB, p *program) error {
	t.Helper()
	if code := p.awaitEnd(t, waitLimit); code != 0 {
		return fmt.Errorf("the program ends with %d", code)
	}
	return nil
}
