package worth_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/gen/worthclient"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

// adaPath is Ada's.
const adaPath = "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users/94520740-d63c-4e02-85ca-c4e138801e73"

const patchSuccess = `{"status":"success","message":"User details updated successfully"}`

var (
	patchForbidden = servertest.WorthError(403, "ERR_FORBIDDEN", "AccessMiddlewareError", "Forbidden")
	patchNotFound  = servertest.WorthError(404, "INVALID", "CustomersApiError", "Customer user does not exist")
	patchTaken     = servertest.WorthError(400, "INVALID", "CustomersApiError", "",
		servertest.FieldError{"email", "Another customer user exists with the same email."})
)

func patchInvalid(fields ...servertest.FieldError) string {
	return servertest.WorthError(400, "INVALID", "ValidationMiddlewareError", "", fields...)
}

// sendPatch sends body as it stands.
func sendPatch(s *servertest.Server, who auth.Claims, path, body string) servertest.Answer {
	return s.Ask(who, servertest.Request{Method: http.MethodPatch, Path: path, Body: body})
}

func TestPatchAnswersAsDocumented(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		a := s.Ask(servertest.Manager(), servertest.Request{
			Method: http.MethodPatch,
			Path:   adaPath,
			Header: http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {"req-1"}},
			Body:   `{"first_name":"Augusta Ada","mobile":"+44 20 7946 0000"}`,
		})
		a.Expect(t, 200, patchSuccess)
		a.ExpectHeader(t, "Content-Type", "application/json; charset=utf-8")
		a.ExpectHeader(t, "ETag", `"2"`)
		a.ExpectHeader(t, "Cache-Control", "private, no-cache")
		a.ExpectHeader(t, "Dragoman-Changed", "first_name, mobile")
		a.ExpectHeader(t, "Dragoman-Ignored")
		a.ExpectHeader(t, "Preference-Applied")
		a.ExpectHeader(t, "X-Request-Id", "req-1")
		u := s.FindUser(t, servertest.Ada)
		if u.FirstName != "Augusta Ada" || u.Mobile == nil || *u.Mobile != "+44 20 7946 0000" || u.LastName != "Lovelace" {
			t.Errorf("stored %+v", u)
		}
		if u.UpdatedBy == nil || *u.UpdatedBy != servertest.GraceUUID || u.Version != 2 {
			t.Errorf("written by %v as version %d", u.UpdatedBy, u.Version)
		}
	})
}

func TestErrorsSayTheirCharset(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, body := range []string{`{}`, `{"email":"grace.hopper@example.com"}`, `{"subrole":{"code":"owner"}}`} {
		a := sendPatch(s, servertest.Manager(), adaPath, body)
		a.ExpectHeader(t, "Content-Type", "application/json; charset=utf-8")
		a.ExpectHeader(t, "ETag")
		a.ExpectHeader(t, "Dragoman-Changed")
	}
}

// TestPatchNullOfAServerOwnedMember: null for a member that answers show and the update does not name means the same as its
// absence, also where nothing else is said. Other values, and null for unknown members, are listed.
func TestPatchNullOfAServerOwnedMember(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		strict := http.Header{"Prefer": {"handling=strict"}}
		nulls := `"id":null,"created_at":null,"company_details":null,"ext_auth_ref_id":null`
		for _, body := range []string{
			`{"first_name":"Ada",` + nulls + `}`,
			`{` + nulls + `,"subrole":{"code":"risk_analyst","role_id":null,"display_name":null,"description":null}}`,
		} {
			a := s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodPatch, Path: adaPath, Header: strict, Body: body})
			a.Expect(t, 200, patchSuccess)
			a.ExpectHeader(t, "Dragoman-Ignored")
		}
		sendPatch(s, servertest.Manager(), adaPath, `{`+nulls+`}`).Expect(t, 400,
			patchInvalid(servertest.FieldError{"", "the body must have at least one member"}))
		a := sendPatch(s, servertest.Manager(), adaPath, `{"first_name":"Ada","id":"x","created_at":1,"Id":null,"subrole.role_id":null}`)
		a.Expect(t, 200, patchSuccess)
		a.ExpectHeader(t, "Dragoman-Ignored", "Id, created_at, id, subrole.role_id")
	})
}

func TestPatchNullIsRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	var all []servertest.FieldError
	for _, name := range []string{"email", "first_name", "last_name", "mobile", "status", "subrole"} {
		null := servertest.FieldError{name, name + " must not be null"}
		sendPatch(s, servertest.Manager(), adaPath, `{"`+name+`":null}`).Expect(t, 400, patchInvalid(null))
		all = append(all, null)
	}
	sendPatch(s, servertest.Manager(), adaPath,
		`{"subrole":null,"status":null,"mobile":null,"last_name":null,"first_name":null,"email":null}`).Expect(t, 400, patchInvalid(all...))
	for _, name := range []string{"id", "code", "label"} {
		sendPatch(s, servertest.Manager(), adaPath, nullIn(name)).
			Expect(t, 400, patchInvalid(servertest.FieldError{"subrole." + name, "subrole." + name + " must not be null"}))
	}
}

// nullIn is a patch of the subrole that is legal but for one null.
func nullIn(name string) string {
	if name == "code" {
		return `{"subrole":{"id":"6351c76f-76a3-4950-9cc4-cc37cdc05ec2","code":null}}`
	}
	return `{"subrole":{"code":"risk_analyst","` + name + `":null}}`
}

func TestPatchOfNothingIsRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	sendPatch(s, servertest.Manager(), adaPath, `{}`).
		Expect(t, 400, patchInvalid(servertest.FieldError{"", "the body must have at least one member"}))
	sendPatch(s, servertest.Manager(), adaPath, `{"nickname":"Countess","First_Name":"Augusta"}`).Expect(t, 400, patchInvalid(
		servertest.FieldError{"First_Name", "First_Name is not a member that can be updated"},
		servertest.FieldError{"nickname", "nickname is not a member that can be updated"}))
	sendPatch(s, servertest.Manager(), adaPath, `{"":1}`).
		Expect(t, 400, patchInvalid(servertest.FieldError{`""`, `"" is not a member that can be updated`}))
	// What a GET shows and a PATCH cannot set is unknown to this operation.
	sendPatch(s, servertest.Manager(), adaPath, `{"id":"94520740-d63c-4e02-85ca-c4e138801e73"}`).
		Expect(t, 400, patchInvalid(servertest.FieldError{"id", "id is not a member that can be updated"}))
}

func TestPatchIgnoresUnknownMembers(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	a := sendPatch(s, servertest.Manager(), adaPath, `{"nickname":"Countess","last_name":"King","subrole":{"code":"risk_analyst","display_name":"x"}}`)
	a.Expect(t, 200, patchSuccess)
	a.ExpectHeader(t, "Dragoman-Changed", "last_name")
	a.ExpectHeader(t, "Dragoman-Ignored", "nickname, subrole.display_name")
}

func TestPatchOfWrongTypeIsRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	long := func(n int) string { return strings.Repeat("é", n) }
	for _, c := range []struct {
		body string
		want []servertest.FieldError
	}{
		{`{"first_name":1}`, []servertest.FieldError{{"first_name", "first_name must be a string"}}},
		{`{"last_name":["Lovelace"]}`, []servertest.FieldError{{"last_name", "last_name must be a string"}}},
		{`{"mobile":442079460000}`, []servertest.FieldError{{"mobile", "mobile must be a string"}}},
		{`{"first_name":"` + long(256) + `"}`, []servertest.FieldError{{"first_name", "first_name must have at most 255 characters"}}},
		{`{"last_name":"` + long(256) + `"}`, []servertest.FieldError{{"last_name", "last_name must have at most 255 characters"}}},
		{`{"mobile":"` + long(65) + `"}`, []servertest.FieldError{{"mobile", "mobile must have at most 64 characters"}}},
		{`{"email":"` + long(250) + `@a.bc"}`, []servertest.FieldError{{"email", "email must have at most 254 characters"}}},
		{`{"status":"INVITED"}`, []servertest.FieldError{{"status", "status must be one of ACTIVE, INACTIVE"}}},
		{`{"status":"active"}`, []servertest.FieldError{{"status", "status must be one of ACTIVE, INACTIVE"}}},
		{`{"status":true}`, []servertest.FieldError{{"status", "status must be one of ACTIVE, INACTIVE"}}},
		{`{"subrole":"cro"}`, []servertest.FieldError{{"subrole", "subrole must be an object"}}},
		{`{"subrole":[]}`, []servertest.FieldError{{"subrole", "subrole must be an object"}}},
		{`{"first_name":1,"email":"ada","status":"","subrole":{"id":2,"code":3},"mobile":null}`, []servertest.FieldError{
			{"email", "email must be an e-mail address"},
			{"first_name", "first_name must be a string"},
			{"mobile", "mobile must not be null"},
			{"status", "status must be one of ACTIVE, INACTIVE"},
			{"subrole.code", "subrole.code must be a string"},
			{"subrole.id", "subrole.id must be a string"},
		}},
		// What the schema says and what it cannot say, in one answer.
		{`{"last_name":null,"subrole":{"code":"emperor"},"email":" "}`, []servertest.FieldError{
			{"email", "email must be an e-mail address"},
			{"last_name", "last_name must not be null"},
			{"subrole.code", "subrole.code is not the code of a subrole"},
		}},
		{`{"first_name":{},"subrole":{"label":1}}`, []servertest.FieldError{
			{"first_name", "first_name must be a string"},
			{"subrole", "subrole must have an id or a code"},
			{"subrole.label", "subrole.label must be a string"},
		}},
	} {
		t.Run(c.body[:min(len(c.body), 40)], func(t *testing.T) {
			sendPatch(s, servertest.Manager(), adaPath, c.body).Expect(t, 400, patchInvalid(c.want...))
		})
	}
}

func TestPatchInvalidEmailIsRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, email := range []string{
		"", "ada", "@example.com", "ada@", "ada@@example.com", "ada@example..com", "ada@-example.com", "ada@example-.com", "ada@.com",
		"ada lovelace@example.com", "ada@exa mple.com", " ada@example.com", "ada@example.com\\n", "ada\u00a0l@example.com", "ada\u3000@example.com",
		"<ada@example.com>", "Ada <ada@example.com>", "ada,grace@example.com", "ada@example_com",
	} {
		sendPatch(s, servertest.Manager(), adaPath, `{"email":"`+email+`"}`).
			Expect(t, 400, patchInvalid(servertest.FieldError{"email", "email must be an e-mail address"}))
	}
	for _, email := range []string{
		"ada@example.com", "a@b", "ada+test@example.com", "ada.lovelace@a-b--c.example", "адa@пример.рф", "😀@例え.jp", "ADA'O@EXAMPLE.COM",
		strings.Repeat("a", 242) + "@example.com",
	} {
		sendPatch(s, servertest.Manager(), adaPath, `{"email":"`+email+`"}`).Expect(t, 200, patchSuccess)
		if got := s.FindUser(t, servertest.Ada).Email; got != email {
			t.Errorf("stored %q, want %q", got, email)
		}
	}
}

func TestPatchTextReachesItsBounds(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		wide, mobile := strings.Repeat("😀", store.MaxNameLength), strings.Repeat("é", store.MaxMobileLength)
		r, err := s.Worth(servertest.Manager()).UpdateCustomerUserWithResponse(context.Background(), worthclient.CustomerID(servertest.SandboxUUID.String()), worthclient.UserID(servertest.AdaUUID.String()), nil,
			worthclient.UserPatch{FirstName: &wide, LastName: new("\t \u2028 "), Mobile: &mobile})
		if err != nil || r.StatusCode() != 200 {
			t.Fatalf("%v, %s", err, r.Body)
		}
		if u := s.FindUser(t, servertest.Ada); u.FirstName != wide || u.LastName != "\t \u2028 " || *u.Mobile != mobile {
			t.Errorf("stored %+v", u)
		}
	})
}

func TestPatchEmptyTextIsLegal(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		sendPatch(s, servertest.Manager(), adaPath, `{"mobile":"1"}`).Expect(t, 200, patchSuccess)
		a := sendPatch(s, servertest.Manager(), adaPath, `{"first_name":"","last_name":"","mobile":""}`)
		a.Expect(t, 200, patchSuccess)
		a.ExpectHeader(t, "Dragoman-Changed", "first_name, last_name, mobile")
		if u := s.FindUser(t, servertest.Ada); u.FirstName != "" || u.LastName != "" || u.Mobile != nil {
			t.Errorf("stored %+v", u)
		}
		a = sendPatch(s, servertest.Manager(), adaPath, `{"mobile":""}`)
		a.ExpectHeader(t, "Dragoman-Changed", "")
	})
}

func TestPatchStatusTouchesNoFlag(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		invited := s.CreateUser(t, store.User{Username: "invited", Email: "invited@example.com", Status: store.StatusInvited, AccountNonLocked: true})
		path := adaPath[:len(adaPath)-36] + invited.UUID.String()
		for _, status := range []store.Status{store.StatusActive, store.StatusInactive, store.StatusActive} {
			a := sendPatch(s, servertest.Manager(), path, `{"status":"`+string(status)+`"}`)
			a.Expect(t, 200, patchSuccess)
			a.ExpectHeader(t, "Dragoman-Changed", "status")
			if u := s.FindUser(t, invited.ID); u.Status != status || u.AccountNonExpired || !u.AccountNonLocked || u.CredentialNonExpired {
				t.Errorf("stored %+v", u)
			}
		}
	})
}

func TestPatchTakenEmailIsRefused(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		// Of the same customer, of another one, and in another case.
		for _, email := range []string{"grace.hopper@example.com", "alan.turing@example.com", "GRACE.Hopper@EXAMPLE.com"} {
			sendPatch(s, servertest.Manager(), adaPath, `{"first_name":"Augusta","email":"`+email+`"}`).Expect(t, 400, patchTaken)
		}
		if u := s.FindUser(t, servertest.Ada); u.Version != 1 {
			t.Errorf("stored %+v", u)
		}
		// A username is no e-mail, and plus-addressed variants are others.
		sendPatch(s, servertest.Manager(), adaPath, `{"email":"grace.hopper+ada@example.com"}`).Expect(t, 200, patchSuccess)
	})
}

func TestPatchEmailChangeBeyondCaseUnverifies(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		a := sendPatch(s, servertest.Manager(), adaPath, `{"email":"Ada.Lovelace@Example.com"}`)
		a.ExpectHeader(t, "Dragoman-Changed", "email")
		if u := s.FindUser(t, servertest.Ada); !u.EmailVerified || u.Email != "Ada.Lovelace@Example.com" {
			t.Errorf("stored %+v", u)
		}
		a = sendPatch(s, servertest.Manager(), adaPath, `{"email":"ada@example.com"}`)
		a.ExpectHeader(t, "Dragoman-Changed", "email, is_email_verified")
		if s.FindUser(t, servertest.Ada).EmailVerified {
			t.Error("the new e-mail counts as verified")
		}
	})
}

func TestPatchOtherMailboxUnverifies(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for from, to := range map[string]string{
			"max@strasse.example": "max@straße.example", "max@bücher.example": "max@xn--bcher-kva.example",
			"kim@example.com": "\u212aim@example.com", "ren\u00e9@example.com": "rene\u0301@example.com", "sam@example.com": "\u017fam@example.com",
		} {
			sendPatch(s, servertest.Manager(), adaPath, `{"email":"`+from+`"}`).Expect(t, 200, patchSuccess)
			if _, _, err := s.Store.UpdateUser(t.Context(), store.UserByID(servertest.Sandbox, servertest.Ada), store.Change{
				Edit: func(u *store.User) error { u.EmailVerified = true; return nil },
			}); err != nil {
				t.Fatal(err)
			}
			a := sendPatch(s, servertest.Manager(), adaPath, `{"email":"`+to+`"}`)
			a.ExpectHeader(t, "Dragoman-Changed", "email, is_email_verified")
		}
	})
}

func TestPatchRefusesInvisibleCharacters(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		a := sendPatch(s, servertest.Manager(), adaPath, `{"email":"ada\u202e@example.com"}`)
		if a.Status != 400 || !strings.Contains(string(a.Body), `"field":"email","message":"email must not contain invisible characters`) {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	})
}

func TestUnchangedPatchWritesNothing(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		before := s.FindUser(t, servertest.Ada)
		a := sendPatch(s, servertest.Manager(), adaPath,
			`{"first_name":"Ada","last_name":"Lovelace","email":"ada.lovelace@example.com","mobile":"","status":"ACTIVE","subrole":{"code":"risk_analyst"}}`)
		a.Expect(t, 200, patchSuccess)
		a.ExpectHeader(t, "ETag", `"1"`)
		a.ExpectHeader(t, "Dragoman-Changed", "")
		if d := servertest.Differences(before, s.FindUser(t, servertest.Ada)); len(d) > 0 {
			t.Errorf("changed %v", d)
		}
	})
}

func TestPatchStaleVersionIsRefused(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		sdk := s.Worth(servertest.Manager())
		patch := func(etag, name string) *worthclient.UpdateCustomerUserResponse {
			r, err := sdk.UpdateCustomerUserWithResponse(context.Background(), worthclient.CustomerID(servertest.SandboxUUID.String()), worthclient.UserID(servertest.AdaUUID.String()),
				&worthclient.UpdateCustomerUserParams{IfMatch: &etag}, worthclient.UserPatch{FirstName: &name})
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		first := patch(`"1"`, "Augusta")
		if first.StatusCode() != 200 || first.Headers200.ETag != `"2"` {
			t.Fatalf("%d %s", first.StatusCode(), first.Body)
		}
		// Even where nothing would change.
		changed := s.FindUser(t, servertest.Ada)
		for name, state := range map[string]string{"Byron": "conflict", "Augusta": "same"} {
			r := patch(`"1"`, name)
			want := servertest.WorthError(412, "PRECONDITION_FAILED", "PreconditionFailedError", "Precondition Failed")
			want = strings.TrimSuffix(want, "}}") + fmt.Sprintf(`,"changes":[{"field":"first_name","state":%q,"version":2,"at":%q,"actor":%q,"dialect":"worth"}]}}`,
				state, changed.UpdatedAt.Format(store.TimeLayout), changed.UpdatedBy)
			servertest.Answer{Status: r.StatusCode(), Body: string(r.Body)}.Expect(t, 412, want)
		}
		if r := patch(first.Headers200.ETag, "Byron"); r.StatusCode() != 200 || r.Headers200.ETag != `"3"` {
			t.Errorf("%d %s", r.StatusCode(), r.Body)
		}
	})
}
