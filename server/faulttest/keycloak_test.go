//go:build linux

package faulttest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// keycloakVariable names the folder of a Keycloak that is built for a database in memory, as .ci/keycloak/run builds it.
const keycloakVariable = "KEYCLOAK"

// keycloakLimit limits the time until Keycloak listens. With two processors to itself it takes some 15 seconds.
const keycloakLimit = 4 * time.Minute

// keycloak is a process of Keycloak, an identity provider, and a client of its APIs.
type keycloak struct {
	url           string
	administrator string // a token for the admin API
	http          *http.Client
}

// startKeycloak starts Keycloak on a free port of the loopback address, and stops it at the end of the test. It skips the test if
// there is no Keycloak.
func startKeycloak(t *testing.T) *keycloak {
	t.Helper()
	home := os.Getenv(keycloakVariable)
	if home == "" {
		t.Skipf("%s names no Keycloak: run make keycloak, as .ci/run does", keycloakVariable)
	}
	password := rand.Text()
	// The script is the documented way to start it. It runs Java as a child, and forwards SIGTERM.
	command := exec.Command("sh", filepath.Join(home, "bin/kc.sh"), "start", "--optimized", "--cache=local",
		"--http-enabled=true", "--http-host=127.0.0.1", "--http-port=0", "--hostname-strict=false")
	command.Env = append(os.Environ(), "KC_BOOTSTRAP_ADMIN_USERNAME=admin", "KC_BOOTSTRAP_ADMIN_PASSWORD="+password)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stderr = command.Stdout
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	log, ended := newProgramLog(), make(chan struct{})
	go func() {
		defer close(ended)
		log.follow(output)
		_ = command.Wait() // a signal ends it
	}()
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM) // it may have ended already
		select {
		case <-ended:
		case <-time.After(waitLimit):
			t.Error("Keycloak does not stop")
			_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) // the script and Java
			<-ended
		}
		if t.Failed() {
			t.Logf("the log of Keycloak:\n%s", log)
		}
	})
	k := &keycloak{http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: time.Minute}}
	t.Cleanup(k.http.CloseIdleConnections)
	start := time.Now()
	within(t, keycloakLimit, "Keycloak listens", func() error {
		select {
		case <-ended:
			return final{errors.New("it has ended")}
		default:
		}
		found := listensOn.FindStringSubmatch(log.String())
		if found == nil {
			return errNotYet
		}
		k.url = found[1]
		return nil
	})
	t.Logf("Keycloak listens after %s", time.Since(start).Round(time.Second))
	signIn := func() {
		k.administrator = k.mustToken(t, "master", url.Values{
			"client_id": {"admin-cli"}, "grant_type": {"password"}, "username": {"admin"}, "password": {password},
		}).Access
	}
	signIn()
	k.put(t, "/admin/realms/master", object{"accessTokenLifespan": 3600}) // it is a minute
	signIn()
	return k
}

var listensOn = regexp.MustCompile(`Listening on: (http://127\.0\.0\.1:\d+)`)

// issuer returns the issuer of a realm's tokens.
func (k *keycloak) issuer(realm string) string { return k.url + "/realms/" + realm }

// tokens is the response of a token endpoint (RFC 6749, section 5.1).
type tokens struct {
	Access string `json:"access_token"`
	ID     string `json:"id_token"`
}

// token requests tokens of a realm.
func (k *keycloak) token(ctx context.Context, realm string, form url.Values) (issued tokens, err error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, k.issuer(realm)+"/protocol/openid-connect/token", strings.NewReader(form.Encode()))
	if err != nil {
		return tokens{}, err
	}
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	_, content, err := k.do(q)
	if err == nil {
		err = json.Unmarshal(content, &issued)
	}
	return issued, err
}

func (k *keycloak) mustToken(t testing.TB, realm string, form url.Values) tokens {
	t.Helper()
	issued, err := k.token(t.Context(), realm, form)
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

// object is a JSON object.
type object = map[string]any

// post creates something through the admin API, and returns its id.
func (k *keycloak) post(t testing.TB, place string, body any) (id string) {
	t.Helper()
	header, _ := k.administer(t, http.MethodPost, place, body)
	return path.Base(header.Get("Location"))
}

func (k *keycloak) put(t testing.TB, place string, body any) {
	t.Helper()
	k.administer(t, http.MethodPut, place, body)
}

func (k *keycloak) get(t testing.TB, place string, into any) {
	t.Helper()
	_, content := k.administer(t, http.MethodGet, place, nil)
	decode(t, string(content), into)
}

// administer sends a request to the admin API.
func (k *keycloak) administer(t testing.TB, method, place string, body any) (http.Header, []byte) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	q, err := http.NewRequestWithContext(t.Context(), method, k.url+place, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Authorization", "Bearer "+k.administrator)
	header, content, err := k.do(q)
	if err != nil {
		t.Fatal(err)
	}
	return header, content
}

// do sends a request, and returns an error if it is not answered with 2xx.
func (k *keycloak) do(q *http.Request) (http.Header, []byte, error) {
	response, err := k.http.Do(q)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s is answered by Keycloak with %d: %s", q.Method, q.URL.Path, response.StatusCode, content)
	}
	return response.Header, content, err
}
