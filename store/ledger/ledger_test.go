package ledger_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/store/ledger"
)

func entries(t *testing.T, l *ledger.Ledger) []ledger.Entry {
	t.Helper()
	all, err := l.Entries()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestConcurrentAppends(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "erasures")
	if all := entries(t, ledger.At(path)); len(all) > 0 {
		t.Errorf("without a file: %v", all)
	}
	want := map[uuid.UUID]bool{}
	var appending sync.WaitGroup
	for range 40 {
		id := uuid.New()
		want[id] = true
		appending.Go(func() {
			// A ledger of its own, as another program has.
			if err := ledger.At(path).Append(context.Background(), ledger.Entry{UUID: id, At: time.UnixMilli(1764489600123)}); err != nil {
				t.Error(err)
			}
		})
	}
	appending.Wait()
	all := entries(t, ledger.At(path))
	for _, e := range all {
		if !want[e.UUID] || !e.At.Equal(time.UnixMilli(1764489600123)) {
			t.Errorf("%+v", e)
		}
		delete(want, e.UUID)
	}
	if len(want) > 0 {
		t.Errorf("%d are missing", len(want))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// An entry that a crash has cut off is as if it had never been begun.
func TestCutOffEntry(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "erasures")
	l, first, last := ledger.At(path), uuid.New(), uuid.New()
	for _, step := range []struct {
		append uuid.UUID
		torn   string
	}{{first, "94520740-d63c"}, {last, strings.Repeat("\x00", 62)}, {uuid.New(), "\x00"}} {
		if err := l.Append(t.Context(), ledger.Entry{UUID: step.append, At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteString(step.torn)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if all := entries(t, l); len(all) != 3 || all[0].UUID != first || all[1].UUID != last {
		t.Errorf("%+v", all)
	}
}

// An entry without its line feed is one, as the file may have been edited or copied.
func TestEntryWithoutLineFeed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "erasures")
	const first = "94520740-d63c-4e02-85ca-c4e138801e73 2026-11-30T08:00:00.000Z"
	if err := os.WriteFile(path, []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	l := ledger.At(path)
	if all := entries(t, l); len(all) != 1 || all[0].UUID.String() != first[:36] {
		t.Errorf("%+v", all)
	}
	second := uuid.New()
	if err := l.Append(t.Context(), ledger.Entry{UUID: second, At: time.UnixMilli(1764489600123)}); err != nil {
		t.Fatal(err)
	}
	want := first + "\n" + second.String() + " 2025-11-30T08:00:00.123Z\n"
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

// What is no regular file is refused, and not waited for.
func TestLedgerIsRegular(t *testing.T) {
	t.Parallel()
	for _, path := range []string{t.TempDir(), os.DevNull} {
		l := ledger.At(path)
		_, err := l.Entries()
		for _, err := range []error{err, l.CheckWritable(), l.Append(t.Context(), ledger.Entry{UUID: uuid.New(), At: time.Now()})} {
			if err == nil || !strings.Contains(err.Error(), path+" is not a regular file") {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

func TestDamagedLedger(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"another file":    strings.Repeat("no ledger at all\n", 10),
		"another order":   "2026-11-30T08:00:00.000Z 94520740-d63c-4e02-85ca-c4e138801e73\n",
		"no line feed":    "94520740-d63c-4e02-85ca-c4e138801e73 2026-11-30T08:00:00.000Z ",
		"a UUID in full":  "{4520740-d63c-4e02-85ca-c4e138801e73} 2026-11-30T08:00:00.00Z\n",
		"edited by hand":  "94520740-d63c-4e02-85ca-c4e138801e73 2026-11-30T08:00:00.000Z\n94520740-d63c-4e02-85ca-c4e138801e73 # Ada, as she asked by e-mail",
		"a short file":    "no ledger at all\n",
		"a database file": "SQLite format 3\x00" + strings.Repeat("\x00", 4080),
	} {
		path := filepath.Join(t.TempDir(), "erasures")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l := ledger.At(path)
		_, err := l.Entries()
		for _, err := range []error{err, l.CheckWritable(), l.Append(t.Context(), ledger.Entry{UUID: uuid.New(), At: time.Now()})} {
			if !errors.Is(err, ledger.ErrDamaged) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if left, err := os.ReadFile(path); err != nil || string(left) != text {
			t.Errorf("%s: was changed to %q, %v", name, left, err)
		}
	}
}
