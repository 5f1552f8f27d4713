//go:build linux

package faulttest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// drain is the drain delay of the servers.
const drain = 800 * time.Millisecond

// TestSIGTERMDropsNoRequest checks that connections are closed after a response, that all requests are served, and that the program
// exits with 0.
func TestSIGTERMDropsNoRequest(t *testing.T) {
	t.Parallel()
	_, database := sqliteFile(t)
	var served atomic.Int64
	for range 3 {
		p := serving(t, database, "--drain-delay="+drain.String())
		var clients sync.WaitGroup
		for k := range 16 {
			clients.Go(func() {
				c := newClient(p.url)
				defer c.close()
				// Some clients are busy, others mostly idle.
				pause := time.Duration(k) * 10 * time.Millisecond
				for n := 0; ; n++ {
					r := reads[n%len(reads)]
					if n%3 == 0 {
						r = request{method: http.MethodPatch, path: worthAda, body: fmt.Sprintf(`{"first_name":"%d-%d"}`, k, n)}
					}
					a, err := c.send(t.Context(), r)
					if err != nil || a.status != http.StatusOK {
						t.Errorf("request %d of client %d is answered %s, %v", n, k, a, err)
						return
					}
					served.Add(1)
					if a.closes {
						return
					}
					time.Sleep(pause)
				}
			})
		}
		before := served.Load()
		within(t, waitLimit, "clients at work", func() error {
			if served.Load() < before+100 {
				return errNotYet
			}
			return nil
		})
		p.signal(t, syscall.SIGTERM)
		clients.Wait()
		if code := p.awaitEnd(t, waitLimit); code != 0 {
			t.Errorf("the program ends with %d", code)
		}
	}
	t.Logf("%d requests were served", served.Load())
}

// balancer is a plain round-robin over servers that say of themselves that they are ready.
type balancer struct {
	url      string
	backends []*backend
	next     atomic.Uint64
}

type backend struct {
	proxy *httputil.ReverseProxy
	url   string
	ready atomic.Bool
}

// newBalancer balances over servers at these addresses, and asks each of them all the time whether it is ready.
func newBalancer(t testing.TB, addresses ...string) *balancer {
	t.Helper()
	b := &balancer{}
	ctx, stop := context.WithCancel(context.Background())
	var asking sync.WaitGroup
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	for _, address := range addresses {
		target := &url.URL{Scheme: "http", Host: address}
		s := &backend{url: target.String()}
		s.proxy = &httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
			Transport: transport,
			ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
				http.Error(w, fmt.Sprintf("%s does not answer %s: %v", address, r.Method, err), http.StatusBadGateway)
			},
		}
		b.backends = append(b.backends, s)
		asking.Go(func() { s.watch(ctx) })
	}
	front := httptest.NewServer(b)
	b.url = front.URL
	t.Cleanup(func() {
		front.Close()
		stop()
		asking.Wait()
		transport.CloseIdleConnections()
	})
	return b
}

// watch checks a backend every 50 milliseconds.
func (s *backend) watch(ctx context.Context) {
	c := newClient(s.url)
	defer c.close()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		a, err := c.send(ctx, request{method: http.MethodGet, path: "/readyz"})
		s.ready.Store(err == nil && a.status == http.StatusOK)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	next := b.next.Add(1)
	for k := range b.backends {
		if s := b.backends[(next+uint64(k))%uint64(len(b.backends))]; s.ready.Load() {
			s.proxy.ServeHTTP(w, r)
			return
		}
	}
	http.Error(w, "no server is ready", http.StatusBadGateway)
}

// freeAddress returns a free local address.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// replica is one of several servers. It keeps its address when it is restarted.
type replica struct {
	*program
	address string
}

func (r *replica) restart(t testing.TB, b *balancer, k int, binary, database string) {
	t.Helper()
	if r.program != nil {
		r.signal(t, syscall.SIGTERM)
		if code := r.awaitEnd(t, waitLimit); code != 0 {
			t.Fatalf("the program ends with %d", code)
		}
	}
	r.program = servingAs(t, binary, environment(database), "--listen="+r.address, "--drain-delay="+drain.String(), "--request-timeout=5s")
	within(t, waitLimit, "the balancer's notice", func() error {
		if !b.backends[k].ready.Load() {
			return errNotYet
		}
		return nil
	})
}

// TestRollingRestart restarts two servers one after the other, and checks that clients behind a load balancer see no errors.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	p := running(t)
	replicas := []*replica{{address: freeAddress(t)}, {address: freeAddress(t)}}
	b := newBalancer(t, replicas[0].address, replicas[1].address)
	for k, r := range replicas {
		r.restart(t, b, k, dragoman(t), p.url())
	}
	l := newLoad(t, client{b.url, administrator(), &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: waitLimit}})
	l.awaitWork(t)
	rounds := 2
	if kills(t) > fewKills {
		rounds = 20
	}
	for range rounds {
		for k, r := range replicas {
			r.restart(t, b, k, dragoman(t), p.url())
		}
	}
	l.finish(t)
	t.Logf("%d restarts", 2*rounds)
}

// load is clients that write and read continuously, and keep a ledger.
type load struct {
	*crash
	clients *clients
	client  client
	stop    context.CancelFunc
}

func newLoad(t testing.TB, c client) *load {
	t.Helper()
	l := &load{crash: &crash{ledger: newLedger(), program: &program{client: c}}, client: c}
	if err := l.populate(t.Context()); err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, l.stop = context.WithCancel(t.Context())
	l.clients = l.load(ctx, c, func() {})
	t.Cleanup(func() {
		l.stop()
		l.clients.Wait()
		c.close()
	})
	return l
}

// awaitWork waits until clients have written for a while.
func (l *load) awaitWork(t testing.TB) {
	t.Helper()
	within(t, waitLimit, "clients at work", func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.written < 40 {
			return errNotYet
		}
		return nil
	})
}

// finish stops the clients, and checks that no request failed and that the directory agrees with the ledger.
func (l *load) finish(t testing.TB) {
	t.Helper()
	l.clients.mu.Lock()
	failed, wrong := l.clients.down, errors.Join(l.clients.errs...)
	why := l.clients.why
	l.clients.mu.Unlock()
	l.stop()
	l.clients.Wait()
	t.Logf("%d updates and %d creations were acknowledged, %d requests failed", l.written, l.creations, failed)
	if failed > 0 || wrong != nil {
		t.Errorf("%v %v", why, wrong)
	}
	if l.written == 0 {
		t.Error("nothing was written")
	}
	if err := l.verifyAll(context.Background(), l.client); err != nil {
		t.Error(err)
	}
}
