package dialect

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/store"
)

// A POST, PATCH or PUT with an Idempotency-Key (draft-ietf-httpapi-idempotency-key-header) is executed once. Its handler runs with a
// response that is recorded, and with a Call that prepares the write instead of executing it. Then the write is executed, and the
// recorded answer stored with it in one transaction. If another writer was first, all of that is repeated, so a handler may run
// several times, and must do nothing slow after its write. A request that is repeated is given the stored answer.

const (
	headerIdempotencyKey = "Idempotency-Key"
	headerReplayed       = "Idempotency-Replayed"
)

// maxIdempotencyKey is the maximum length of a key.
const maxIdempotencyKey = 255

// takesIdempotencyKey reports whether operations of a method support the header.
func takesIdempotencyKey(method string) bool {
	return method == http.MethodPost || method == http.MethodPatch || method == http.MethodPut
}

var errKeyReused = errors.New("the idempotency key is that of another request")

// parseIdempotencyKey returns the key that a header names: 1 to 255 visible ASCII characters without double quotes, or the same in double
// quotes, where a double quote and a backslash are preceded by a backslash (RFC 9651, section 3.3.3).
func parseIdempotencyKey(header string) (key string, ok bool) {
	key = header
	if inner, quoted := strings.CutPrefix(header, `"`); quoted {
		if key, ok = unescape(inner); !ok {
			return "", false
		}
	} else if strings.Contains(header, `"`) {
		return "", false
	}
	invisible := func(c rune) bool { return c <= ' ' || c > '~' }
	return key, 0 < len(key) && len(key) <= maxIdempotencyKey && !strings.ContainsFunc(key, invisible)
}

// unescape returns the text before the double quote that ends s.
func unescape(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), i == len(s)-1
		case c == '\\':
			i++
			if i == len(s) || s[i] != '"' && s[i] != '\\' {
				return "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", false
}

// repeatable is what a request with an idempotency key needs besides its call.
type repeatable struct {
	name    string // the key that the client chose
	request hash.Hash
	attempt int // how often the handler ran before
	// write is what the handler has prepared; nil until then.
	write *store.Prepared
}

// readIdempotencyKey reads the header that makes a call repeatable, and returns what is wrong with it.
func (op *operation) readIdempotencyKey(c echo.Context, call *Call, p Parameters) []FieldError {
	header, ok := p[headerIdempotencyKey].(string)
	if !ok {
		return nil
	}
	key, ok := parseIdempotencyKey(header)
	if !ok {
		return []FieldError{{Field: headerIdempotencyKey, Message: fmt.Sprintf("%s must be sent once, with 1 to %d visible ASCII characters, bare or in double quotes",
			headerIdempotencyKey, maxIdempotencyKey)}}
	}
	if call.dryRun {
		return nil
	}
	call.repeatable = &repeatable{name: key, request: sha256.New()}
	r := c.Request()
	parts := []string{r.Method, r.URL.EscapedPath(), strings.Join(r.Header.Values(headerIfMatch), ", "), strings.Join(r.Header.Values(headerPrefer), ", ")}
	if op.takesQuery {
		parts = append(parts, r.URL.RawQuery)
	}
	hashParts(call.repeatable.request, parts...)
	return nil
}

// hashParts adds texts to a hash, each after its length.
func hashParts(h hash.Hash, parts ...string) {
	for _, part := range parts {
		// A hash returns no error.
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		_, _ = h.Write([]byte(part))
	}
}

// recordKey returns the key of the call's record: another one for each issuer and subject, customer, operation, and key of the client.
func (c *Call) recordKey() store.RecordKey {
	h := sha256.New()
	hashParts(h, c.Principal.Issuer, c.Principal.Name, c.dialect.Name, c.operation, c.repeatable.name)
	return store.RecordKey{CustomerID: c.Customer.ID, Hash: [sha256.Size]byte(h.Sum(nil))}
}

// answer is a recorded response.
type answer struct {
	Rank int `json:"rank"` // the caller's
	// Concerns is whose matter the answer is, if the request does not name a customer; see [Call.concern].
	Concerns *int64      `json:"concerns,omitempty"`
	Status   int         `json:"status"`
	Header   http.Header `json:"header"`
	Body     []byte      `json:"body"`
}

// serveOnce serves a repeatable call by run, unless that was done already.
func (op *operation) serveOnce(c echo.Context, call *Call, run func() error) error {
	key := call.recordKey()
	release, err := op.dialect.underWay.acquire(call, key)
	if err != nil {
		return err
	}
	defer release()
	request := [sha256.Size]byte(call.repeatable.request.Sum(nil))
	for ; call.repeatable.attempt < store.MaxPrepared; call.repeatable.attempt++ {
		if done, err := op.replay(c, call, key, request); done {
			return err
		}
		a, err := op.execute(c, call, run, store.Record{Key: key, Request: request})
		if err == nil {
			return a.write(c)
		}
		if errors.Is(err, store.ErrPrepareAgain) {
			continue
		}
		if !errors.Is(err, store.ErrUnavailable) && call.Err() == nil {
			// The same request may have been executed meanwhile, by another server, and be the reason of the error.
			if done, err := op.replay(c, call, key, request); done {
				return err
			}
		}
		return err
	}
	return op.dialect.service.Store.GiveUp(call)
}

// replay answers with the recorded response, if there is one. Otherwise done is false.
func (op *operation) replay(c echo.Context, call *Call, key store.RecordKey, request [sha256.Size]byte) (done bool, err error) {
	s := op.dialect.service
	record, err := s.Store.FindRecord(call, key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return true, err
	}
	call.conflicts = nil // of an attempt whose write lost to that of another server
	var a answer
	if err := json.Unmarshal(record.Answer, &a); err != nil {
		return true, fmt.Errorf("read a recorded answer: %w", err)
	}
	if s.Policy.Rank(call.Principal) < a.Rank {
		return true, fmt.Errorf("%w: the caller's rank is below that of the first request with the idempotency key", auth.ErrForbidden)
	}
	if a.Concerns != nil {
		if err := call.concern(call, *a.Concerns); err != nil {
			return true, err
		}
	}
	if !record.Matches(request) {
		return true, errKeyReused
	}
	call.replayed = true
	c.Response().Header().Set(headerReplayed, "true")
	return true, a.write(c)
}

// execute runs the handler, and executes what it has prepared together with the record of its answer. An answer that is no success is
// not recorded.
func (op *operation) execute(c echo.Context, call *Call, run func() error, record store.Record) (a answer, err error) {
	defer func() {
		call.repeatable.write.Close()
		call.repeatable.write = nil
		if err != nil {
			call.changed, call.merged = "", false // what was prepared was not written
		}
	}()
	recorded := recorder{header: http.Header{}}
	if err := divert(c, &recorded, run); err != nil {
		return answer{}, err
	}
	a = answer{op.dialect.service.Policy.Rank(call.Principal), call.concerns, recorded.status, recorded.header, recorded.body.Bytes()}
	if a.Status < http.StatusOK || a.Status >= http.StatusMultipleChoices {
		return a, nil
	}
	if record.Answer, err = json.Marshal(a); err != nil {
		return answer{}, fmt.Errorf("record an answer: %w", err)
	}
	write := call.repeatable.write
	if write == nil {
		write = op.dialect.service.Store.PrepareNothing()
	}
	return a, write.Commit(call, record)
}

// write sends the answer.
func (a answer) write(c echo.Context) error {
	header := c.Response().Header()
	for name, values := range a.Header {
		header[name] = values
	}
	c.Response().WriteHeader(a.Status)
	if _, err := c.Response().Write(a.Body); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

// recorder is a ResponseWriter that keeps the response.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) { r.status = status }

func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

// errSecondWrite is a fault of a handler: only one write can be recorded with its answer.
var errSecondWrite = errors.New("a second write of one request")

// write executes a write. A repeatable call prepares it instead, and a dry run previews it.
func (c *Call) write(execute, preview func() error, prepare func(attempt int) (*store.Prepared, error)) (err error) {
	r := c.repeatable
	switch {
	case c.dryRun:
		return preview()
	case r == nil:
		return execute()
	case r.write != nil:
		return errSecondWrite
	}
	r.write, err = prepare(r.attempt)
	return err
}

// updateUser writes as the store's UpdateUser does.
func (c *Call) updateUser(ctx context.Context, key store.UserKey, change store.Change) (after store.User, changed []store.Field, err error) {
	s := c.dialect.service.Store
	err = c.write(func() (err error) {
		after, changed, err = s.UpdateUser(ctx, key, change)
		return err
	}, func() (err error) {
		after, changed, err = s.PreviewUpdate(ctx, key, change)
		return err
	}, func(attempt int) (p *store.Prepared, err error) {
		after, changed, p, err = s.PrepareUpdate(ctx, key, change, attempt)
		return p, err
	})
	return after, changed, err
}

// updateUsers writes as the store's UpdateUsers does.
func (c *Call) updateUsers(ctx context.Context, ids []int64, change store.Change) (changed []int64, err error) {
	s, customer := c.dialect.service.Store, c.Customer.ID
	err = c.write(func() (err error) {
		changed, err = s.UpdateUsers(ctx, customer, ids, change)
		return err
	}, func() (err error) {
		changed, err = s.PreviewUpdates(ctx, customer, ids, change)
		return err
	}, func(int) (p *store.Prepared, err error) {
		changed, p, err = s.PrepareUpdates(ctx, customer, ids, change)
		return p, err
	})
	return changed, err
}

// createUser writes as the store's CreateUser does.
func (c *Call) createUser(ctx context.Context, u *store.User) error {
	s := c.dialect.service.Store
	return c.write(func() error { return s.CreateUser(ctx, u) }, func() error { return s.PreviewCreation(ctx, u) },
		func(int) (*store.Prepared, error) { return s.PrepareCreate(ctx, u) })
}

// underWay lets one request with an idempotency key be executed at a time. Requests to several servers are kept apart by the database.
type underWay struct {
	mu   sync.Mutex
	keys map[store.RecordKey]*turnstile
}

// turnstile lets one request pass at a time. It is forgotten when none uses it.
type turnstile struct {
	slot  chan struct{}
	users int
}

func newUnderWay() *underWay { return &underWay{keys: map[store.RecordKey]*turnstile{}} }

// acquire waits until no other request with the key is executed.
func (u *underWay) acquire(ctx context.Context, key store.RecordKey) (release func(), err error) {
	u.mu.Lock()
	t := u.keys[key]
	if t == nil {
		t = &turnstile{slot: make(chan struct{}, 1)}
		u.keys[key] = t
	}
	t.users++
	u.mu.Unlock()
	leave := func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(u.keys, key)
		}
	}
	select {
	case t.slot <- struct{}{}:
		return func() {
			<-t.slot
			leave()
		}, nil
	case <-ctx.Done():
		leave()
		return nil, fmt.Errorf("waiting for a request with the same idempotency key: %w", context.Cause(ctx))
	}
}
