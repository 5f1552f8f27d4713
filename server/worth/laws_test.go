package worth_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/gen/worthclient"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
	"pgregory.net/rapid"
)

// notPatched is every field of the model that a PATCH of all there is leaves alone, and why. A field that is neither here
// nor changed by such a PATCH fails the coverage law until somebody decides.
var notPatched = map[string]string{
	"ID":                   "the other dialect's id; no write changes it",
	"UUID":                 "the user's id; no write changes it",
	"CustomerID":           "the tenant; no write moves a user",
	"Username":             "Worth knows none; it follows the e-mail only while it is the e-mail",
	"UsernameFold":         "the username, folded",
	"AccountNonExpired":    "Worth knows no expiry",
	"AccountNonLocked":     "Worth knows no locks, and its status touches none",
	"CredentialNonExpired": "Worth knows no expiry",
	"PasswordHash":         "Worth's passwords are the identity provider's",
	"LastPasswordResetAt":  "as the password",
	"AccessToken":          "Testinium's",
	"VCSPassword":          "Testinium's",
	"AccessTokenSealed":    "the access token, sealed",
	"VCSPasswordSealed":    "the VCS password, sealed",
	"EmailVerified":        "answers only; a changed e-mail clears it, an import sets it",
	"FirstLogin":           "answers only; an import sets it",
	"ExternalAuthID":       "answers only; an import sets it",
	"ExternalID":           "a provisioning client's",
	"DisplayName":          "a provisioning client's",
	"LegalHoldAt":          "set and lifted by a command",
	"CreatedAt":            "the creation's",
	"CreatedBy":            "the creation's",
}

func TestPatchAllMembers(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		sdk := s.Worth(servertest.Administrator())
		rapid.Check(t, func(t *rapid.T) {
			u := storetest.UserGen().Draw(t, "user")
			u.EmailVerified = false
			u.UpdatedAt = time.UnixMilli(1) // no write sets an earlier time than there is
			if u.Username == u.Email {
				u.Username += "x"
			}
			before := s.CreateUser(t, u)
			var everything worthclient.UserPatch
			for _, m := range members {
				m.change(t, s, before, &everything)
			}
			for i, p := 0, reflect.ValueOf(everything); i < p.NumField(); i++ {
				if p.Field(i).IsNil() {
					t.Fatalf("the table members does not know %s", p.Type().Field(i).Name)
				}
			}
			after, changed := patch(t, s, sdk, before, everything)
			differ := servertest.Differences(before, after)
			for i, user := 0, reflect.TypeFor[store.User](); i < user.NumField(); i++ {
				name := user.Field(i).Name
				if name == "EmailSearch" || name == "DeprovisionedAt" {
					continue // nil for most: computed from the e-mail, and cleared if the status changes
				}
				reason, listed := notPatched[name]
				if differs := slices.Contains(differ, name); differs == listed {
					t.Errorf("%s: changed is %t, listed is %t (%s)", name, differs, listed, reason)
				}
			}
			if len(changed) != len(members) {
				t.Errorf("Dragoman-Changed is %q", changed)
			}
		})
	})
}

func TestNotPatchedListsExistingFields(t *testing.T) {
	t.Parallel()
	for name := range notPatched {
		if _, ok := reflect.TypeFor[store.User]().FieldByName(name); !ok {
			t.Errorf("store.User has no field %s", name)
		}
	}
}

func TestPatchEachMember(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		sdk := s.Worth(servertest.Administrator())
		rapid.Check(t, func(t *rapid.T) {
			before := s.CreateUser(t, storetest.UserGen().Draw(t, "user"))
			m := rapid.SampledFrom(members).Draw(t, "member")
			var there, back worthclient.UserPatch
			m.change(t, s, before, &there)
			after, _ := patch(t, s, sdk, before, there)
			if m.shows(after) == m.shows(before) {
				t.Errorf("%s is still %q", m.name, m.shows(after))
			}
			if !m.restore(before, &back) {
				return
			}
			again, _ := patch(t, s, sdk, after, back)
			if m.shows(again) != m.shows(before) {
				t.Errorf("%s was %q, is %q", m.name, m.shows(before), m.shows(again))
			}
		})
	})
}

func TestPatchEachBoolean(t *testing.T) {
	t.Parallel()
	mobile, none := "+44 20 7946 0958", ""
	first, last := "Ada", "Lovelace"
	owner, cro, analyst := "owner", "cro", "risk_analyst"
	active, inactive := worthclient.UserStatusActive, worthclient.UserStatusInactive
	subrole := func(code *string) worthclient.UserPatch {
		return worthclient.UserPatch{Subrole: &worthclient.SubroleReference{Code: code}}
	}
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		sdk := s.Worth(servertest.Administrator())
		u := s.FindUser(t, servertest.Ada)
		for _, p := range []worthclient.UserPatch{
			{Status: &inactive}, {Status: &active}, {Status: &inactive},
			{Mobile: &mobile}, {Mobile: &none}, {Mobile: &mobile},
			{FirstName: &none}, {FirstName: &first}, {LastName: &none}, {LastName: &last},
			subrole(&cro), subrole(&owner), subrole(&analyst), subrole(&owner), subrole(&cro), subrole(&analyst),
		} {
			var changed []string
			if u, changed = patch(t, s, sdk, u, p); len(changed) != 1 {
				t.Errorf("changed %q", changed)
			}
		}
	})
}

func TestPatchIsIdempotent(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		sdk := s.Worth(servertest.Administrator())
		rapid.Check(t, func(t *rapid.T) {
			before := s.CreateUser(t, storetest.UserGen().Draw(t, "user"))
			p := patchGen(s, before).Draw(t, "patch")
			once, _ := patch(t, s, sdk, before, p)
			if _, changed := patch(t, s, sdk, once, p); len(changed) > 0 {
				t.Errorf("the second time changed %q", changed)
			}
		})
	})
}

func TestGetAfterPatch(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		sdk := s.Worth(servertest.Administrator())
		rapid.Check(t, func(t *rapid.T) {
			before := s.CreateUser(t, storetest.UserGen().Draw(t, "user"))
			p := patchGen(s, before).Draw(t, "patch")
			after, _ := patch(t, s, sdk, before, p)
			r, err := sdk.GetCustomerUserWithResponse(context.Background(), worthclient.CustomerID(servertest.SandboxUUID.String()), worthclient.UserID(before.UUID.String()), nil)
			if err != nil {
				t.Fatalf("get: %v", err)
			}
			if r.StatusCode() != http.StatusOK || r.Headers200.ETag != etag(after) {
				t.Fatalf("%d %s, version %d", r.StatusCode(), r.Body, after.Version)
			}
			shown := r.JSON200.Data
			if p.FirstName != nil && *p.FirstName != shown.FirstName {
				t.Errorf("first_name: patched %q, shown %q", *p.FirstName, shown.FirstName)
			}
			if p.LastName != nil && *p.LastName != shown.LastName {
				t.Errorf("last_name: patched %q, shown %q", *p.LastName, shown.LastName)
			}
			if p.Email != nil && *p.Email != shown.Email {
				t.Errorf("email: patched %q, shown %q", *p.Email, shown.Email)
			}
			if p.Mobile != nil && (*p.Mobile == "") != (shown.Mobile == nil) || p.Mobile != nil && shown.Mobile != nil && *p.Mobile != *shown.Mobile {
				t.Errorf("mobile: patched %q, shown %v", *p.Mobile, shown.Mobile)
			}
			if p.Status != nil && string(*p.Status) != string(shown.Status) {
				t.Errorf("status: patched %q, shown %q", *p.Status, shown.Status)
			}
			if p.Subrole != nil && (shown.Subrole == nil || shown.Subrole.Code != subroleOf(after)) {
				t.Errorf("subrole: patched %v, shown %v", p.Subrole, shown.Subrole)
			}
		})
	})
}

func TestPatchSameValuesChangesNothing(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		sdk := s.Worth(servertest.Administrator())
		rapid.Check(t, func(t *rapid.T) {
			before := s.CreateUser(t, storetest.UserGen().Draw(t, "user"))
			var p worthclient.UserPatch
			for _, m := range members {
				m.restore(before, &p)
			}
			if _, changed := patch(t, s, sdk, before, p); len(changed) > 0 {
				t.Errorf("changed %q", changed)
			}
		})
	})
}

func TestAnEmptyPatchIsImpossible(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		token := s.Token(servertest.Administrator())
		rapid.Check(t, func(t *rapid.T) {
			before := s.CreateUser(t, storetest.UserGen().Draw(t, "user"))
			body := rapid.SampledFrom([]string{"", "{}", " {\n} ", "null", "[]", `""`, "0", `{"First_name":"Ada"}`, `{"username":"ada","mobile_":""}`}).Draw(t, "body")
			answer := s.Send(servertest.Request{
				Method: http.MethodPatch,
				Path:   fmt.Sprintf("/auth/api/v1/customers/%s/users/%s", servertest.SandboxUUID, before.UUID),
				Header: http.Header{"Authorization": {"Bearer " + token}},
				Body:   body,
			})
			if answer.Status != http.StatusBadRequest {
				t.Errorf("%s: %d %s", body, answer.Status, answer.Body)
			}
			unwritten(t, s, before)
		})
	})
}

func TestUsernameFollowsEmail(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		sdk := s.Worth(servertest.Administrator())
		rapid.Check(t, func(t *rapid.T) {
			u := storetest.UserGen().Draw(t, "user")
			u.Username = u.Email
			before := s.CreateUser(t, u)
			email := s.Unique(storetest.EmailGen().Draw(t, "email"), store.MaxEmailLength)
			if rapid.Bool().Draw(t, "the name is taken") {
				other := rename(t, s, s.CreateUser(t, storetest.UserGen().Draw(t, "other")), email)
				if r := send(t, sdk, before, worthclient.UserPatch{Email: &email}, ""); r.StatusCode() != http.StatusOK {
					t.Fatalf("%d %s", r.StatusCode(), r.Body)
				}
				if after := s.FindUser(t, before.ID); after.Email != email || after.Username != before.Username {
					t.Errorf("e-mail %q, username %q", after.Email, after.Username)
				}
				unwritten(t, s, other)
				return
			}
			after, _ := patch(t, s, sdk, before, worthclient.UserPatch{Email: &email})
			if after.Username != email {
				t.Errorf("username %q, e-mail %q", after.Username, after.Email)
			}
		})
	})
}

func TestPatchOfASCIICaseStaysVerified(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		sdk := s.Worth(servertest.Administrator())
		rapid.Check(t, func(t *rapid.T) {
			u := storetest.UserGen().Draw(t, "user")
			u.EmailVerified = true
			before := s.CreateUser(t, u)
			email, ok := servertest.SwapASCIICase(before.Email)
			if !ok {
				t.Skip("an e-mail without case")
			}
			after, changed := patch(t, s, sdk, before, worthclient.UserPatch{Email: &email})
			if !after.EmailVerified || !slices.Equal(changed, []string{"email"}) {
				t.Errorf("changed %q, verified %t", changed, after.EmailVerified)
			}
		})
	})
}

func TestPatchIfMatch(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		sdk := s.Worth(servertest.Administrator())
		rapid.Check(t, func(t *rapid.T) {
			first := s.CreateUser(t, storetest.UserGen().Draw(t, "user"))
			var one worthclient.UserPatch
			rapid.SampledFrom(members).Draw(t, "first member").change(t, s, first, &one)
			second, _ := patch(t, s, sdk, first, one)

			p := patchGen(s, second).Draw(t, "patch")
			if r := send(t, sdk, second, p, etag(first)); r.StatusCode() != http.StatusPreconditionFailed {
				t.Errorf("the old version: %d %s", r.StatusCode(), r.Body)
			}
			unwritten(t, s, second)
			match := rapid.SampledFrom([]string{etag(second), "*", etag(first) + ", " + etag(second)}).Draw(t, "match")
			r := send(t, sdk, second, p, match)
			if r.StatusCode() != http.StatusOK {
				t.Errorf("%s: %d %s", match, r.StatusCode(), r.Body)
			}
			if after := s.FindUser(t, second.ID); r.Headers200.ETag != etag(after) {
				t.Errorf("ETag %s, version %d", r.Headers200.ETag, after.Version)
			}
		})
	})
}

// members is every member of a PATCH.
var members = []member{
	{
		name: "first_name",
		change: func(t *rapid.T, _ *servertest.Server, u store.User, p *worthclient.UserPatch) {
			p.FirstName = new(nameGen.Filter(unlike(u.FirstName)).Draw(t, "first_name"))
		},
		restore: func(u store.User, p *worthclient.UserPatch) bool { p.FirstName = &u.FirstName; return true },
		shows:   func(u store.User) string { return u.FirstName },
	},
	{
		name: "last_name",
		change: func(t *rapid.T, _ *servertest.Server, u store.User, p *worthclient.UserPatch) {
			p.LastName = new(nameGen.Filter(unlike(u.LastName)).Draw(t, "last_name"))
		},
		restore: func(u store.User, p *worthclient.UserPatch) bool { p.LastName = &u.LastName; return true },
		shows:   func(u store.User) string { return u.LastName },
	},
	{
		name: "email",
		change: func(t *rapid.T, s *servertest.Server, _ store.User, p *worthclient.UserPatch) {
			p.Email = new(s.Unique(storetest.EmailGen().Draw(t, "email"), store.MaxEmailLength))
		},
		restore: func(u store.User, p *worthclient.UserPatch) bool { p.Email = &u.Email; return true },
		shows:   func(u store.User) string { return u.Email },
	},
	{
		name: "mobile",
		change: func(t *rapid.T, _ *servertest.Server, u store.User, p *worthclient.UserPatch) {
			p.Mobile = new(mobileGen.Filter(not(mobileOf(u))).Draw(t, "mobile"))
		},
		restore: func(u store.User, p *worthclient.UserPatch) bool { p.Mobile = new(mobileOf(u)); return true },
		shows:   mobileOf,
	},
	{
		name: "subrole",
		change: func(t *rapid.T, s *servertest.Server, u store.User, p *worthclient.UserPatch) {
			code := rapid.SampledFrom(codes).Filter(not(subroleOf(u))).Draw(t, "subrole")
			role, _ := s.Store.Catalogue().BySubroleCode(code)
			id := role.SubroleUUID.String()
			p.Subrole = rapid.SampledFrom([]*worthclient.SubroleReference{
				{Code: &code}, {ID: &id}, {ID: &id, Code: &code, Label: new("whatever")},
			}).Draw(t, "named by")
		},
		restore: func(u store.User, p *worthclient.UserPatch) bool {
			code := subroleOf(u)
			if code == "" {
				return false
			}
			p.Subrole = &worthclient.SubroleReference{Code: &code}
			return true
		},
		shows: subroleOf,
	},
	{
		name: "status",
		change: func(t *rapid.T, _ *servertest.Server, u store.User, p *worthclient.UserPatch) {
			p.Status = new(rapid.SampledFrom([]worthclient.UserStatus{worthclient.UserStatusActive, worthclient.UserStatusInactive}).
				Filter(not(worthclient.UserStatus(u.Status))).Draw(t, "status"))
		},
		restore: func(u store.User, p *worthclient.UserPatch) bool {
			if u.Status == store.StatusInvited {
				return false
			}
			p.Status = new(worthclient.UserStatus(u.Status))
			return true
		},
		shows: func(u store.User) string { return string(u.Status) },
	},
}

// member is one member of a PATCH, and what the tests do with it.
type member struct {
	name string
	// change sets it in p to something other than u has.
	change func(t *rapid.T, s *servertest.Server, u store.User, p *worthclient.UserPatch)
	// restore sets it in p to what u has, and gives false if a PATCH cannot say that.
	restore func(u store.User, p *worthclient.UserPatch) bool
	// shows is what Worth shows of u under this name.
	shows func(u store.User) string
}

// patchGen generates patches of one member or more of u, some to what u has and some to something else.
func patchGen(s *servertest.Server, u store.User) *rapid.Generator[worthclient.UserPatch] {
	return rapid.Custom(func(t *rapid.T) worthclient.UserPatch {
		var p worthclient.UserPatch
		chosen := rapid.SliceOfNDistinct(rapid.IntRange(0, len(members)-1), 1, len(members), rapid.ID[int]).Draw(t, "members")
		for _, i := range chosen {
			if rapid.IntRange(0, 3).Draw(t, "restore") > 0 || !members[i].restore(u, &p) {
				members[i].change(t, s, u, &p)
			}
		}
		return p
	})
}

var (
	text      = rapid.Rune().Filter(not[rune](0))
	nameGen   = rapid.OneOf(rapid.Just(""), rapid.StringOfN(text, 0, store.MaxNameLength, -1))
	mobileGen = rapid.OneOf(rapid.Just(""), rapid.StringOfN(text, 0, store.MaxMobileLength, -1))
)

func not[T comparable](v T) func(T) bool { return func(w T) bool { return w != v } }

// unlike tells texts apart from s by more than case.
func unlike(s string) func(string) bool {
	return func(other string) bool { return store.Fold(other) != store.Fold(s) }
}

func mobileOf(u store.User) string {
	if u.Mobile == nil {
		return ""
	}
	return *u.Mobile
}

// The roles that have a subrole (1 to 3), the highest first, what each brings with it, and the others.
var (
	codes  = []string{"owner", "cro", "risk_analyst"}
	brings = map[string]store.RoleSet{"owner": store.Roles(1, 2, 3), "cro": store.Roles(2, 3), "risk_analyst": store.Roles(3)}
	others = store.Roles(4, 5, 11, 12)
)

func subroleOf(u store.User) string {
	for i, code := range codes {
		if u.Roles.Has(int64(i + 1)) {
			return code
		}
	}
	return ""
}

// patched is what SEMANTICS.md makes of u and p, for a p that names no e-mail of another's.
func patched(s *servertest.Server, u store.User, p worthclient.UserPatch) store.User {
	if p.FirstName != nil {
		u.FirstName = *p.FirstName
	}
	if p.LastName != nil {
		u.LastName = *p.LastName
	}
	if p.Email != nil {
		if u.Username == u.Email {
			u.Username = *p.Email
		}
		u.EmailVerified = u.EmailVerified && store.SameMailbox(*p.Email, u.Email)
		u.Email = *p.Email
	}
	if p.Mobile != nil {
		if u.Mobile = p.Mobile; *p.Mobile == "" {
			u.Mobile = nil
		}
	}
	if p.Status != nil {
		u.Status = store.Status(*p.Status)
	}
	if p.Subrole != nil {
		code := ""
		for c := range maps.Keys(brings) {
			role, _ := s.Store.Catalogue().BySubroleCode(c)
			if p.Subrole.Code != nil && *p.Subrole.Code == c || p.Subrole.ID != nil && *p.Subrole.ID == role.SubroleUUID.String() {
				code = c
			}
		}
		if code != subroleOf(u) {
			u.Roles = u.Roles.Minus(u.Roles.Minus(others)).Union(brings[code])
		}
	}
	return servertest.Folded(u)
}

// namesOf is what Worth calls the fields in which two users differ.
func namesOf(before, after store.User) []string {
	names := map[store.Field]string{
		store.FieldFirstName: "first_name", store.FieldLastName: "last_name", store.FieldEmail: "email", store.FieldMobile: "mobile",
		store.FieldRoles: "subrole", store.FieldStatus: "status", store.FieldEmailVerified: "is_email_verified",
	}
	all := []string{}
	for _, f := range store.Diff(&before, &after) {
		if f != store.FieldUsername {
			all = append(all, names[f])
		}
	}
	return all
}

// patch sends p, which must be accepted, for the user as it is now, and gives the user as it then is, and
// Dragoman-Changed. Whatever p is, the user must have become what SEMANTICS.md says and nothing else, the answer must
// say so, and the version must have moved on by one exactly if something changed.
func patch(t rapid.TB, s *servertest.Server, sdk *worthclient.ClientWithResponses, before store.User, p worthclient.UserPatch) (store.User, []string) {
	t.Helper()
	r := send(t, sdk, before, p, "")
	if r.StatusCode() != http.StatusOK {
		t.Fatalf("%d %s", r.StatusCode(), r.Body)
	}
	if want := (worthclient.Success{Status: "success", Message: "User details updated successfully"}); *r.JSON200 != want {
		t.Errorf("answer %s", r.Body)
	}
	after := s.FindUser(t, before.ID)
	want := patched(s, before, p)
	changed := namesOf(before, want)
	if told := r.HTTPResponse.Header["Dragoman-Changed"]; !slices.Equal(told, []string{strings.Join(changed, ", ")}) {
		t.Errorf("Dragoman-Changed is %q, not %q", told, changed)
	}
	if r.Headers200.DragomanIgnored != nil {
		t.Errorf("Dragoman-Ignored is %q", *r.Headers200.DragomanIgnored)
	}
	if len(changed) > 0 {
		want.Version++
		want.UpdatedAt, want.UpdatedBy = after.UpdatedAt, &servertest.GraceUUID
		if want.Status != store.StatusInactive {
			want.DeprovisionedAt = nil
		}
	}
	if r.Headers200.ETag != etag(want) {
		t.Errorf("ETag is %s, not %s", r.Headers200.ETag, etag(want))
	}
	if d := servertest.Differences(want, after); len(d) > 0 {
		t.Fatalf("%v differ: want\n%+v, got\n%+v", d, want, after)
	}
	return after, changed
}

// send sends p for u, under If-Match unless that is empty.
func send(t rapid.TB, sdk *worthclient.ClientWithResponses, u store.User, p worthclient.UserPatch, ifMatch string) *worthclient.UpdateCustomerUserResponse {
	t.Helper()
	parameters := &worthclient.UpdateCustomerUserParams{}
	if ifMatch != "" {
		parameters.IfMatch = &ifMatch
	}
	r, err := sdk.UpdateCustomerUserWithResponse(context.Background(), worthclient.CustomerID(servertest.SandboxUUID.String()), worthclient.UserID(u.UUID.String()), parameters, p)
	if err != nil {
		t.Fatalf("patch: %v", err)
	}
	return r
}

func etag(u store.User) string { return fmt.Sprintf("%q", fmt.Sprint(u.Version)) }

// unwritten fails unless the user is stored exactly as it was.
func unwritten(t rapid.TB, s *servertest.Server, before store.User) {
	t.Helper()
	if d := servertest.Differences(before, s.FindUser(t, before.ID)); len(d) > 0 {
		t.Errorf("%v were written", d)
	}
}

// rename gives u another username.
func rename(t rapid.TB, s *servertest.Server, u store.User, username string) store.User {
	t.Helper()
	u, _, err := s.Store.UpdateUser(context.Background(), store.UserByID(u.CustomerID, u.ID), store.Change{
		Edit: func(u *store.User) error { u.Username = username; return nil },
	})
	if err != nil {
		t.Fatalf("rename: %v", err)
	}
	return u
}
