// Package servertest runs tests against a real server over real HTTP, on each engine, and checks every response against the OpenAPI
// document that the server serves. It is for tests only.
package servertest

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/gen/testiniumclient"
	"github.com/dragoman-id/dragoman/gen/worthclient"
	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/dev"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// Secret signs the tests' tokens.
var Secret = []byte("servertest's secret of more than 32 bytes")

// The sandbox's people and customers, as store.SeedSandbox makes them.
const (
	Sandbox   = 3393
	Elsewhere = 3394
	Company   = 5251
	Ada       = 6860
	Grace     = 6861
	Alan      = 7001
)

// The same by their UUIDs.
var (
	SandboxUUID   = uuid.MustParse("2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1")
	ElsewhereUUID = uuid.MustParse("1189b832-9e28-409a-a655-28d9e04eb022")
	AdaUUID       = uuid.MustParse("94520740-d63c-4e02-85ca-c4e138801e73")
	GraceUUID     = uuid.MustParse("0cfecc31-e3f4-4fce-9a27-f36ea6256a10")
	AlanUUID      = uuid.MustParse("8a478ed9-f872-4291-9457-054f8be4c78a")
)

// TokenID is the id of a provisioning token of the sandbox's customer, which [Start] and its like store. Nobody knows the token.
var TokenID = uuid.MustParse("7c9e6679-7425-40de-944b-e07fc1f90ae7")

// Manager is the claims of a caller who may do everything a customer's own administrator may, in the sandbox.
func Manager() auth.Claims { return dev.Administrator(time.Hour) }

// DefaultLedger as the ErasureLedger of a configuration leaves it empty.
const DefaultLedger = "the engine's default"

// Server is a server under test with the sandbox in its directory.
type Server struct {
	URL     string // http://127.0.0.1:port
	Store   *store.Store
	HTTP    *http.Client // checks every answer
	Handler http.Handler // answers without the network, and what it answers is not checked
	Admin   http.Handler // the admin listener's
	t       testing.TB
	// database is the URL of the directory.
	database string
	// secret signs the tokens that the server takes.
	secret []byte
	names  atomic.Int64 // how many Unique has given
}

// Each runs f against a server of its own on each engine, in parallel, as storetest.Each does.
func Each(t *testing.T, f func(t *testing.T, s *Server)) {
	t.Helper()
	EachWith(t, server.Config{}, f)
}

// EachWith is Each with a configuration of the test's own. What it leaves empty is filled in.
func EachWith(t *testing.T, c server.Config, f func(t *testing.T, s *Server)) {
	t.Helper()
	storetest.EachURL(t, func(t *testing.T, url string) {
		c := c
		c.Database = url
		f(t, start(t, c))
	})
}

// Start runs a server on SQLite, for tests of what the engine has no part in.
func Start(t testing.TB) *Server {
	t.Helper()
	return StartWith(t, server.Config{})
}

// StartWith is Start with a configuration of the test's own. What it leaves empty is filled in.
func StartWith(t testing.TB, c server.Config) *Server {
	t.Helper()
	if c.Database == "" {
		c.Database = storetest.SQLiteURL(t)
	}
	return start(t, c)
}

func start(t testing.TB, c server.Config) *Server {
	t.Helper()
	c.SecretKey = storetest.Key
	if len(c.Auth.Issuers) == 0 {
		c.Auth.Issuers = []auth.Issuer{{Secret: Secret}}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Passwords == nil {
		c.Passwords = auth.NewCheapPasswords()
	}
	if c.Dialects == nil {
		c.Dialects = Dialects()
	}
	switch c.ErasureLedger {
	case "":
		c.ErasureLedger = t.TempDir() + "/erasures"
	case DefaultLedger:
		c.ErasureLedger = ""
	}
	s, err := server.New(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Directory(t, s.Store())
	now := time.Now
	if c.Now != nil {
		now = c.Now
	}
	seedToken(t, s.Store(), now())
	addWebhooks(t, s.Store())
	// As a server that is served does by itself.
	if _, err := s.Store().NumberChanges(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Store().PruneRecords(context.Background()); err != nil {
		t.Fatal(err)
	}
	// Cleanups run backwards: what answers goes before what it answers from.
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	url, check := listen(t, s, server.Descriptions(c.Dialects))
	return &Server{URL: url, Store: s.Store(), HTTP: &http.Client{Transport: check}, Handler: s, Admin: s.Admin(), t: t, secret: Secret, database: c.Database}
}

// seedToken stores the token with [TokenID], unless another server of the directory has.
func seedToken(t testing.TB, s *store.Store, now time.Time) {
	t.Helper()
	if _, err := s.FindProvisioningTokenByID(t.Context(), Sandbox, TokenID); err == nil {
		return
	}
	row := store.ProvisioningToken{
		ID: TokenID, Hash: "of no token", CustomerID: Sandbox, Role: "ROLE_USER", Note: "the sandbox's", CreatedBy: "servertest", ExpiresAt: now.Add(time.Hour),
	}
	if err := s.CreateProvisioningToken(t.Context(), &row); err != nil {
		t.Fatal(err)
	}
}

// Mock runs a mock, which takes tokens that are signed with secret. It has no Store to look into, and is closed by whoever
// made it.
func Mock(t testing.TB, mock http.Handler, secret string) *Server {
	t.Helper()
	url, check := listen(t, mock, server.Descriptions(server.Dialects()))
	check.mock = true
	return &Server{URL: url, HTTP: &http.Client{Transport: check}, t: t, secret: []byte(secret)}
}

// listen serves h until the test ends, and gives a transport that checks what it answers.
func listen(t testing.TB, h http.Handler, dialects []description.API) (url string, check *checker) {
	t.Helper()
	s := httptest.NewServer(h)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		s.Close()
	})
	return s.URL, newChecker(t, s.URL, transport, dialects)
}

// With is s for another test to use: for each input of a fuzz target, which must tell by itself what it finds.
func (s *Server) With(t testing.TB) *Server {
	t.Helper()
	transport, ok := s.HTTP.Transport.(*checker)
	if !ok {
		t.Fatal("the server's client checks nothing")
	}
	return &Server{URL: s.URL, Store: s.Store, HTTP: &http.Client{Transport: transport.with(t)}, t: t, secret: s.secret}
}

// Below is s for a client whose every path begins with prefix.
func (s *Server) Below(prefix string) *Server {
	return &Server{URL: s.URL + prefix, Store: s.Store, HTTP: s.HTTP, Handler: s.Handler, Admin: s.Admin, t: s.t, secret: s.secret, database: s.database}
}

// Token signs claims, good from now.
func (s *Server) Token(c auth.Claims) string {
	s.t.Helper()
	return s.TokenOf(c, time.Now())
}

// TokenOf signs claims, good from then.
func (s *Server) TokenOf(c auth.Claims, then time.Time) string {
	s.t.Helper()
	token, err := auth.Sign(s.secret, c, then)
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

// Worth is the Worth SDK for a caller.
func (s *Server) Worth(c auth.Claims) *worthclient.ClientWithResponses {
	s.t.Helper()
	sdk, err := worthclient.NewClientWithResponses(s.URL+"/auth/api/v1",
		worthclient.WithHTTPClient(s.HTTP), worthclient.WithRequestEditorFn(s.authorize(c)))
	if err != nil {
		s.t.Fatal(err)
	}
	return sdk
}

// Testinium is the Testinium SDK for a caller.
func (s *Server) Testinium(c auth.Claims) *testiniumclient.ClientWithResponses {
	s.t.Helper()
	sdk, err := testiniumclient.NewClientWithResponses(s.URL+"/account/api/v1",
		testiniumclient.WithHTTPClient(s.HTTP), testiniumclient.WithRequestEditorFn(s.authorize(c)))
	if err != nil {
		s.t.Fatal(err)
	}
	return sdk
}

func (s *Server) authorize(c auth.Claims) func(context.Context, *http.Request) error {
	token := s.Token(c)
	return func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
}

// Request is a request that no SDK would send. Header values of "" remove what would be sent.
type Request struct {
	Method, Path string // the path as it goes over the wire
	Header       http.Header
	Body         string
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Decode reads the answer's JSON into v.
func (a Answer) Decode(t rapid.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.Body), v); err != nil {
		t.Fatalf("decode %q: %v", a.Body, err)
	}
}

// Send sends r as it is: without a Content-Type unless r has one.
func (s *Server) Send(r Request) Answer {
	s.t.Helper()
	request, err := http.NewRequest(r.Method, s.URL+r.Path, strings.NewReader(r.Body))
	if err != nil {
		s.t.Fatal(err)
	}
	for name, values := range r.Header {
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	response, err := s.HTTP.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return Answer{Status: response.StatusCode, Header: response.Header, Body: string(body)}
}
