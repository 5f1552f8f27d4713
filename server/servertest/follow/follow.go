// Package follow has followers of a directory: one that keeps a copy by the change feed alone, and one that keeps a copy by the deliveries
// to a webhook and by reading the users that they name. Changes of every kind are made by [Writer]. It is for tests only, against a server
// in the test's own process or in another one, whose sandbox is [servertest]'s.
package follow

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"sync"

	"github.com/dragoman-id/dragoman/store"
)

// Client sends a request as the platform's administrator. The body is JSON.
type Client func(ctx context.Context, method, path, body string) (Answer, error)

// Answer is what a server answers.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// expect returns an error unless the answer has the status.
func (a Answer) expect(status int, what string) error {
	if a.Status != status {
		return fmt.Errorf("%s is answered %d %s, want %d", what, a.Status, a.Body, status)
	}
	return nil
}

// faults are what is wrong, the first of them.
type faults struct {
	mu    sync.Mutex
	first []string
	count int
}

const maxFaults = 10

func (f *faults) add(format string, arguments ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count++; len(f.first) < maxFaults {
		f.first = append(f.first, fmt.Sprintf(format, arguments...))
	}
}

// Faults returns what was wrong so far, ten at most.
func (f *faults) Faults() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count > len(f.first) {
		return append(slices.Clone(f.first), fmt.Sprintf("and %d more", f.count-len(f.first)))
	}
	return f.first
}

// Feed keeps a copy of all users by the change feed alone. Its methods are called by one goroutine.
type Feed struct {
	faults
	users map[int64]*copied
	after int64
	// Changes is the number of changes that were read, and Erased how many of them told of an erasure.
	Changes, Erased int
}

// copied is a user as the feed has told of it.
type copied struct {
	version int64
	fields  map[store.Field]any // without secrets
}

// NewFeed returns a follower that knows nothing yet.
func NewFeed() *Feed { return &Feed{users: map[int64]*copied{}} }

// Read reads the next page of the feed, and reports whether it had changes.
func (f *Feed) Read(ctx context.Context, send Client) (more bool, err error) {
	a, err := send(ctx, http.MethodGet, fmt.Sprintf("/directory/v1/changes?limit=1000&after=%d", f.after), "")
	if err == nil {
		err = a.expect(http.StatusOK, "the feed")
	}
	if err != nil {
		return false, err
	}
	var page struct {
		Changes []struct {
			ID, User, Version int64
			Operation         string
			Fields            []store.FieldChange
		}
		Next int64
	}
	if err := json.Unmarshal([]byte(a.Body), &page); err != nil {
		return false, fmt.Errorf("the feed: %w", err)
	}
	for _, c := range page.Changes {
		if c.ID <= f.after {
			f.add("change %d comes after %d", c.ID, f.after)
		}
		f.after = c.ID
		f.Changes++
		if c.Operation == store.OperationErased {
			f.Erased++
		}
		u := f.users[c.User]
		if u == nil {
			u = &copied{fields: map[store.Field]any{}}
			f.users[c.User] = u
		}
		if c.Version != u.version+1 {
			f.add("version %d of user %d comes after %d", c.Version, c.User, u.version)
		}
		u.version = c.Version
		for _, field := range c.Fields {
			if !field.Field.Secret() {
				u.fields[field.Field] = field.New
			}
		}
	}
	f.after = max(f.after, page.Next)
	return len(page.Changes) > 0, nil
}

// Compare returns in what the copy differs from the directory, ten differences at most.
func (f *Feed) Compare(ctx context.Context, s *store.Store) (differences []string, err error) {
	known := 0
	err = eachUser(ctx, s, func(u *store.User) error {
		c := f.users[u.ID]
		if c == nil {
			differences = append(differences, fmt.Sprintf("user %d is not in the copy", u.ID))
			return nil
		}
		known++
		if c.version != u.Version {
			differences = append(differences, fmt.Sprintf("user %d has version %d, in the copy %d", u.ID, u.Version, c.version))
		}
		values, err := inJSON(s.Catalogue().Values(u))
		if err != nil {
			return err
		}
		for field, value := range values {
			if !field.Secret() && !reflect.DeepEqual(c.fields[field], value) {
				differences = append(differences, fmt.Sprintf("user %d has %s %v, in the copy %v", u.ID, field, value, c.fields[field]))
			}
		}
		return nil
	})
	if err == nil && known < len(f.users) {
		differences = append(differences, fmt.Sprintf("the copy has %d users, the directory %d of them", len(f.users), known))
	}
	return differences[:min(len(differences), maxFaults)], err
}

// Has returns those of some texts that are in the copy.
func (f *Feed) Has(texts []string) (found []string) {
	return among(texts, func(yield func(string) bool) {
		for _, u := range f.users {
			for _, value := range u.fields {
				if text, ok := value.(string); ok && !yield(text) {
					return
				}
			}
		}
	})
}

// inJSON returns the values as JSON has them.
func inJSON(values []store.FieldValue) (map[store.Field]any, error) {
	text, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	var decoded []store.FieldValue
	if err := json.Unmarshal(text, &decoded); err != nil {
		return nil, err
	}
	all := make(map[store.Field]any, len(decoded))
	for _, v := range decoded {
		all[v.Field] = v.Value
	}
	return all, nil
}

// eachUser calls f with every user of every customer.
func eachUser(ctx context.Context, s *store.Store, f func(*store.User) error) error {
	const some = 1000
	customers, err := s.CustomersAfter(ctx, 0, some)
	if err != nil {
		return err
	}
	for _, c := range customers {
		for last, more := int64(0), true; more; {
			users, err := s.UsersAfter(ctx, c.ID, last, some)
			if err != nil {
				return err
			}
			for i := range users {
				if err := f(&users[i]); err != nil {
					return err
				}
				last = users[i].ID
			}
			more = len(users) == some
		}
	}
	return nil
}
