package auth_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/store"
)

// now is the time of the tests' clock.
var now = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

func clock() time.Time { return now }

var secret = randomBytes(32)

// ada is a user's id; sandbox and elsewhere are customers.
var (
	ada       = uuid.MustParse("94520740-d63c-4e02-85ca-c4e138801e73")
	sandbox   = store.Customer{ID: 3393, UUID: uuid.MustParse("2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1"), Name: "Sandbox"}
	elsewhere = store.Customer{ID: 3394, UUID: uuid.MustParse("7d0f9b12-55aa-4a4e-9d7e-0f4c1b2a3d4e"), Name: "Elsewhere"}
)

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// segment encodes one part of a token.
func segment(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// forge returns a token with exactly this header and payload, signed with method and key.
func forge(t testing.TB, method jwt.SigningMethod, key any, header, payload string) string {
	t.Helper()
	text := segment(header) + "." + segment(payload)
	signature, err := method.Sign(text, key)
	if err != nil {
		t.Fatalf("sign: %v", err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// signed returns a token with this payload, signed with the issuer's secret.
func signed(t testing.TB, payload string) string {
	t.Helper()
	return forge(t, jwt.SigningMethodHS256, secret, `{"alg":"HS256","typ":"JWT"}`, payload)
}

// payload returns a JSON object of valid claims and these members, each "name":value as JSON text. Members replace valid claims
// of the same name.
func payload(members ...string) string {
	object := []string{}
	given := strings.Join(members, ",")
	for _, valid := range []string{`"sub":"ada"`, `"exp":` + at(time.Hour)} {
		name, _, _ := strings.Cut(valid, ":")
		if !strings.Contains(given, name+":") {
			object = append(object, valid)
		}
	}
	return "{" + strings.Join(append(object, members...), ",") + "}"
}

// at returns the NumericDate of now plus d.
func at(d time.Duration) string {
	text, _ := json.Marshal(float64(now.Add(d).UnixMilli()) / 1000)
	return string(text)
}

// only returns the configuration of one issuer.
func only(i auth.Issuer) auth.Config { return auth.Config{Issuers: []auth.Issuer{i}} }

// rulesFor returns rules for an issuer and an audience, of which either may be empty.
func rulesFor(issuer, audience string) auth.Rules {
	r := auth.Rules{Issuer: issuer}
	if audience != "" {
		r.Audiences = []string{audience}
	}
	return r
}

func newVerifier(t testing.TB, c auth.Config) *auth.Verifier {
	t.Helper()
	if c.Now == nil {
		c.Now = clock
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	v, err := auth.NewVerifier(c)
	if err != nil {
		t.Fatalf("NewVerifier: %v", err)
	}
	t.Cleanup(v.Close)
	return v
}

// principal returns the principal of a token with these members.
func principal(t testing.TB, members ...string) auth.Principal {
	t.Helper()
	pr, err := newVerifier(t, auth.Config{Issuers: []auth.Issuer{{Secret: secret}}}).Verify([]string{"Bearer " + signed(t, payload(members...))})
	if err != nil {
		t.Fatalf("Verify(%s): %v", payload(members...), err)
	}
	return pr
}

// wantUnauthenticated fails the test unless err is a refusal without any part of the token.
func wantUnauthenticated(t testing.TB, pr auth.Principal, err error, token string) {
	t.Helper()
	if !errors.Is(err, auth.ErrUnauthenticated) {
		t.Fatalf("error %v, want ErrUnauthenticated", err)
	}
	if errors.Is(err, auth.ErrForbidden) {
		t.Errorf("error %v is ErrForbidden too", err)
	}
	if pr.Subject != "" || pr.Actor() != nil {
		t.Errorf("a refused token has a principal")
	}
	for part := range strings.SplitSeq(token, ".") {
		if len(part) >= 4 && strings.Contains(err.Error(), part) {
			t.Errorf("error %q quotes the token", err)
		}
	}
	if strings.Contains(strings.ToLower(err.Error()), "canary") {
		t.Errorf("error %q quotes what the token holds", err)
	}
}

func TestRefusalKinds(t *testing.T) {
	for _, err := range []error{auth.ErrTokenMissing, auth.ErrTokenExpired} {
		if !errors.Is(err, auth.ErrUnauthenticated) || errors.Is(err, auth.ErrForbidden) {
			t.Errorf("%v is not ErrUnauthenticated alone", err)
		}
	}
	var forbidden error = &auth.ForbiddenError{Reason: "rank 0"}
	if !errors.Is(forbidden, auth.ErrForbidden) || errors.Is(forbidden, auth.ErrUnauthenticated) {
		t.Errorf("%v is not ErrForbidden alone", forbidden)
	}
	if forbidden.Error() != "forbidden: rank 0" {
		t.Errorf("text %q", forbidden)
	}
}

func TestParseUUID(t *testing.T) {
	for _, s := range []string{
		"", "ada", "94520740d63c4e0285cac4e138801e73", "{94520740-d63c-4e02-85ca-c4e138801e73}",
		"urn:uuid:94520740-d63c-4e02-85ca-c4e138801e73", "94520740-d63c-4e02-85ca-c4e138801e7", "94520740-d63c-4e02-85ca-c4e138801e733",
		"94520740-d63c-4e02-85ca_c4e138801e73", "g4520740-d63c-4e02-85ca-c4e138801e73", " 4520740-d63c-4e02-85ca-c4e138801e73",
		"94520740-d63c-4e02-85ca-c4e138801e7\n",
	} {
		if id, ok := auth.ParseUUID(s); ok {
			t.Errorf("ParseUUID(%q) = %v", s, id)
		}
	}
	for _, s := range []string{ada.String(), strings.ToUpper(ada.String())} {
		if id, ok := auth.ParseUUID(s); !ok || id != ada {
			t.Errorf("ParseUUID(%q) = %v, %v", s, id, ok)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.StringMatching(`[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}`), rapid.StringN(36, 36, 36)).Draw(t, "s")
		if id, ok := auth.ParseUUID(s); ok && !strings.EqualFold(id.String(), s) {
			t.Fatalf("ParseUUID(%q) = %v", s, id)
		}
	})
}
