package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store/storetest"
	"github.com/go-jose/go-jose/v4"
)

func health(path string) servertest.Request {
	return servertest.Request{Method: http.MethodGet, Path: path}
}

func TestLiveNeedsNoDatabase(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		s.Send(health("/livez")).Expect(t, http.StatusOK, "ok")
		s.Send(health("/readyz")).Expect(t, http.StatusOK, "ok")
		if err := s.Store.Close(); err != nil {
			t.Fatal(err)
		}
		s.Send(health("/livez")).Expect(t, http.StatusOK, "ok")
		eventually(t, "the server is not ready", func() bool { return s.Send(health("/readyz")).Status == http.StatusServiceUnavailable })
		s.Send(health("/readyz")).Expect(t, http.StatusServiceUnavailable, "the database does not answer")
	})
}

// TestReadyWithoutKeys: a server is not ready before its key set was read, and when no key is left.
func TestReadyWithoutKeys(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	var up atomic.Bool
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !up.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(keys)
	}))
	t.Cleanup(issuer.Close)
	s := servertest.StartWith(t, server.Config{Auth: auth.Config{Issuers: []auth.Issuer{{
		JWKSURL: issuer.URL, JWKSRefresh: time.Second, JWKSMaxAge: 2 * time.Second,
		Rules: auth.Rules{Issuer: "issuer", Audiences: []string{"dragoman"}},
	}}}})
	for _, c := range []struct {
		up     bool
		status int
		body   string
	}{
		{false, http.StatusServiceUnavailable, "there are no keys to verify tokens with"}, // never read
		{true, http.StatusOK, "ok"},
		{false, http.StatusServiceUnavailable, "there are no keys to verify tokens with"}, // dropped
		{true, http.StatusOK, "ok"},
	} {
		up.Store(c.up)
		eventually(t, fmt.Sprintf("/readyz is %d", c.status), func() bool { return s.Send(health("/readyz")).Status == c.status })
		s.Send(health("/readyz")).Expect(t, c.status, c.body)
		s.Send(health("/livez")).Expect(t, http.StatusOK, "ok")
	}
}

// TestReadyWithFrozenDatabase: one that takes connections and says nothing is answered for in time.
func TestReadyWithFrozenDatabase(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, database string) {
		if strings.HasPrefix(database, "sqlite:") {
			t.Skip("SQLite has no wire")
		}
		way, database := freezable(t, database)
		s := servertest.StartWith(t, server.Config{Database: database})
		s.Send(health("/readyz")).Expect(t, http.StatusOK, "ok")
		thaw := way.freeze(t)
		began := time.Now()
		eventually(t, "the server is not ready", func() bool { return s.Send(health("/readyz")).Status == http.StatusServiceUnavailable })
		s.Send(health("/readyz")).Expect(t, http.StatusServiceUnavailable, "the database does not answer")
		if took := time.Since(began); took > waitLimit {
			t.Errorf("that took %s", took)
		}
		s.Send(health("/livez")).Expect(t, http.StatusOK, "ok")
		thaw()
		for s.Send(health("/readyz")).Status != http.StatusOK {
			if time.Since(began) > waitLimit {
				t.Fatal("the database answers again, and the server does not see it")
			}
		}
	})
}

// way is a connection's way to the database, which can freeze: then nothing gets through, and nothing ends.
type way struct{ frozen sync.RWMutex }

// freeze freezes the way until it is thawed, or the test is over.
func (w *way) freeze(t *testing.T) (thaw func()) {
	w.frozen.Lock()
	thaw = sync.OnceFunc(w.frozen.Unlock)
	t.Cleanup(thaw)
	return thaw
}

// freezable gives the URL by which a database is reached on a way that can freeze.
func freezable(t *testing.T, database string) (*way, string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	w := &way{}
	upstream := u.Host
	u.Host = between(t, func(client net.Conn) { w.relay(client, upstream) })
	return w, u.String()
}

// relay passes on one connection's traffic.
func (w *way) relay(client net.Conn, upstream string) {
	defer client.Close()
	database, err := net.Dial("tcp", upstream)
	if err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { w.carry(client, database) })
	defer back.Wait()
	defer database.Close()
	w.carry(database, client)
}

func (w *way) carry(to, from net.Conn) {
	defer to.Close()
	part := make([]byte, 4096)
	for {
		n, err := from.Read(part)
		w.frozen.RLock()
		_, failed := to.Write(part[:n])
		w.frozen.RUnlock()
		if err != nil || failed != nil {
			return
		}
	}
}

// draining runs a server as the program does, with this time to drain; see serving.
func draining(t *testing.T, drain time.Duration) (l net.Listener, stop func(), ended <-chan error) {
	t.Helper()
	return serving(t, server.Config{Timeouts: server.Timeouts{Drain: drain}})
}

// serving runs a server as the program does. It gives where it listens, what tells it to stop, and how that ended.
func serving(t *testing.T, c server.Config) (l net.Listener, stop func(), ended <-chan error) {
	t.Helper()
	c.Listen, c.Database = "127.0.0.1:0", "sqlite:"+t.TempDir()+"/dragoman.db"
	c.SecretKey, c.Auth = storetest.Key, auth.Config{Issuers: []auth.Issuer{{Secret: servertest.Secret}}}
	c.Timeouts.Shutdown, c.Log = waitLimit, slog.New(slog.DiscardHandler)
	s, err := server.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if l, err = s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- errors.Join(s.Serve(ctx, l), s.Close()) }()
	return l, stop, served
}

// ask asks the server on a connection, and gives the answer's first line and whether the server then ends the connection.
func ask(t *testing.T, client *http.Client, l net.Listener, path string) (status int, body string, ends bool, err error) {
	t.Helper()
	answer, err := client.Get("http://" + l.Addr().String() + path)
	if err != nil {
		return 0, "", false, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text), answer.Close, nil
}

func TestDrainingServerServes(t *testing.T) {
	t.Parallel()
	l, stop, ended := draining(t, time.Hour)
	kept := &http.Client{Transport: &http.Transport{}}
	defer kept.CloseIdleConnections()
	if status, _, ends, err := ask(t, kept, l, "/readyz"); status != http.StatusOK || ends || err != nil {
		t.Fatalf("before it is told to stop: %d, ends %v, %v", status, ends, err)
	}
	stop()
	// The first of these comes by the connection that was kept, and ends it; the next ones by new ones.
	began := time.Now()
	for {
		status, body, ends, err := ask(t, kept, l, "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		if status == http.StatusServiceUnavailable {
			if body != "the server is stopping\n" || !ends {
				t.Errorf("it says %q, and ends the connection: %v", body, ends)
			}
			break
		}
		if time.Since(began) > waitLimit {
			t.Fatal("the server says that it is ready still")
		}
	}
	if status, _, ends, err := ask(t, kept, l, "/livez"); status != http.StatusOK || !ends || err != nil {
		t.Errorf("it is alive: %d, ends %v, %v", status, ends, err)
	}
	if status, _, ends, err := ask(t, kept, l, worthAda); status != http.StatusUnauthorized || !ends || err != nil {
		t.Errorf("a dialect: %d, ends %v, %v", status, ends, err)
	}
	// Who cannot serve does not wait.
	l.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a server without its listener ends with %v", err)
	}
}

func TestListenerClosesAfterDrain(t *testing.T) {
	t.Parallel()
	l, stop, ended := draining(t, time.Second)
	stop()
	told := false
	for began := time.Now(); ; {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		status, _, _, err := ask(t, client, l, "/readyz")
		if errors.Is(err, syscall.ECONNREFUSED) {
			break
		}
		// A connection that is made while the listener closes may be reset.
		told = told || status == http.StatusServiceUnavailable
		if time.Since(began) > waitLimit {
			t.Fatal("the server listens still")
		}
	}
	if !told {
		t.Error("the listener was closed before anybody was told")
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
