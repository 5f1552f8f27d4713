package userfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// Source is a file of users to be imported. It can be read twice, which an import does.
type Source struct {
	file    *os.File
	size    int64
	removal func() error // what is left to do about a temporary file
}

// OpenSource opens the file called name. What is no regular file can be read only once, and so is copied first.
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

// CopySource copies r, such as standard input, to a temporary file that only this user can read and that goes with the
// Source. When the context ends it returns without waiting for r.
func CopySource(ctx context.Context, r io.Reader) (*Source, error) {
	f, err := os.CreateTemp("", "dragoman-*")
	if err != nil {
		return nil, fmt.Errorf("copying users: %w", err)
	}
	s := &Source{file: f}
	// Where a file can be removed while it is open, it is: then nothing is left of it, however the program ends.
	if os.Remove(f.Name()) != nil {
		s.removal = func() error { return os.Remove(f.Name()) }
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

// Close closes the file. A copy is gone then.
func (s *Source) Close() error {
	err := s.file.Close()
	if s.removal != nil {
		err = errors.Join(err, s.removal())
	}
	if err != nil {
		return fmt.Errorf("closing users: %w", err)
	}
	return nil
}
