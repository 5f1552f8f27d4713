//go:build unix

package sqlite

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// checkWritable returns an error if the file at path, or the folder of SQLite's log, is not writable. It does not open the file, as
// closing it would drop this process's locks on it.
func checkWritable(path string) error {
	for _, p := range []string{path, filepath.Dir(path)} {
		if err := unix.Access(p, unix.W_OK); err != nil {
			return fmt.Errorf("SQLite must be able to write to %s: %w", p, err)
		}
	}
	return nil
}
