package webhook_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/dragoman-id/dragoman/server/webhook"
	"github.com/dragoman-id/dragoman/store"
)

func TestPublicAddresses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"1.1.1.1": true, "8.8.8.8": true, "100.63.255.255": true, "100.128.0.0": true, "172.15.255.255": true, "172.32.0.0": true,
		"192.167.255.255": true, "193.0.0.1": true, "223.255.255.255": true, "2606:4700:4700::1111": true, "2a00:1450:4001:800::200e": true,
		"::ffff:1.1.1.1": true,

		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "100.64.0.1": false, "100.100.100.200": false, "100.127.255.255": false,
		"127.0.0.1": false, "127.255.255.255": false, "169.254.169.254": false, "168.63.129.16": false, "172.16.0.1": false, "172.31.255.255": false,
		"192.0.0.192": false, "192.0.2.1": false, "192.88.99.1": false, "192.168.1.1": false, "198.18.0.1": false, "198.19.255.255": false,
		"198.51.100.1": false, "203.0.113.1": false, "224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false,

		"::": false, "::1": false, "::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "::ffff:10.0.0.1": false,
		"::127.0.0.1": false, "::ffff:0:127.0.0.1": false, "64:ff9b::7f00:1": false, "64:ff9b::101:101": false, "64:ff9b:1::a00:1": false,
		"100::1": false, "2001::1": false, "2001:db8::1": false, "2002:7f00:1::": false, "2002:a00:1::1": false, "3fff::1": false, "5f00::1": false,
		"64:ff9b::a9fe:a9fe": false, "64:ff9b:1:ffff::1": false, "2001:0:4136:e378:8000:63bf:3fff:fdd2": false, "2002:a9fe:a9fe::": false, "2001:20::1": false,
		"::ffff:100.64.0.1": false, "::ffff:255.255.255.255": false, "::fffe:1.1.1.1": false, "fdff::1": false, "febf::1": false, "feff::1": false,
		"fc00::1": false, "fd00:ec2::254": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "ff02::1": false, "ff0e::1": false,
	} {
		if got := webhook.IsPublic(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: public is %v", text, got)
		}
	}
}

// TestForbiddenAddresses: neither a name nor a number of an address that is not public is dialled, however it is written.
func TestForbiddenAddresses(t *testing.T) {
	t.Parallel()
	each(t, func(f *fixture) {
		r := newReceiver(f.T)
		u, err := url.Parse(r.URL)
		if err != nil {
			f.Fatal(err)
		}
		for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]"} {
			w, _ := f.add(3393, "http://"+host+":"+u.Port(), 2)
			d := f.deliverer(func(c *webhook.Config) { c.AllowNetworks = nil })
			f.step(d)
			if got := f.find(w.ID); got.Answer != "forbidden address" || got.Attempts != 1 {
				f.Errorf("%s: %+v", host, got)
			}
			d.Stop()
			f.edit(w.ID, store.RemoveWebhook())
		}
		wantNumbers(f.T, r)
	})
}

// TestOddHosts: what a resolver or a dialer may take for an address that is not public is not dialled either, nor is a name of one.
func TestOddHosts(t *testing.T) {
	t.Parallel()
	each(t, func(f *fixture) {
		r := newReceiver(f.T)
		u, err := url.Parse(r.URL)
		if err != nil {
			f.Fatal(err)
		}
		var address atomic.Value
		address.Store([4]byte{127, 0, 0, 1})
		names := resolver(f.T, &address)
		for _, host := range []string{
			"localhost.", "LOCALHOST", "127.0.0.1.", "2130706433", "0x7f.0.0.1", "0x7f000001", "0177.0.0.1", "127.1", "0", "169.254.169.254", "xn--bcher-kva.example",
			"a.example.com.", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001::7f00:1]", "[::127.0.0.1]", "[::ffff:a9fe:a9fe]", "[fd00:ec2::254]", "[fe80::1%25lo]",
		} {
			w, _ := f.add(3393, "http://"+host+":"+u.Port(), 2)
			d := f.deliverer(func(c *webhook.Config) { c.AllowNetworks, c.Resolver = nil, names })
			f.step(d)
			if got := f.find(w.ID); got.Answer != "forbidden address" && got.Answer != "unresolved" || got.Attempts != 1 {
				f.Errorf("%s: %+v", host, got)
			}
			d.Stop()
			f.edit(w.ID, store.RemoveWebhook())
		}
		wantNumbers(f.T, r)
	})
}

// TestRebinding: a name that resolves to an allowed address, and then to another, is judged each time.
func TestRebinding(t *testing.T) {
	t.Parallel()
	each(t, func(f *fixture) {
		r := newReceiver(f.T)
		u, err := url.Parse(r.URL)
		if err != nil {
			f.Fatal(err)
		}
		r.answer = func(w http.ResponseWriter, _ int) { w.Header().Set("Connection", "close") } // so that each delivery dials
		l, err := net.Listen("tcp", "127.0.0.2:"+u.Port())
		if err != nil {
			f.Skip("there is no 127.0.0.2: ", err)
		}
		other := httptest.NewUnstartedServer(r.Config.Handler)
		other.Listener.Close()
		other.Listener = l
		other.Start()
		defer other.Close()
		var address atomic.Value
		w, _ := f.add(3393, "http://rebinding.example.com:"+u.Port(), 1)
		d := f.deliverer(func(c *webhook.Config) {
			c.AllowNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
			c.Resolver = resolver(f.T, &address)
		})
		address.Store([4]byte{127, 0, 0, 2})
		f.step(d)
		wantNumbers(f.T, r, 1, 2)
		for _, refused := range [][4]byte{{127, 0, 0, 1}, {10, 0, 0, 1}, {169, 254, 169, 254}} {
			address.Store(refused)
			f.rename(ada, "Ada"+net.IP(refused[:]).String())
			f.edit(w.ID, store.ReplayWebhook(nil))
			f.step(d)
			if got := f.find(w.ID); got.Answer != "forbidden address" || got.Position != 2 {
				f.Errorf("%v: %+v", refused, got)
			}
			wantNumbers(f.T, r)
		}
	})
}

// resolver resolves every name to an address.
func resolver(t *testing.T, address *atomic.Value) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	go func() {
		for buffer := make([]byte, 512); ; {
			n, from, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Header.Response, m.Header.Authoritative, m.Additionals = true, true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				a, _ := address.Load().([4]byte)
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: a},
				}}
			}
			if answer, err := m.Pack(); err == nil {
				_, _ = server.WriteTo(answer, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: (&addressed{server.LocalAddr().String()}).DialContext}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]bool{ // whether it may be, without and with http
		"https://example.com": {true, true}, "https://example.com:8443/a?b=c": {true, true}, "http://example.com": {false, true},
		"https://example.com.": {true, true}, "HTTPS://EXAMPLE.COM": {true, true}, "https://xn--bcher-kva.example": {true, true}, "https://example.com:": {true, true},
		"https://example.com:65535": {true, true}, "https://example.com:0": {}, "https://example.com:65536": {}, "https://example.com:-1": {},
		"https://example.com\\@10.0.0.1": {}, "https://example.com%2f@10.0.0.1": {}, "https://%31%30.0.0.1": {}, "https://bücher.example": {}, "https:example.com": {},
		"https:/example.com": {}, "https://@example.com": {}, "https://:@example.com": {}, "https://[::1": {}, "https://::1": {}, "https://:443": {},
		"https://1.2.3.4/": {true, true}, "https://[2606:4700::1]/": {true, true},
		"": {}, "example.com": {}, "ftp://example.com": {}, "https://": {}, "https:///x": {}, "https://user@example.com": {},
		"https://user:password@example.com": {}, "https://example.com/#x": {}, "https://example.com/#": {}, "https://exa mple.com": {},
		"https://example.com/\nx": {}, "https://example.com/ü": {}, "file:///etc/passwd": {}, "https://example.com:port": {}, "//example.com": {},
	} {
		if got := [2]bool{store.CheckWebhookURL(text, false) == "", store.CheckWebhookURL(text, true) == ""}; got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// TestPlainHTTPAtDelivery: an endpoint without TLS gets nothing from a server that does not allow it.
func TestPlainHTTPAtDelivery(t *testing.T) {
	t.Parallel()
	each(t, func(f *fixture) {
		r := newReceiver(f.T)
		w, _ := f.add(3393, r.URL, 1)
		f.step(f.deliverer(func(c *webhook.Config) { c.AllowHTTP = false }))
		if got := f.find(w.ID); got.Answer != "forbidden URL" {
			f.Errorf("%+v", got)
		}
		wantNumbers(f.T, r)
	})
}

// TestTLS: a certificate that is not trusted is refused.
func TestTLS(t *testing.T) {
	t.Parallel()
	each(t, func(f *fixture) {
		r := newReceiver(f.T)
		secure := httptest.NewUnstartedServer(r.Config.Handler)
		secure.Config.ErrorLog = discard
		secure.StartTLS()
		defer secure.Close()
		w, secret := f.add(3393, secure.URL, 2)
		d := f.deliverer()
		f.step(d)
		if got := f.find(w.ID); got.Answer != "untrusted" {
			f.Errorf("%+v", got)
		}
		d.Stop()
		f.clock.add(time.Minute)
		f.step(f.deliverer(func(c *webhook.Config) { c.TLS = secure.Client().Transport.(*http.Transport).TLSClientConfig }))
		if err := verify(f.T, wantNumbers(f.T, r, 2)[0], secret); err != nil {
			f.Error(err)
		}
	})
}

// TestProxy: with a proxy, deliveries go through it, and only then.
func TestProxy(t *testing.T) {
	t.Parallel()
	each(t, func(f *fixture) {
		r := newReceiver(f.T)
		var asked atomic.Value
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			asked.Store(request.URL.Host)
			r.Config.Handler.ServeHTTP(w, request)
		}))
		defer proxy.Close()
		f.add(3393, "http://internal.example.com", 2)
		u, err := url.Parse(proxy.URL)
		if err != nil {
			f.Fatal(err)
		}
		f.step(f.deliverer(func(c *webhook.Config) { c.Proxy, c.AllowNetworks = u, nil }))
		wantNumbers(f.T, r, 2)
		if asked.Load() != "internal.example.com" {
			f.Errorf("the proxy was asked for %v", asked.Load())
		}
	})
}
