package store_test

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

func TestEncrypt(t *testing.T) {
	t.Parallel()
	url := "sqlite:" + t.TempDir() + "/dragoman.db"
	open := func(key []byte, old ...[]byte) *store.Store {
		s, err := store.Open(context.Background(), store.Config{URL: url, SecretKey: key, OldSecretKeys: old})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	s, message, place := open(storetest.Key), []byte("message"), []byte("place")
	text := s.Encrypt("a", place, message)
	renewed := open([]byte("another key for tests, 32 bytes."), storetest.Key)
	for name, decrypt := range map[string]func() ([]byte, bool){
		"the same store":         func() ([]byte, bool) { return s.Decrypt("a", place, text) },
		"another process":        func() ([]byte, bool) { return open(storetest.Key).Decrypt("a", place, text) },
		"an old key":             func() ([]byte, bool) { return renewed.Decrypt("a", place, text) },
		"one under the new key":  func() ([]byte, bool) { return renewed.Decrypt("a", place, renewed.Encrypt("a", place, message)) },
		"one that is made again": func() ([]byte, bool) { return s.Decrypt("a", place, s.Encrypt("a", place, message)) },
		"one without a place":    func() ([]byte, bool) { return s.Decrypt("a", nil, s.Encrypt("a", nil, message)) },
		"the message of no bytes": func() ([]byte, bool) {
			m, ok := s.Decrypt("a", nil, s.Encrypt("a", nil, nil))
			return append(m, message...), ok
		},
	} {
		if got, ok := decrypt(); !ok || !bytes.Equal(got, message) {
			t.Errorf("%s: %q, %t", name, got, ok)
		}
	}
	wrong := map[string]func() ([]byte, bool){
		"another purpose": func() ([]byte, bool) { return s.Decrypt("b", place, text) },
		"another place":   func() ([]byte, bool) { return s.Decrypt("a", []byte("palace"), text) },
		"another split":   func() ([]byte, bool) { return s.Decrypt("ap", place[1:], text) },
		"a part of it":    func() ([]byte, bool) { return s.Decrypt("a", place, text[:len(text)-1]) },
		"nothing":         func() ([]byte, bool) { return s.Decrypt("a", place, nil) },
		"more":            func() ([]byte, bool) { return s.Decrypt("a", place, append(slices.Clone(text), 0)) },
		"an unknown key":  func() ([]byte, bool) { return s.Decrypt("a", place, renewed.Encrypt("a", place, message)) },
	}
	for i := range text {
		altered := slices.Clone(text)
		altered[i] ^= 1
		wrong["another byte "+string(rune('0'+i))] = func() ([]byte, bool) { return s.Decrypt("a", place, altered) }
	}
	for name, decrypt := range wrong {
		if got, ok := decrypt(); ok || got != nil {
			t.Errorf("%s is decrypted to %q", name, got)
		}
	}
	if again := s.Encrypt("a", place, message); bytes.Equal(again, text) || len(again) != len(text) || bytes.Contains(text, message) {
		t.Errorf("the text is %q, and again %q", text, again)
	}
}
