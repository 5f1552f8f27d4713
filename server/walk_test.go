package server_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
	"github.com/golang-jwt/jwt/v5"
)

// The walk goes over every operation of every document that the server mounts, so that no new one can be forgotten: what it
// cannot ask for lack of a value for a parameter fails it.

// step is one operation that the walk asks.
type step struct {
	description.Operation
	dialect    description.API
	name       string
	permission auth.Permission
	request    servertest.Request // about Ada
}

// walk gives all operations of all documents, first as dry runs and then as themselves.
func walk(t testing.TB, s *store.Store) []step {
	t.Helper()
	return walkOf(t, s, servertest.Dialects())
}

// walkOf gives all operations of some dialects.
func walkOf(t testing.TB, s *store.Store, spoken []server.Dialect) []step {
	t.Helper()
	dialects, err := server.Mounted(s, spoken)
	if err != nil {
		t.Fatal(err)
	}
	var steps []step
	for _, d := range dialects {
		for _, o := range d.OperationsOf(d.Document) {
			r := servertest.Request{Method: o.Method}
			r.Path, r.Header = o.About(servertest.AdaSubject)
			if strings.Contains(r.Path, "{") {
				t.Fatalf("the description of %s does not say how to write %s", d.Name, r.Path)
			}
			if o.RequestBody != nil {
				r.Header.Set("Content-Type", "application/json")
				r.Body = "{}"
				if tenancyOf(o) == byBody {
					r.Body = servertest.Encode(t, d.Everything(o.OperationID, "walk"))
				}
			}
			if o.Method == http.MethodDelete {
				r.Header.Set("If-Match", `"0"`) // what is refused for the caller's sake is not deleted for another reason
			}
			steps = append(steps, step{o, d.API, d.Name + "/" + o.OperationID, d.Permissions[o.OperationID], r})
			o.Path, r.Path = dialect.DryRunPath+o.Path, dialect.DryRunPath+r.Path
			steps = append(steps, step{o, d.API, "a dry run of " + d.Name + "/" + o.OperationID, d.Permissions[o.OperationID], r})
		}
	}
	if len(steps) == 0 {
		t.Fatal("there is nothing to walk")
	}
	slices.SortFunc(steps, func(a, b step) int { return strings.Compare(a.name, b.name) })
	return steps
}

// tenancy is how a request says whose something is.
type tenancy int

const (
	byPath          tenancy = iota // its path names the customer
	byThing                        // its path names what is a customer's
	byBody                         // its body may name the customer
	acrossCustomers                // it is about all customers of the caller's
)

func tenancyOf(o description.Operation) tenancy {
	other := servertest.AdaSubject
	other.Customer, other.CustomerUUID = elsewhere.id, elsewhere.uuid
	switch {
	case differs(o, servertest.AdaSubject, other):
		return byPath
	case differs(o, servertest.AdaSubject, of(elsewhere, ada)):
		return byThing
	case o.RequestBody != nil:
		return byBody
	}
	return acrossCustomers
}

// shown gives a text of the answer by which something of the sandbox's is shown, for an operation across customers.
func (p step) shown(t testing.TB) string {
	t.Helper()
	b, _ := p.dialect.Answer(p.OperationID)
	i := slices.IndexFunc(b.Members, func(m description.Member) bool {
		return m.Field == "CustomerID" || strings.HasSuffix(m.Field, ".CustomerID")
	})
	if i < 0 {
		t.Fatalf("%s is about no one customer, and the description names no member of its answer that says whose something is", p.name)
	}
	path := b.Members[i].Path
	return fmt.Sprintf("%q:%d", path[strings.LastIndex(path, ".")+1:], servertest.Sandbox)
}

// party is a user or a customer, by its ids.
type party struct {
	id      int64
	uuid    string
	webhook int64 // a customer's
}

var (
	sandbox   = party{servertest.Sandbox, servertest.SandboxUUID.String(), servertest.Webhook}
	elsewhere = party{servertest.Elsewhere, servertest.ElsewhereUUID.String(), servertest.ElsewhereWebhook}
	ada       = party{servertest.Ada, servertest.AdaUUID.String(), 0}
	alan      = party{servertest.Alan, servertest.AlanUUID.String(), 0} // of Elsewhere
	nobody    = party{noLong, noUUID, noLong}                           // as a user and as a customer
)

// of is a request about a user of a customer.
func of(customer, user party) description.Subject {
	return description.Subject{Customer: customer.id, CustomerUUID: customer.uuid, User: user.id, UserUUID: user.uuid, Company: servertest.Company,
		Token: servertest.TokenID.String(), Webhook: customer.webhook}
}

// raised gives the claims of the same caller as the platform's administrator, if the operation is for those only.
func (p step) raised(claims auth.Claims) auth.Claims {
	if p.permission == auth.PermissionErase {
		claims.Customers, claims.Authorities = []string{auth.AllCustomers}, []string{"ROLE_ADMIN"}
	}
	return claims
}

// raise is raised for claims as a token has them.
func (p step) raise(claims jwt.MapClaims) {
	if raised := p.raised(auth.Claims{}); len(raised.Customers) > 0 {
		claims["customer_id"], claims["authorities"] = raised.Customers[0], raised.Authorities
	}
}

// send asks the operation with these Authorization headers.
func (p step) send(s *servertest.Server, authorization ...string) servertest.Answer {
	r := p.request
	r.Header = maps.Clone(r.Header)
	if len(authorization) > 0 {
		r.Header["Authorization"] = authorization
	}
	return s.Send(r)
}

// walkKeys are the issuer's key, and another's.
var walkKeys = sync.OnceValues(func() (ours, others *rsa.PrivateKey) {
	var err error
	if ours, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		panic(err)
	}
	if others, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		panic(err)
	}
	return ours, others
})

const (
	walkIssuer   = "https://id.example.com"
	walkAudience = "dragoman"
	walkKid      = "the issuer's key"
)

// walkRules accept the issuer's tokens.
func walkRules() auth.Rules {
	return auth.Rules{Issuer: walkIssuer, Audiences: []string{walkAudience}}
}

// walkPEM is the issuer's public key as a file.
func walkPEM(t testing.TB) []byte {
	t.Helper()
	ours, _ := walkKeys()
	der, err := x509.MarshalPKIXPublicKey(&ours.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// walkKeySet is a JWK Set of one key.
func walkKeySet(kid string, key *rsa.PublicKey) string {
	text := base64.RawURLEncoding.EncodeToString
	return fmt.Sprintf(`{"keys":[{"kty":"RSA","use":"sig","alg":"RS256","kid":%q,"n":%q,"e":%q}]}`,
		kid, text(key.N.Bytes()), text(big.NewInt(int64(key.E)).Bytes()))
}

// walkToken signs the claims of a caller who may do everything in the sandbox, changed by change, which may be nil.
func walkToken(t testing.TB, method jwt.SigningMethod, key any, change func(*jwt.Token, jwt.MapClaims)) string {
	t.Helper()
	claims := jwt.MapClaims{
		"iss": walkIssuer, "aud": walkAudience, "sub": servertest.GraceUUID.String(), "exp": walkStart.Add(2 * time.Hour).Unix(),
		"customer_id": 3393, "authorities": []string{"ROLE_COMPANY_ADMIN"},
		"permissions": []auth.Permission{auth.PermissionRead, auth.PermissionWrite, auth.PermissionCreate},
	}
	token := jwt.NewWithClaims(method, claims)
	token.Header["kid"] = walkKid
	if change != nil {
		change(token, claims)
	}
	unsigned, err := token.SigningString()
	if err != nil {
		t.Fatal(err)
	}
	of := walkSigned{unsigned: unsigned}
	of.key, _ = key.(*rsa.PrivateKey)
	if text, ok := walkTokens.Load(of); ok && of.key != nil {
		return text.(string)
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	if of.key != nil {
		walkTokens.Store(of, text)
	}
	return text
}

// walkSigned identifies a token that an RSA key signed: by the key, and by its header, which names the algorithm, and its claims.
type walkSigned struct {
	key      *rsa.PrivateKey
	unsigned string
}

// walkTokens caches the text of each walkSigned. Signing them for every operation took a tenth of this package's tests.
var walkTokens sync.Map

// walkStart is what the times of tokens are relative to, so that tokens with the same claims are equal.
var walkStart = time.Now()

func TestOperationRefusals(t *testing.T) {
	t.Parallel()
	ours, _ := walkKeys()
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, walkKeySet(walkKid, &ours.PublicKey))
	}))
	t.Cleanup(keys.Close)
	for name, i := range map[string]auth.Issuer{
		"key file": {PublicKeyPEM: walkPEM(t), Rules: walkRules()},
		"key set":  {JWKSURL: keys.URL, Rules: walkRules()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := servertest.StartWith(t, server.Config{Auth: auth.Config{Issuers: []auth.Issuer{i}}})
			for _, p := range walk(t, s.Store) {
				t.Run(p.name, func(t *testing.T) {
					p.refusesStrangers(t, s)
					p.refusesTheUnauthorized(t, s)
				})
			}
			for _, id := range []int64{servertest.Ada, servertest.Grace} {
				if u := s.FindUser(t, id); u.Version != 1 {
					t.Errorf("a refused request was written: %+v", u)
				}
			}
		})
	}
}

// refusesStrangers holds that a caller whom no good token vouches for is refused with 401.
func (p step) refusesStrangers(t *testing.T, s *servertest.Server) {
	ours, others := walkKeys()
	rs256 := func(change func(*jwt.Token, jwt.MapClaims)) string {
		return "Bearer " + walkToken(t, jwt.SigningMethodRS256, ours, func(token *jwt.Token, c jwt.MapClaims) {
			p.raise(c)
			if change != nil {
				change(token, c)
			}
		})
	}
	hs256 := func(secret []byte) string { return "Bearer " + walkToken(t, jwt.SigningMethodHS256, secret, nil) }
	set := func(claim string, value any) string {
		return rs256(func(_ *jwt.Token, c jwt.MapClaims) { c[claim] = value })
	}
	without := func(claim string) string { return rs256(func(_ *jwt.Token, c jwt.MapClaims) { delete(c, claim) }) }
	file := walkPEM(t)
	block, _ := pem.Decode(file)
	good := rs256(nil)

	// Otherwise it would be no wonder that the others are refused. Without a success it is always refused.
	success, _ := description.Success(p.Operation.Operation)
	if a := p.send(s, good); success != 0 && a.Status/100 != 2 && a.Status != http.StatusBadRequest && a.Status != http.StatusPreconditionFailed {
		t.Fatalf("a good token: %d %s", a.Status, a.Body)
	}
	for name, authorization := range map[string][]string{
		"no token":                    nil,
		"empty":                       {""},
		"garbage":                     {"Bearer garbage"},
		"garbage in three parts":      {"Bearer a.b.c"},
		"another scheme":              {"Basic Z3JhY2U6aG9wcGVy"},
		"two tokens":                  {good, good},
		"alg none":                    {"Bearer " + walkToken(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil)},
		"signature cut off":           {good[:strings.LastIndex(good, ".")+1]},
		"HS256 with the key file":     {hs256(file)},
		"HS256 with its trimmed text": {hs256(bytes.TrimSpace(file))},
		"HS256 with its DER":          {hs256(block.Bytes)},
		"HS256 with the modulus":      {hs256(ours.N.Bytes())},
		"HS256 with the key set":      {hs256([]byte(walkKeySet(walkKid, &ours.PublicKey)))},
		"HS256 with a known secret":   {hs256(servertest.Secret)},
		"HS256 with nothing":          {hs256([]byte{})},
		"wrong key":                   {"Bearer " + walkToken(t, jwt.SigningMethodRS256, others, nil)},
		"another algorithm":           {"Bearer " + walkToken(t, jwt.SigningMethodPS256, ours, nil)},
		"wrong issuer":                {set("iss", "https://id.example.org")},
		"no issuer":                   {without("iss")},
		"wrong audience":              {set("aud", "parrot")},
		"no audience":                 {without("aud")},
		"expired":                     {set("exp", walkStart.Add(-time.Minute).Unix())},
		"never expiring":              {without("exp")},
		"not yet valid":               {set("nbf", walkStart.Add(time.Hour).Unix())},
		"issued in the future":        {set("iat", walkStart.Add(time.Hour).Unix())},
		"nobody's":                    {without("sub")},
	} {
		a := p.send(s, authorization...)
		if a.Status != http.StatusUnauthorized || !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s: %d %s, want 401 with a challenge", name, a.Status, a.Body)
		}
	}
}

// refusesTheUnauthorized holds that a caller who is known is refused with 403 what its token does not allow.
func (p step) refusesTheUnauthorized(t testing.TB, s *servertest.Server) {
	ours, _ := walkKeys()
	send := func(change func(jwt.MapClaims)) servertest.Answer {
		return p.send(s, "Bearer "+walkToken(t, jwt.SigningMethodRS256, ours, func(_ *jwt.Token, c jwt.MapClaims) {
			p.raise(c)
			change(c)
		}))
	}
	others := []auth.Permission{auth.PermissionRead, auth.PermissionWrite, auth.PermissionCreate, auth.PermissionHistory, auth.PermissionProvisioning, auth.PermissionWebhooks, "customer_user:*"}
	others = slices.DeleteFunc(others, func(o auth.Permission) bool { return o == p.permission })
	for name, change := range map[string]func(jwt.MapClaims){
		"no permission": func(c jwt.MapClaims) { delete(c, "permissions"); delete(c, "authorities") },
		"other permissions": func(c jwt.MapClaims) {
			c["permissions"], c["authorities"] = others, []string{"ROLE_USER", "ROLE_CHANGE_USER"}
		},
		"the wrong claim": func(c jwt.MapClaims) { c["permissions"], c["authorities"] = "ROLE_ADMIN", p.permission },
		"another letter": func(c jwt.MapClaims) {
			c["permissions"], c["authorities"] = strings.ToUpper(string(p.permission)), "role_admin"
		},
		"the platform, none": func(c jwt.MapClaims) { c["customer_id"] = "*"; delete(c, "permissions"); delete(c, "authorities") },
	} {
		if a := send(change); a.Status != http.StatusForbidden {
			t.Errorf("%s: %d %s, want 403", name, a.Status, a.Body)
		}
	}
	for name, change := range map[string]func(jwt.MapClaims){
		"foreign customer":                 func(c jwt.MapClaims) { c["customer_id"] = 3394 },
		"foreign customer's administrator": func(c jwt.MapClaims) { c["customer_id"], c["authorities"] = 3394, "ROLE_ADMIN" },
		"foreign customer by its UUID":     func(c jwt.MapClaims) { c["customer_id"] = servertest.ElsewhereUUID },
		"customer that is none":            func(c jwt.MapClaims) { c["customer_id"] = 4711 },
		"no customer":                      func(c jwt.MapClaims) { c["customer_id"], c["authorities"] = []int{}, "ROLE_ADMIN" },
		"no claim of customers":            func(c jwt.MapClaims) { delete(c, "customer_id") },
	} {
		a := send(change)
		tenancy, want := tenancyOf(p.Operation), http.StatusForbidden
		if strings.HasPrefix(name, "no c") {
			tenancy = byPath // a token of no customer is for nothing
		}
		switch tenancy {
		case byThing:
			want = http.StatusNotFound
		case acrossCustomers:
			want = http.StatusOK
			if shown := p.shown(t); strings.Contains(a.Body, shown) {
				t.Errorf("%s: %d %s, want nothing of the sandbox", name, a.Status, a.Body)
			}
		}
		if a.Status != want {
			t.Errorf("%s: %d %s, want %d", name, a.Status, a.Body, want)
		}
	}
	if tenancyOf(p.Operation) == acrossCustomers {
		if a, shown := send(func(jwt.MapClaims) {}), p.shown(t); !strings.Contains(a.Body, shown) {
			t.Errorf("its own customer: %s, want %s", a.Body, shown)
		}
	}
}

// TestOperationsWithoutKeys holds that as long as the issuer's keys cannot be had, a token that may be good is told to come
// again, and none is let in.
func TestOperationsWithoutKeys(t *testing.T) {
	t.Parallel()
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	s := servertest.StartWith(t, server.Config{Auth: auth.Config{Issuers: []auth.Issuer{{JWKSURL: down.URL, Rules: walkRules()}}}})
	ours, _ := walkKeys()
	for _, p := range walk(t, s.Store) {
		t.Run(p.name, func(t *testing.T) {
			a := p.send(s, "Bearer "+walkToken(t, jwt.SigningMethodRS256, ours, nil))
			if a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
				t.Errorf("a token: %d %s, want 503 with Retry-After", a.Status, a.Body)
			}
			if a := p.send(s); a.Status != http.StatusUnauthorized {
				t.Errorf("no token: %d %s, want 401", a.Status, a.Body)
			}
		})
	}
	if a := s.Send(servertest.Request{Method: http.MethodGet, Path: "/readyz"}); a.Status != http.StatusServiceUnavailable {
		t.Errorf("the server says that it is ready: %d %s", a.Status, a.Body)
	}
}

// TestKeyRotation holds that a new key of the issuer's is good at once, without a restart, and that the old one is
// not once it is gone.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	ours, others := walkKeys()
	var published atomic.Value
	published.Store(walkKeySet("old", &others.PublicKey))
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, published.Load()) }))
	t.Cleanup(keys.Close)
	s := servertest.StartWith(t, server.Config{Auth: auth.Config{Issuers: []auth.Issuer{{JWKSURL: keys.URL, JWKSRefresh: time.Second, Rules: walkRules()}}}})
	steps := walk(t, s.Store)
	holds := func(when, kid string, key *rsa.PrivateKey, good bool) {
		t.Helper()
		for _, p := range steps {
			a := p.send(s, "Bearer "+walkToken(t, jwt.SigningMethodRS256, key, func(token *jwt.Token, _ jwt.MapClaims) { token.Header["kid"] = kid }))
			if (a.Status == http.StatusUnauthorized) == good {
				t.Errorf("%s, %s: %d %s", when, p.name, a.Status, a.Body)
			}
		}
	}
	holds("the old key", "old", others, true)
	published.Store(walkKeySet("new", &ours.PublicKey))
	holds("the new key", "new", ours, true)
	// The old key is gone once two readings in a row did not have it.
	old := "Bearer " + walkToken(t, jwt.SigningMethodRS256, others, func(token *jwt.Token, _ jwt.MapClaims) { token.Header["kid"] = "old" })
	for deadline := time.Now().Add(waitLimit); steps[0].send(s, old).Status != http.StatusUnauthorized; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the old key stays good")
		}
	}
	holds("the old key, now gone", "old", others, false)
	holds("the old key by the new one's name", "new", others, false)
}

// openRoutes are the paths that anybody may GET: whether the server is up, and what it speaks.
var openRoutes = func() []string {
	all := []string{
		"/", "/livez", "/readyz", "/openapi", "/.well-known/api-catalog", "/docs", "/docs/explorer.js", "/docs/explorer.css",
		"/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/docs/LICENSE", "/docs/NOTICE", "/docs/swagger-ui-bundle.js.LICENSE.txt",
		"/docs/guide", "/docs/guide.css",
	}
	for _, d := range server.Dialects() {
		all = append(all, "/openapi/"+d.Name+".yaml", "/openapi/"+d.Name+".json", "/docs/"+d.Name)
	}
	return all
}()

var routeParameter = regexp.MustCompile(`:([^/]+)`)

// TestRoutesAreOperations holds that the router knows no way in that no document has, and so the walk has not been.
func TestRoutesAreOperations(t *testing.T) {
	t.Parallel()
	s, err := server.New(context.Background(), server.Config{
		Database: "sqlite:" + t.TempDir() + "/dragoman.db", SecretKey: storetest.Key, Auth: auth.Config{Issuers: []auth.Issuer{{Secret: servertest.Secret}}}, Log: slog.New(slog.DiscardHandler), Docs: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	dialects, err := server.Mounted(s.Store(), server.Dialects())
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, path := range openRoutes {
		known["GET "+strings.TrimSuffix(path, "/")], known["HEAD "+strings.TrimSuffix(path, "/")] = false, false
	}
	for _, d := range dialects {
		for path, item := range d.Document.Paths.Map() {
			for method := range item.Operations() {
				for _, served := range d.Document.Servers {
					known[operationName(served.URL, method, path)] = false
					if method == http.MethodGet {
						known[operationName(served.URL, http.MethodHead, path)] = false
					}
				}
			}
		}
	}
	for _, r := range s.Routes() {
		if strings.HasPrefix(r.Path, "/docs/guide/") {
			continue // a page for each file of the guide
		}
		name := r.Method + " " + strings.TrimSuffix(routeParameter.ReplaceAllString(r.Path, "{$1}"), "/")
		if _, ok := known[name]; !ok && r.Method != "echo_route_not_found" {
			t.Errorf("no document has %s", name)
		}
		known[name] = true
	}
	for name, served := range known {
		if !served {
			t.Errorf("nothing serves %s", name)
		}
	}
}

func operationName(base, method, path string) string {
	return method + " " + strings.TrimSuffix(base+path, "/")
}
