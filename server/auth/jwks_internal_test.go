package auth

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// edSet returns a key set with a fixed key under this kid.
func edSet(kid string) []byte {
	public := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	return fmt.Appendf(nil, `{"keys":[{"kty":"OKP","crv":"Ed25519","x":%q,"kid":%q}]}`, base64.RawURLEncoding.EncodeToString(public), kid)
}

// slowly is a key set's server that answers after a delay.
type slowly struct {
	takes    time.Duration
	answers  []byte
	readings atomic.Int32
	underWay atomic.Int32
}

func (s *slowly) read(ctx context.Context) ([]byte, error) {
	s.readings.Add(1)
	s.underWay.Add(1)
	defer s.underWay.Add(-1)
	select {
	case <-time.After(s.takes):
		return s.answers, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestSlowKeySetServer checks that requests share one reading of the set and wait for at most two seconds from its start.
func TestSlowKeySetServer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		takes time.Duration
		waits time.Duration // of a request at the start of the reading
		found bool
	}{
		{"fast", time.Second, time.Second, true},
		{"slow", 5 * time.Second, 2 * time.Second, false},
		{"hanging", time.Hour, 2 * time.Second, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := &slowly{answers: edSet("1")}
				s := startKeySource(server.read, 24*time.Hour, DefaultJWKSMaxAge, slog.New(slog.DiscardHandler))
				defer s.close()
				synctest.Wait()
				server.takes, server.answers = test.takes, edSet("2")

				var callers sync.WaitGroup
				start := time.Now()
				for i := range 100 {
					callers.Go(func() {
						<-time.After(time.Duration(i) * 30 * time.Millisecond)
						began := time.Now()
						_, err := s.key(keyName{"EdDSA", "2"}, true, true)
						if err != nil && !errors.Is(err, errUnknownKey) || err == nil != test.found {
							t.Errorf("caller %d: %v", i, err)
						}
						// A later request waits until the same time.
						if waited, most := time.Since(began), max(0, test.waits-began.Sub(start)); waited > most {
							t.Errorf("caller %d waited %s, want %s at most", i, waited, most)
						}
						// Known keys stay available.
						if _, err := s.key(keyName{"EdDSA", "1"}, true, true); err != nil && !test.found {
							t.Errorf("caller %d: known key: %v", i, err)
						}
					})
				}
				callers.Wait()
				if n := server.readings.Load(); n != 2 {
					t.Errorf("%d readings, want the first and one for all callers", n)
				}
				<-time.After(time.Minute)
				if server.underWay.Load() != 0 {
					t.Errorf("a reading has not ended after a minute")
				}
			})
		})
	}
}

// TestKeyPublishedDuringRead checks that a token of a new key is accepted if the read in progress was answered before the key existed.
func TestKeyPublishedDuringRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answers := [][]byte{edSet("1"), edSet("1"), edSet("2")}
		readings := 0
		s := startKeySource(func(context.Context) ([]byte, error) {
			answer := answers[min(readings, len(answers)-1)]
			readings++
			<-time.After(100 * time.Millisecond)
			return answer, nil
		}, time.Minute, DefaultJWKSMaxAge, slog.New(slog.DiscardHandler))
		defer s.close()
		<-time.After(time.Minute + 150*time.Millisecond) // the second read is in progress
		var callers sync.WaitGroup
		for range 10 {
			callers.Go(func() {
				if _, err := s.key(keyName{"EdDSA", "2"}, true, true); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		if readings != 3 {
			t.Errorf("%d readings, want 3", readings)
		}
	})
}

// TestSlowFirstReading checks the same before the first answer of the server.
func TestSlowFirstReading(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &slowly{takes: 3 * time.Second, answers: edSet("1")}
		s := startKeySource(server.read, 24*time.Hour, DefaultJWKSMaxAge, slog.New(slog.DiscardHandler))
		defer s.close()
		for _, test := range []struct {
			after, waits time.Duration
			err          error
		}{
			{0, 2 * time.Second, ErrKeysUnavailable},
			{500 * time.Millisecond, 0, ErrKeysUnavailable},
			{time.Second, 0, nil},
		} {
			<-time.After(test.after)
			began := time.Now()
			_, err := s.key(keyName{"EdDSA", "1"}, true, true)
			if waited := time.Since(began); waited != test.waits || !errors.Is(err, test.err) {
				t.Errorf("waited %s for %v, want %s for %v", waited, err, test.waits, test.err)
			}
		}
		if n := server.readings.Load(); n != 1 {
			t.Errorf("%d readings", n)
		}
	})
}

// TestCloseDuringReading checks that close does not wait for the server.
func TestCloseDuringReading(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &slowly{takes: time.Hour}
		s := startKeySource(server.read, time.Hour, DefaultJWKSMaxAge, slog.New(slog.DiscardHandler))
		var callers sync.WaitGroup
		for range 10 {
			callers.Go(func() {
				if _, err := s.key(keyName{"EdDSA", "1"}, true, true); !errors.Is(err, ErrKeysUnavailable) {
					t.Errorf("error %v", err)
				}
			})
		}
		synctest.Wait()
		began := time.Now()
		s.close()
		callers.Wait()
		if waited := time.Since(began); waited != 0 {
			t.Errorf("closed after %s", waited)
		}
		if _, err := s.key(keyName{"EdDSA", "1"}, true, true); !errors.Is(err, ErrKeysUnavailable) || server.readings.Load() != 1 {
			t.Errorf("after the end: %v, %d readings", err, server.readings.Load())
		}
	})
}

// TestRedirectsAreNotFollowed checks that keys come from the configured URL alone, over verified TLS.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer plain.Close()
	target := plain.URL
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/jwks.json" {
			w.Write(edSet("1"))
			return
		}
		http.Redirect(w, r, target, http.StatusFound)
	}))
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	secure.StartTLS()
	defer secure.Close()

	f := newFetcher(keySetName, false, nil)
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	f.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots}
	if content, err := f.fetch(t.Context(), secure.URL+"/jwks.json"); err != nil || string(content) != string(edSet("1")) {
		t.Errorf("without a redirect: %q, %v", content, err)
	}
	if _, err := f.fetch(t.Context(), secure.URL); err == nil || !strings.Contains(err.Error(), "answers 302, and redirects are not followed") {
		t.Errorf("with a redirect: %v", err)
	}
	if _, err := newFetcher(keySetName, false, nil).fetch(t.Context(), secure.URL+"/jwks.json"); err == nil || strings.Contains(err.Error(), secure.URL) {
		t.Errorf("without proof of who the server is: %v", err)
	}
}

// TestHTTPDialsLoopbackOnly checks that a name which resolves to another machine is not connected to over http.
func TestHTTPDialsLoopbackOnly(t *testing.T) {
	t.Parallel()
	// The address is reserved for documentation (RFC 5737), and is never dialed.
	_, err := newFetcher(keySetName, true, nil).fetch(t.Context(), "http://192.0.2.1/jwks.json")
	if err == nil || !strings.Contains(err.Error(), "its host is not this machine") {
		t.Errorf("error %v", err)
	}
}
