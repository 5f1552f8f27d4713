package cli

import (
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rules returns the block of a language of the guide's page on moving in.
func rules(t *testing.T, language string) string {
	t.Helper()
	found := regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(read(t, root+"server/docs/guide/moving-in.md")), -1)
	if len(found) != 1 {
		t.Fatalf("the page has %d blocks of %s", len(found), language)
	}
	return found[0][1]
}

// upstreams are where the guide's rules send requests to: two vendors with TLS, and Dragoman. Each answers who it is and what it was asked.
type upstreams struct {
	worth, testinium, dragoman *httptest.Server
	authority                  string // the file with the certificate of both vendors, which is that of example.com
}

func startUpstreams(t *testing.T) *upstreams {
	t.Helper()
	answer := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s %s %s %s", name, r.Host, r.Method, r.RequestURI)
		})
	}
	u := &upstreams{worth: httptest.NewTLSServer(answer("worth")), testinium: httptest.NewTLSServer(answer("testinium")), dragoman: httptest.NewServer(answer("dragoman"))}
	for _, s := range []*httptest.Server{u.worth, u.testinium, u.dragoman} {
		t.Cleanup(s.Close)
	}
	u.authority = filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(u.authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: u.worth.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return u
}

// rewritten returns the configuration of a proxy with others in place of some texts. Each must be there.
func rewritten(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("the configuration does not say %q", pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

// startProxy starts a proxy, whose command has the test's context, and ends it when the test ends. If the test has failed, it logs what
// the proxy has said but for its lines on successful requests.
func startProxy(t *testing.T, c *exec.Cmd) {
	t.Helper()
	var said strings.Builder
	c.Stdout, c.Stderr = &said, &said
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = time.Minute
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Wait(); t.Failed() {
			t.Logf("the proxy ends with %v: %s", err, regexp.MustCompile(`(?m)^client=.* status=200 .*\n`).ReplaceAllString(said.String(), ""))
		}
	})
}

// runProxy runs a proxy until the test ends, and waits until it listens.
func runProxy(t *testing.T, address, program string, args ...string) {
	t.Helper()
	startProxy(t, exec.CommandContext(t.Context(), program, args...))
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the proxy does not listen")
		}
	}
}

// expectRules sends requests through a proxy with the guide's rules.
func expectRules(t *testing.T, address, worthHost, testiniumHost string) {
	t.Helper()
	for path, want := range map[string]string{
		"/auth/api/v1/customer/sign-in":                         "worth " + worthHost,
		"/auth/api/v1/customer/logout":                          "worth " + worthHost,
		"/auth/api/v1/refresh-token/customer":                   "worth " + worthHost,
		"/uaa/oauth/token":                                      "testinium " + testiniumHost,
		"/auth/api/v1/customers/x/users":                        "dragoman " + address,
		"/auth/api/v1/customers/x/users/y?page=1&status=ACTIVE": "dragoman " + address,
		"/account/api/v1/customers/3393/users/":                 "dragoman " + address,
		"/scim/v2/x/Users":                                      "dragoman " + address,
	} {
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			if got := through(t, address, method, path); got != want+" "+method+" "+path {
				t.Errorf("%s %s: %q, want %q", method, path, got, want)
			}
		}
	}
}

func through(t *testing.T, address, method, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	if a.StatusCode != http.StatusOK {
		return fmt.Sprint(a.StatusCode)
	}
	return string(body)
}

// TestHAProxySendsSignIn: the guide's rules send sign-in paths to the vendors, whose certificates are checked, and all others to Dragoman.
func TestHAProxySendsSignIn(t *testing.T) {
	t.Parallel()
	haproxy, u := tool(t, "haproxy"), startUpstreams(t)
	for name, host := range map[string]string{"the vendors' certificates": "example.com", "others' certificates": "api.joinworth.com"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := "127.0.0.1:" + freePort(t)
			text := rewritten(t, rules(t, "haproxy"), "bind :443 ssl crt /etc/haproxy/api.pem", "bind "+address,
				"api.joinworth.com:443", u.worth.Listener.Addr().String(), "account.testinium.com:443", u.testinium.Listener.Addr().String(),
				"127.0.0.1:8080", u.dragoman.Listener.Addr().String(), "@system-ca", u.authority, "sni str(api.joinworth.com)", "sni str("+host+")",
				"sni str(account.testinium.com)", "sni str("+host+")")
			config := filepath.Join(t.TempDir(), "haproxy.cfg")
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.CommandContext(t.Context(), haproxy, "-c", "-f", config).CombinedOutput(); err != nil || strings.Contains(string(out), "[WARNING]") {
				t.Errorf("%v: %s", err, out)
			}
			runProxy(t, address, haproxy, "-db", "-f", config)
			if host == "example.com" {
				expectRules(t, address, "api.joinworth.com", "account.testinium.com")
			} else if got := through(t, address, http.MethodPost, "/uaa/oauth/token"); got != "503" {
				t.Errorf("a password was sent to a server with another certificate: %s", got)
			}
		})
	}
}

// TestNginxSendsSignIn is the same of the rules for nginx.
func TestNginxSendsSignIn(t *testing.T) {
	t.Parallel()
	nginx, u := tool(t, "nginx"), startUpstreams(t)
	dir := t.TempDir()
	address := "127.0.0.1:" + freePort(t)
	text := rewritten(t, rules(t, "nginx"), "listen 443 ssl;", "listen "+address+";", "    ssl_certificate /etc/nginx/api.pem;\n    ssl_certificate_key /etc/nginx/api.key;\n", "",
		"/etc/ssl/certs/ca-certificates.crt", u.authority, "proxy_ssl_server_name on;", "proxy_ssl_server_name on;\n    proxy_ssl_name example.com;",
		"https://api.joinworth.com", "https://"+u.worth.Listener.Addr().String(), "https://account.testinium.com", "https://"+u.testinium.Listener.Addr().String(),
		"127.0.0.1:8080", u.dragoman.Listener.Addr().String())
	config := filepath.Join(dir, "nginx.conf")
	whole := "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\nclient_body_temp_path t1;\nproxy_temp_path t2;\n" +
		"fastcgi_temp_path t3;\nuwsgi_temp_path t4;\nscgi_temp_path t5;\n" + text + "}\n"
	if err := os.WriteFile(config, []byte(whole), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), nginx, "-t", "-p", dir, "-c", config).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	runProxy(t, address, nginx, "-p", dir, "-c", config)
	expectRules(t, address, u.worth.Listener.Addr().String(), u.testinium.Listener.Addr().String())
}
