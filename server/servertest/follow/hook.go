package follow

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

// Hook keeps a copy of the sandbox's users by deliveries to a webhook, which it receives as an [http.Handler], and by reading the users
// that they name.
type Hook struct {
	findings
	secret *standardwebhooks.Webhook

	mu        sync.Mutex
	users     map[int64]*hooked
	delivered map[int64]bool // by number
	highest   int64
	again     int // deliveries that are not the first of their change
	erasures  int
}

// hooked is a user as deliveries have told of it.
type hooked struct {
	uuid    string
	version int64  // of the last change that was delivered
	read    int64  // the version of the copy; 0: there is none
	worth   string // the copy, as Worth has the user
	scim    string // and SCIM, which does not show the deprovisioned
}

// NewHook returns a receiver that no delivery has reached yet.
func NewHook() *Hook { return &Hook{users: map[int64]*hooked{}, delivered: map[int64]bool{}} }

// SetSecret tells the receiver by which secret deliveries are signed. It must be called before any arrives.
func (h *Hook) SetSecret(secret string) (err error) {
	h.secret, err = standardwebhooks.NewWebhook(secret)
	return err
}

// event is the body of a delivery.
type event struct {
	Type string
	Data struct {
		Number, User, Version int64
		UserUUID              string
	}
}

// ServeHTTP receives a delivery.
func (h *Hook) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the receiver was killed
	}
	if err := h.secret.Verify(body, r.Header); err != nil {
		h.add("a delivery: %v", err)
	}
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		h.add("a delivery: %v", err)
	}
	h.receive(e)
}

func (h *Hook) receive(e event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := e.Data
	if h.delivered[d.Number] {
		h.again++
		return
	}
	h.delivered[d.Number] = true
	if d.Number < h.highest {
		h.add("change %d is delivered after %d", d.Number, h.highest)
	}
	h.highest = max(h.highest, d.Number)
	u := h.users[d.User]
	if u == nil {
		u = &hooked{uuid: d.UserUUID}
		h.users[d.User] = u
	}
	if d.Version != u.version+1 || (d.Version == 1) != (e.Type == "user.created") {
		h.add("user %d: %s of version %d is delivered after version %d", d.User, e.Type, d.Version, u.version)
	}
	u.version = d.Version
	if e.Type == "user.erased" {
		h.erasures++
		*u = hooked{uuid: u.uuid, version: u.version}
	}
}

// Delivered returns how many changes were delivered, of how many users, how many of them told of an erasure, and how many deliveries
// were not the first of their change.
func (h *Hook) Delivered() (changes, users, erasures, again int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.delivered), len(h.users), h.erasures, h.again
}

// stale returns the users whose copy is older than what was delivered.
func (h *Hook) stale() (stale []*hooked) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, u := range h.users {
		if u.read < u.version {
			stale = append(stale, u)
		}
	}
	return stale
}

// Read reads the users whose copy is older than what was delivered.
func (h *Hook) Read(ctx context.Context, send Client) error {
	for _, u := range h.stale() {
		read, err := readUser(ctx, send, u.uuid)
		if err != nil {
			return err
		}
		h.mu.Lock()
		// An erasure may have been delivered meanwhile.
		if read.read >= u.version {
			u.read, u.worth, u.scim = read.read, read.worth, read.scim
		}
		h.mu.Unlock()
	}
	return nil
}

// readUser reads a user by two dialects. The second answer may be of a later version, of which there is then another delivery.
func readUser(ctx context.Context, send Client, uuid string) (hooked, error) {
	worth, err := send.get(ctx, worthUsers+"/"+uuid, http.StatusOK)
	if err != nil {
		return hooked{}, err
	}
	// The location has the address of the server, which is another after a restart.
	scim, err := send.get(ctx, scimUsers+"/"+uuid+"?excludedAttributes=meta.location", http.StatusOK, http.StatusNotFound)
	if err != nil {
		return hooked{}, err
	}
	version, err := strconv.ParseInt(strings.Trim(worth.Header.Get("ETag"), `"`), 10, 64)
	if err != nil {
		return hooked{}, fmt.Errorf("the version of a user: %w", err)
	}
	return hooked{uuid: uuid, read: version, worth: worth.Body, scim: scim.Body}, nil
}

// Compare returns what is wrong with the copy, and with the deliveries. Nothing may be delivered meanwhile.
func (h *Hook) Compare(ctx context.Context, s *store.Store, send Client) (wrong []string, err error) {
	known := 0
	err = eachUser(ctx, s, servertest.Sandbox, func(u *store.User) error {
		c := h.users[u.ID]
		if c == nil {
			h.add("user %d is not in the copy", u.ID)
			return nil
		}
		known++
		want, err := readUser(ctx, send, u.UUID.String())
		want.version = u.Version
		if err == nil && *c != want {
			h.add("user %d is %+v, in the copy %+v", u.ID, want, *c)
		}
		return err
	})
	if known < len(h.users) {
		h.add("the copy has %d users, the directory %d of them", len(h.users), known)
	}
	return h.all(), err
}

// Texts calls yield with each text of the copy.
func (h *Hook) Texts(yield func(string) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, u := range h.users {
		if !yield(u.worth) || !yield(u.scim) {
			return
		}
	}
}
