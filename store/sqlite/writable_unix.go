//go:build unix

package sqlite

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// checkWritable returns why the file at path, or the folder in which SQLite keeps its log, cannot be written to. It only asks,
// as to open and close a file drops the locks that this process holds on it.
func checkWritable(path string) error {
	for _, p := range []string{path, filepath.Dir(path)} {
		if err := unix.Access(p, unix.W_OK); err != nil {
			return fmt.Errorf("SQLite must be able to write to %s: %w", p, err)
		}
	}
	return nil
}
