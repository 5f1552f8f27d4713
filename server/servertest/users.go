package servertest

import (
	"context"
	"flag"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/store"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// A check over HTTP costs what a hundred in memory do, so fewer of them make a law here, unless -rapid.checks says how many.
func init() {
	if err := flag.Set("rapid.checks", "25"); err != nil {
		panic(err)
	}
}

// Administrator is the claims of a caller whose rank no write asks too much of, in the sandbox.
func Administrator() auth.Claims {
	return auth.Claims{
		Subject:     GraceUUID.String(),
		UserID:      &GraceUUID,
		Customers:   []string{"3393"},
		Authorities: []string{"ROLE_ADMIN"},
		Expires:     time.Hour,
	}
}

// CreateUser stores u, such as storetest.UserGen generates, in the sandbox, and gives the user as stored: with ids, an
// e-mail, a username and an external id of its own. An e-mail that is the username stays it.
func (s *Server) CreateUser(t rapid.TB, u store.User) store.User {
	t.Helper()
	u.ID, u.UUID, u.CustomerID = 0, uuid.Nil, Sandbox
	named := u.Username == u.Email
	u.Email = s.Unique(u.Email, store.MaxEmailLength)
	if named {
		u.Username = u.Email
	} else {
		u.Username = s.Unique(u.Username, store.MaxUsernameLength)
	}
	if u.ExternalID != nil {
		u.ExternalID = new(s.Unique(*u.ExternalID, store.MaxExternalIDLength))
	}
	if err := s.Store.CreateUser(context.Background(), &u); err != nil {
		t.Fatalf("create user: %v", err)
	}
	return s.FindUser(t, u.ID)
}

// FindUser gives the sandbox's user as stored.
func (s *Server) FindUser(t rapid.TB, id int64) store.User {
	t.Helper()
	u, err := s.Store.FindUser(context.Background(), store.UserByID(Sandbox, id))
	if err != nil {
		t.Fatalf("find user %d: %v", id, err)
	}
	return u
}

// Unique turns an e-mail or a username into one of at most maxLength characters that no user has, ignoring case. No two results are
// equal: they begin with different numbers, each followed by a dot.
func (s *Server) Unique(name string, maxLength int) string {
	all := append([]rune(fmt.Sprintf("%d.", s.names.Add(1))), []rune(name)...)
	return string(all[:min(len(all), maxLength)])
}

// Folded gives u with the folded columns that belong to its text.
func Folded(u store.User) store.User {
	u.ComputeFolds()
	return u
}

// SwapASCIICase returns s with its ASCII letters in the other case, and false where it has none.
func SwapASCIICase(s string) (string, bool) {
	swapped := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, s)
	return swapped, swapped != s
}

// Differences gives the names of the fields in which two users differ, bookkeeping included, in declaration order. It goes
// by reflection, so that no field can be forgotten.
func Differences(a, b store.User) []string {
	var names []string
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range x.NumField() {
		if !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			names = append(names, x.Type().Field(i).Name)
		}
	}
	return names
}
