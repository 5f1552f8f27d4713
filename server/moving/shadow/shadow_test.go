package shadow_test

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/moving/shadow"
	"github.com/dragoman-id/dragoman/server/moving/source"
	"github.com/dragoman-id/dragoman/server/moving/vendortest"
	"github.com/dragoman-id/dragoman/server/servertest"
)

// TestShadowServesTheSource: answers pass as they are, also errors, and with the target dead.
func TestShadowServesTheSource(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 20)
	for _, dialect := range dialects {
		alive := m.shadow(t, dialect, nil)
		dead := m.shadow(t, dialect, func(c *shadow.Config) { c.Target = parse(t, "http://127.0.0.1:1/x") })
		for _, path := range []string{alive.user(m.common), alive.list(), alive.list() + "/nobody", "/elsewhere?x=%zz;&y", alive.list() + "/a%2Fb"} {
			status, header, body := alive.do(t, http.MethodGet, m.vendors[dialect].URL, path, "")
			for name, f := range map[string]*front{"alive": alive, "dead": dead} {
				gotStatus, gotHeader, gotBody := f.do(t, http.MethodGet, f.url, path, "")
				header.Del("Date")
				gotHeader.Del("Date")
				if gotStatus != status || !bytes.Equal(gotBody, body) || fmt.Sprint(gotHeader) != fmt.Sprint(header) {
					t.Errorf("%s with the target %s: %d %v %s, not %d %v %s", path, name, gotStatus, gotHeader, gotBody, status, header, body)
				}
			}
		}
		if o := of(dead.close(), describe(t, dialect).Show); o.Unanswered == 0 || o.Differ != 0 {
			t.Errorf("%+v", o)
		}
		alive.close()
	}
}

// TestShadowOfWrites: a write reaches the source once and the target as a dry run, and what it changed is not compared any more.
func TestShadowOfWrites(t *testing.T) {
	t.Parallel()
	servertest.EachWith(t, server.Config{}, func(t *testing.T, s *servertest.Server) {
		m := newMove(t, s, 20)
		for _, dialect := range dialects {
			f := m.shadow(t, dialect, nil)
			api := describe(t, dialect)
			method, body := f.put(m.common)
			if status, _, answer := f.do(t, method, f.url, f.user(m.common), body); status != http.StatusOK {
				t.Fatalf("%d %s", status, answer)
			}
			if n := m.vendors[dialect].Requests(method); n != 1 {
				t.Errorf("the source was written %d times", n)
			}
			f.do(t, http.MethodGet, f.url, f.user(m.common), "")
			f.do(t, http.MethodGet, f.url, f.user(m.common+1), "")
			f.do(t, http.MethodGet, f.url, f.list(), "")
			r := f.close()
			update, show, list := of(r, api.Updates[0]), of(r, api.Show), of(r, api.List)
			if update.Equal != 1 || show.Equal != 1 || show.WrittenSince != 1 || list.WrittenSince != 1 || r.Differ() != 0 {
				t.Errorf("%s: %+v", dialect, r)
			}
		}
		p := vendortest.People(m.common, 1, s.Store.Catalogue())[0]
		if u := s.FindUser(t, p.ID); u.FirstName != p.FirstName || u.Version != 1 {
			t.Errorf("the target was written: %+v", u)
		}
	})
}

// TestShadowSeesWritesElsewhere: Worth's answer tells that a user was written since.
func TestShadowSeesWritesElsewhere(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 20)
	f := m.shadow(t, "worth", nil)
	method, body := f.put(m.common)
	f.do(t, method, m.vendors["worth"].URL, f.user(m.common), body)
	f.do(t, http.MethodGet, f.url, f.user(m.common), "")
	if o := of(f.close(), describe(t, "worth").Show); o.WrittenSince != 1 || o.Differ != 0 {
		t.Errorf("%+v", o)
	}
}

func TestShadowHidesValues(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 20)
	m.vendors["worth"].Alter = show(func(u map[string]any) { u["first_name"] = "Secretive" })
	f := m.shadow(t, "worth", func(c *shadow.Config) { c.ShowValues = false })
	f.do(t, http.MethodGet, f.url, f.user(m.common), "")
	r := f.close()
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), "Secretive") || !strings.Contains(text.String(), "data.first_name: the source has hmac:") {
		t.Error(text.String())
	}
}

// TestShadowLeavesOutFailures: what a source answers that fails is no difference.
func TestShadowLeavesOutFailures(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 20)
	f := m.shadow(t, "worth", nil)
	for _, want := range []int{500, 502, 429, 408} {
		m.vendors["worth"].SetFront(func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(want)
			return true
		})
		if status, _, _ := f.do(t, http.MethodGet, f.url, f.user(m.common), ""); status != want {
			t.Errorf("status %d, want %d", status, want)
		}
	}
	if o := of(f.close(), describe(t, "worth").Show); o.Unanswered != 4 || o.Differ != 0 || o.Failure != "" {
		t.Errorf("%+v", o)
	}
}

// TestShadowNamesTheTargetsFailure without the query of the request, which may have personal data.
func TestShadowNamesTheTargetsFailure(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 20)
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	f := m.shadow(t, "worth", func(c *shadow.Config) { c.Target = parse(t, secure.URL+"/auth/api/v1") })
	f.do(t, http.MethodGet, f.url, f.user(m.common)+"?name=lovelace", "")
	r := f.close()
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	o := of(r, describe(t, "worth").Show)
	if o.Unanswered != 1 || !strings.Contains(text.String(), "last error of the target: tls: failed to verify certificate") || strings.Contains(o.Failure, "lovelace") {
		t.Errorf("%+v\n%s", o, &text)
	}
}

// TestShadowTokenIsRenewed: when the target refuses its token, another one is asked for, and not for ever.
func TestShadowTokenIsRenewed(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 20)
	runs := filepath.Join(t.TempDir(), "runs")
	ask := func(command string, times int) shadow.Operation {
		f := m.shadow(t, "worth", func(c *shadow.Config) {
			c.ShowValues = false
			c.Tokens = &source.Tokens{File: filepath.Join(t.TempDir(), "token"), Command: command, Of: "target-"}
			if err := os.WriteFile(c.Tokens.File, []byte("expired"), 0o600); err != nil {
				t.Fatal(err)
			}
		})
		for range times {
			f.do(t, http.MethodGet, f.url, f.user(m.common), "")
		}
		return of(f.close(), describe(t, "worth").Show)
	}
	if o := ask("echo "+m.token, 5); o.Equal != 5 {
		t.Errorf("%+v", o)
	}
	const refused = "HTTP status: the source has 200 and the target 401"
	if o := ask("", 1); o.Differ != 1 || o.Examples[0].Differences[0].String() != refused {
		t.Errorf("%+v", o)
	}
	if o := ask("echo >> "+runs+"; echo refused-$$", 20); o.Differ != 20 || o.Examples[0].Differences[0].String() != refused {
		t.Errorf("%+v", o)
	}
	if text, err := os.ReadFile(runs); err != nil || len(text) != 3 {
		t.Errorf("the command was run %d times, %v", len(text), err)
	}
	if o := ask("exit 3", 1); o.Unanswered != 1 || o.Failure != "running --target-token-command: exit status 3" {
		t.Errorf("%+v", o)
	}
}

// TestShadowIsBounded: a target that hangs costs the client nothing, and what does not fit is counted.
func TestShadowIsBounded(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 20)
	hang := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	t.Cleanup(slow.Close)
	f := m.shadow(t, "worth", func(c *shadow.Config) { c.Target, c.Workers, c.Queue = parse(t, slow.URL), 1, 2 })
	for range 10 {
		if status, _, _ := f.do(t, http.MethodGet, f.url, f.user(m.common), ""); status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	}
	f.server.Close() // which waits for what follows the answers
	if o := of(f.shadow.Report(), describe(t, "worth").Show); o.Dropped < 7 || o.Requests != 10 {
		t.Errorf("%+v", o)
	}
	close(hang)
	f.close()
}
