package testinium_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

// adaPath is Ada's.
const adaPath = "/account/api/v1/customers/3393/users/6860"

const putDescription = "The request was malformed or contained errors."

func putInvalidAt(path string, fields ...servertest.FieldError) string {
	return servertest.TestiniumError(400, "INVALID_REQUEST", putDescription, path, fields...)
}

func putInvalid(fields ...servertest.FieldError) string { return putInvalidAt(adaPath, fields...) }

func putForbidden(path string) string {
	return servertest.TestiniumError(403, "ACCESS_DENIED", "The user lacks permission to update this information.", path)
}

func putNotFound(path string) string {
	return servertest.TestiniumError(404, "USER_NOT_FOUND", "No user was found for the specified `userId`.", path)
}

// nine is the documented call's body, of Ada as she is, with members replaced or added: a name, and its value as JSON, or
// "" for a member to leave out.
func nine(with ...[2]string) string {
	members := [][2]string{
		{"name", `"Ada"`}, {"surname", `"Lovelace"`}, {"username", `"adalovelace"`}, {"email", `"ada.lovelace@example.com"`},
		{"enabled", "true"}, {"accountNonExpired", "true"}, {"accountNonLocked", "true"}, {"credentialNonExpired", "true"},
		{"authorities", `[{"name":"ROLE_USER"}]`},
	}
	for _, w := range with {
		if i := slices.IndexFunc(members, func(m [2]string) bool { return m[0] == w[0] }); i >= 0 {
			members[i] = w
		} else {
			members = append(members, w)
		}
	}
	var all []string
	for _, m := range members {
		if m[1] != "" {
			all = append(all, fmt.Sprintf("%q:%s", m[0], m[1]))
		}
	}
	return "{" + strings.Join(all, ",") + "}"
}

// sendPut sends body as it stands, without a Content-Type.
func sendPut(s *servertest.Server, who auth.Claims, path, body string) servertest.Answer {
	return s.Ask(who, servertest.Request{Method: http.MethodPut, Path: path, Body: body})
}

// userObject is what the answer shows of u, all 21 members of it.
func userObject(u store.User, authorities string) string {
	return fmt.Sprintf(`{"userType":null,"verificationToken":null,"resetPasswordToken":null,"entityId":%d,"name":%q,"surname":%q,`+
		`"username":%q,"email":%q,"password":null,"newPassword":null,"accessToken":%q,"companyName":null,"enabled":%t,`+
		`"accountNonExpired":%t,"accountNonLocked":%t,"credentialNonExpired":%t,"createdDate":%d,"customer":%d,`+
		`"lastPasswordResetDate":null,"authorities":%s,"vcsPassword":null}`,
		u.ID, u.FirstName, u.LastName, u.Username, u.Email, u.AccessToken, u.Status == store.StatusActive,
		u.AccountNonExpired, u.AccountNonLocked, u.CredentialNonExpired, u.CreatedAt.UnixMilli(), u.CustomerID, authorities)
}

// documentedCall is the body of the vendor's curl call, to the byte.
const documentedCall = `{"name":"Ada","surname":"Lovelace","username":"adalovelace","email":"ada.lovelace@example.com","enabled":false,` +
	`"accountNonExpired":true,"accountNonLocked":true,"credentialNonExpired":true,` +
	`"authorities":[{"entityId":2,"name":"ROLE_USER","cleanName":"ROLE USER"}]}`

func TestDocumentedCallWorks(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for i, contentType := range [][]string{nil, {"application/x-www-form-urlencoded"}} {
			a := s.Ask(servertest.Manager(), servertest.Request{
				Method: http.MethodPut, Path: adaPath, Header: http.Header{"Content-Type": contentType, "X-Request-Id": {"req-1"}}, Body: documentedCall,
			})
			u := s.FindUser(t, servertest.Ada)
			if u.Status != store.StatusInactive {
				t.Errorf("stored %+v", u)
			}
			// The role's id is this service's, whatever came in.
			a.Expect(t, 200, userObject(u, `[{"entityId":3,"name":"ROLE_USER","cleanName":null}]`))
			a.ExpectHeader(t, "Content-Type", "application/json")
			a.ExpectHeader(t, "ETag", `"2"`)
			a.ExpectHeader(t, "Cache-Control", "private, no-cache")
			a.ExpectHeader(t, "Dragoman-Changed", []string{"enabled", ""}[i])
			a.ExpectHeader(t, "Dragoman-Ignored")
			a.ExpectHeader(t, "Preference-Applied")
			a.ExpectHeader(t, "X-Request-Id", "req-1")
		}
	})
}

func TestDocumentedBodyWorks(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		a := s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodPut, Path: adaPath, Header: http.Header{"Content-Type": {"application/json"}}, Body: `{
			"userType": null, "verificationToken": null, "resetPasswordToken": null, "entityId": 6860,
			"name": "Ada", "surname": "Lovelace", "username": "adalovelace", "email": "ada.lovelace@example.com",
			"password": null, "newPassword": null, "accessToken": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "companyName": null,
			"enabled": false, "accountNonExpired": true, "accountNonLocked": true, "credentialNonExpired": true,
			"createdDate": 1738809864000, "customer": 3393, "lastPasswordResetDate": null,
			"authorities": [{"entityId": 2, "name": "ROLE_USER", "cleanName": "ROLE USER", "checked": true, "disabled": true}],
			"vcsPassword": null
		}`})
		a.Expect(t, 200, userObject(s.FindUser(t, servertest.Ada), `[{"entityId":3,"name":"ROLE_USER","cleanName":null}]`))
		a.ExpectHeader(t, "Dragoman-Changed", "enabled")
		a.ExpectHeader(t, "Dragoman-Ignored", "accessToken, createdDate")
	})
}

func TestPutOfInvisibleCharacters(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		body := func(username, email string) string {
			return `{"name":"Ada","surname":"King","username":"` + username + `","email":"` + email + `","enabled":true,` +
				`"accountNonExpired":true,"accountNonLocked":true,"credentialNonExpired":true,"authorities":[]}`
		}
		a := sendPut(s, servertest.Manager(), adaPath, body("ad\u200bmin", "ad\u00admin@example.com"))
		for _, member := range []string{"username", "email"} {
			if a.Status != 400 || !strings.Contains(string(a.Body), member+" must not contain invisible characters") {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		}
		sendPut(s, servertest.Manager(), adaPath, body("max", "max@straße.example"))
		if s.FindUser(t, servertest.Ada).EmailVerified {
			t.Error("another e-mail is verified")
		}
	})
}

func TestPutReplacesWhatItNames(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		a := sendPut(s, servertest.Manager(), adaPath, `{"name":"","surname":"<King> & \"Noel\"","username":"Countess","email":"Countess@example.com","enabled":true,`+
			`"accountNonExpired":false,"accountNonLocked":false,"credentialNonExpired":false,"authorities":[],"vcsPassword":"vcs-secret"}`)
		u := s.FindUser(t, servertest.Ada)
		if u.FirstName != "" || u.LastName != `<King> & "Noel"` || u.Username != "Countess" || u.Email != "Countess@example.com" || u.Roles != 0 ||
			u.AccountNonExpired || u.AccountNonLocked || u.CredentialNonExpired || u.VCSPassword == nil || *u.VCSPassword != "vcs-secret" || u.EmailVerified {
			t.Errorf("stored %+v", u)
		}
		if u.UpdatedBy == nil || *u.UpdatedBy != servertest.GraceUUID {
			t.Errorf("written by %v", u.UpdatedBy)
		}
		u.LastName = "King"
		a.Body = strings.Replace(a.Body, `\u003cKing\u003e \u0026 \"Noel\"`, "King", 1)
		a.Expect(t, 200, userObject(u, `[]`))
		a.ExpectHeader(t, "Dragoman-Changed",
			"name, surname, username, email, authorities, accountNonExpired, accountNonLocked, credentialNonExpired, vcsPassword")
	})
}

func TestPutKeepsMobile(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		a := s.Ask(servertest.Manager(), servertest.Request{
			Method: http.MethodPatch,
			Path:   "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users/94520740-d63c-4e02-85ca-c4e138801e73",
			Body:   `{"mobile":"+44 20 7946 0000"}`,
		})
		if a.Status != 200 {
			t.Fatal(a.Body)
		}
		if a := sendPut(s, servertest.Manager(), adaPath, nine([2]string{"name", `"Augusta"`})); a.Status != 200 {
			t.Fatal(a.Body)
		}
		if u := s.FindUser(t, servertest.Ada); u.FirstName != "Augusta" || u.Mobile == nil || *u.Mobile != "+44 20 7946 0000" {
			t.Errorf("stored %+v", u)
		}
	})
}

var required = []string{"accountNonExpired", "accountNonLocked", "authorities", "credentialNonExpired", "email", "enabled", "name", "surname", "username"}

func TestPutWithoutARequiredMemberIsRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	var all []servertest.FieldError
	for _, name := range required {
		missing := servertest.FieldError{name, name + " is required"}
		sendPut(s, servertest.Manager(), adaPath, nine([2]string{name, ""})).Expect(t, 400, putInvalid(missing))
		all = append(all, missing)
	}
	sendPut(s, servertest.Manager(), adaPath, `{}`).Expect(t, 400, putInvalid(all...))
	sendPut(s, servertest.Manager(), adaPath, `{"nickname":1}`).Expect(t, 400, putInvalid(all...))
	sendPut(s, servertest.Manager(), adaPath, nine([2]string{"email", ""}, [2]string{"Email", `"a@b"`})).
		Expect(t, 400, putInvalid(servertest.FieldError{"email", "email is required"}))
}

func TestPutNullIsRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	var all []servertest.FieldError
	var nulls [][2]string
	for _, name := range required {
		null := servertest.FieldError{name, name + " must not be null"}
		sendPut(s, servertest.Manager(), adaPath, nine([2]string{name, "null"})).Expect(t, 400, putInvalid(null))
		all, nulls = append(all, null), append(nulls, [2]string{name, "null"})
	}
	sendPut(s, servertest.Manager(), adaPath, nine(nulls...)).Expect(t, 400, putInvalid(all...))
}

func TestPutOfWrongTypeIsRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	long := func(n int) string { return `"` + strings.Repeat("é", n) + `"` }
	for _, c := range []struct {
		with [2]string
		want string
	}{
		{[2]string{"name", "1"}, "name must be a string"},
		{[2]string{"surname", "{}"}, "surname must be a string"},
		{[2]string{"name", long(256)}, "name must have at most 255 characters"},
		{[2]string{"surname", long(256)}, "surname must have at most 255 characters"},
		{[2]string{"username", long(255)}, "username must have at most 254 characters"},
		{[2]string{"username", `""`}, "username must not be empty"},
		{[2]string{"username", `"ada lovelace"`}, "username must have no white space"},
		{[2]string{"username", `" ada"`}, "username must have no white space"},
		{[2]string{"username", `"ada\n"`}, "username must have no white space"},
		{[2]string{"username", `"ada\u00a0lovelace"`}, "username must have no white space"},
		{[2]string{"username", `"ada\u2003lovelace"`}, "username must have no white space"},
		{[2]string{"username", `"ada\u0085"`}, "username must have no white space"},
		{[2]string{"username", "null"}, "username must not be null"},
		{[2]string{"email", `""`}, "email must be an e-mail address"},
		{[2]string{"email", `"ada"`}, "email must be an e-mail address"},
		{[2]string{"email", `"` + strings.Repeat("a", 243) + `@example.com"`}, "email must have at most 254 characters"},
		{[2]string{"enabled", `"true"`}, "enabled must be true or false"},
		{[2]string{"enabled", "1"}, "enabled must be true or false"},
		{[2]string{"accountNonExpired", "0"}, "accountNonExpired must be true or false"},
		{[2]string{"accountNonLocked", `""`}, "accountNonLocked must be true or false"},
		{[2]string{"credentialNonExpired", "[]"}, "credentialNonExpired must be true or false"},
		{[2]string{"authorities", `"ROLE_USER"`}, "authorities must be an array"},
		{[2]string{"authorities", `{"name":"ROLE_USER"}`}, "authorities must be an array"},
		{[2]string{"password", "1"}, "password must be a string"},
		{[2]string{"newPassword", "1"}, "newPassword must be a string"},
		{[2]string{"newPassword", "false"}, "newPassword must be a string"},
		{[2]string{"vcsPassword", "{}"}, "vcsPassword must be a string"},
		{[2]string{"vcsPassword", long(1025)}, "vcsPassword must have at most 1024 characters"},
	} {
		t.Run(c.want, func(t *testing.T) {
			sendPut(s, servertest.Manager(), adaPath, nine(c.with)).Expect(t, 400, putInvalid(servertest.FieldError{c.with[0], c.want}))
		})
	}
	// Just within the bounds.
	a := sendPut(s, servertest.Manager(), adaPath, nine([2]string{"name", long(255)}, [2]string{"surname", long(255)},
		[2]string{"username", `"a` + strings.Repeat("é", 253) + `"`}, [2]string{"email", `"` + strings.Repeat("a", 242) + `@example.com"`},
		[2]string{"vcsPassword", long(1024)}))
	if a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

func TestPutReportsAllBodyErrors(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	body := nine(
		[2]string{"name", ""}, [2]string{"surname", "null"}, [2]string{"username", `"a b"`}, [2]string{"email", "7"}, [2]string{"enabled", `"no"`},
		[2]string{"authorities", `[{"name":"ROLE_EMPEROR"},{"name":"ROLE_USER"},{"entityId":3},{"name":null},7]`},
		[2]string{"entityId", "6861"}, [2]string{"customer", `"3393"`}, [2]string{"newPassword", `"abc"`}, [2]string{"password", "1"}, [2]string{"nickname", `"Countess"`})
	want := []servertest.FieldError{
		{"authorities.0.name", `authorities.0.name is not a role: "ROLE_EMPEROR"`},
		{"authorities.2.name", "authorities.2.name is required"},
		{"authorities.3.name", "authorities.3.name must not be null"},
		{"authorities.4", "authorities.4 must be an object"},
		{"customer", "customer must be an integer"},
		{"email", "email must be a string"},
		{"enabled", "enabled must be true or false"},
		{"entityId", "entityId must be null or the path's userId"},
		{"name", "name is required"},
		{"newPassword", "newPassword must have 8 to 128 characters, an upper-case letter and an ASCII symbol"},
		{"password", "password must be a string"},
		{"surname", "surname must not be null"},
		{"username", "username must have no white space"},
	}
	sendPut(s, servertest.Manager(), adaPath, body).Expect(t, 400, putInvalid(want...))

	// Handled strictly, with what would be ignored.
	a := s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodPut, Path: adaPath, Header: http.Header{"Prefer": {"handling=strict"}}, Body: body})
	a.Expect(t, 400, putInvalid(slices.Insert(want, 10, servertest.FieldError{"nickname", "nickname would be ignored"})...))
	a.ExpectHeader(t, "Preference-Applied", "handling=strict")
}

func TestPutIDsMustBeThePaths(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, id := range []struct{ name, path, own string }{{"entityId", "userId", "6860"}, {"customer", "id", "3393"}} {
		integer := servertest.FieldError{id.name, id.name + " must be an integer"}
		equal := servertest.FieldError{id.name, id.name + " must be null or the path's " + id.path}
		for value, want := range map[string][]servertest.FieldError{
			"null": nil, id.own: nil, id.own + ".0": nil, id.own + ".000": nil, id.own + "e0": nil, id.own + "0e-1": nil, "0." + id.own + "E+4": nil,
			"0": {equal}, "-" + id.own: {equal}, "7001": {equal}, "3394": {equal}, id.own + "e1": {equal},
			"9007199254740993": {equal}, "9007199254740993.0": {equal}, "1e18": {equal}, "9223372036854775807": {equal}, "-9223372036854775808": {equal},
			id.own + ".5": {integer}, id.own + ".0000000000000000001": {integer}, "1e400": {integer}, "-1e400": {integer}, "1e-400": {integer},
			"9223372036854775808": {integer}, "-9223372036854775809": {integer}, "1e19": {integer}, "18446744073709558476": {integer},
			`"` + id.own + `"`: {integer}, `""`: {integer}, "true": {integer}, "[" + id.own + "]": {integer}, "{}": {integer},
		} {
			a := sendPut(s, servertest.Manager(), adaPath, nine([2]string{id.name, value}))
			if want != nil {
				a.Expect(t, 400, putInvalid(want...))
			} else if a.Status != 200 || a.Header.Get("Dragoman-Changed") != "" {
				t.Errorf("%s %s: the answer is %d %s", id.name, value, a.Status, a.Body)
			}
		}
	}
}

var owned = []string{"accessToken", "companyName", "createdDate", "lastPasswordResetDate", "resetPasswordToken", "userType", "verificationToken"}

func TestPutIgnoresServerOwnedMembers(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		before := s.FindUser(t, servertest.Ada)
		for _, values := range []struct{ text, date string }{{`"x"`, "1"}, {`""`, "-1"}, {`"null"`, "9007199254740991"}, {`"` + strings.Repeat("é", 1000) + `"`, "1e3"}} {
			var with [][2]string
			for _, name := range owned {
				value := values.text
				if strings.HasSuffix(name, "Date") {
					value = values.date
				}
				with = append(with, [2]string{name, value})
			}
			a := sendPut(s, servertest.Manager(), adaPath, nine(with...))
			a.Expect(t, 200, userObject(before, `[{"entityId":3,"name":"ROLE_USER","cleanName":null}]`))
			a.ExpectHeader(t, "Dragoman-Changed", "")
			a.ExpectHeader(t, "Dragoman-Ignored", strings.Join(owned, ", "))
		}
		if d := servertest.Differences(before, s.FindUser(t, servertest.Ada)); len(d) > 0 {
			t.Errorf("changed %v", d)
		}
	})
}

func TestPutIgnoresShownReadOnlyMembers(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	u := s.FindUser(t, servertest.Ada)
	created := fmt.Sprint(u.CreatedAt.UnixMilli())
	for _, with := range [][][2]string{
		{{"accessToken", `"` + u.AccessToken + `"`}, {"createdDate", created}, {"lastPasswordResetDate", "null"}, {"userType", "null"}, {"companyName", "null"}},
		{{"companyName", `"Sandbox"`}, {"createdDate", created + ".0"}},
		{{"verificationToken", "null"}, {"resetPasswordToken", "null"}, {"password", "null"}, {"newPassword", "null"}, {"vcsPassword", "null"}},
		{{"authorities", `[{"entityId":99,"name":"ROLE_USER","cleanName":"x","checked":true,"disabled":false}]`}},
		{{"accessToken", "null"}, {"companyName", "null"}, {"createdDate", "null"}, {"authorities", `[{"entityId":null,"name":"ROLE_USER","checked":null,"disabled":null}]`}},
	} {
		r := servertest.Request{Method: http.MethodPut, Path: adaPath, Header: http.Header{"Prefer": {"handling=strict"}}, Body: nine(with...)}
		a := s.Ask(servertest.Manager(), r)
		if a.Status != 200 {
			t.Errorf("%v: %d %s", with, a.Status, a.Body)
		}
		a.ExpectHeader(t, "Dragoman-Ignored")
		a.ExpectHeader(t, "Dragoman-Changed", "")
		a.ExpectHeader(t, "Preference-Applied", "handling=strict")
	}
}

func TestPutStrictHandling(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	strict := func(with ...[2]string) servertest.Answer {
		return s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodPut, Path: adaPath, Header: http.Header{"Prefer": {"handling=strict"}}, Body: nine(with...)})
	}
	for _, c := range []struct {
		with [][2]string
		want []servertest.FieldError
	}{
		{[][2]string{{"accessToken", `"x"`}}, []servertest.FieldError{{"accessToken", "accessToken would be ignored"}}},
		{[][2]string{{"companyName", `"Sandbox Labs"`}, {"createdDate", "1"}}, []servertest.FieldError{
			{"companyName", "companyName would be ignored"}, {"createdDate", "createdDate would be ignored"}}},
		{[][2]string{{"createdDate", "1"}, {"email", `"grace.hopper@example.com"`}}, []servertest.FieldError{
			{"createdDate", "createdDate would be ignored"}, {"email", "email is already taken by another user"}}},
		{[][2]string{{"Name", `"x"`}, {"authorities", `[{"name":"ROLE_USER","rank":1}]`}}, []servertest.FieldError{
			{"Name", "Name would be ignored"}, {"authorities.0.rank", "authorities.0.rank would be ignored"}}},
	} {
		a := strict(c.with...)
		a.Expect(t, 400, putInvalid(c.want...))
		a.ExpectHeader(t, "Preference-Applied", "handling=strict")
	}
	if u := s.FindUser(t, servertest.Ada); u.Version != 1 {
		t.Errorf("a refused request was written: %+v", u)
	}
}

func TestPutEnablesAndDisables(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for _, c := range []struct {
			present store.Status
			enabled bool
			want    store.Status
		}{
			{store.StatusInvited, false, store.StatusInvited},
			{store.StatusInvited, true, store.StatusActive},
			{store.StatusActive, false, store.StatusInactive},
			{store.StatusActive, true, store.StatusActive},
			{store.StatusInactive, false, store.StatusInactive},
			{store.StatusInactive, true, store.StatusActive},
		} {
			u := s.CreateUser(t, store.User{Username: "u", Email: "u@example.com", Status: c.present})
			body := nine([2]string{"username", fmt.Sprintf("%q", u.Username)}, [2]string{"email", fmt.Sprintf("%q", u.Email)}, [2]string{"enabled", fmt.Sprint(c.enabled)})
			a := sendPut(s, servertest.Manager(), fmt.Sprintf("/account/api/v1/customers/3393/users/%d", u.ID), body)
			if got := s.FindUser(t, u.ID).Status; a.Status != 200 || got != c.want {
				t.Errorf("%s, enabled %t: %d, %s, want %s", c.present, c.enabled, a.Status, got, c.want)
			}
		}
	})
}

func TestPutVCSPassword(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for _, c := range []struct{ value, changed, want string }{
			{`""`, "", ""}, {"null", "", ""}, {`"first"`, "vcsPassword", "first"}, {"", "", "first"}, {"null", "", "first"}, {`"first"`, "", "first"},
			{`"zweites Geheimnis"`, "vcsPassword", "zweites Geheimnis"}, {`""`, "vcsPassword", ""}, {`""`, "", ""},
		} {
			a := sendPut(s, servertest.Manager(), adaPath, nine([2]string{"vcsPassword", c.value}))
			u := s.FindUser(t, servertest.Ada)
			a.Expect(t, 200, userObject(u, `[{"entityId":3,"name":"ROLE_USER","cleanName":null}]`))
			a.ExpectHeader(t, "Dragoman-Changed", c.changed)
			if got := u.VCSPassword; got == nil && c.want != "" || got != nil && *got != c.want {
				t.Errorf("%s: stored %v, want %q", c.value, got, c.want)
			}
		}
	})
}

func TestPutReportsAllRuleErrors(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		email := servertest.FieldError{"email", "email is already taken by another user"}
		username := servertest.FieldError{"username", "username is already taken by another user"}
		user := servertest.Manager()
		user.Authorities = []string{"ROLE_USER"}
		for _, c := range []struct {
			who  auth.Claims
			with [][2]string
			want []servertest.FieldError
		}{
			{servertest.Manager(), [][2]string{{"email", `"Grace.Hopper@example.com"`}}, []servertest.FieldError{email}},
			{servertest.Manager(), [][2]string{{"username", `"ALANTURING"`}}, []servertest.FieldError{username}},
			{servertest.Manager(), [][2]string{{"email", `"alan.turing@example.com"`}, {"username", `"gracehopper"`}}, []servertest.FieldError{username, email}},
			{user, [][2]string{{"email", `"alan.turing@example.com"`}, {"username", `"gracehopper"`}, {"newPassword", `"Correct-horse"`}, {"password", `"wrong"`}},
				[]servertest.FieldError{username, email}},
			{user, [][2]string{{"email", `"alan.turing@example.com"`}, {"newPassword", `"Correct-horse"`}},
				[]servertest.FieldError{{"password", "password is required to set a new one"}, email}},
		} {
			sendPut(s, c.who, adaPath, nine(c.with...)).Expect(t, 400, putInvalid(c.want...))
		}
		if u := s.FindUser(t, servertest.Ada); u.Version != 1 {
			t.Errorf("a refused request was written: %+v", u)
		}
	})
}

func TestPutStaleVersionIsRefused(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		under := func(etag, name string) servertest.Answer {
			return s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodPut, Path: adaPath, Header: http.Header{"If-Match": {etag}}, Body: nine([2]string{"name", `"` + name + `"`})})
		}
		under(`"1"`, "Augusta").ExpectHeader(t, "ETag", `"2"`)
		changed := s.FindUser(t, servertest.Ada)
		for name, state := range map[string]string{"Byron": "conflict", "Augusta": "same"} {
			want := servertest.TestiniumError(412, "PRECONDITION_FAILED", "The user's present version is not one that the request's preconditions allow.", adaPath)
			want = strings.TrimSuffix(want, "}") + fmt.Sprintf(`,"changes":[{"field":"name","state":%q,"version":2,"at":%d,"actor":%q,"dialect":"testinium"}]}`,
				state, changed.UpdatedAt.UnixMilli(), changed.UpdatedBy)
			under(`"1"`, name).Expect(t, 412, want)
		}
		under(`"2"`, "Augusta").ExpectHeader(t, "ETag", `"2"`)
		under("*", "Byron").ExpectHeader(t, "ETag", `"3"`)
	})
}

func TestErrorsTellTheServersTime(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1738809864123)
	s := servertest.StartWith(t, server.Config{Now: func() time.Time { return now }})
	a := s.Send(servertest.Request{Method: http.MethodPut, Path: adaPath})
	var e struct{ Timestamp int64 }
	if a.Decode(t, &e); e.Timestamp != 1738809864123 {
		t.Errorf("the timestamp is %d", e.Timestamp)
	}
	a.ExpectHeader(t, "Content-Type", "application/json")
}

func TestErrorPathsUnescaped(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for sent, told := range map[string]string{"%36%38": "68", "x%20y": "x y", "%3Cb%3E": "<b>", "68%2F60": "68/60", "6%22": `6"`, "x?y=1": "x"} {
		path := strings.TrimSuffix(adaPath, "6860") + told
		a := s.Send(servertest.Request{Method: http.MethodPut, Path: strings.TrimSuffix(adaPath, "6860") + sent})
		a.Expect(t, 401, servertest.TestiniumError(401, "UNAUTHORIZED", "Missing or invalid authentication token.", path))
	}
}
