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

const (
	worthUsers     = "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users"
	testiniumUsers = "/account/api/v1/customers/3393/users"
	scimUsers      = "/scim/v2/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/Users"
)

// Hook keeps a copy of the sandbox's users by deliveries, which it receives as an [http.Handler], and by [Hook.Read].
type Hook struct {
	faults
	secret *standardwebhooks.Webhook

	mu      sync.Mutex
	users   map[int64]*hooked
	numbers map[int64]bool
	highest int64
	again   int // deliveries that are not the first of their change
	erased  int
}

// hooked is a user as deliveries have told of it.
type hooked struct {
	uuid    string
	version int64 // of the last change that was delivered first
	etag    string
	shown   [2]string // by Worth and by SCIM, which does not show the deprovisioned
}

// NewHook returns a follower that knows nothing yet.
func NewHook() *Hook { return &Hook{users: map[int64]*hooked{}, numbers: map[int64]bool{}} }

// SetSecret tells the follower by which secret deliveries are signed. It must be called before any arrives.
func (h *Hook) SetSecret(secret string) (err error) {
	h.secret, err = standardwebhooks.NewWebhook(secret)
	return err
}

// ServeHTTP receives a delivery.
func (h *Hook) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the receiver is killed
	}
	var event struct {
		Type string
		Data struct {
			Number, User, Version int64
			UserUUID              string
		}
	}
	if err := h.secret.Verify(body, r.Header); err != nil {
		h.add("%v", err)
	}
	if err := json.Unmarshal(body, &event); err != nil {
		h.add("%v", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	d := event.Data
	if h.numbers[d.Number] {
		h.again++
		return
	}
	h.numbers[d.Number] = true
	if d.Number < h.highest {
		h.add("change %d comes after %d", d.Number, h.highest)
	}
	h.highest = max(h.highest, d.Number)
	u := h.users[d.User]
	if u == nil {
		u = &hooked{uuid: d.UserUUID}
		h.users[d.User] = u
	}
	if d.Version != u.version+1 || (d.Version == 1) != (event.Type == "user.created") {
		h.add("user %d: %s of version %d comes after version %d", d.User, event.Type, d.Version, u.version)
	}
	u.version = d.Version
	if event.Type == "user.erased" {
		h.erased++
		u.etag, u.shown = "", [2]string{}
	}
}

// Delivered returns how many changes were delivered, and how many deliveries were not the first of their change.
func (h *Hook) Delivered() (changes, again int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.numbers), h.again
}

// Erased returns how many deliveries told of an erasure.
func (h *Hook) Erased() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.erased
}

// Users returns how many users were told of.
func (h *Hook) Users() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.users)
}

// stale returns the users whose copy is older than what was delivered.
func (h *Hook) stale() (ids map[int64]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids = map[int64]string{}
	for id, u := range h.users {
		if has, _ := strconv.ParseInt(strings.Trim(u.etag, `"`), 10, 64); has < u.version {
			ids[id] = u.uuid
		}
	}
	return ids
}

// Read reads the users whose copy is older than what was delivered, and returns how many.
func (h *Hook) Read(ctx context.Context, send Client) (n int, err error) {
	for id, uuid := range h.stale() {
		etag, shown, err := readUser(ctx, send, uuid)
		if err != nil {
			return n, err
		}
		h.mu.Lock()
		h.users[id].etag, h.users[id].shown = etag, shown
		h.mu.Unlock()
		n++
	}
	return n, nil
}

// readUser reads a user by two dialects. The second answer may be of a later version, of which there is then another delivery.
func readUser(ctx context.Context, send Client, uuid string) (etag string, shown [2]string, err error) {
	a, err := send(ctx, http.MethodGet, worthUsers+"/"+uuid, "")
	if err == nil {
		err = a.expect(http.StatusOK, "a user")
	}
	if err != nil {
		return "", shown, err
	}
	b, err := send(ctx, http.MethodGet, scimUsers+"/"+uuid, "")
	if err == nil && b.Status != http.StatusOK && b.Status != http.StatusNotFound {
		err = b.expect(http.StatusOK, "a user by SCIM")
	}
	return a.Header.Get("ETag"), [2]string{a.Body, b.Body}, err
}

// Compare returns in what the copy differs from the directory, ten differences at most.
func (h *Hook) Compare(ctx context.Context, s *store.Store, send Client) (differences []string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	known := 0
	err = eachUser(ctx, s, func(u *store.User) error {
		if u.CustomerID != servertest.Sandbox {
			return nil
		}
		c := h.users[u.ID]
		if c == nil {
			differences = append(differences, fmt.Sprintf("user %d is not in the copy", u.ID))
			return nil
		}
		known++
		etag, shown, err := readUser(ctx, send, u.UUID.String())
		if err == nil && (etag != c.etag || shown != c.shown || c.version != u.Version) {
			differences = append(differences, fmt.Sprintf("user %d is %s %s, in the copy, whose version is %d, %s %s", u.ID, etag, shown, c.version, c.etag, c.shown))
		}
		return err
	})
	if err == nil && known < len(h.users) {
		differences = append(differences, fmt.Sprintf("the copy has %d users, the directory %d of them", len(h.users), known))
	}
	return differences[:min(len(differences), maxFaults)], err
}

// Has returns those of some texts that are in the copy.
func (h *Hook) Has(texts []string) (found []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return among(texts, func(yield func(string) bool) {
		for _, u := range h.users {
			if !yield(u.shown[0]) || !yield(u.shown[1]) {
				return
			}
		}
	})
}
