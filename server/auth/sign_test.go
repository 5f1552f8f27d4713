package auth_test

import (
	"encoding/base64"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/store"
)

// claimsOf returns the payload of a token as it was signed.
func claimsOf(t testing.TB, token string) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSign(t *testing.T) {
	at := time.Unix(1773500966, 999_000_000)
	for _, test := range []struct {
		name   string
		claims auth.Claims
		want   string
	}{
		{"the least", auth.Claims{Subject: "ada", Expires: time.Hour}, `{"exp":1773504566,"iat":1773500966,"sub":"ada"}`},
		{
			"everything",
			auth.Claims{
				Subject: "ada", UserID: &ada, Customers: []string{"3393", sandbox.UUID.String(), "9223372036854775807"},
				Permissions: []auth.Permission{auth.PermissionWrite}, Authorities: []string{"ROLE_USER"},
				Issuer: "https://id.example.com", Audience: "dragoman", Expires: time.Second,
			},
			`{"aud":"dragoman","authorities":["ROLE_USER"],"custom:id":"94520740-d63c-4e02-85ca-c4e138801e73",` +
				`"customer_id":[3393,"2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1",9223372036854775807],"exp":1773500967,"iat":1773500966,` +
				`"iss":"https://id.example.com","permissions":["customer_user:write"],"sub":"ada"}`,
		},
		{
			"empty lists",
			auth.Claims{Subject: "ada", Customers: []string{}, Permissions: []auth.Permission{}, Authorities: []string{}, Expires: time.Hour},
			`{"authorities":[],"customer_id":[],"exp":1773504566,"iat":1773500966,"permissions":[],"sub":"ada"}`,
		},
		{
			"all customers",
			auth.Claims{Subject: "ada", Customers: []string{"*"}, Expires: time.Hour},
			`{"customer_id":"*","exp":1773504566,"iat":1773500966,"sub":"ada"}`,
		},
		{
			"other names",
			auth.Claims{Subject: "ada", UserID: &ada, Customers: []string{}, Expires: time.Hour, Rules: auth.Rules{UserID: "uid", Customers: auth.Claim{Name: "tenants"}}},
			`{"exp":1773504566,"iat":1773500966,"sub":"ada","tenants":[],"uid":"94520740-d63c-4e02-85ca-c4e138801e73"}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			token, err := auth.Sign(secret, test.claims, at)
			if err != nil {
				t.Fatal(err)
			}
			if got := claimsOf(t, token); got != test.want {
				t.Errorf("claims\n%s, want\n%s", got, test.want)
			}
		})
	}
}

func TestSignRefusesInvalidClaims(t *testing.T) {
	good := auth.Claims{Subject: "ada", Expires: time.Hour}
	if _, err := auth.Sign([]byte("canary"), good, now); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("short secret: %v", err)
	}
	if _, err := auth.Sign(pkix(issuerKeys().p256.Public()), good, now); err == nil {
		t.Error("a PEM file is a secret")
	}
	for name, claims := range map[string]auth.Claims{
		"no subject":         {Expires: time.Hour},
		"a long subject":     {Subject: strings.Repeat("a", 256), Expires: time.Hour},
		"U+0000":             {Subject: "a\x00", Expires: time.Hour},
		"no expiry":          {Subject: "ada"},
		"too short":          {Subject: "ada", Expires: time.Second - 1},
		"negative":           {Subject: "ada", Expires: -time.Hour},
		"* beside a form":    {Subject: "ada", Expires: time.Hour, Customers: []string{"*"}, Rules: auth.Rules{Customers: auth.Claim{Form: auth.FormList}}},
		"* beside a pointer": {Subject: "ada", Expires: time.Hour, Customers: []string{"*"}, Rules: auth.Rules{Customers: auth.Claim{Name: "/a"}}},
	} {
		if token, err := auth.Sign(secret, claims, now); err == nil || token != "" {
			t.Errorf("%s: signed", name)
		}
	}
	for _, customer := range []string{"", "0", "-1", "+1", "x", "3393.0", "*", "**", "* ", "9223372036854775808", uuid.Nil.String(), "94520740d63c4e0285cac4e138801e73"} {
		claims := good
		claims.Customers = []string{"3393", customer}
		if token, err := auth.Sign(secret, claims, now); err == nil || token != "" {
			t.Errorf("customer %q: signed", customer)
		}
	}
}

// TestSignVerifyRoundTrip checks that Verify returns the principal that Sign was given.
func TestSignVerifyRoundTrip(t *testing.T) {
	p := policy(t)
	ids := rapid.Int64Range(1, 1<<62)
	uuids := rapid.Custom(func(t *rapid.T) uuid.UUID {
		return uuid.UUID(rapid.SliceOfN(rapid.ByteRange(1, 255), 16, 16).Draw(t, "uuid"))
	})
	permissions := []auth.Permission{auth.PermissionRead, auth.PermissionWrite, auth.PermissionCreate}
	rapid.Check(t, func(r *rapid.T) {
		named := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) store.Customer {
			return store.Customer{ID: ids.Draw(t, "id"), UUID: uuids.Draw(t, "uuid")}
		}), 0, 4).Draw(r, "named")
		foreign := store.Customer{ID: ids.Draw(r, "foreign id"), UUID: uuids.Draw(r, "foreign uuid")}
		claims := auth.Claims{
			Subject:   rapid.StringMatching(`[^\x00]{1,20}`).Draw(r, "subject"),
			Customers: []string{},
			Expires:   time.Duration(rapid.Int64Range(int64(time.Second), int64(time.Hour)).Draw(r, "expires")),
		}
		for _, c := range named {
			claims.Customers = append(claims.Customers, rapid.SampledFrom([]string{strconv.FormatInt(c.ID, 10), c.UUID.String()}).Draw(r, "named by"))
		}
		claims.Permissions = rapid.SliceOfDistinct(rapid.SampledFrom(permissions), rapid.ID).Draw(r, "permissions")
		if rapid.Bool().Draw(r, "with authorities") {
			claims.Authorities = rapid.SliceOf(rapid.SampledFrom(roleNames())).Draw(r, "authorities")
		}
		if rapid.Bool().Draw(r, "with a user id") {
			id := uuids.Draw(r, "user id")
			claims.UserID = &id
		}

		token, err := auth.Sign(secret, claims, now)
		if err != nil {
			r.Fatal(err)
		}
		pr, err := newVerifier(t, auth.Config{Issuers: []auth.Issuer{{Secret: secret}}}).Verify([]string{"bearer " + token})
		if err != nil {
			r.Fatal(err)
		}
		if pr.Subject != claims.Subject {
			r.Fatalf("subject %q", pr.Subject)
		}
		if claims.UserID != nil && *pr.Actor() != *claims.UserID {
			r.Fatalf("actor %v", pr.Actor())
		}
		for _, c := range named {
			if !p.Covers(pr, c) {
				r.Fatalf("does not cover %v", c)
			}
		}
		isNamed := false
		for _, c := range named {
			isNamed = isNamed || c.ID == foreign.ID || c.UUID == foreign.UUID
		}
		if !isNamed && p.Covers(pr, foreign) {
			r.Fatalf("covers %v", foreign)
		}
		wantRank, all := 0, false
		for _, name := range claims.Authorities {
			wantRank = max(wantRank, ranks[name])
			all = all || ranks[name] >= 2
		}
		for _, perm := range permissions {
			want := all
			for _, has := range claims.Permissions {
				want = want || has == perm
				if claims.Authorities == nil && has == auth.PermissionWrite {
					wantRank = 2
				}
			}
			if p.Permits(pr, perm) != want {
				r.Fatalf("permits %s: %v", perm, !want)
			}
		}
		if got := p.Rank(pr); got != wantRank {
			r.Fatalf("rank %d, want %d", got, wantRank)
		}
	})
}
