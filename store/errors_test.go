package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

func TestUnreachableDatabaseIsUnavailable(t *testing.T) {
	t.Parallel()
	// Nothing listens on the discard port.
	_, err := store.Open(context.Background(), store.Config{URL: "postgres://u@127.0.0.1:9/d", SecretKey: storetest.Key})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestWaitForUnreachableDatabase(t *testing.T) {
	t.Parallel()
	unreachable := store.Config{URL: "postgres://u@127.0.0.1:9/d", SecretKey: storetest.Key}
	var pauses []time.Duration
	told := func(err error, pause time.Duration) {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("waits for %v", err)
		}
		pauses = append(pauses, pause)
	}
	unreachable.Wait = store.Wait{For: 500 * time.Millisecond, Waiting: told}
	if _, err := store.Open(t.Context(), unreachable); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if len(pauses) < 3 || pauses[0] != 100*time.Millisecond || pauses[1] != 200*time.Millisecond {
		t.Errorf("paused for %v", pauses)
	}

	// The end of the context ends the wait.
	ctx, cancel := context.WithCancel(t.Context())
	unreachable.Wait = store.Wait{For: time.Hour, Waiting: func(error, time.Duration) { cancel() }}
	if _, err := store.Open(ctx, unreachable); !errors.Is(err, context.Canceled) || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}

	// A database that others hold is waited for, too.
	left := []error{fmt.Errorf("opening: %w", store.ErrBusy), nil}
	err := store.Wait{For: time.Hour}.Retry(t.Context(), func() error {
		err := left[0]
		left = left[1:]
		return err
	})
	if err != nil || len(left) > 0 {
		t.Errorf("got %v, with %d tries left", err, len(left))
	}

	// Nobody waits for what does not come by itself.
	hopeless := store.Config{URL: "sqlite:" + t.TempDir() + "/no/such/folder", SecretKey: storetest.Key}
	hopeless.Wait = store.Wait{For: time.Hour, Waiting: func(err error, _ time.Duration) { t.Errorf("waits for %v", err) }}
	if _, err := store.Open(t.Context(), hopeless); err == nil {
		t.Error("no error")
	}
}

// However wrong a URL is: what stands where a password does, or where one that is not escaped reaches, is not repeated.
func TestURLErrorsOmitPassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://u:canary@127.0.0.1:9/d",
		"postgres://127.0.0.1:9/d?password=canary",
		"postgres://u:pass@canary@127.0.0.1:9/d",
		"postgres://u:pass/canary@127.0.0.1:9/d",
		"postgres://u:9/canary@127.0.0.1:9/d",
		"postgres://u:pass?canary@127.0.0.1:9/d",
		"postgres://u:pass#canary@127.0.0.1:9/d",
		"postgres://u:pass:canary@127.0.0.1:9/d",
		"postgres://u:pass canary@127.0.0.1:9/d",
		"postgres://u:canary%zz@127.0.0.1:9/d",
		"postgres://u:canary@127.0.0.1:99999999/d",
		"postgres://u:canary@[::1/d",
		"postgres://u:canary@127.0.0.1:9/d?sslmode=bogus",
		"postgres://127.0.0.1:9/d?password=canary&sslmode=bogus",
		"postgresql://u:canary@127.0.0.1:9/d",
		"host=127.0.0.1 port=9 password=canary",
		"mysql://u:canary@127.0.0.1:9/d",
	} {
		if _, err := store.Open(t.Context(), store.Config{URL: url, SecretKey: storetest.Key}); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestAnEndedContext(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		late, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
		defer cancel()
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		for _, ctx := range []context.Context{late, gone} {
			calls := map[string]error{
				"Ping":           s.Ping(ctx),
				"CreateCustomer": s.CreateCustomer(ctx, &store.Customer{Name: "x"}),
			}
			_, calls["FindUser"] = s.FindUser(ctx, ada)
			_, _, calls["UpdateUser"] = s.UpdateUser(ctx, ada, store.Change{Edit: func(u *store.User) error { u.FirstName = "x"; return nil }})
			for call, err := range calls {
				if !errors.Is(err, ctx.Err()) || errors.Is(err, store.ErrUnavailable) != (ctx == late) {
					t.Errorf("%s, %v: %v", call, ctx.Err(), err)
				}
			}
		}
		if u := find(t, s, ada); u.Version != 1 {
			t.Errorf("version %d", u.Version)
		}
	})
}
