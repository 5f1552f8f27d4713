package cli

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store/storetest"
	"github.com/golang-jwt/jwt/v5"
)

// effects is a server whose settings differ from the defaults wherever a client or an operator can see the difference.
type effects struct {
	dir      string
	settings map[string]string // by flag
	roots    *x509.CertPool
	key      *ecdsa.PrivateKey // of the issuer
}

// TestSettingsTakeEffect runs the server with the same settings given by flags, by variables and by the configuration file, and
// looks at what the server then does.
func TestSettingsTakeEffect(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"flags", "variables", "secret files", "configuration file"} {
		for _, keys := range []string{"jwt-public-key-file", "jwks-url"} {
			t.Run(by+"/"+keys, func(t *testing.T) {
				t.Parallel()
				e := newEffects(t, keys)
				args, variables := e.given(t, by, e.settings)
				said := serve(t, e.dir, variables, append([]string{"serve"}, args...), func(address string) {
					e.checkTLS(t, address)
					e.checkTokens(t, address)
					e.checkHeaders(t, address)
					e.checkTimeouts(t, address)
					e.checkReady(t, by, address)
					e.checkLimits(t, address) // last: nothing is answered any more
				})
				e.checkLog(t, said)
			})
		}
	}
}

func newEffects(t *testing.T, keys string) *effects {
	t.Helper()
	e := &effects{dir: t.TempDir(), roots: x509.NewCertPool()}
	certificate, key := selfSigned(t)
	text, err := os.ReadFile(certificate)
	if err != nil {
		t.Fatal(err)
	}
	e.roots.AppendCertsFromPEM(text)
	if e.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&e.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	point, err := e.key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	half := base64.RawURLEncoding.EncodeToString
	for name, content := range map[string][]byte{
		"public.pem": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
		"jwks.json":  fmt.Appendf(nil, `{"keys":[{"kty":"EC","crv":"P-256","kid":"k","alg":"ES256","use":"sig","x":%q,"y":%q}]}`, half(point[1:33]), half(point[33:])),
	} {
		if err := os.WriteFile(filepath.Join(e.dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	database := "sqlite:" + filepath.Join(e.dir, "users.db")
	s := storetest.Open(t, database)
	storetest.Directory(t, s)
	e.settings = map[string]string{
		"listen": "127.0.0.1:0", "database": database, "secret-key": keyOfNow, "old-secret-key": keyOfBefore,
		"issuer": "me", "audience": "them", "tls-cert": certificate, "tls-key": key,
		"claim-user-id": "uid", "claim-customers": "tenants", "claim-permissions": "perms", "claim-authorities": "roles",
		"read-header-timeout": "300ms", "idle-timeout": "400ms", "drain-delay": "150ms", "shutdown-timeout": "3500ms",
		"rate-limit-address": "0.001", "rate-limit-address-burst": "60", "rate-limit-principal": "0.001", "rate-limit-principal-burst": "20",
		"cors-origin": "https://app.example.com", "docs": "false", "admin-listen": "127.0.0.1:0", "admin-pprof": "true",
		"log-format": "json", "log-level": "debug",
	}
	e.settings[keys] = map[string]string{"jwt-public-key-file": "public.pem", "jwks-url": "jwks.json"}[keys]
	return e
}

// given gives settings by one way.
func (e *effects) given(t *testing.T, by string, all map[string]string) (args, variables []string) {
	t.Helper()
	file := ""
	for _, name := range slices.Sorted(maps.Keys(all)) {
		value := all[name]
		variable := "DRAGOMAN_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		isSecret := name == "database" || strings.HasSuffix(name, "secret-key")
		switch {
		case by == "flags":
			args = append(args, "--"+name+"="+value)
		case by == "secret files" && isSecret:
			path := filepath.Join(e.dir, name)
			if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			variables = append(variables, variable+"_FILE="+path)
		case by == "variables", by == "secret files":
			variables = append(variables, variable+"="+value)
		default:
			if !regexp.MustCompile(`^(true|false|[\d.]+)$`).MatchString(value) {
				value = `"` + value + `"`
			}
			file += name + ": " + value + "\n"
		}
	}
	if file != "" {
		path := filepath.Join(e.dir, fmt.Sprintf("settings-%d.yaml", len(file)))
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config="+path)
	}
	return args, variables
}

// ask sends a request and gives its answer, whose body was read; nil if there was none.
func (e *effects) ask(t *testing.T, method, url string, headers ...string) *http.Response {
	t.Helper()
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: e.roots}, DisableKeepAlives: true}}
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Error(err)
		return &http.Response{}
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Errorf("%s %s: %v", method, url, err)
		return &http.Response{}
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	return answer
}

func (e *effects) checkTLS(t *testing.T, address string) {
	t.Helper()
	if status := e.ask(t, "GET", "https://"+address+"/livez").StatusCode; status != 200 {
		t.Errorf("/livez is answered %d over TLS", status)
	}
	if status := e.ask(t, "GET", "http://"+address+"/livez").StatusCode; status != 400 {
		t.Errorf("/livez is answered %d without TLS", status)
	}
}

// token is one of an administrator of the sandbox, with other claims in the place of some.
func (e *effects) token(t *testing.T, others jwt.MapClaims) string {
	t.Helper()
	claims := jwt.MapClaims{
		"sub": "somebody", "iss": "me", "aud": "them", "exp": time.Now().Add(time.Hour).Unix(),
		"uid": servertest.GraceUUID.String(), "tenants": []string{"3393"}, "perms": []string{"customer_user:read"}, "roles": []string{"ROLE_COMPANY_ADMIN"},
	}
	maps.Copy(claims, others)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"] = "k"
	signed, err := token.SignedString(e.key)
	if err != nil {
		t.Error(err)
	}
	return "Bearer " + signed
}

func (e *effects) checkTokens(t *testing.T, address string) {
	t.Helper()
	user := "https://" + address + "/auth/api/v1/customers/" + servertest.SandboxUUID.String() + "/users/" + servertest.AdaUUID.String()
	for _, c := range []struct {
		others jwt.MapClaims
		status int
	}{
		{nil, 200}, {jwt.MapClaims{"iss": "another"}, 401}, {jwt.MapClaims{"aud": "another"}, 401},
		{jwt.MapClaims{"tenants": nil, "customer_id": []string{"3393"}}, 403},
		{jwt.MapClaims{"perms": nil, "roles": nil, "permissions": []string{"customer_user:read"}, "authorities": []string{"ROLE_COMPANY_ADMIN"}}, 403},
	} {
		if status := e.ask(t, "GET", user, "Authorization", e.token(t, c.others)).StatusCode; status != c.status {
			t.Errorf("a token with %v is answered %d, want %d", c.others, status, c.status)
		}
	}
}

func (e *effects) checkHeaders(t *testing.T, address string) {
	t.Helper()
	preflight := e.ask(t, "OPTIONS", "https://"+address+"/auth/api/v1/customers/1/users/1", "Origin", "https://app.example.com", "Access-Control-Request-Method", "PATCH")
	if allowed := preflight.Header.Get("Access-Control-Allow-Origin"); allowed != "https://app.example.com" {
		t.Errorf("the preflight allows %q", allowed)
	}
	if status := e.ask(t, "GET", "https://"+address+"/docs").StatusCode; status != 404 {
		t.Errorf("/docs is answered %d", status)
	}
}

// checkTimeouts: the defaults are 5 seconds and 2 minutes.
func (e *effects) checkTimeouts(t *testing.T, address string) {
	t.Helper()
	for _, send := range []string{"GET /livez HTTP/1.1\r\nHost: x\r\n", "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"} {
		c, err := tls.Dial("tcp", address, &tls.Config{RootCAs: e.roots})
		if err != nil {
			t.Error(err)
			return
		}
		_, err = io.WriteString(c, send)
		if err := errors.Join(err, c.SetReadDeadline(time.Now().Add(4*time.Second))); err != nil {
			t.Error(err)
		}
		if _, err := io.Copy(io.Discard, bufio.NewReader(c)); err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after %q the connection stays open", send)
		}
		c.Close()
	}
}

// checkReady asks by `dragoman ready` with the settings that it shares with the server.
func (e *effects) checkReady(t *testing.T, by, address string) {
	t.Helper()
	shared := map[string]string{"listen": address, "tls-cert": e.settings["tls-cert"], "tls-key": e.settings["tls-key"]}
	args, variables := e.given(t, by, shared)
	if status, _, said := configured(t, e.dir, variables, "", append([]string{"ready"}, args...)...); status != 0 {
		t.Errorf("ready ends with %d: %s", status, said)
	}
}

func (e *effects) checkLimits(t *testing.T, address string) {
	t.Helper()
	last := func(n int, headers ...string) (status int) {
		for range n {
			status = e.ask(t, "GET", "https://"+address+"/auth/api/v1/customers/1/users/1", headers...).StatusCode
		}
		return status
	}
	if status := last(21, "Authorization", e.token(t, nil)); status != 429 {
		t.Errorf("a subject's 21st request is answered %d", status)
	}
	if status := last(45); status != 429 {
		t.Errorf("an address's 61st request is answered %d", status)
	}
}

var admins = regexp.MustCompile(`"admin":"(127\.0\.0\.1:\d+)","profiles":true`)

func (e *effects) checkLog(t *testing.T, said string) {
	t.Helper()
	for _, want := range []string{`"tls":true`, `"for":"150ms"`, `"within":"3.5s"`} {
		if !strings.Contains(said, want) {
			t.Errorf("the log has no %s: %s", want, said)
		}
	}
	if !admins.MatchString(said) {
		t.Errorf("there is no admin listener: %s", said)
	}
}

// TestIncompletePairs: settings that belong together are given together, by whichever way.
func TestIncompletePairs(t *testing.T) {
	t.Parallel()
	e := newEffects(t, "jwt-public-key-file")
	keys := map[string]string{"secret-key": keyOfNow, "listen": "256.0.0.1:1"}
	with := func(others map[string]string) map[string]string {
		all := maps.Clone(keys)
		maps.Copy(all, others)
		return all
	}
	for _, c := range []struct {
		commands string
		settings map[string]string
		want     string
	}{
		{"serve config ready", map[string]string{"jwt-secret": secretOfTokens, "tls-cert": e.settings["tls-cert"]}, "set both --tls-cert (DRAGOMAN_TLS_CERT) and --tls-key (DRAGOMAN_TLS_KEY)"},
		{"serve config ready", map[string]string{"jwt-secret": secretOfTokens, "tls-key": e.settings["tls-key"]}, "set both --tls-cert (DRAGOMAN_TLS_CERT) and --tls-key (DRAGOMAN_TLS_KEY)"},
		{"serve config", map[string]string{"jwt-public-key-file": "public.pem", "issuer": "i"}, "needs an issuer and an audience"},
		{"serve config", map[string]string{"jwt-public-key-file": "public.pem", "audience": "a"}, "needs an issuer and an audience"},
		{"serve config", map[string]string{"jwks-url": "jwks.json", "issuer": "i"}, "needs an issuer and an audience"},
		{"serve config", map[string]string{"jwks-url": "jwks.json", "audience": "a"}, "needs an issuer and an audience"},
		{"serve config", map[string]string{"jwt-secret": secretOfTokens, "admin-pprof": "true"}, "--admin-pprof needs the admin listener"},
	} {
		for _, by := range []string{"flags", "variables", "configuration file"} {
			for _, command := range strings.Fields(c.commands) {
				settings := with(c.settings)
				if command == "ready" && by == "flags" {
					delete(settings, "secret-key")
					delete(settings, "jwt-secret")
				}
				args, variables := e.given(t, by, settings)
				status, _, said := configured(t, e.dir, variables, "", append([]string{command}, args...)...)
				if status != 80 || !strings.Contains(said, c.want) {
					t.Errorf("%s with %v by %s ends with %d and says %s", command, c.settings, by, status, said)
				}
			}
		}
	}
}
