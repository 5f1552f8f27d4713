//go:build unix

package dev_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/dev"
)

// TestWritableKeysAreRefused is not parallel, as it changes the working directory.
func TestWritableKeysAreRefused(t *testing.T) {
	for _, c := range []struct {
		what    string
		prepare func() error
		refused bool
	}{
		{"a private folder", func() error { return nil }, false},
		{"a folder that others can read", func() error { return os.Chmod(".dragoman", 0o755) }, false},
		{"a folder that a group can write", func() error { return os.Chmod(".dragoman", 0o770) }, true},
		{"a folder that others can write", func() error { return os.Chmod(".dragoman", 0o707) }, true},
		{"a folder with a sticky bit", func() error { return os.Chmod(".dragoman", 0o777|fs.ModeSticky) }, true},
		{"a key that a group can write", func() error { return os.Chmod(".dragoman/jwt-secret", 0o660) }, true},
		{"a key that others can write", func() error { return os.Chmod(".dragoman/secret-key", 0o602) }, true},
		{"a linked folder", func() error {
			return errors.Join(os.Rename(".dragoman", "elsewhere"), os.Symlink("elsewhere", ".dragoman"))
		}, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if _, err := dev.MakeJWTSecret(); err != nil {
				t.Fatal(err)
			}
			if _, err := dev.MakeSecretKey(); err != nil {
				t.Fatal(err)
			}
			if err := c.prepare(); err != nil {
				t.Fatal(err)
			}
			for name, read := range map[string]func() (string, error){"MakeJWTSecret": dev.MakeJWTSecret, "MakeSecretKey": dev.MakeSecretKey, "JWTSecret": dev.JWTSecret} {
				key, err := read()
				if refused := err != nil; refused != c.refused || refused && (key != "" || !strings.Contains(err.Error(), ".dragoman")) {
					t.Errorf("%s gives %q, %v", name, key, err)
				}
			}
		})
	}
}

// TestWritableFolderIsRefused checks that no key is made in an empty folder that others can write to.
func TestWritableFolderIsRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := errors.Join(os.Mkdir(".dragoman", 0o700), os.Chmod(".dragoman", 0o777)); err != nil {
		t.Fatal(err)
	}
	if _, err := dev.MakeSecretKey(); err == nil {
		t.Error("a key is made")
	}
}
