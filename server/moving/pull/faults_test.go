package pull_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/moving/source"
	"github.com/dragoman-id/dragoman/server/moving/vendortest"
)

// TestFaultsThatPass: the vendor fails for a while, and the file is the same.
func TestFaultsThatPass(t *testing.T) {
	t.Parallel()
	roles := catalogue(t)
	people := vendortest.People(0, 20, roles)
	cut := func(w http.ResponseWriter, v *vendortest.Vendor, r *http.Request) {
		recorder := httptest.NewRecorder()
		v.SetFront(nil)
		v.ServeHTTP(recorder, r)
		whole := recorder.Body.Bytes()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(whole)))
		w.Write(whole[:len(whole)/2])
	}
	for name, fault := range map[string]func(w http.ResponseWriter, v *vendortest.Vendor, r *http.Request){
		"HTML": func(w http.ResponseWriter, _ *vendortest.Vendor, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, "<html>We are back soon.</html>")
		},
		"half a page": cut,
		"half a page as if it were whole": func(w http.ResponseWriter, v *vendortest.Vendor, r *http.Request) {
			recorder := httptest.NewRecorder()
			v.SetFront(nil)
			v.ServeHTTP(recorder, r)
			w.Header().Set("Content-Type", "application/json")
			w.Write(recorder.Body.Bytes()[:recorder.Body.Len()/2])
		},
		"429 without Retry-After": func(w http.ResponseWriter, _ *vendortest.Vendor, _ *http.Request) { w.WriteHeader(429) },
		"429 with Retry-After": func(w http.ResponseWriter, _ *vendortest.Vendor, _ *http.Request) {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(429)
		},
		"500": func(w http.ResponseWriter, _ *vendortest.Vendor, _ *http.Request) { w.WriteHeader(500) },
		"503 with HTML": func(w http.ResponseWriter, _ *vendortest.Vendor, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(503)
		},
		"a broken connection": func(http.ResponseWriter, *vendortest.Vendor, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vendortest.Each(t, func(t *testing.T, dialect string) {
				v := vendortest.New(t, dialect, roles, people)
				var n atomic.Int32
				front := func(w http.ResponseWriter, r *http.Request) bool {
					if at := n.Add(1); dialect == "worth" && at == 2 || dialect == "testinium" && at == 1 {
						fault(w, v, r)
						return true
					}
					return false
				}
				v.SetFront(front)
				a := newAttempt(t, v)
				if err := a.run(t.Context(), t); err != nil {
					t.Fatal(err)
				}
				if len(a.lines(t)) != len(people) || len(a.notices) == 0 && name != "a broken connection" { // of which net/http repeats the request
					t.Errorf("%d lines, notices %q", len(a.lines(t)), a.notices)
				}
			})
		})
	}
}

// TestFaultsThatStay end the pull with a clear line, and leave no file.
func TestFaultsThatStay(t *testing.T) {
	t.Parallel()
	roles := catalogue(t)
	elsewhere := func(t *testing.T) string {
		s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			t.Errorf("another host was sent %v", r.Header)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	for _, tc := range []struct {
		name  string
		front func(t *testing.T, w http.ResponseWriter, r *http.Request) bool
		edit  func(t *testing.T, a *attempt)
		want  string
	}{
		{"HTML for ever", func(_ *testing.T, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			io.WriteString(w, "<html>")
			return true
		}, nil, "HTML in place of JSON: is --source the URL of the API?"},
		{"another API", func(_ *testing.T, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"hello":"world"}`)
			return true
		}, nil, "is --source the URL of"},
		{"more than one answer", func(_ *testing.T, w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Type", "application/json")
			if strings.Contains(r.URL.Path, "/auth/") {
				io.WriteString(w, `{"data":{"records":[],"total_pages":0,"total_items":"0"}}{}`)
			} else {
				io.WriteString(w, `[][]`)
			}
			return true
		}, nil, "the answer has more than one JSON value"},
		{"a redirection to another host", nil, nil, "the token was not sent there"},
		{"token of another customer", func(_ *testing.T, w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(403); return true }, nil, "is it another customer's?"},
		{"a token that stays refused", func(_ *testing.T, w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(401); return true }, nil, "put a new one into --token-file"},
		{"a wait that is too long", func(_ *testing.T, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Retry-After", "86400")
			w.WriteHeader(503)
			return true
		}, nil, "run the command again then"},
		{"an error with the token", func(_ *testing.T, w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(403)
			_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			fmt.Fprintf(w, `{"code":"C","message":"token %[1]s","error":"e","errorMessage":"token %[1]s","errors":{"%[1]s":"%[1]s"}}`, token)
			return true
		}, nil, "403"},
		{"a redirection with the token", func(_ *testing.T, w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Location", "http://%zz/"+strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
			w.WriteHeader(302)
			return true
		}, func(t *testing.T, a *attempt) {
			c := a.config(t)
			c.RetryFor = 5 * time.Millisecond
			a.pull.Client = source.New(c)
		}, "TOKEN"},
		{"another protocol", func(t *testing.T, w http.ResponseWriter, _ *http.Request) bool {
			connection, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return true
			}
			t.Cleanup(func() { _ = connection.Close() })
			io.WriteString(connection, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			return true
		}, nil, "it switches to another protocol"},
		{"no such customer", func(_ *testing.T, w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(404); return true }, nil, "404"},
		{"an empty token file", nil, func(t *testing.T, a *attempt) {
			if err := os.WriteFile(a.tokens.File, []byte("\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "--token-file gives no token"},
		{"a token file with a header", nil, func(t *testing.T, a *attempt) {
			if err := os.WriteFile(a.tokens.File, []byte("Authorization: Bearer x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "it must be one line"},
		{"a file and a command whose tokens are refused", nil, func(t *testing.T, a *attempt) {
			a.tokens.Command = "echo refused-too"
			if err := os.WriteFile(a.tokens.File, []byte("refused"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "the token is refused"},
		{"a command with ever new tokens that are refused", nil, func(_ *testing.T, a *attempt) { a.tokens = source.Tokens{Command: "echo refused-$$"} }, "the token is refused"},
		{"a command that fails", nil, func(_ *testing.T, a *attempt) { a.tokens = source.Tokens{Command: "exit 3"} }, "running --token-command: exit status 3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			vendortest.Each(t, func(t *testing.T, dialect string) {
				v := vendortest.New(t, dialect, roles, vendortest.People(0, 20, roles))
				switch {
				case tc.name == "a redirection to another host":
					to := elsewhere(t)
					v.SetFront(func(w http.ResponseWriter, r *http.Request) bool {
						http.Redirect(w, r, to+r.URL.Path, http.StatusTemporaryRedirect)
						return true
					})
				case tc.front != nil:
					v.SetFront(func(w http.ResponseWriter, r *http.Request) bool { return tc.front(t, w, r) })
				}
				a := newAttempt(t, v)
				if tc.edit != nil {
					tc.edit(t, a)
				}
				err := a.run(t.Context(), t)
				if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("it ends with %v, want %q", err, tc.want)
				}
				if said := fmt.Sprint(a.notices, err); strings.Contains(said, vendortest.Token) {
					t.Errorf("it says the token: %s", said)
				}
				if _, err := os.Stat(a.file); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("there is a file: %v", err)
				}
			})
		})
	}
}

func TestCertificateThatDoesNotFit(t *testing.T) {
	t.Parallel()
	roles := catalogue(t)
	v := vendortest.New(t, "worth", roles, nil)
	secure := httptest.NewTLSServer(v)
	t.Cleanup(secure.Close)
	a := newAttempt(t, v)
	a.pull.Source = secure.URL + "/auth/api/v1"
	if err := a.run(t.Context(), t); err == nil || !strings.Contains(err.Error(), "does not fit") || !strings.Contains(err.Error(), "--ca-cert") {
		t.Errorf("it ends with %v", err)
	}
	if n := v.Requests(http.MethodGet); n != 0 {
		t.Errorf("the vendor got %d requests", n)
	}
}
