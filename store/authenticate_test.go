package store_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

func TestAuthenticate(t *testing.T) {
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
	s, message := open(storetest.Key), []byte("message")
	code := s.Authenticate("a", message)
	renewed := open([]byte("another key for tests, 32 bytes."), storetest.Key)
	for name, ok := range map[string]bool{
		"the same store":           s.Authentic("a", message, code),
		"another process":          open(storetest.Key).Authentic("a", message, code),
		"an old key":               renewed.Authentic("a", message, code),
		"a code under the new key": renewed.Authentic("a", message, renewed.Authenticate("a", message)),
	} {
		if !ok {
			t.Errorf("%s does not recognize the message", name)
		}
	}
	for name, ok := range map[string]bool{
		"another purpose": s.Authentic("b", message, code),
		"another split":   s.Authentic("am", message[1:], code),
		"another message": s.Authentic("a", []byte("massage"), code),
		"a part of it":    s.Authentic("a", message, code[:16]),
		"no code":         s.Authentic("a", message, nil),
		"an unknown key":  s.Authentic("a", message, renewed.Authenticate("a", message)),
	} {
		if ok {
			t.Errorf("%s is recognized", name)
		}
	}
	if !bytes.Equal(code, s.Authenticate("a", message)) {
		t.Error("the code changes")
	}
}
