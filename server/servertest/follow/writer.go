package follow

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"

	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

// Writer makes changes of every kind to users of its own, and to Ada, whom all writers share: it creates users, changes them through each
// dialect, deprovisions, restores and erases them. One goroutine may use it at a time.
type Writer struct {
	send   Client
	store  *store.Store // where it looks up ids that the answer to a creation does not have
	random *rand.Rand
	number int
	made   int
	users  []*written
	// Erased are the names of the users that it has erased. They must be nowhere.
	Erased []string
	// Counts tells how often it did what.
	Counts map[string]int
}

// written is a user of a writer.
type written struct {
	id            int64
	uuid          string
	name          string // part of its names, e-mail and external id
	external      bool   // it has an external id, by which SCIM restores it
	deprovisioned bool
}

const (
	// maxUsers is how many users a writer has at once.
	maxUsers = 200
	// maxErased is how many users a writer erases. Each erasure reads the whole history.
	maxErased = 50

	nameFormat = "w%dx%dx%08x"
)

// names finds the names of writers' users in a text.
var names = regexp.MustCompile(`w\d+x\d+x[0-9a-f]{8}`)

// Leaked returns the names of erased users that are in one of some texts.
func Leaked(erased []string, texts iter.Seq[string]) (leaked []string) {
	is := map[string]bool{}
	for _, name := range erased {
		is[name] = true
	}
	for text := range texts {
		for _, name := range names.FindAllString(text, -1) {
			if is[name] {
				leaked = append(leaked, name)
			}
		}
	}
	return leaked
}

// NewWriter returns a writer with a number that no other one has. s is the directory of the server that send asks.
func NewWriter(send Client, s *store.Store, random *rand.Rand, number int) *Writer {
	return &Writer{send: send, store: s, random: random, number: number, Counts: map[string]int{}}
}

// Write makes a request, and returns its answer. If there is none, or it is not a success, it is not known whether the request was carried
// out, and the writer forgets the user.
func (w *Writer) Write(ctx context.Context) (Answer, error) {
	n := w.random.IntN(100)
	if len(w.users) == 0 || n < 8 && len(w.users) < maxUsers {
		return w.count("creation")(w.create(ctx))
	}
	if n < 16 {
		body := fmt.Sprintf(`{"mobile":"%d %d"}`, w.number, w.random.IntN(1000))
		return w.count("change of a shared user")(w.send(ctx, http.MethodPatch, worthUsers+"/"+servertest.AdaUUID.String(), body))
	}
	i := w.random.IntN(len(w.users))
	did, a, err := w.writeTo(ctx, w.users[i], n)
	if done(a, err) && did == "erasure" {
		w.Erased = append(w.Erased, w.users[i].name)
	}
	if !done(a, err) || did == "erasure" {
		w.users = slices.Delete(w.users, i, i+1)
	}
	return w.count(did)(a, err)
}

// count returns a function that counts an answer that is a success, and returns its arguments.
func (w *Writer) count(did string) func(Answer, error) (Answer, error) {
	return func(a Answer, err error) (Answer, error) {
		if done(a, err) {
			w.Counts[did]++
		}
		return a, err
	}
}

func done(a Answer, err error) bool { return err == nil && a.Status < http.StatusMultipleChoices }

// writeTo writes to a user. The number, from 16 to 99, decides what.
func (w *Writer) writeTo(ctx context.Context, u *written, n int) (did string, a Answer, err error) {
	switch {
	case n < 19 && len(w.Erased) < maxErased:
		a, err = w.send(ctx, http.MethodDelete, fmt.Sprintf("/directory/v1/customers/3393/users/%d/personal-data?reason=case+%d", u.id, n), "")
		return "erasure", a, err
	case n < 32 && !u.deprovisioned:
		a, err = w.send(ctx, http.MethodDelete, scimUsers+"/"+u.uuid, "")
		u.deprovisioned = true
		return "deprovisioning", a, err
	case n < 50 && u.deprovisioned:
		a, err = w.restore(ctx, u)
		u.deprovisioned = false
		return "restoring", a, err
	}
	return w.change(ctx, u)
}

// create adds a user, through one of two dialects.
func (w *Writer) create(ctx context.Context) (Answer, error) {
	w.made++
	u := &written{name: fmt.Sprintf(nameFormat, w.number, w.made, w.random.Uint32()), external: w.made%4 > 0}
	path, body := scimUsers, u.resource()
	if !u.external {
		path = worthUsers
		body = fmt.Sprintf(`{"first_name":"","last_name":"F%[1]s","email":"m%[1]s@example.com","mobile":"+1 %[1]s",`+
			`"subrole":{"id":"6351c76f-76a3-4950-9cc4-cc37cdc05ec2","code":"risk_analyst","label":"Risk Analyst"}}`, u.name)
	}
	a, err := w.send(ctx, http.MethodPost, path, body)
	if !done(a, err) {
		return a, err
	}
	if u.uuid, err = idIn(a); err != nil {
		return a, err
	}
	key, err := w.store.LocateUser(ctx, u.uuid)
	if err != nil {
		return a, err
	}
	found, err := w.store.FindUser(ctx, key)
	if err != nil {
		return a, err
	}
	u.id = found.ID
	w.users = append(w.users, u)
	return a, nil
}

// idIn returns the UUID of the user that an answer of Worth or SCIM has.
func idIn(a Answer) (string, error) {
	var shown struct {
		ID   string
		Data struct {
			UserID string `json:"user_id"`
		}
	}
	if err := json.Unmarshal([]byte(a.Body), &shown); err != nil {
		return "", fmt.Errorf("decoding a new user: %w", err)
	}
	return cmp.Or(shown.ID, shown.Data.UserID), nil
}

// resource is the user as SCIM creates and restores it.
func (u *written) resource() string {
	return fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"u%[1]s","externalId":"e%[1]s","displayName":"D %[1]s",`+
		`"name":{"givenName":"G%[1]s","familyName":"F%[1]s"},"emails":[{"value":"m%[1]s@example.com"}],"phoneNumbers":[{"value":"+1 %[1]s"}]}`, u.name)
}

// restore makes a deprovisioned user active again.
func (w *Writer) restore(ctx context.Context, u *written) (Answer, error) {
	if !u.external || w.random.IntN(2) == 0 {
		return w.send(ctx, http.MethodPatch, worthUsers+"/"+u.uuid, `{"status":"ACTIVE"}`)
	}
	a, err := w.send(ctx, http.MethodPost, scimUsers, u.resource())
	if !done(a, err) {
		return a, err
	}
	id, err := idIn(a)
	if err == nil && id != u.uuid {
		err = fmt.Errorf("restored user %s instead of %s", id, u.uuid)
	}
	return a, err
}

// change changes a user through one of the dialects.
func (w *Writer) change(ctx context.Context, u *written) (did string, a Answer, err error) {
	some := fmt.Sprintf("%s %d", u.name, w.random.IntN(1000))
	switch n := w.random.IntN(4); {
	case n == 0:
		names := []string{"", "A" + some, "B" + some}
		a, err = w.send(ctx, http.MethodPatch, worthUsers+"/"+u.uuid, fmt.Sprintf(`{"first_name":%q,"last_name":%q,"mobile":%q}`,
			names[w.random.IntN(3)], names[w.random.IntN(3)], names[w.random.IntN(3)]))
		return "change of names", a, err
	case n == 1:
		a, err = w.send(ctx, http.MethodPut, fmt.Sprintf("%s/%d", testiniumUsers, u.id), fmt.Sprintf(`{"name":%q,"surname":%q,"username":"v%s","email":"m%s@example.org",`+
			`"enabled":%t,"accountNonExpired":true,"accountNonLocked":%t,"credentialNonExpired":true,"authorities":[{"name":"ROLE_USER"}],"vcsPassword":%q}`,
			some, some, u.name, u.name, !u.deprovisioned, w.random.IntN(2) == 0, some))
		return "replacement", a, err
	case n == 2 && !u.deprovisioned && u.external:
		a, err = w.send(ctx, http.MethodPatch, scimUsers+"/"+u.uuid, fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[`+
			`{"op":"replace","path":"displayName","value":%q}]}`, some))
		return "change through SCIM", a, err
	}
	a, err = w.send(ctx, http.MethodPatch, worthUsers+"/"+u.uuid, fmt.Sprintf(`{"email":"n%s.%d@example.net"}`, u.name, w.random.IntN(10)))
	return "change of the e-mail", a, err
}
