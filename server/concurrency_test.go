package server_test

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"sync"
	"testing"

	"github.com/dragoman-id/dragoman/gen/testiniumclient"
	"github.com/dragoman-id/dragoman/gen/worthclient"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

// writers is how many write to one user at once.
const writers = 40

func TestConcurrentPatches(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		race(t, s, func(i int) write { return patchOf(s, i) })
	})
}

func TestConcurrentPatchesAndPuts(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		after := race(t, s, func(i int) write {
			switch i % 3 {
			case 0:
				return patchOf(s, i/3)
			case 1:
				return scimOf(s, i/3)
			}
			return putOf(s, i)
		})
		if after.Mobile == nil || after.DisplayName == nil || after.ExternalID == nil {
			t.Error("a PUT lost what it cannot name and a PATCH set")
		}
	})
}

func TestConcurrentPuts(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		before := s.FindUser(t, servertest.Ada)
		after := race(t, s, func(i int) write { return putOf(s, i) })
		whole := 0
		for i := range writers {
			u := before
			putOf(s, i).edit(&u)
			if len(store.Diff(&u, &after)) == 0 {
				whole++
			}
		}
		if whole != 1 || after.Version != 1+writers {
			t.Errorf("version %d is %d writers' whole body: %+v", after.Version, whole, after)
		}
	})
}

// write is one writer's write to Ada.
type write struct {
	send func() (answer, error)
	edit func(u *store.User) // what it does to a user
}

// answer is what a writer got.
type answer struct {
	status        int
	body          []byte
	etag, changed string
	shown         *testiniumclient.User // nil from Worth
}

// patchOf is writer i's PATCH of one of the six members.
func patchOf(s *servertest.Server, i int) write {
	var p worthclient.UserPatch
	var edit func(u *store.User)
	switch text := fmt.Sprintf("patch %d", i); i % 6 {
	case 0:
		p.Mobile, edit = &text, func(u *store.User) { u.Mobile = &text }
	case 1:
		p.FirstName, edit = &text, func(u *store.User) { u.FirstName = text }
	case 2:
		p.LastName, edit = &text, func(u *store.User) { u.LastName = text }
	case 3:
		email := fmt.Sprintf("patch%d@example.com", i)
		p.Email, edit = &email, func(u *store.User) { u.Email, u.EmailVerified = email, false }
	case 4:
		status := []worthclient.UserStatus{worthclient.UserStatusActive, worthclient.UserStatusInactive}[i/6%2]
		p.Status, edit = &status, func(u *store.User) { u.Status = store.Status(status) }
	case 5:
		code := []string{"cro", "risk_analyst"}[i/6%2]
		p.Subrole = &worthclient.SubroleReference{Code: &code}
		edit = func(u *store.User) {
			roles := map[string]store.RoleSet{"cro": store.Roles(2, 3), "risk_analyst": store.Roles(3)}[code]
			u.Roles = u.Roles.Minus(store.Roles(1, 2, 3)).Union(roles)
		}
	}
	sdk := s.Worth(servertest.Administrator())
	return write{
		send: func() (answer, error) {
			r, err := sdk.UpdateCustomerUserWithResponse(context.Background(),
				worthclient.CustomerID(servertest.SandboxUUID.String()), worthclient.UserID(servertest.AdaUUID.String()), nil, p)
			if err != nil {
				return answer{}, err
			}
			if r.JSON200 == nil {
				return answer{status: r.StatusCode(), body: r.Body}, nil
			}
			return answer{r.StatusCode(), r.Body, r.Headers200.ETag, r.Headers200.DragomanChanged, nil}, nil
		},
		edit: edit,
	}
}

// scimOf is writer i's PATCH by SCIM, of attributes that it alone names, of such as others name too, or of both.
func scimOf(s *servertest.Server, i int) write {
	text := fmt.Sprintf("scim %d", i)
	var operations string
	var edit func(u *store.User)
	switch i % 4 {
	case 0:
		operations = fmt.Sprintf(`{"op":"Add","path":"displayName","value":%q}`, text)
		edit = func(u *store.User) { u.DisplayName = &text }
	case 1:
		operations = fmt.Sprintf(`{"op":"replace","value":{"externalId":%q,"name.familyName":%q}}`, text, text)
		edit = func(u *store.User) { u.ExternalID, u.LastName = &text, text }
	case 2:
		operations = fmt.Sprintf(`{"op":"replace","path":"active","value":"%t"}`, i/4%2 == 0)
		edit = func(u *store.User) {
			u.Status = map[bool]store.Status{true: store.StatusActive, false: store.StatusInactive}[i/4%2 == 0]
		}
	case 3:
		operations = `{"op":"add","path":"roles","value":[{"value":"ROLE_READ_ONLY"}]}`
		edit = func(u *store.User) { u.Roles = u.Roles.Union(store.Roles(11)) }
	}
	return write{
		send: func() (answer, error) {
			a := s.Ask(servertest.Administrator(), servertest.Request{Method: http.MethodPatch, Path: scimAda, Body: patchOfScim(operations)})
			return answer{a.Status, []byte(a.Body), a.Header.Get("ETag"), a.Header.Get("Dragoman-Changed"), nil}, nil
		},
		edit: edit,
	}
}

// putOf is writer i's PUT of everything, no two of them alike in any text.
func putOf(s *servertest.Server, i int) write {
	text := fmt.Sprintf("put%d", i)
	p := testiniumclient.UserUpdate{
		Name: text, Surname: text, Username: text, Email: text + "@example.com",
		Enabled: i&2 > 0, AccountNonExpired: i&4 > 0, AccountNonLocked: i&8 > 0, CredentialNonExpired: i&16 > 0,
		Authorities: []testiniumclient.AuthorityReference{{Name: "ROLE_USER"}, {Name: []string{"ROLE_RUN_TEST", "ROLE_REPORT"}[i&1]}},
		VcsPassword: &text,
	}
	sdk := s.Testinium(servertest.Administrator())
	return write{
		send: func() (answer, error) {
			r, err := sdk.UpdateUserWithResponse(context.Background(), servertest.Sandbox, servertest.Ada,
				&testiniumclient.UpdateUserParams{CurrentCompanyID: servertest.Company}, p)
			if err != nil {
				return answer{}, err
			}
			if r.JSON200 == nil {
				return answer{status: r.StatusCode(), body: r.Body}, nil
			}
			return answer{r.StatusCode(), r.Body, r.Headers200.ETag, r.Headers200.DragomanChanged, r.JSON200}, nil
		},
		edit: func(u *store.User) {
			u.FirstName, u.LastName, u.Username, u.VCSPassword = text, text, text, &text
			u.EmailVerified = u.EmailVerified && u.Email == p.Email
			u.Email = p.Email
			u.Status = map[bool]store.Status{true: store.StatusActive, false: store.StatusInactive}[p.Enabled]
			u.AccountNonExpired, u.AccountNonLocked, u.CredentialNonExpired = p.AccountNonExpired, p.AccountNonLocked, p.CredentialNonExpired
			u.Roles = store.Roles(3, []int64{4, 12}[i&1])
		},
	}
}

// race lets all writers write to Ada at once, and gives her as she then is. All must be accepted, and everything told and
// stored must be what these writes do one after another, in the order of the versions that they were told, of which each
// that changed something made one.
func race(t *testing.T, s *servertest.Server, writeOf func(i int) write) store.User {
	t.Helper()
	before := s.FindUser(t, servertest.Ada)
	writes, answers := make([]write, writers), make([]answer, writers)
	for i := range writes {
		writes[i] = writeOf(i)
	}
	each(func(i int) {
		var err error
		if answers[i], err = writes[i].send(); err != nil || answers[i].status != http.StatusOK {
			t.Errorf("writer %d: %d %s %v", i, answers[i].status, answers[i].body, err)
		}
	})
	if t.Failed() {
		t.FailNow()
	}

	made := map[string]int{} // by the version's ETag, the writer who made it
	for i, a := range answers {
		if a.changed == "" {
			continue
		}
		if other, ok := made[a.etag]; ok {
			t.Fatalf("writers %d and %d both made version %s", other, i, a.etag)
		}
		made[a.etag] = i
	}
	after := s.FindUser(t, servertest.Ada)
	if want := before.Version + int64(len(made)); after.Version != want {
		t.Fatalf("%d writers changed something, but version %d became %d", len(made), before.Version, after.Version)
	}
	etag := func(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }
	versions := map[string]store.User{etag(before.Version): before}
	u := before
	for v := before.Version + 1; v <= after.Version; v++ {
		i, ok := made[etag(v)]
		if !ok {
			t.Fatalf("nobody was told of having made version %d", v)
		}
		writes[i].edit(&u)
		versions[etag(v)] = u
	}
	if d := store.Diff(&u, &after); len(d) > 0 {
		t.Errorf("%v: one after another these writes make\n%+v, but stored is\n%+v", d, u, after)
	}
	for i, a := range answers {
		told, ok := versions[a.etag]
		if !ok {
			t.Fatalf("writer %d was told of version %s of %d", i, a.etag, after.Version)
		}
		then := told
		if writes[i].edit(&then); len(store.Diff(&told, &then)) > 0 {
			t.Errorf("writer %d was told of version %s, which is without what it wrote: %+v", i, a.etag, told)
		}
		if a.shown != nil {
			checkShown(t, s, told, *a.shown)
		}
	}
	return after
}

// checkShown fails unless a PUT's answer shows u.
func checkShown(t *testing.T, s *servertest.Server, u store.User, shown testiniumclient.User) {
	t.Helper()
	want := bodyOf(s, u)
	got := testiniumclient.UserUpdate{
		Name: shown.Name, Surname: shown.Surname, Username: shown.Username, Email: shown.Email, Enabled: shown.Enabled,
		AccountNonExpired: shown.AccountNonExpired, AccountNonLocked: shown.AccountNonLocked, CredentialNonExpired: shown.CredentialNonExpired,
	}
	for _, a := range shown.Authorities {
		got.Authorities = append(got.Authorities, testiniumclient.AuthorityReference{Name: a.Name})
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("shown\n%+v, not\n%+v", got, want)
	}
}

// each runs f for every writer at once, and waits for all.
func each(f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range writers {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}
