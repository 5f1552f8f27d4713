package store_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// beginner is a proxy in front of Postgres that says after each commit that the connection is still in a transaction, as a pooler does
// that has begun one itself. It does so while lying is true.
type beginner struct {
	lying atomic.Bool
	url   string
}

func newBeginner(t *testing.T, address string) *beginner {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := u.Host
	u.Host = l.Addr().String()
	b := &beginner{url: u.String()}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				continue
			}
			all.Go(func() {
				_, _ = io.Copy(server, client)
				server.Close()
			})
			all.Go(func() {
				b.answer(client, server)
				client.Close()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait() // the store is closed by now
	})
	return b
}

// answer passes on what the server answers, message by message.
func (b *beginner) answer(client io.Writer, server io.Reader) {
	commits := false
	for {
		var head [5]byte // the type and the length
		if _, err := io.ReadFull(server, head[:]); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(server, body); err != nil {
			return
		}
		switch tag := string(body); head[0] {
		case 'C': // CommandComplete
			commits = strings.HasPrefix(tag, "COMMIT") || strings.HasPrefix(tag, "UPDATE") || strings.HasPrefix(tag, "INSERT")
		case 'Z': // ReadyForQuery
			if commits && body[0] == 'I' && b.lying.Load() {
				body[0] = 'T'
			}
			commits = false
		}
		if _, err := client.Write(append(head[:], body...)); err != nil {
			return
		}
	}
}

// TestCommitThatLeavesATransaction checks that no write is acknowledged after whose commit the connection is said to be still in a
// transaction.
func TestCommitThatLeavesATransaction(t *testing.T) {
	t.Parallel()
	b := newBeginner(t, storetest.PostgresURL(t))
	config := store.Config{URL: b.url, SecretKey: storetest.Key}
	s, err := store.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Directory(t, s)
	mary := newUser("mary")
	mary.Roles, mary.Status = find(t, s, grace).Roles, store.StatusActive // an administrator, too
	mary.AccountNonExpired, mary.AccountNonLocked, mary.CredentialNonExpired = true, true, true
	mary = create(t, s, mary)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	config.OldSecretKeys = [][]byte{storetest.Key}
	config.SecretKey = []byte("0123456789abcdef0123456789abcdef")
	if s, err = store.Open(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })

	update := func(key store.UserKey, name string) error {
		_, _, err := s.UpdateUser(t.Context(), key, store.Change{Edit: pure(func(u *store.User) { u.FirstName = name })})
		return err
	}
	writes := map[string]func() error{
		"update": func() error { return update(ada, "Augusta") },
		"batch": func() error {
			errs := make([]error, 12)
			var all sync.WaitGroup
			for n := range errs {
				all.Go(func() { errs[n] = update([]store.UserKey{ada, grace, alan, key(mary)}[n%4], strings.Repeat("x", n+1)) })
			}
			all.Wait()
			for _, err := range errs {
				if !errors.Is(err, store.ErrUnavailable) {
					return err
				}
			}
			return errs[0]
		},
		"update of an administrator": func() error { // in a transaction
			_, _, err := s.UpdateUser(t.Context(), grace, store.Change{Edit: pure(func(u *store.User) { u.Roles = 0 })})
			return err
		},
		"creation": func() error {
			u := newUser("joan")
			return s.CreateUser(t.Context(), &u)
		},
		"customer": func() error { return s.CreateCustomer(t.Context(), &store.Customer{Name: "New"}) },
		"company":  func() error { return s.CreateCompany(t.Context(), &store.Company{CustomerID: 3393, Name: "New"}) },
		"import": func() error {
			i, err := s.NewImport(t.Context())
			if err != nil {
				return err
			}
			rows := []store.ImportRow{{Line: 1, Customer: store.CustomerByID(3393), User: newUser("imported")}}
			if _, err := i.Check(t.Context(), rows); err != nil {
				return err
			}
			return i.Write(t.Context(), func() ([]store.ImportRow, error) {
				next := rows
				rows = nil
				if next == nil {
					return nil, io.EOF
				}
				return next, nil
			})
		},
		"numbering": func() error {
			_, err := s.NumberChanges(t.Context())
			return err
		},
		"rekey": func() error {
			_, err := s.Rekey(t.Context())
			return err
		},
	}
	for name, write := range writes {
		b.lying.Store(true)
		if err := write(); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: acknowledged with %v", name, err)
		}
		b.lying.Store(false)
		if err := s.Ping(t.Context()); err != nil {
			t.Errorf("%s: afterwards: %v", name, err)
		}
	}
	// The connections are good again.
	if err := update(ada, "Ada"); err != nil {
		t.Error(err)
	}
}
