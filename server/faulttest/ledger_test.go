//go:build linux

package faulttest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ledger records what clients of a directory that may crash have sent, and what was acknowledged. It is compared with the
// directory afterwards.
type ledger struct {
	mu       sync.Mutex
	attempts map[string]*attempt // by request id
	created  []creation          // acknowledged, and not verified yet
	subjects []*subject
	feed     feed

	written, creations int // numbers of acknowledged updates and creations
	doubtful           int // number of updates that were committed and not acknowledged
}

// attempt is a write that was sent, and the fields that it sets.
type attempt struct {
	user int64 // 0: a new user
	sets map[string]any
	done int64 // the version that it created, or 0 if unknown
}

// creation is a user whose creation was acknowledged.
type creation struct{ request, uuid string }

// subject is a user that clients update.
type subject struct {
	id   int64
	uuid string

	acknowledged []acknowledgement
	verified     int            // number of verified acknowledgements
	version      int64          // the last version that was verified
	fields       map[string]any // the fields at that version, from the history
}

type acknowledgement struct {
	request string
	version int64
}

// change is a row of the history.
type change struct {
	ID        int64
	User      int64
	Version   int64
	RequestID string `json:"requestId"`
	Fields    []struct {
		Field    string
		Old, New any
	}
}

// feed is what a client has read from the feed of changes.
type feed struct {
	mu   sync.Mutex
	next int64
	seen []change        // without fields
	last map[int64]int64 // each user's latest version
	made map[string]bool // request ids of creations
	bad  []error
}

func newLedger() *ledger {
	return &ledger{attempts: map[string]*attempt{}, feed: feed{last: map[int64]int64{}, made: map[string]bool{}}}
}

// attempt records a write before it is sent.
func (l *ledger) attempt(request string, user int64, sets map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attempts[request] = &attempt{user: user, sets: sets}
}

// acknowledge records that a write was acknowledged.
func (l *ledger) acknowledge(s *subject, request, etag string) error {
	version, err := strconv.ParseInt(strings.Trim(etag, `"`), 10, 64)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.acknowledged = append(s.acknowledged, acknowledgement{request, version})
	l.written++
	return nil
}

func (l *ledger) acknowledgeCreation(c creation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.created = append(l.created, c)
	l.creations++
}

// verify compares the changes since its last call with the directory. No client writes at the same time, but Postgres may still
// commit a write of a process that was killed.
func (l *ledger) verify(ctx context.Context, c client) error {
	var all []error
	for _, s := range l.subjects {
		all = append(all, l.verifySubject(ctx, c, s))
	}
	all = append(all, l.follow(ctx, c), l.verifyCreations(ctx, c))
	l.feed.mu.Lock()
	defer l.feed.mu.Unlock()
	return errors.Join(append(all, l.feed.bad...)...)
}

func (l *ledger) verifySubject(ctx context.Context, c client, s *subject) error {
	rows := map[int64]change{}
	err := poll(waitLimit, func() error {
		shown, err := c.shown(ctx, s)
		if err != nil {
			return err
		}
		if err := l.replay(ctx, c, s, rows); err != nil {
			return final{err}
		}
		if shown.version != s.version {
			return fmt.Errorf("user %d has version %d, but %d in the history", s.id, shown.version, s.version)
		}
		for name, value := range shown.fields {
			if !reflect.DeepEqual(value, s.fields[name]) {
				return final{fmt.Errorf("user %d has %s %v, but %v in the history", s.id, name, value, s.fields[name])}
			}
		}
		return nil
	})
	all := []error{err}
	for _, a := range s.acknowledged[s.verified:] {
		if row, ok := rows[a.version]; !ok || row.RequestID != a.request {
			all = append(all, fmt.Errorf("LOST: request %s to user %d was acknowledged as version %d, and that is %q", a.request, s.id, a.version, row.RequestID))
		}
	}
	s.verified = len(s.acknowledged)
	return errors.Join(all...)
}

// replay reads the new rows of a user's history, and adds them to rows.
func (l *ledger) replay(ctx context.Context, c client, s *subject, rows map[int64]change) error {
	for {
		var page struct{ Changes []change }
		path := fmt.Sprintf("/directory/v1/customers/3393/users/%d/history?limit=1000&after=%d", s.id, s.version)
		if _, err := c.read(ctx, path, &page); err != nil {
			return err
		}
		for _, row := range page.Changes {
			if row.Version != s.version+1 {
				return fmt.Errorf("user %d: version %d is followed by %d", s.id, s.version, row.Version)
			}
			if err := l.apply(s, row); err != nil {
				return fmt.Errorf("user %d, version %d: %w", s.id, row.Version, err)
			}
			s.version = row.Version
			rows[row.Version] = row
		}
		if len(page.Changes) == 0 {
			return nil
		}
	}
}

// apply compares a change with its attempt, and applies it to the fields.
func (l *ledger) apply(s *subject, row change) error {
	for _, f := range row.Fields {
		if row.Version > 1 && !reflect.DeepEqual(s.fields[f.Field], f.Old) {
			return fmt.Errorf("%s was %v, but has the old value %v in the history", f.Field, s.fields[f.Field], f.Old)
		}
		s.fields[f.Field] = f.New
	}
	l.mu.Lock()
	asked, ok := l.attempts[row.RequestID]
	l.mu.Unlock()
	if row.Version == 1 && s.id == 6860 {
		return nil // created with the sandbox
	}
	if !ok || asked.user != s.id && row.Version > 1 {
		return fmt.Errorf("no client sent it: %q", row.RequestID)
	}
	if asked.done != 0 && asked.done != row.Version {
		return fmt.Errorf("TWICE: %q was done as version %d before", row.RequestID, asked.done)
	}
	asked.done = row.Version
	for name, value := range asked.sets {
		if !reflect.DeepEqual(s.fields[name], value) {
			return fmt.Errorf("HALF: %s was set to %v and is %v", name, value, s.fields[name])
		}
	}
	return nil
}

// verifyCreations checks that acknowledged users exist and are in the feed.
func (l *ledger) verifyCreations(ctx context.Context, c client) error {
	var all []error
	for _, user := range l.created {
		if _, err := c.read(ctx, worthUsers+"/"+user.uuid, nil); err != nil {
			all = append(all, fmt.Errorf("LOST: user %s was acknowledged: %w", user.uuid, err))
		}
		if !l.feed.made[user.request] {
			all = append(all, fmt.Errorf("user %s is not in the feed", user.uuid))
		}
	}
	l.created = nil
	return errors.Join(all...)
}

// feedDelay limits the delay of the feed: a second, and more for a busy machine.
const feedDelay = 3 * time.Second

// follow reads the feed until it contains everything that was committed before the call.
func (l *ledger) follow(ctx context.Context, c client) error {
	f := &l.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	for complete := time.Now().Add(feedDelay); ; {
		began := time.Now()
		more, err := f.step(ctx, c)
		if err != nil || !more && began.After(complete) {
			return err
		}
		if !more {
			select {
			case <-ctx.Done():
			case <-time.After(feedDelay / 30):
			}
		}
	}
}

// step reads the next page of the feed. The caller must hold f.mu.
func (f *feed) step(ctx context.Context, c client) (more bool, err error) {
	var page struct {
		Changes []change
		Next    int64
	}
	if _, err := c.read(ctx, fmt.Sprintf("/directory/v1/changes?limit=1000&after=%d", f.next), &page); err != nil {
		return false, err
	}
	number := f.next
	for _, row := range page.Changes {
		if row.ID <= number {
			f.bad = append(f.bad, fmt.Errorf("the feed gives %d after %d", row.ID, number))
		}
		if row.Version != f.last[row.User]+1 {
			f.bad = append(f.bad, fmt.Errorf("the feed gives version %d of user %d after %d", row.Version, row.User, f.last[row.User]))
		}
		number = row.ID
		f.last[row.User] = row.Version
		if row.Version == 1 {
			f.made[row.RequestID] = true
		}
		row.Fields = nil
		f.seen = append(f.seen, row)
	}
	f.next = page.Next
	return len(page.Changes) > 0, nil
}

// verifyAll verifies everything again, from the beginning.
func (l *ledger) verifyAll(ctx context.Context, c client) error {
	for _, s := range l.subjects {
		s.version, s.fields, s.verified = 0, map[string]any{}, 0
	}
	err := l.verify(ctx, c)
	for _, s := range l.subjects {
		l.doubtful += int(s.version) - 1 - len(s.acknowledged)
	}
	again := newLedger()
	if err := l.follow(ctx, c); err != nil {
		return err
	}
	if err := again.follow(ctx, c); err != nil {
		return err
	}
	if !reflect.DeepEqual(again.feed.seen, l.feed.seen) {
		err = errors.Join(err, errors.New("a second read of the feed differs"))
	}
	for _, s := range l.subjects {
		if l.feed.last[s.id] != s.version {
			err = errors.Join(err, fmt.Errorf("user %d has version %d, but %d in the feed", s.id, s.version, l.feed.last[s.id]))
		}
	}
	var worth struct {
		Data struct {
			Total string `json:"total_items"`
		}
	}
	var testinium []struct{ EntityID int64 }
	_, listed := c.read(ctx, worthUsers, &worth)
	_, streamed := c.read(ctx, testiniumUsers, &testinium)
	err = errors.Join(err, listed, streamed)
	if n := len(l.feed.last); strconv.Itoa(n) != worth.Data.Total || n != len(testinium) {
		err = errors.Join(err, fmt.Errorf("the feed has %d users, Worth counts %s, Testinium lists %d", n, worth.Data.Total, len(testinium)))
	}
	return err
}

// shown is a user as the dialects return it.
type shown struct {
	version int64
	fields  map[string]any
}

// shown reads a user in both dialects. It returns errNotYet if the user changed in between.
func (c client) shown(ctx context.Context, s *subject) (shown, error) {
	var worth struct {
		Data struct {
			FirstName string `json:"first_name"`
			LastName  string `json:"last_name"`
			Email     string
			Mobile    any
			Status    string
		}
	}
	var testinium struct {
		Name, Surname, Username, Email string
		Enabled                        bool
		Authorities                    []struct{ Name string }
	}
	first, err := c.read(ctx, worthUsers+"/"+s.uuid, &worth)
	if err != nil {
		return shown{}, err
	}
	second, err := c.read(ctx, testiniumUsers+strconv.FormatInt(s.id, 10), &testinium)
	if err != nil {
		return shown{}, err
	}
	etag := first.header.Get("ETag")
	if etag != second.header.Get("ETag") {
		return shown{}, errNotYet
	}
	version, err := strconv.ParseInt(strings.Trim(etag, `"`), 10, 64)
	if err != nil {
		return shown{}, err
	}
	roles := []any{}
	for _, a := range testinium.Authorities {
		roles = append(roles, a.Name)
	}
	d := worth.Data
	fields := map[string]any{
		"FirstName": d.FirstName, "LastName": d.LastName, "Email": d.Email, "Mobile": d.Mobile, "Status": d.Status,
		"Username": testinium.Username, "Roles": roles,
	}
	if d.FirstName != testinium.Name || d.LastName != testinium.Surname || d.Email != testinium.Email || testinium.Enabled != (d.Status == "ACTIVE") {
		return shown{}, final{fmt.Errorf("user %d: Worth shows %+v and Testinium %+v", s.id, d, testinium)}
	}
	return shown{version, fields}, nil
}

// read sends a GET and expects 200.
func (c client) read(ctx context.Context, path string, into any) (answer, error) {
	a, err := c.send(ctx, request{method: http.MethodGet, path: path})
	if err != nil {
		return a, err
	}
	if a.status != http.StatusOK {
		return a, fmt.Errorf("GET %s is answered %s", path, a)
	}
	if into == nil {
		return a, nil
	}
	return a, json.Unmarshal([]byte(a.body), into)
}
