// Package follow provides followers of a directory: [Feed] keeps a copy of the users by reading the change feed alone, and [Hook] by
// receiving a webhook's deliveries and reading the users that they name. A [Writer] makes changes of every kind. The package is for tests
// of a server with the sandbox, in the test's own process or in another one.
package follow

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

const (
	worthUsers     = "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users"
	testiniumUsers = "/account/api/v1/customers/3393/users"
	scimUsers      = "/scim/v2/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/Users"
)

// Claims are those of the tokens of a [Client]: of a platform's administrator, who may erase users.
func Claims() auth.Claims {
	claims := servertest.Administrator()
	claims.Customers = []string{auth.AllCustomers}
	return claims
}

// Client sends a request by a token with [Claims], for the sandbox's company. The body is JSON.
type Client func(ctx context.Context, method, path, body string) (Answer, error)

// Answer is what a server answers.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// get sends a GET, whose answer must have one of the statuses.
func (send Client) get(ctx context.Context, path string, statuses ...int) (Answer, error) {
	a, err := send(ctx, http.MethodGet, path, "")
	if err == nil && !slices.Contains(statuses, a.Status) {
		err = fmt.Errorf("GET %s is answered %d %s", path, a.Status, a.Body)
	}
	return a, err
}

// findings are what is wrong: the first ten, and how many there are.
type findings struct {
	mu    sync.Mutex
	first []string
	count int
}

func (f *findings) add(format string, arguments ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count++; f.count <= 10 {
		f.first = append(f.first, fmt.Sprintf(format, arguments...))
	}
}

// all returns the findings, and empties them.
func (f *findings) all() (all []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all = f.first
	if more := f.count - len(all); more > 0 {
		all = append(all, fmt.Sprintf("and %d more", more))
	}
	f.first, f.count = nil, 0
	return all
}

// eachUser calls f with every user of a customer.
func eachUser(ctx context.Context, s *store.Store, customer int64, f func(*store.User) error) error {
	const some = 1000
	for last := int64(0); ; {
		users, err := s.UsersAfter(ctx, customer, last, some)
		if err != nil || len(users) == 0 {
			return err
		}
		for i := range users {
			if err := f(&users[i]); err != nil {
				return err
			}
			last = users[i].ID
		}
	}
}
