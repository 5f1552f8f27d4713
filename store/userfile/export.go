package userfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/dragoman-id/dragoman/store"
)

// Export writes users of the directory to a file that can be imported. It writes the customers by ascending id, and the users of
// each by ascending id. It reads the users in batches, without a common transaction: a user who is changed meanwhile is written
// either as before or as after the change, and no user is written twice. It leaves out users whose personal data were erased.
type Export struct {
	Store  *store.Store
	Format Format
	// Customer is the customer whose users are written. Nil means all customers.
	Customer *store.CustomerKey
	// Progress is called periodically with the number of users written.
	Progress func(users int64)
}

const (
	usersPerBatch     = 1000
	customersPerBatch = 100
)

// Run writes the file to w and returns the number of users written. It returns store.ErrNotFound if there is no such customer. If
// it returns another error, of reading or writing, w has received only a part of the file.
func (e Export) Run(ctx context.Context, w io.Writer) (users int64, err error) {
	out := NewWriter(w, e.Format, e.Store.Catalogue())
	if e.Customer != nil {
		c, err := e.Store.FindCustomer(ctx, *e.Customer)
		if err != nil {
			return 0, fmt.Errorf("exporting users: %w", err)
		}
		if users, err = e.users(ctx, out, c.ID, 0); err != nil {
			return users, err
		}
		return users, out.Flush()
	}
	for last := int64(0); ; {
		customers, err := e.Store.CustomersAfter(ctx, last, customersPerBatch)
		if err != nil {
			return users, err
		}
		if len(customers) == 0 {
			return users, out.Flush()
		}
		for _, c := range customers {
			if users, err = e.users(ctx, out, c.ID, users); err != nil {
				return users, err
			}
			last = c.ID
		}
	}
}

// users writes the users of one customer, and returns the sum of their number and written, which is that of users written before.
func (e Export) users(ctx context.Context, out *Writer, customerID, written int64) (int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The database reads the next batch while this one is written.
	type batch struct {
		users []store.User
		err   error
	}
	batches := make(chan batch)
	go func() {
		defer close(batches)
		for last := int64(0); ; {
			users, err := e.Store.FileUsersAfter(ctx, customerID, last, usersPerBatch)
			select {
			case batches <- batch{users, err}:
			case <-ctx.Done():
				return
			}
			if err != nil || len(users) < usersPerBatch {
				return
			}
			last = users[len(users)-1].ID
		}
	}()
	defer func() {
		cancel()
		for range batches { // until its reader has ended
		}
	}()
	for b := range batches {
		if b.err != nil {
			return written, b.err
		}
		for k := range b.users {
			if b.users[k].Erased() {
				written--
				continue
			}
			if err := out.Write(&b.users[k]); err != nil {
				return written, err
			}
		}
		written += int64(len(b.users))
		if e.Progress != nil {
			e.Progress(written)
		}
	}
	return written, ctx.Err()
}

// WriteFile creates or replaces the named file with what the function write writes. Only its owner can read it. The file appears, or
// replaces the former one, when all of it is written. If name exists and is not a regular file, such as a pipe, WriteFile writes to
// it directly.
func WriteFile(name string, write func(io.Writer) error) (err error) {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0) // #nosec G304 -- the operator names the file
		if err != nil {
			return fmt.Errorf("writing users: %w", err)
		}
		return errors.Join(write(f), f.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(name), unfinished(name)+"*")
	if err != nil {
		return fmt.Errorf("writing users: %w", err)
	}
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return errors.Join(fmt.Errorf("writing users: %w", err), os.Remove(f.Name()))
	}
	return nil
}

// unfinished is what the names of the files begin with that WriteFile writes before it renames them to name.
func unfinished(name string) string { return ".dragoman-" + filepath.Base(name) + "-" }

// RemoveUnfinished removes what a WriteFile of this name has left that was killed. There must be no other one at the time.
func RemoveUnfinished(name string) error {
	dir := filepath.Dir(name)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("looking for unfinished files: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), unfinished(name)) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}
