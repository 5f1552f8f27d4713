package server_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"testing"

	"github.com/dragoman-id/dragoman/gen/testiniumclient"
	"github.com/dragoman-id/dragoman/gen/worthclient"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
	"pgregory.net/rapid"
)

func TestPutKeepsWorthFields(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		rapid.Check(t, func(t *rapid.T) {
			before := s.CreateUser(t, storetest.UserGen().Draw(t, "user"))
			after, _ := put(t, s, before, putGen(s, before).Draw(t, "put"))
			want := after
			want.UUID, want.Mobile, want.FirstLogin, want.ExternalAuthID = before.UUID, before.Mobile, before.FirstLogin, before.ExternalAuthID
			want.CreatedAt, want.CreatedBy = before.CreatedAt, before.CreatedBy
			want.AccessToken, want.AccessTokenSealed = before.AccessToken, before.AccessTokenSealed
			want.EmailVerified = before.EmailVerified && store.SameMailbox(before.Email, after.Email)
			if before.Status == store.StatusInvited && after.Status != store.StatusActive {
				want.Status = store.StatusInvited
			}
			if want.Status != store.StatusInactive {
				want.DeprovisionedAt = nil
			}
			if d := servertest.Differences(want, after); len(d) > 0 {
				t.Errorf("%v were not kept: before\n%+v, after\n%+v", d, before, after)
			}
		})
	})
}

func TestPatchKeepsTestiniumFields(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		withSubrole := s.Store.Catalogue().WithSubrole()
		rapid.Check(t, func(t *rapid.T) {
			before := s.CreateUser(t, storetest.UserGen().Draw(t, "user"))
			after, _ := patch(t, s, before, patchGen(s).Draw(t, "patch"))
			// All but what Worth names is as it was, and of the roles only those with a subrole changed.
			want := before
			want.FirstName, want.LastName, want.Email, want.Mobile, want.Status = after.FirstName, after.LastName, after.Email, after.Mobile, after.Status
			want.Roles = before.Roles.Minus(withSubrole).Union(after.Roles.Minus(after.Roles.Minus(withSubrole)))
			if before.Username == before.Email {
				want.Username = after.Email
			}
			want.EmailVerified = before.EmailVerified && store.SameMailbox(before.Email, after.Email)
			if after.Status != store.StatusInactive {
				want.DeprovisionedAt = nil
			}
			want.Version, want.UpdatedAt, want.UpdatedBy = after.Version, after.UpdatedAt, after.UpdatedBy
			if d := servertest.Differences(servertest.Folded(want), after); len(d) > 0 {
				t.Errorf("%v were not kept: before\n%+v, after\n%+v", d, before, after)
			}
		})
	})
}

// TestScimKeepsOthersFields: neither a PUT of SCIM nor a PATCH changes what it cannot name, and both leave what they say.
func TestScimKeepsOthersFields(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		r := seeded(t)
		rapid.Check(t, func(t *rapid.T) {
			before := s.CreateUser(t, shownByScim(storetest.UserGen().Draw(t, "user")))
			as := storetest.UserGen().Draw(t, "as")
			method := rapid.SampledFrom([]string{http.MethodPut, http.MethodPatch}).Draw(t, "method")
			as.Email, as.Username = s.Unique(as.Email, store.MaxEmailLength), s.Unique(as.Username, store.MaxUsernameLength)
			if as.ExternalID != nil {
				as.ExternalID = new(s.Unique(*as.ExternalID, store.MaxExternalIDLength))
			}
			body := scimBody(s, as)
			if method == http.MethodPatch {
				body = wisher{r, s}.operations(body)
			}
			a := s.Ask(servertest.Administrator(), servertest.Request{Method: method, Path: scimUser(before.UUID.String()), Body: encode(t, body)})
			if a.Status != http.StatusOK {
				t.Fatalf("%s %v: %d %s", method, body, a.Status, a.Body)
			}
			after := s.FindUser(t, before.ID)
			want := before
			want.FirstName, want.LastName, want.Username, want.Email = as.FirstName, as.LastName, as.Username, as.Email
			want.Mobile, want.Roles, want.DisplayName, want.ExternalID = as.Mobile, as.Roles, as.DisplayName, as.ExternalID
			switch {
			case as.Status == store.StatusActive:
				want.Status = store.StatusActive
			case before.Status != store.StatusInvited || method == http.MethodPatch:
				want.Status = store.StatusInactive
			}
			want.EmailVerified = before.EmailVerified && store.SameMailbox(before.Email, after.Email)
			want.Version, want.UpdatedAt, want.UpdatedBy = after.Version, after.UpdatedAt, after.UpdatedBy
			if d := servertest.Differences(servertest.Folded(want), after); len(d) > 0 {
				t.Errorf("%s: %v differ: before\n%+v, after\n%+v, want\n%+v", method, d, before, after, want)
			}
			// What it shows then says all of it, and a second time changes nothing.
			echo := s.Ask(servertest.Administrator(), servertest.Request{Method: http.MethodPut, Path: scimUser(before.UUID.String()), Body: a.Body, Header: http.Header{"Prefer": {"handling=strict"}}})
			if echo.Status != http.StatusOK || echo.Header.Get("Dragoman-Changed") != "" {
				t.Errorf("the echo of %s: %d %v %s", a.Body, echo.Status, echo.Header, echo.Body)
			}
			if d := servertest.Differences(after, s.FindUser(t, before.ID)); len(d) > 0 {
				t.Errorf("the echo of %s has changed %v", a.Body, d)
			}
		})
	})
}

// shownByScim is a user whom SCIM shows.
func shownByScim(u store.User) store.User {
	u.DeprovisionedAt = nil
	return u
}

// scimBody is a PUT of all that SCIM can name.
func scimBody(s *servertest.Server, u store.User) map[string]any {
	body := map[string]any{
		"schemas": []any{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": u.Username, "active": u.Status == store.StatusActive,
		"name": map[string]any{"givenName": u.FirstName, "familyName": u.LastName}, "displayName": u.DisplayName, "externalId": u.ExternalID,
		"emails": []any{map[string]any{"value": u.Email}}, "phoneNumbers": []any{}, "roles": wisher{nil, s}.scimRoles(u.Roles),
	}
	if u.Mobile != nil {
		body["phoneNumbers"] = []any{map[string]any{"value": *u.Mobile}}
	}
	return body
}

// encode is the JSON of a value.
func encode(t rapid.TB, value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return string(text)
}

func TestPutReturnsPatchedFields(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		roles := s.Store.Catalogue()
		rapid.Check(t, func(t *rapid.T) {
			before := s.CreateUser(t, storetest.UserGen().Draw(t, "user"))
			p := patchGen(s).Draw(t, "patch")
			patch(t, s, before, p)

			// A PUT that leaves all of it to the stored user: whatever it shows, PATCH wrote.
			stored := s.FindUser(t, before.ID)
			after, r := put(t, s, stored, bodyOf(s, stored))
			if r.Headers200.DragomanChanged != "" || after.Version != stored.Version {
				t.Errorf("changed %q", r.Headers200.DragomanChanged)
			}
			shown := r.JSON200
			if p.FirstName != nil && shown.Name != *p.FirstName {
				t.Errorf("first_name %q shows as name %q", *p.FirstName, shown.Name)
			}
			if p.LastName != nil && shown.Surname != *p.LastName {
				t.Errorf("last_name %q shows as surname %q", *p.LastName, shown.Surname)
			}
			if p.Email != nil && shown.Email != *p.Email {
				t.Errorf("email %q shows as %q", *p.Email, shown.Email)
			}
			if p.Email != nil && before.Username == before.Email && shown.Username != *p.Email {
				t.Errorf("the username did not follow %q: %q", *p.Email, shown.Username)
			}
			if p.Status != nil && shown.Enabled != (*p.Status == worthclient.UserStatusActive) {
				t.Errorf("status %s shows as enabled %t", *p.Status, shown.Enabled)
			}
			if p.Subrole != nil {
				role, _ := roles.BySubroleCode(*p.Subrole.Code)
				if !slices.ContainsFunc(shown.Authorities, func(a testiniumclient.Authority) bool { return a.Name == role.Name }) {
					t.Errorf("subrole %s shows as %v", *p.Subrole.Code, shown.Authorities)
				}
			}
		})
	})
}

func TestPatchOfPutValuesChangesNothing(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		rapid.Check(t, func(t *rapid.T) {
			before := s.CreateUser(t, storetest.UserGen().Draw(t, "user"))
			p := putGen(s, before).Draw(t, "put")
			after, _ := put(t, s, before, p)
			same := worthclient.UserPatch{FirstName: &p.Name, LastName: &p.Surname, Email: &p.Email}
			switch {
			case p.Enabled:
				same.Status = new(worthclient.UserStatusActive)
			case after.Status != store.StatusInvited:
				same.Status = new(worthclient.UserStatusInactive)
			}
			if role, ok := s.Store.Catalogue().Subrole(after.Roles); ok {
				same.Subrole = &worthclient.SubroleReference{Code: role.SubroleCode}
			}
			if _, r := patch(t, s, after, same); r.Headers200.DragomanChanged != "" {
				t.Errorf("changed %q", r.Headers200.DragomanChanged)
			}
		})
	})
}

func TestSharedMembersInAllDialects(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		u := s.FindUser(t, servertest.Ada)
		for _, status := range []worthclient.UserStatus{worthclient.UserStatusInactive, worthclient.UserStatusActive} {
			u, _ = patch(t, s, u, worthclient.UserPatch{Status: &status})
			if _, r := put(t, s, u, bodyOf(s, u)); r.JSON200.Enabled != (status == worthclient.UserStatusActive) {
				t.Errorf("status %s shows as enabled %t", status, r.JSON200.Enabled)
			}
		}
		for _, enabled := range []bool{false, true} {
			p := bodyOf(s, u)
			p.Enabled = enabled
			u, _ = put(t, s, u, p)
			status := map[bool]worthclient.UserStatus{true: worthclient.UserStatusActive, false: worthclient.UserStatusInactive}[enabled]
			if _, r := patch(t, s, u, worthclient.UserPatch{Status: &status}); r.Headers200.DragomanChanged != "" {
				t.Errorf("enabled %t is not %s", enabled, status)
			}
		}
	})
}

// text is any that the model takes.
var text = rapid.Rune().Filter(func(r rune) bool { return r != 0 })

// patchGen generates patches that name any of the members, and at least one.
func patchGen(s *servertest.Server) *rapid.Generator[worthclient.UserPatch] {
	return rapid.Custom(func(t *rapid.T) worthclient.UserPatch {
		name := rapid.Ptr(rapid.StringOfN(text, 0, store.MaxNameLength, -1), true)
		p := worthclient.UserPatch{
			FirstName: name.Draw(t, "first_name"),
			LastName:  name.Draw(t, "last_name"),
			Email:     rapid.Ptr(storetest.EmailGen(), true).Draw(t, "email"),
			Mobile:    rapid.Ptr(rapid.StringOfN(text, 0, store.MaxMobileLength, -1), true).Draw(t, "mobile"),
			Status: rapid.Ptr(rapid.SampledFrom([]worthclient.UserStatus{worthclient.UserStatusActive, worthclient.UserStatusInactive}),
				true).Draw(t, "status"),
		}
		if p.Email != nil {
			*p.Email = s.Unique(*p.Email, store.MaxEmailLength)
		}
		if code := rapid.SampledFrom([]string{"", "owner", "cro", "risk_analyst"}).Draw(t, "subrole"); code != "" {
			p.Subrole = &worthclient.SubroleReference{Code: &code}
		}
		if p == (worthclient.UserPatch{}) {
			p.Mobile = new("")
		}
		return p
	})
}

// putGen generates updates that replace whatever Testinium can name of u, or some of it.
func putGen(s *servertest.Server, u store.User) *rapid.Generator[testiniumclient.UserUpdate] {
	return rapid.Custom(func(t *rapid.T) testiniumclient.UserUpdate {
		v := storetest.UserGen().Draw(t, "as")
		v.Email = u.Email
		if rapid.Bool().Draw(t, "with another e-mail") {
			v.Email = s.Unique(storetest.EmailGen().Draw(t, "email"), store.MaxEmailLength)
		}
		v.Username = u.Username
		if rapid.Bool().Draw(t, "with another username") {
			v.Username = s.Unique(storetest.UsernameGen().Draw(t, "username"), store.MaxUsernameLength)
		}
		p := bodyOf(s, v)
		p.VcsPassword = v.VCSPassword
		p.NewPassword = rapid.SampledFrom([]*string{nil, new("pa55Word!")}).Draw(t, "newPassword")
		return p
	})
}

// bodyOf is the nine members as they are for u.
func bodyOf(s *servertest.Server, u store.User) testiniumclient.UserUpdate {
	p := testiniumclient.UserUpdate{
		Name: u.FirstName, Surname: u.LastName, Username: u.Username, Email: u.Email, Enabled: u.Status == store.StatusActive,
		AccountNonExpired: u.AccountNonExpired, AccountNonLocked: u.AccountNonLocked, CredentialNonExpired: u.CredentialNonExpired,
		Authorities: []testiniumclient.AuthorityReference{},
	}
	for _, role := range s.Store.Catalogue().In(u.Roles) {
		p.Authorities = append(p.Authorities, testiniumclient.AuthorityReference{Name: role.Name})
	}
	return p
}

// patch sends p for u through Worth, where it must be accepted, and gives the user as it then is.
func patch(t rapid.TB, s *servertest.Server, u store.User, p worthclient.UserPatch) (store.User, *worthclient.UpdateCustomerUserResponse) {
	t.Helper()
	r, err := s.Worth(servertest.Administrator()).UpdateCustomerUserWithResponse(context.Background(),
		worthclient.CustomerID(servertest.SandboxUUID.String()), worthclient.UserID(u.UUID.String()), nil, p)
	if err != nil {
		t.Fatalf("patch: %v", err)
	}
	if r.StatusCode() != http.StatusOK {
		t.Fatalf("patch: %d %s", r.StatusCode(), r.Body)
	}
	return s.FindUser(t, u.ID), r
}

// put sends p for u through Testinium, where it must be accepted, and gives the user as it then is.
func put(t rapid.TB, s *servertest.Server, u store.User, p testiniumclient.UserUpdate) (store.User, *testiniumclient.UpdateUserResponse) {
	t.Helper()
	r, err := s.Testinium(servertest.Administrator()).UpdateUserWithResponse(context.Background(),
		testiniumclient.CustomerID(u.CustomerID), testiniumclient.UserID(u.ID), &testiniumclient.UpdateUserParams{CurrentCompanyID: servertest.Company}, p)
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	if r.StatusCode() != http.StatusOK {
		t.Fatalf("put: %d %s", r.StatusCode(), r.Body)
	}
	return s.FindUser(t, u.ID), r
}
