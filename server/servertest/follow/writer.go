package follow

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"

	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

// Writer makes changes of every kind to users of its own, and to Ada, whom all writers share: it creates, changes by each dialect,
// deprovisions, revives and erases. It is used by one goroutine.
type Writer struct {
	send   Client
	store  *store.Store // to find ids in, which no dialect tells of a new user
	random *rand.Rand
	name   string // is part of all that its users are called
	made   int
	users  []*written
	// gone are names of the users that it has erased.
	gone []string
	// Counts tells how often it did what.
	Counts map[string]int
}

// written is a user of a writer.
type written struct {
	id            int64
	uuid          string
	name          string // part of its names, e-mail and external id
	deprovisioned bool
}

// maxUsers is how many users a writer has at once.
const maxUsers = 200

// NewWriter returns a writer of a name that no other one has. s is the directory that the server of send has. What it does depends on the random numbers alone, as long as each request has an
// answer.
func NewWriter(send Client, s *store.Store, random *rand.Rand, name string) *Writer {
	return &Writer{send: send, store: s, random: random, name: name, Counts: map[string]int{}}
}

// Gone returns names of the users that the writer has erased, which must be nowhere.
func (w *Writer) Gone() []string { return slices.Clone(w.gone) }

// Write makes a request, and reports whether it was answered with success. The error is of a request without an answer: whether it was
// carried out is not known, and the writer does without the user.
func (w *Writer) Write(ctx context.Context) (done bool, err error) {
	n := w.random.IntN(100)
	if len(w.users) == 0 || n < 8 && len(w.users) < maxUsers {
		return w.create(ctx)
	}
	i := w.random.IntN(len(w.users))
	u := w.users[i]
	var a Answer
	did := "change"
	switch {
	case n < 20:
		did = "change of a shared user"
		a, err = w.send(ctx, http.MethodPatch, worthUsers+"/"+servertest.AdaUUID.String(), fmt.Sprintf(`{"mobile":"%s %d"}`, w.name, w.random.IntN(1000)))
		i = -1
	case u.deprovisioned && n < 50:
		did = "revival"
		a, err = w.revive(ctx, u)
	case n < 30:
		did = "erasure"
		a, err = w.send(ctx, http.MethodDelete, fmt.Sprintf("/directory/v1/customers/3393/users/%d/personal-data?reason=case+%d", u.id, n), "")
	case n < 42 && !u.deprovisioned:
		did = "deprovisioning"
		a, err = w.send(ctx, http.MethodDelete, scimUsers+"/"+u.uuid, "")
	default:
		a, err = w.change(ctx, u)
	}
	switch {
	case err != nil || a.Status >= http.StatusMultipleChoices:
		// It was carried out before a server was killed, or the user is another by now.
		w.forget(i)
		return false, err
	case did == "erasure":
		w.gone = append(w.gone, u.name)
		w.forget(i)
	case did == "deprovisioning":
		u.deprovisioned = true
	}
	w.Counts[did]++
	return true, nil
}

// forget does without a user, or without none for -1.
func (w *Writer) forget(i int) {
	if i >= 0 {
		w.users = slices.Delete(w.users, i, i+1)
	}
}

// create adds a user, by one of two dialects.
func (w *Writer) create(ctx context.Context) (bool, error) {
	w.made++
	u := &written{name: fmt.Sprintf("%sx%dx%08x", w.name, w.made, w.random.Uint32())}
	path, body, status := scimUsers, w.resource(u), http.StatusCreated
	if w.made%4 == 0 {
		path, status = worthUsers, http.StatusOK
		body = fmt.Sprintf(`{"first_name":"","last_name":"F%[1]s","email":"m%[1]s@example.com","mobile":"+1 %[1]s",`+
			`"subrole":{"id":"6351c76f-76a3-4950-9cc4-cc37cdc05ec2","code":"risk_analyst","label":"Risk Analyst"}}`, u.name)
	}
	a, err := w.send(ctx, http.MethodPost, path, body)
	if err != nil || a.Status != status {
		return false, err
	}
	var shown struct {
		ID   string
		Data struct {
			UserID string `json:"user_id"`
		}
	}
	if err := json.Unmarshal([]byte(a.Body), &shown); err != nil {
		return false, fmt.Errorf("a new user: %w", err)
	}
	u.uuid = cmp.Or(shown.ID, shown.Data.UserID)
	key, err := w.store.LocateUser(ctx, u.uuid)
	if err != nil {
		return false, err
	}
	found, err := w.store.FindUser(ctx, key)
	if err != nil {
		return false, err
	}
	u.id = found.ID
	w.users = append(w.users, u)
	w.Counts["creation"]++
	return true, nil
}

// resource is the user as SCIM creates and restores it.
func (w *Writer) resource(u *written) string {
	return fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"u%[1]s","externalId":"e%[1]s","displayName":"D %[1]s",`+
		`"name":{"givenName":"G%[1]s","familyName":"F%[1]s"},"emails":[{"value":"m%[1]s@example.com"}],"phoneNumbers":[{"value":"+1 %[1]s"}]}`, u.name)
}

func (w *Writer) revive(ctx context.Context, u *written) (Answer, error) {
	if w.random.IntN(2) == 0 {
		a, err := w.send(ctx, http.MethodPatch, worthUsers+"/"+u.uuid, `{"status":"ACTIVE"}`)
		u.deprovisioned = u.deprovisioned && (err != nil || a.Status != http.StatusOK)
		return a, err
	}
	a, err := w.send(ctx, http.MethodPost, scimUsers, w.resource(u))
	u.deprovisioned = u.deprovisioned && (err != nil || a.Status != http.StatusCreated)
	return a, err
}

// change changes a user by one of the dialects.
func (w *Writer) change(ctx context.Context, u *written) (Answer, error) {
	some := fmt.Sprintf("%s %d", u.name, w.random.IntN(1000))
	flag := w.random.IntN(2) == 0
	switch n := w.random.IntN(4); {
	case n == 0:
		names := []string{"", "A" + some, "B" + some}
		return w.send(ctx, http.MethodPatch, worthUsers+"/"+u.uuid, fmt.Sprintf(`{"first_name":%q,"last_name":%q,"mobile":%q}`,
			names[w.random.IntN(3)], names[w.random.IntN(3)], names[w.random.IntN(3)]))
	case n == 1:
		return w.send(ctx, http.MethodPut, fmt.Sprintf("%s/%d", testiniumUsers, u.id), fmt.Sprintf(`{"name":%q,"surname":%q,"username":"v%s","email":"m%s@example.org",`+
			`"enabled":%t,"accountNonExpired":true,"accountNonLocked":%t,"credentialNonExpired":true,"authorities":[{"name":"ROLE_USER"}],"vcsPassword":%q}`,
			some, some, u.name, u.name, !u.deprovisioned, flag, some))
	case n == 2 && !u.deprovisioned:
		return w.send(ctx, http.MethodPatch, scimUsers+"/"+u.uuid, fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[`+
			`{"op":"replace","path":"displayName","value":%q},{"op":"replace","path":"externalId","value":"e%s"}]}`, some, u.name))
	}
	return w.send(ctx, http.MethodPatch, worthUsers+"/"+u.uuid, fmt.Sprintf(`{"email":"n%s.%d@example.net"}`, u.name, w.random.IntN(10)))
}

// among returns those of some texts that are in one of all.
func among(texts []string, all iter.Seq[string]) (found []string) {
	for text := range all {
		for _, t := range texts {
			if strings.Contains(text, t) {
				found = append(found, t)
			}
		}
	}
	return found
}
