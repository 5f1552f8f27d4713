package directory_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/provisioning"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/google/uuid"
)

const (
	tokensPath = "/directory/v1/customers/3393/provisioning-tokens"
	noCustomer = "There is no such customer."
	noToken    = "The customer has no such token."
	refused    = "A rule of the directory is against the request."
)

// issued is the answer to an issue of a token.
type issued struct {
	Token, ID, Role, Note, CreatedAt, CreatedBy, ExpiresAt string
}

func ask(s *servertest.Server, who auth.Claims, method, path, body string, header ...string) servertest.Answer {
	r := servertest.Request{Method: method, Path: path, Body: body, Header: http.Header{}}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return s.Ask(who, r)
}

// issue issues a token, which must succeed.
func issue(t *testing.T, s *servertest.Server, who auth.Claims, body string, header ...string) issued {
	t.Helper()
	a := ask(s, who, http.MethodPost, tokensPath, body, header...)
	if a.Status != http.StatusCreated {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	a.ExpectHeader(t, "Cache-Control", "no-store")
	var got issued
	a.Decode(t, &got)
	return got
}

// stored gives all tokens that are stored, without the one that servertest stores.
func stored(t *testing.T, s *servertest.Server) []store.ProvisioningToken {
	t.Helper()
	all, err := s.Store.ProvisioningTokens(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(p store.ProvisioningToken) bool { return p.ID == servertest.TokenID })
}

// scim lists the customer's users as a provisioning client.
func scim(s *servertest.Server, token string) servertest.Answer {
	return s.Send(servertest.Request{
		Method: http.MethodGet, Path: "/scim/v2/" + servertest.SandboxUUID.String() + "/Users", Header: http.Header{"Authorization": {"Bearer " + token}},
	})
}

// TestLifeOfProvisioningToken: it is issued, used, listed without itself, and revoked.
func TestLifeOfProvisioningToken(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		grace := who["company administrator"]
		began := time.Now().Truncate(time.Millisecond)
		got := issue(t, s, grace, `{"note":"Okta, production"}`)
		rows := stored(t, s)
		if len(rows) != 1 {
			t.Fatalf("%+v", rows)
		}
		row := rows[0]
		text := func(at time.Time) string { return at.Format(store.TimeLayout) }
		want := issued{got.Token, row.ID.String(), "ROLE_USER", "Okta, production", text(row.CreatedAt), "", text(row.ExpiresAt)}
		if got != want || !provisioning.WellFormed(got.Token) || row.Hash != provisioning.Hash(got.Token) || row.CreatedBy != "grace" {
			t.Errorf("%+v, want %+v of %+v", got, want, row)
		}
		// The two times are of one request, but not the same one.
		if life := row.ExpiresAt.Sub(row.CreatedAt); row.CreatedAt.Before(began) || life.Round(time.Minute) != 365*24*time.Hour {
			t.Errorf("created at %v for %v", row.CreatedAt, life)
		}
		if a := scim(s, got.Token); a.Status != http.StatusOK {
			t.Errorf("a use: %d %s", a.Status, a.Body)
		}
		for path, want := range map[string]int{changes: 401, tokensPath: 401, adaHistory: 401} {
			if a := ask(s, grace, http.MethodGet, path, "", "Authorization", "Bearer "+got.Token); a.Status != want {
				t.Errorf("%s with the token: %d", path, a.Status)
			}
		}
		own := fmt.Sprintf(`{"id":%q,"role":"ROLE_USER","note":"Okta, production","createdAt":%q,"createdBy":"grace","expiresAt":%q,`, got.ID, got.CreatedAt, got.ExpiresAt)
		list := func() string {
			t.Helper()
			a := ask(s, grace, http.MethodGet, tokensPath, "")
			a.ExpectHeader(t, "Cache-Control", "private, no-cache")
			if strings.Contains(a.Body, got.Token) || strings.Contains(a.Body, row.Hash) || a.Status != http.StatusOK {
				t.Errorf("the list is %d %s", a.Status, a.Body)
			}
			return a.Body
		}
		used := stored(t, s)[0].LastUsedAt
		if shown := list(); used == nil || !strings.Contains(shown, own+fmt.Sprintf(`"revokedAt":null,"lastUsedAt":%q}`, text(*used))) || !strings.Contains(shown, `"next":null`) {
			t.Errorf("the list is %s", shown)
		}
		for range 2 {
			a := ask(s, grace, http.MethodDelete, tokensPath+"/"+got.ID, "")
			if a.Status != http.StatusNoContent || a.Body != "" {
				t.Errorf("a revocation: %d %s", a.Status, a.Body)
			}
		}
		revoked := stored(t, s)[0].RevokedAt
		if shown := list(); revoked == nil || !strings.Contains(shown, own+fmt.Sprintf(`"revokedAt":%q,"lastUsedAt":%q}`, text(*revoked), text(*used))) {
			t.Errorf("the list is %s", shown)
		}
	})
}

func TestProvisioningTokensAreForManagersOfTheCustomer(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		elsewhere := store.ProvisioningToken{Hash: "elsewhere", CustomerID: servertest.Elsewhere, Role: "ROLE_USER", ExpiresAt: time.Now().Add(time.Hour)}
		if err := s.Store.CreateProvisioningToken(context.Background(), &elsewhere); err != nil {
			t.Fatal(err)
		}
		callers := maps.Clone(who)
		callers["Worth's without creation"] = auth.Claims{
			Subject: "cro", Customers: []string{"3393"}, Permissions: []auth.Permission{auth.PermissionRead, auth.PermissionWrite}, Expires: time.Hour,
		}
		callers["names the permission"] = auth.Claims{
			Subject: "eve", Customers: []string{"3393"}, Permissions: []auth.Permission{auth.PermissionProvisioning, "*"}, Authorities: []string{"provisioning"}, Expires: time.Hour,
		}
		at := func(customer string) string { return "/directory/v1/customers/" + customer + "/provisioning-tokens" }
		for name, claims := range callers {
			t.Run(name, func(t *testing.T) {
				var mine, theirs, nowhere bool // whether the caller is let in
				switch name {
				case "company administrator", "administrator", "Worth's CRO":
					mine = true
				case "of both customers":
					mine, theirs = true, true
				case "platform administrator":
					mine, theirs, nowhere = true, true, true
				case "stranger":
					theirs = true
				}
				for customer, in := range map[string]bool{"3393": mine, "3394": theirs, "4711": nowhere, "0": nowhere} {
					for _, c := range []struct {
						method, path, body, missing string
						status                      int
					}{
						{http.MethodGet, at(customer), "", noCustomer, http.StatusOK},
						{http.MethodPost, at(customer), `{}`, noCustomer, http.StatusCreated},
						{http.MethodDelete, at(customer) + "/" + uuid.NewString(), "", noToken, http.StatusNotFound},
						// Another customer's token is as one that is nobody's.
						{http.MethodDelete, at(customer) + "/" + map[bool]string{false: elsewhere.ID.String(), true: servertest.TokenID.String()}[customer == "3394"], "", noToken, http.StatusNotFound},
					} {
						a := ask(s, claims, c.method, c.path, c.body)
						switch {
						case !in:
							refuses(t, a, 403, forbidden)
						case customer == "4711" || customer == "0" || c.status == http.StatusNotFound:
							refuses(t, a, 404, c.missing)
						case a.Status != c.status:
							t.Errorf("%s %s: %d %s", c.method, c.path, a.Status, a.Body)
						case c.method == http.MethodGet && strings.Contains(a.Body, elsewhere.ID.String()) != (customer == "3394"):
							t.Errorf("%s shows %s", c.path, a.Body)
						}
					}
				}
			})
		}
		for _, row := range stored(t, s) {
			if row.RevokedAt != nil {
				t.Errorf("revoked: %+v", row)
			}
		}
	})
}

// TestCeilingOfProvisioningToken: nobody manages a token whose role is above the own rank.
func TestCeilingOfProvisioningToken(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		byAdministrator := issue(t, s, who["administrator"], `{"role":"ROLE_ADMIN"}`)
		for caller, highest := range map[string]int{"company administrator": 2, "Worth's CRO": 2, "administrator": 3, "platform administrator": 3} {
			for role, rank := range map[string]int{"ROLE_READ_ONLY": 0, "ROLE_USER": 1, "ROLE_COMPANY_ADMIN": 2, "ROLE_ADMIN": 3} {
				before := len(stored(t, s))
				a := ask(s, who[caller], http.MethodPost, tokensPath, fmt.Sprintf(`{"role":%q}`, role))
				if rank > highest {
					refuses(t, a, 403, forbidden)
				} else if a.Status != http.StatusCreated {
					t.Errorf("%s up to %s: %d %s", caller, role, a.Status, a.Body)
				}
				if after := len(stored(t, s)); after-before != map[bool]int{true: 1}[rank <= highest] {
					t.Errorf("%s up to %s: %d tokens more", caller, role, after-before)
				}
			}
		}
		path := tokensPath + "/" + byAdministrator.ID
		for _, path := range []string{path, "/dry-run" + path} {
			refuses(t, ask(s, who["company administrator"], http.MethodDelete, path, ""), 403, forbidden)
		}
		if a := scim(s, byAdministrator.Token); a.Status != http.StatusOK {
			t.Errorf("a token that somebody may not revoke: %d", a.Status)
		}
		if a := ask(s, who["platform administrator"], http.MethodDelete, path, ""); a.Status != http.StatusNoContent {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	})
}

func TestNewProvisioningTokenIsChecked(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		type told = servertest.FieldError
		at := func(d time.Duration) string { return time.Now().Add(d).Format(time.RFC3339) }
		const noTime = "expiresAt must be a time as RFC 3339 has it, such as 2027-11-30T08:00:00Z"
		year := 365 * 24 * time.Hour
		for body, want := range map[string]struct {
			detail string
			fields []told
		}{
			`{"role":"ROLE_OWNER"}`:  {invalid, []told{{"role", `role is not a role: "ROLE_OWNER"`}}},
			`{"role":""}`:            {invalid, []told{{"role", `role is not a role: ""`}}},
			`{"role":"role_user"}`:   {invalid, []told{{"role", `role is not a role: "role_user"`}}},
			`{"role":null}`:          {invalid, []told{{"role", "role must not be null"}}},
			`{"role":["ROLE_USER"]}`: {invalid, []told{{"role", "role must be a string"}}},
			`{"note":null}`:          {invalid, []told{{"note", "note must not be null"}}},
			`{"note":1}`:             {invalid, []told{{"note", "note must be a string"}}},
			`{"note":"` + strings.Repeat("é", 257) + `"}`:    {invalid, []told{{"note", "note must have at most 256 characters"}}},
			`{"expiresAt":null}`:                             {invalid, []told{{"expiresAt", "expiresAt must not be null"}}},
			`{"expiresAt":1798617600}`:                       {invalid, []told{{"expiresAt", noTime}}},
			`{"expiresAt":""}`:                               {invalid, []told{{"expiresAt", noTime}}},
			`{"expiresAt":"2027-11-30"}`:                     {invalid, []told{{"expiresAt", noTime}}},
			`{"expiresAt":"2027-13-30T08:00:00Z"}`:           {invalid, []told{{"expiresAt", noTime}}},
			`{"expiresAt":"8760h"}`:                          {invalid, []told{{"expiresAt", noTime}}},
			`{"expiresAt":"` + at(-time.Second) + `"}`:       {refused, []told{{"expiresAt", "expiresAt must be in the future, and at most 730 days from now"}}},
			`{"expiresAt":"` + at(2*year+time.Minute) + `"}`: {refused, []told{{"expiresAt", "expiresAt must be in the future, and at most 730 days from now"}}},
			`{"expiresAt":"9999-12-31T23:59:59Z"}`:           {refused, []told{{"expiresAt", "expiresAt must be in the future, and at most 730 days from now"}}},
			`{"expiresAt":"0000-01-01T00:00:00Z"}`:           {refused, []told{{"expiresAt", "expiresAt must be in the future, and at most 730 days from now"}}},
			`{"role":"x","note":false,"expiresAt":"x"}`:      {invalid, []told{{"expiresAt", noTime}, {"note", "note must be a string"}, {"role", `role is not a role: "x"`}}},
			`[]`: {invalid, []told{{"", "the body must be an object"}}},
		} {
			for _, path := range []string{tokensPath, "/dry-run" + tokensPath} {
				a := ask(s, who["company administrator"], http.MethodPost, path, body)
				if !t.Run(path+body, func(t *testing.T) { refuses(t, a, 400, want.detail, want.fields...) }) {
					t.Log(a.Body)
				}
			}
		}
		for header, status := range map[string]int{"Content-Type: text/plain": 415, "Content-Encoding: gzip": 415, "If-Match: \"1\"": 412, "If-None-Match: *": 412, "If-Match: x": 400} {
			name, value, _ := strings.Cut(header, ": ")
			if a := ask(s, who["company administrator"], http.MethodPost, tokensPath, `{}`, name, value); a.Status != status {
				t.Errorf("%s: %d %s", header, a.Status, a.Body)
			}
		}
		for _, id := range []string{"x", "1", strings.ToUpper(servertest.TokenID.String()) + "0"} {
			refuses(t, ask(s, who["company administrator"], http.MethodDelete, tokensPath+"/"+id, ""), 400, invalid, told{"tokenId", "tokenId must be a UUID"})
		}
		strict := ask(s, who["company administrator"], http.MethodPost, tokensPath, `{"scopes":[]}`, "Prefer", "handling=strict")
		refuses(t, strict, 400, invalid, told{"scopes", "scopes would be ignored"})
		if rows := stored(t, s); len(rows) != 0 {
			t.Errorf("%+v", rows)
		}
		a := ask(s, who["company administrator"], http.MethodPost, tokensPath, `{"scopes":[],"note":"`+strings.Repeat("é", 256)+`","expiresAt":"`+at(2*year-time.Hour)+`"}`)
		if a.Status != http.StatusCreated {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		a.ExpectHeader(t, "Dragoman-Ignored", "scopes")
	})
}

// TestDryRunOfProvisioningTokens answers as the real request would be, and changes nothing.
func TestDryRunOfProvisioningTokens(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		grace := who["company administrator"]
		a := ask(s, grace, http.MethodPost, "/dry-run"+tokensPath, `{"note":"tried","role":"ROLE_COMPANY_ADMIN"}`, "Idempotency-Key", "k")
		var got issued
		a.Decode(t, &got)
		if a.Status != http.StatusCreated || !provisioning.WellFormed(got.Token) || got.Note != "tried" || got.Role != "ROLE_COMPANY_ADMIN" {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		a.ExpectHeader(t, "Dragoman-Dry-Run", "true")
		a.ExpectHeader(t, "Cache-Control", "no-store")
		if a := scim(s, got.Token); a.Status != http.StatusUnauthorized {
			t.Errorf("the token of a dry run: %d", a.Status)
		}
		real := issue(t, s, grace, `{}`, "Idempotency-Key", "k") // a dry run takes no key
		if a := ask(s, grace, http.MethodDelete, "/dry-run"+tokensPath+"/"+real.ID, ""); a.Status != http.StatusNoContent {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		refuses(t, ask(s, grace, http.MethodDelete, "/dry-run"+tokensPath+"/"+got.ID, ""), 404, noToken)
		if rows := stored(t, s); len(rows) != 1 || rows[0].RevokedAt != nil {
			t.Errorf("%+v", rows)
		}
	})
}

// TestRepeatedIssueOfProvisioningToken: under an Idempotency-Key one token is issued, and shown to its caller alone.
func TestRepeatedIssueOfProvisioningToken(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		root := who["administrator"]
		post := func(claims auth.Claims, body string) servertest.Answer {
			return ask(s, claims, http.MethodPost, tokensPath, body, "Idempotency-Key", "once")
		}
		first := post(root, `{"note":"n"}`)
		if first.Status != http.StatusCreated {
			t.Fatalf("%d %s", first.Status, first.Body)
		}
		for range 2 {
			again := post(root, `{"note":"n"}`)
			if again.Status != first.Status || again.Body != first.Body {
				t.Errorf("again: %d %s, first %s", again.Status, again.Body, first.Body)
			}
			again.ExpectHeader(t, "Idempotency-Replayed", "true")
			again.ExpectHeader(t, "Cache-Control", "no-store")
			if strings.Contains(again.Body, root.Subject) {
				t.Errorf("what is kept names the caller, who may have to be erased: %s", again.Body)
			}
		}
		if rows := stored(t, s); len(rows) != 1 {
			t.Errorf("%+v", rows)
		}
		refuses(t, post(root, `{"note":"m"}`), 422, "The Idempotency-Key is that of another request.")
		lower := root
		lower.Authorities = []string{"ROLE_COMPANY_ADMIN"}
		refuses(t, post(lower, `{"note":"n"}`), 403, forbidden)
		other := post(who["company administrator"], `{"note":"n"}`)
		other.ExpectHeader(t, "Idempotency-Replayed")
		if rows := stored(t, s); other.Status != http.StatusCreated || len(rows) != 2 {
			t.Errorf("another caller: %d %s, %d tokens", other.Status, other.Body, len(rows))
		}
		// Many at once.
		answers := make(chan servertest.Answer)
		for range 8 {
			go func() { answers <- ask(s, root, http.MethodPost, tokensPath, `{}`, "Idempotency-Key", "many") }()
		}
		bodies := map[string]bool{}
		for range 8 {
			bodies[(<-answers).Body] = true
		}
		if rows := stored(t, s); len(bodies) != 1 || len(rows) != 3 {
			t.Errorf("%d answers, %d tokens", len(bodies), len(rows))
		}
	})
}

func TestProvisioningTokensAreListedInPages(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		grace := who["company administrator"]
		want := []string{servertest.TokenID.String()}
		for range 4 {
			want = append(want, issue(t, s, grace, `{}`).ID)
		}
		var got []string
		for path := tokensPath + "?limit=2"; ; {
			a := ask(s, grace, http.MethodGet, path, "")
			var page struct {
				Tokens []issued
				Next   *string
			}
			a.Decode(t, &page)
			for _, token := range page.Tokens {
				got = append(got, token.ID)
			}
			if page.Next == nil {
				break
			}
			path = tokensPath + "?limit=2&after=" + *page.Next
		}
		// Those of one millisecond are in the order of their ids.
		slices.Sort(got[1:])
		slices.Sort(want[1:])
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		type told = servertest.FieldError
		for query, field := range map[string]told{
			"?after=" + uuid.NewString(): {"after", "after must be the next of an earlier answer"},
			"?after=x":                   {"after", "after must be a UUID"},
			"?limit=0":                   {"limit", "limit must be at least 1"},
			"?limit=1001":                {"limit", "limit must be at most 1000"},
			"?from=1":                    {"from", "from is not a parameter, the nearest is after"},
		} {
			a := ask(s, grace, http.MethodGet, tokensPath+query, "")
			if a.Status != http.StatusBadRequest || !strings.Contains(a.Body, fmt.Sprintf(`"field":%q`, field[0])) {
				t.Errorf("%s: %d %s", query, a.Status, a.Body)
			}
		}
	})
}

func TestCustomerHasABoundedNumberOfProvisioningTokens(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		for i := range store.MaxProvisioningTokens - 1 {
			row := store.ProvisioningToken{Hash: fmt.Sprint(i), CustomerID: servertest.Sandbox, Role: "ROLE_USER", ExpiresAt: time.Now().Add(time.Hour)}
			if err := s.Store.CreateProvisioningToken(context.Background(), &row); err != nil {
				t.Fatal(err)
			}
		}
		for _, path := range []string{tokensPath, "/dry-run" + tokensPath} {
			for _, key := range []string{"", "k"} {
				header := []string{"Idempotency-Key", key}
				if key == "" {
					header = nil
				}
				refuses(t, ask(s, who["administrator"], http.MethodPost, path, `{}`, header...), 400, refused,
					servertest.FieldError{"id", "id must have fewer than 100 valid tokens: revoke some"})
			}
		}
		if a := ask(s, who["administrator"], http.MethodDelete, tokensPath+"/"+servertest.TokenID.String(), ""); a.Status != http.StatusNoContent {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		issue(t, s, who["administrator"], `{}`)
	})
}

// TestSuspendedCallersManageNoTokens: who is a user of the directory and not active reads, and writes nothing.
func TestSuspendedCallersManageNoTokens(t *testing.T) {
	t.Parallel()
	servertest.EachWith(t, server.Config{}, func(t *testing.T, s *servertest.Server) {
		_, _, err := s.Store.UpdateUser(context.Background(), store.UserByID(servertest.Sandbox, servertest.Ada), store.Change{Edit: func(u *store.User) error {
			u.Status = store.StatusInactive
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		ada := who["company administrator"]
		ada.UserID = &servertest.AdaUUID
		refuses(t, ask(s, ada, http.MethodPost, tokensPath, `{}`), 403, forbidden)
		refuses(t, ask(s, ada, http.MethodDelete, tokensPath+"/"+servertest.TokenID.String(), ""), 403, forbidden)
		if a := ask(s, ada, http.MethodGet, tokensPath, ""); a.Status != http.StatusOK {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	})
}
