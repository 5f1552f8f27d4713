package userfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// Source is a file of users to be imported. It can be read more than once, as an import requires.
type Source struct {
	file   *os.File
	size   int64
	remove func() error // removes a temporary file; nil if there is none to remove
}

// OpenSource opens the named file. If it is not a regular file, it can be read only once, and is therefore copied first.
func OpenSource(ctx context.Context, name string) (*Source, error) {
	f, err := os.Open(name) // #nosec G304 -- the operator names the file
	if err != nil {
		return nil, fmt.Errorf("opening users: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening users: %w", err), f.Close())
	}
	if !info.Mode().IsRegular() {
		s, err := CopySource(ctx, f)
		return s, errors.Join(err, f.Close())
	}
	return &Source{file: f, size: info.Size()}, nil
}

// CopySource copies r, such as standard input, to a temporary file. Only the file's owner can read it, and it is removed when the
// Source is closed. When the context is done, CopySource returns without waiting for r.
func CopySource(ctx context.Context, r io.Reader) (*Source, error) {
	f, err := os.CreateTemp("", "dragoman-*")
	if err != nil {
		return nil, fmt.Errorf("copying users: %w", err)
	}
	s := &Source{file: f}
	// If the system permits it, remove the file while it is open, so that it does not remain even if the program crashes.
	if os.Remove(f.Name()) != nil {
		s.remove = func() error { return os.Remove(f.Name()) }
	}
	copied := make(chan error, 1)
	go func() {
		n, err := io.Copy(f, r)
		s.size = n
		copied <- err
	}()
	select {
	case err = <-copied:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("copying users: %w", err), s.Close())
	}
	return s, nil
}

// Close closes the file, and removes it if it is a temporary copy.
func (s *Source) Close() error {
	err := s.file.Close()
	if s.remove != nil {
		err = errors.Join(err, s.remove())
	}
	if err != nil {
		return fmt.Errorf("closing users: %w", err)
	}
	return nil
}
