package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// secret returns one of several keys.
func secret(n byte) []byte { return bytes.Repeat([]byte{n}, 32) }

// openWith opens a store with keys, the first of which seals, and closes it again after use.
func openWith(url string, use func(*store.Store) error, keys ...[]byte) error {
	s, err := store.Open(context.Background(), store.Config{URL: url, SecretKey: keys[0], OldSecretKeys: keys[1:]})
	if err != nil {
		return err
	}
	if use != nil {
		err = use(s)
	}
	return errors.Join(err, s.Close())
}

func seed(s *store.Store) error { return s.SeedSandbox(context.Background()) }

func rename(s *store.Store) error {
	_, _, err := s.UpdateUser(context.Background(), ada, store.Change{Edit: pure(func(u *store.User) { u.FirstName += "!" })})
	return err
}

func rekey(s *store.Store) error {
	_, err := s.Rekey(context.Background())
	return err
}

func TestSecretKeyIsCheckedAtStart(t *testing.T) {
	t.Parallel()
	type step struct {
		keys  []byte
		use   func(*store.Store) error
		wrong bool
	}
	for name, steps := range map[string][]step{
		"another key":                      {{[]byte{1}, seed, false}, {[]byte{2}, nil, true}, {[]byte{1}, rename, false}},
		"another key, nothing sealed":      {{[]byte{1}, nil, false}, {[]byte{2}, nil, true}, {[]byte{1}, seed, false}},
		"another key, and a wrong old one": {{[]byte{1}, seed, false}, {[]byte{2, 3}, nil, true}},
		"a key to come, listed as old":     {{[]byte{1, 2}, seed, false}, {[]byte{2, 1}, rename, false}, {[]byte{1, 2}, rename, false}},
		"rotation": {
			{[]byte{1}, seed, false}, {[]byte{2, 1}, rename, false}, {[]byte{1}, nil, true}, {[]byte{2}, nil, true},
			{[]byte{1, 2}, nil, false}, {[]byte{2, 1}, rekey, false}, {[]byte{1}, nil, true}, {[]byte{2}, rename, false},
		},
		"rotation given up before anything was sealed": {
			{[]byte{1}, seed, false}, {[]byte{2, 1}, nil, false}, {[]byte{1}, rekey, false}, {[]byte{2}, nil, true}, {[]byte{1}, rename, false},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.EachURL(t, func(t *testing.T, url string) {
				for n, s := range steps {
					var keys [][]byte
					for _, k := range s.keys {
						keys = append(keys, secret(k))
					}
					err := openWith(url, s.use, keys...)
					if errors.Is(err, store.ErrSecretKey) != s.wrong || !s.wrong && err != nil {
						t.Fatalf("step %d, with keys %v: %v", n, s.keys, err)
					}
					if s.wrong && (!strings.Contains(err.Error(), "--secret-key (DRAGOMAN_SECRET_KEY)") || strings.Contains(err.Error(), "\n")) {
						t.Errorf("step %d: %q", n, err)
					}
				}
			})
		})
	}
}

// TestSecretKeyOfOlderDirectory: a directory that was made before there were canaries gets them.
func TestSecretKeyOfOlderDirectory(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		older := func(s *store.Store) error {
			_, write := s.Pools()
			_, err := write.Exec("DELETE FROM secret_keys")
			return err
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(openWith(url, seed, secret(1)))
		must(openWith(url, older, secret(1)))
		for range 2 { // the refusal records nothing
			if err := openWith(url, nil, secret(2)); !errors.Is(err, store.ErrSecretKey) {
				t.Errorf("opened with %v", err)
			}
		}
		must(openWith(url, older, secret(1)))
		must(openWith(url, nil, secret(2), secret(1)))
		if err := openWith(url, nil, secret(2)); !errors.Is(err, store.ErrSecretKey) {
			t.Errorf("opened without the key of all secrets: %v", err)
		}
		must(openWith(url, rename, secret(1), secret(2)))
	})
}

func TestConcurrentFirstStartsWithDifferentKeys(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		var all sync.WaitGroup
		errs := make([]error, 6)
		for n := range errs {
			all.Go(func() { errs[n] = openWith(url, nil, secret(byte(1+n%3))) })
		}
		all.Wait()
		opened := map[int]bool{}
		for n, err := range errs {
			if err == nil {
				opened[n%3] = true
			} else if !errors.Is(err, store.ErrSecretKey) {
				t.Error(err)
			}
		}
		if len(opened) != 1 {
			t.Errorf("opened with keys %v", fmt.Sprint(opened))
		}
	})
}
