package server_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/golang-jwt/jwt/v5"
)

// breakDown asks servers whose database is broken in one way or another, and leaves it so.
func (a *aviary) breakDown() {
	db := a.open()
	for _, broken := range []struct{ name, by, mended string }{
		{"without a history", "ALTER TABLE user_changes RENAME TO gone", "ALTER TABLE gone RENAME TO user_changes"},
		{"with a hash that is none", "UPDATE users SET password_hash = '$argon2id$v=19$m=" + unsealed + ",t=1,p=1$" + unsealed + "$" + unsealed + "'", ""},
		{"with a password that is none", "UPDATE users SET password_hash = '" + unsealed + "'", ""},
		{"with secrets in the clear", "UPDATE users SET access_token_sealed = '" + unsealed + "." + unsealed + "', vcs_password_sealed = '" + unsealed + "'", ""},
		{"closed", "", ""},
	} {
		s := a.start(server.Config{})
		operations := a.operations(s)
		manager, herself := a.callers(s)
		if broken.by == "" {
			if err := s.Store.Close(); err != nil {
				a.Fatal(err)
			}
		} else if _, err := db.Exec(broken.by); err != nil {
			a.Fatal(err)
		}
		before := len(a.log.String())
		for _, o := range operations {
			for _, body := range o.bodies {
				a.send(s, o, o.ask(herself, body), true)
				a.send(s, o, o.ask(manager(o), body), true)
			}
		}
		a.send(s, operation{}, servertest.Request{Method: http.MethodGet, Path: "/readyz"}, false)
		if !strings.Contains(a.log.String()[before:], "level=ERROR") {
			a.Errorf("%s: no fault was logged", broken.name)
		}
		if broken.mended != "" {
			if _, err := db.Exec(broken.mended); err != nil {
				a.Fatal(err)
			}
		}
	}
}

// waitForKeys asks servers that cannot have the issuer's keys, or not all of them.
func (a *aviary) waitForKeys() {
	ours, _ := walkKeys()
	token := a.authorize(walkToken(a.T, jwt.SigningMethodRS256, ours, nil))
	private := base64.RawURLEncoding.EncodeToString(ours.D.Bytes())
	a.planted[private] = secret
	oct := `{"kty":"oct","kid":"` + keySetSecret + `","k":"` + keySetSecret + `"}`
	for _, answer := range []string{
		"", keySetSecret, `{"keys":[` + oct + `]}`, `{"keys":[],"` + keySetSecret + `":1,"` + keySetSecret + `":2}`, `{"` + keySetSecret + `":"` + keySetSecret,
		strings.Replace(walkKeySet(keySetSecret, &ours.PublicKey), `"kty"`, `"d":"`+private+`","kty"`, 1),
		`{"keys":[` + oct + `,` + strings.TrimPrefix(walkKeySet(walkKid, &ours.PublicKey), `{"keys":[`),
	} {
		keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if answer == "" {
				http.Error(w, keySetSecret, http.StatusTeapot)
			}
			fmt.Fprint(w, answer)
		}))
		a.Cleanup(keys.Close)
		s := a.start(server.Config{Auth: auth.Config{Issuers: []auth.Issuer{{JWKSURL: keys.URL + "/" + keySetSecret + "?key=" + keySetSecret, Rules: walkRules()}}}})
		for _, o := range a.operations(s) {
			a.send(s, o, o.ask(token, o.bodies[0]), true)
		}
		a.send(s, operation{}, servertest.Request{Method: http.MethodGet, Path: "/readyz"}, false)
	}
}

// tire asks servers that reject requests beyond a limit or a timeout.
func (a *aviary) tire() {
	limited := a.start(server.Config{Limits: server.Limits{Principal: dialect.Rate{PerSecond: 1e-3, Burst: 1}}})
	busy := a.start(server.Config{Passwords: auth.NewBusyPasswords(), Timeouts: server.Timeouts{Request: 50 * time.Millisecond}})
	for _, s := range []*servertest.Server{limited, busy} {
		callers, herself := a.callers(s)
		for _, o := range a.operations(s) {
			manager := callers(o)
			if s == busy && o.RequestBody == nil {
				continue // a list may be truncated
			}
			a.send(s, o, o.ask(manager, o.bodies[0]), true)
			a.send(s, o, o.ask(herself, o.bodies[0]), true)
			if o.RequestBody != nil {
				a.sendHalf(s, o, o.ask(manager, o.bodies[0]))
			}
		}
	}
}
