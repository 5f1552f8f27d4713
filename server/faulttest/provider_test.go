//go:build linux

package faulttest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestKeycloak checks that the program understands the tokens of a real identity provider, as the guide configures both, and that a
// change of a role or a key there takes effect here.
func TestKeycloak(t *testing.T) {
	g := readGuide(t)
	k := startKeycloak(t)
	r := makeRealm(t, k, g)
	_, database := sqliteFile(t)
	flags := append(strings.Fields(g.at(k.url, "", g.serve))[2:], "--map-customers=globex=3394", "--request-timeout=10s", "--jwks-refresh=1s")
	p := servingAs(t, dragoman(t), withoutSecret(environment(database)), flags...)
	within(t, waitLimit, "the keys are read", p.succeeds(t, request{method: http.MethodGet, path: "/readyz"}))

	t.Run("the guide", func(t *testing.T) {
		t.Parallel()
		c := exec.CommandContext(t.Context(), "sh", "-e", "-c", g.at(k.url, p.url, g.call))
		c.Dir = folder(t)
		c.Env = []string{"PATH=" + filepath.Dir(dragoman(t)) + ":" + os.Getenv("PATH"), "HOME=" + c.Dir}
		out, err := c.CombinedOutput()
		if err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), g.answer) {
			t.Errorf("the guide's first call: %v\n%s", err, out)
		}
	})
	t.Run("both updates", func(t *testing.T) {
		t.Parallel()
		for name, token := range map[string]string{"a user": r.user(t, "grace").Access, "a client": r.service(t).Access} {
			c := p.client.as(token)
			for _, w := range append(slices.Clone(writes[:2]), reads[:4]...) {
				if a := c.ask(t, w); a.status != http.StatusOK {
					t.Errorf("%s: %s %s is answered %s", name, w.method, w.path, a)
				}
			}
		}
	})
	t.Run("refusals", func(t *testing.T) {
		t.Parallel()
		for _, c := range []struct {
			name, token string
			status      int
		}{
			{"another customer's administrator", r.user(t, "ella").Access, http.StatusForbidden},
			{"an administrator of no organization", r.user(t, "nora").Access, http.StatusForbidden},
			{"without roles, and so without the audience", r.user(t, "otto").Access, http.StatusUnauthorized},
			{"an ID token", r.user(t, "grace").ID, http.StatusUnauthorized},
			{"for another API", r.userOf(t, "other", "grace").Access, http.StatusUnauthorized},
			{"of another realm", k.administrator, http.StatusUnauthorized},
		} {
			for _, q := range []request{reads[0], writes[0], writes[1]} {
				if a := p.client.as(c.token).ask(t, q); a.status != c.status {
					t.Errorf("%s: %s %s is answered %s; want %d", c.name, q.method, q.path, a, c.status)
				}
			}
		}
	})
	t.Run("a changed role", func(t *testing.T) {
		t.Parallel()
		for _, step := range []struct {
			change      func(t testing.TB, user, role string)
			role        string
			read, write int
		}{
			{r.grant, "customer_user:read", http.StatusOK, http.StatusForbidden},
			{r.grant, "customer_user:write", http.StatusOK, http.StatusOK},
			{r.revoke, "customer_user:write", http.StatusOK, http.StatusForbidden},
			{r.revoke, "customer_user:read", http.StatusUnauthorized, http.StatusUnauthorized}, // no role, no audience
			{r.grant, "ROLE_COMPANY_ADMIN", http.StatusOK, http.StatusOK},
		} {
			step.change(t, "vera", step.role)
			c := p.client.as(r.user(t, "vera").Access)
			c.expect(t, step.read, reads[0])
			c.expect(t, step.write, writes[0])
		}
	})
	t.Run("rotated keys", func(t *testing.T) {
		t.Parallel()
		rotateUnderLoad(t, r, p)
	})
}

// guide is the page about Keycloak: a realm, the command that starts the server, the first call, and its answer.
type guide struct{ realm, serve, call, answer string }

func readGuide(t *testing.T) guide {
	t.Helper()
	page, err := os.ReadFile("../docs/guide/keycloak.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```(json|sh)\n(.*?)^```$").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 5 {
		t.Fatalf("the page has %d blocks, not the realm, the start of Keycloak, that of the server, the first call and its answer", len(blocks))
	}
	return guide{realm: blocks[0][2], serve: blocks[2][2], call: blocks[3][2], answer: strings.TrimSpace(blocks[4][2])}
}

// at replaces the addresses of the page.
func (guide) at(keycloak, server, text string) string {
	return strings.NewReplacer("http://127.0.0.1:8180", keycloak, "http://127.0.0.1:8080", server).Replace(text)
}

// withoutSecret removes the secret of tokens from environment variables.
func withoutSecret(variables []string) []string {
	return slices.DeleteFunc(variables, func(v string) bool { return strings.HasPrefix(v, "DRAGOMAN_JWT_SECRET=") })
}

const realmName = "acme"

// realm is the realm of the guide, with further users and clients.
type realm struct {
	*keycloak
	path  string            // in the admin API
	api   string            // the id of the client that stands for Dragoman
	users map[string]string // the ids of users by name
}

func makeRealm(t *testing.T, k *keycloak, g guide) *realm {
	t.Helper()
	k.post(t, "/admin/realms", json.RawMessage(g.realm))
	r := &realm{keycloak: k, path: "/admin/realms/" + realmName, users: map[string]string{}}
	var clients, organizations []struct{ ID string }
	k.get(t, r.path+"/clients?clientId=dragoman", &clients)
	k.get(t, r.path+"/organizations?search=acme", &organizations)
	if len(clients) != 1 || len(organizations) != 1 {
		t.Fatalf("the realm has %d clients dragoman and %d organizations acme", len(clients), len(organizations))
	}
	r.api = clients[0].ID
	// Without the scopes that have roles and organizations, tokens lack the audience too.
	k.post(t, r.path+"/clients", object{"clientId": "other", "publicClient": true, "directAccessGrantsEnabled": true, "fullScopeAllowed": false})
	for _, name := range []string{"vera", "otto", "ella", "nora"} {
		r.users[name] = k.post(t, r.path+"/users", object{
			"username": name, "email": name + "@example.com", "firstName": name, "lastName": "Example", "enabled": true, "emailVerified": true,
			"credentials": []object{{"type": "password", "value": "change-me"}},
		})
	}
	globex := k.post(t, r.path+"/organizations", object{"name": "Globex", "alias": "globex", "domains": []object{{"name": "globex.example"}}})
	for name, organization := range map[string]string{"vera": organizations[0].ID, "otto": organizations[0].ID, "ella": globex} {
		k.post(t, r.path+"/organizations/"+organization+"/members", r.users[name])
	}
	for _, name := range []string{"ella", "nora"} {
		r.grant(t, name, "ROLE_COMPANY_ADMIN")
	}
	return r
}

// grant gives a user a role of Dragoman.
func (r *realm) grant(t testing.TB, user, role string) {
	t.Helper()
	r.changeRole(t, http.MethodPost, user, role)
}

// revoke takes a role of Dragoman from a user.
func (r *realm) revoke(t testing.TB, user, role string) {
	t.Helper()
	r.changeRole(t, http.MethodDelete, user, role)
}

func (r *realm) changeRole(t testing.TB, method, user, role string) {
	t.Helper()
	var representation object
	r.get(t, r.path+"/clients/"+r.api+"/roles/"+role, &representation)
	r.administer(t, method, r.path+"/users/"+r.users[user]+"/role-mappings/clients/"+r.api, []object{representation})
}

// user returns the tokens of a user who signed in to the client web.
func (r *realm) user(t testing.TB, name string) tokens {
	t.Helper()
	return r.userOf(t, "web", name)
}

func (r *realm) userOf(t testing.TB, client, name string) tokens {
	t.Helper()
	return r.mustToken(t, realmName, url.Values{
		"client_id": {client}, "grant_type": {"password"}, "username": {name}, "password": {"change-me"}, "scope": {"openid"},
	})
}

// service returns a token of the client job.
func (r *realm) service(t testing.TB) tokens {
	t.Helper()
	return r.mustToken(t, realmName, serviceForm)
}

var serviceForm = url.Values{"client_id": {"job"}, "client_secret": {"change-me"}, "grant_type": {"client_credentials"}}

// keyProviders is the type of the components that have a realm's keys.
const keyProviders = "org.keycloak.keys.KeyProvider"

// signingKey returns the component that has the key which signs tokens.
func (r *realm) signingKey(t testing.TB) (component object) {
	t.Helper()
	var components []object
	r.get(t, r.path+"/components?type="+keyProviders, &components)
	for _, c := range components {
		if c["providerId"] == "rsa-generated" {
			return c
		}
	}
	t.Fatal("the realm has no key that signs tokens")
	return nil
}

// set changes a setting of a component.
func (r *realm) set(t testing.TB, component object, setting, value string) {
	t.Helper()
	component["config"].(object)[setting] = []string{value}
	r.put(t, r.path+"/components/"+component["id"].(string), component)
}

// rotateUnderLoad replaces the key that signs a realm's tokens while clients get tokens and send requests with them. The new key
// signs first, then the old one no longer does but is still published, and finally it is withdrawn. No request may be refused.
func rotateUnderLoad(t *testing.T, r *realm, p *program) {
	load := newTraffic()
	ctx, stop := context.WithCancel(t.Context())
	defer load.work.Wait()
	defer stop()
	for range 3 {
		load.run(ctx, func(n int) error {
			issued, err := r.token(ctx, realmName, serviceForm)
			if err != nil {
				return err
			}
			return load.send(ctx, p.client.as(issued.Access), n)
		})
	}
	// A client keeps its token until it expires, so the old key must verify it as long as Keycloak publishes the key.
	old := r.service(t).Access
	withOld, stopOld := context.WithCancel(ctx)
	defer stopOld()
	load.run(withOld, func(n int) error { return load.send(withOld, p.client.as(old), n) })

	first := r.signingKey(t)
	load.serve(t, keyID(old))
	r.post(t, r.path+"/components", object{
		"name": "next", "providerId": "rsa-generated", "providerType": keyProviders, "parentId": first["parentId"],
		"config": object{"priority": []string{"200"}, "algorithm": []string{"RS256"}},
	})
	next := keyID(r.service(t).Access)
	if next == keyID(old) {
		t.Fatal("the new key does not sign")
	}
	load.serve(t, next)
	r.set(t, first, "active", "false")
	load.serve(t, next)
	load.serve(t, keyID(old))
	stopOld()
	r.set(t, first, "enabled", "false")
	within(t, waitLimit, "the withdrawn key is refused", func() error {
		a, err := p.client.as(old).send(ctx, reads[0])
		if err == nil && a.status != http.StatusUnauthorized {
			err = fmt.Errorf("answered %s", a)
		}
		return err
	})
	p.expectLog(t, "WARN", "token keys withdrawn")
	load.serve(t, next)
	stop()
	load.work.Wait()
	for _, err := range load.failures {
		t.Error(err)
	}
	t.Logf("requests served, by key: %v", slices.Collect(maps.Values(load.served)))
}

// traffic is clients that send requests, which must all be served.
type traffic struct {
	work sync.WaitGroup

	mu       sync.Mutex
	served   map[string]int // by the id of the key that signed the token
	failures []error
}

func newTraffic() *traffic { return &traffic{served: map[string]int{}} }

// run calls send with growing numbers until ctx is done or send fails.
func (l *traffic) run(ctx context.Context, send func(n int) error) {
	l.work.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			if err := send(n); err != nil && ctx.Err() == nil {
				l.mu.Lock()
				l.failures = append(l.failures, err)
				l.mu.Unlock()
				return
			}
		}
	})
}

// send sends a read or one of both updates.
func (l *traffic) send(ctx context.Context, c client, n int) error {
	requests := []request{reads[0], {method: http.MethodPatch, path: worthAda, body: fmt.Sprintf(`{"first_name":"Ada %d"}`, n)}, writes[1]}
	q := requests[n%len(requests)]
	a, err := c.send(ctx, q)
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return fmt.Errorf("%s %s is answered %s", q.method, q.path, a)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.served[keyID(c.token)]++
	return nil
}

// serve waits until 30 more requests with tokens of a key are served.
func (l *traffic) serve(t testing.TB, key string) {
	t.Helper()
	state := func() (served int, failures []error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.served[key], slices.Clone(l.failures)
	}
	before, _ := state()
	within(t, waitLimit, "30 requests with tokens of a key are served", func() error {
		served, failures := state()
		if len(failures) > 0 {
			return final{failures[0]}
		}
		if served < before+30 {
			return errNotYet
		}
		return nil
	})
}

// keyID returns the kid of a token's header, or "" if there is none.
func keyID(token string) string {
	var header struct{ Kid string }
	text, _, _ := strings.Cut(token, ".")
	content, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(content, &header) != nil {
		return ""
	}
	return header.Kid
}
