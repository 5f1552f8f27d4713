package follow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"

	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

// erased is what the history has instead of a value that was erased.
const erased = "erased"

// Feed keeps a copy of the sandbox's users by the change feed alone. One goroutine may use it at a time.
type Feed struct {
	findings
	users map[int64]*copied
	after int64
	// Changes is the number of changes that were read, Erasures how many of them told of an erasure, and Mended how many values were
	// taken from an export.
	Changes, Erasures, Mended int
}

// copied is a user as the feed has told of it.
type copied struct {
	version int64
	erased  bool
	fields  map[store.Field]any // a secret is "set" or "cleared"
}

// NewFeed returns a follower that begins with the first change.
func NewFeed() *Feed { return &Feed{users: map[int64]*copied{}} }

// change is an entry of the change feed.
type change struct {
	ID, User, Version, Customer int64
	Operation                   string
	Fields                      []store.FieldChange
}

// changesPerPage is how many changes are read at once.
const changesPerPage = 1000

// Read reads the next page of the feed, and reports whether there may be more.
func (f *Feed) Read(ctx context.Context, send Client) (more bool, err error) {
	a, err := send.get(ctx, fmt.Sprintf("/directory/v1/changes?limit=%d&after=%d", changesPerPage, f.after), http.StatusOK)
	if err != nil {
		return false, err
	}
	var page struct {
		Changes []change
		Next    int64
	}
	if err := json.Unmarshal([]byte(a.Body), &page); err != nil {
		return false, fmt.Errorf("decoding the feed: %w", err)
	}
	for _, c := range page.Changes {
		if c.ID <= f.after {
			f.add("change %d comes after %d", c.ID, f.after)
		}
		f.after = c.ID
		if c.Customer == servertest.Sandbox {
			f.apply(c)
		}
	}
	f.after = max(f.after, page.Next)
	return len(page.Changes) == changesPerPage, nil
}

func (f *Feed) apply(c change) {
	f.Changes++
	u := f.users[c.User]
	if u == nil {
		u = &copied{fields: map[store.Field]any{}}
		f.users[c.User] = u
	}
	if c.Version != u.version+1 {
		f.add("version %d of user %d comes after %d", c.Version, c.User, u.version)
	}
	u.version = c.Version
	if c.Operation == store.OperationErased {
		f.Erasures++
		u.erased = true
	}
	for _, field := range c.Fields {
		u.fields[field.Field] = field.New
	}
}

// Mend takes values that the history has lost to its retention from an export in NDJSON. It is called at the end of the feed.
func (f *Feed) Mend(export io.Reader) error {
	fields := map[string]store.Field{}
	for _, c := range store.FileColumns() {
		fields[c.Name] = c.Field
	}
	for d := json.NewDecoder(export); ; {
		var row map[string]any
		if err := d.Decode(&row); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("decoding an export: %w", err)
		}
		id, _ := row["id"].(float64)
		u := f.users[int64(id)]
		if u == nil {
			continue // another customer's
		}
		for name, value := range row {
			if field := fields[name]; u.fields[field] == erased {
				if value == nil || value == "" {
					f.add("user %d has no %s, which the history has as %q", int64(id), field, erased)
				}
				u.fields[field] = value
				f.Mended++
			}
		}
	}
}

// Compare returns what is wrong with the copy, and with the changes that were read.
func (f *Feed) Compare(ctx context.Context, s *store.Store) (wrong []string, err error) {
	known := 0
	err = eachUser(ctx, s, servertest.Sandbox, func(u *store.User) error {
		c := f.users[u.ID]
		if c == nil {
			f.add("user %d is not in the copy", u.ID)
			return nil
		}
		known++
		if c.version != u.Version || c.erased != u.Erased() {
			f.add("user %d has version %d and is erased: %t; in the copy %d and %t", u.ID, u.Version, u.Erased(), c.version, c.erased)
		}
		values, err := inJSON(s.Catalogue().Values(u))
		if err != nil {
			return err
		}
		for field, want := range values {
			got := c.fields[field]
			if field.Secret() {
				got, want = got == "set", want == "set"
			}
			if !reflect.DeepEqual(got, want) {
				f.add("user %d has %s %v, in the copy %v", u.ID, field, want, got)
			}
		}
		return nil
	})
	if known < len(f.users) {
		f.add("the copy has %d users, the directory %d of them", len(f.users), known)
	}
	return f.all(), err
}

// Texts calls yield with each text of the copy.
func (f *Feed) Texts(yield func(string) bool) {
	for _, u := range f.users {
		for _, value := range u.fields {
			if text, ok := value.(string); ok && !yield(text) {
				return
			}
		}
	}
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
