package server

import (
	"net/http"
	"net/netip"
	"testing"
)

func prefixes(t *testing.T, texts ...string) []netip.Prefix {
	t.Helper()
	var all []netip.Prefix
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func TestClientAddress(t *testing.T) {
	t.Parallel()
	trusted := prefixes(t, "10.0.0.0/8", "fd00::/8", "192.0.2.7/32")
	for _, c := range []struct {
		name      string
		peer      string
		forwarded []string
		want      string
	}{
		{"nobody in between", "203.0.113.5:4711", nil, "203.0.113.5"},
		{"spoofed by a client that is there itself", "203.0.113.5:4711", []string{"198.51.100.1"}, "203.0.113.5"},
		{"a proxy that says nothing", "10.0.0.1:4711", nil, "10.0.0.1"},
		{"a proxy", "10.0.0.1:4711", []string{"198.51.100.1"}, "198.51.100.1"},
		{"spoofed through a proxy", "10.0.0.1:4711", []string{"10.9.9.9, 192.0.2.7, 198.51.100.1"}, "198.51.100.1"},
		{"spoofed as one of the trusted, through a proxy", "10.0.0.1:4711", []string{"1.2.3.4, 198.51.100.1"}, "198.51.100.1"},
		{"proxies behind each other", "10.0.0.1:4711", []string{"198.51.100.1, 192.0.2.7, 10.2.3.4"}, "198.51.100.1"},
		{"in several headers", "10.0.0.1:4711", []string{"1.2.3.4", "198.51.100.1, 192.0.2.7", "10.2.3.4"}, "198.51.100.1"},
		{"none but the trusted", "10.0.0.1:4711", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"blanks", "10.0.0.1:4711", []string{" \t198.51.100.1 ,\t10.0.0.2 "}, "198.51.100.1"},
		{"an empty header", "10.0.0.1:4711", []string{""}, "10.0.0.1"},
		{"an empty entry", "10.0.0.1:4711", []string{"198.51.100.1,,10.0.0.2"}, "10.0.0.2"},
		{"no address", "10.0.0.1:4711", []string{"198.51.100.1, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"an address that is none", "10.0.0.1:4711", []string{"198.51.100.1, 10.0.0.256"}, "10.0.0.1"},
		{"a name", "10.0.0.1:4711", []string{"localhost"}, "10.0.0.1"},
		{"a port", "10.0.0.1:4711", []string{"198.51.100.1:80"}, "198.51.100.1"},
		{"IPv6", "[fd00::1]:4711", []string{"2001:db8::1"}, "2001:db8::1"},
		{"IPv6 in brackets", "[fd00::1]:4711", []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"IPv6 with a port", "[fd00::1]:4711", []string{"[2001:db8::1]:80"}, "2001:db8::1"},
		{"IPv6 with a zone", "[fd00::1%eth0]:4711", []string{"fe80::1%eth0"}, "fe80::1"},
		{"IPv6 that is not trusted", "[2001:db8::1]:4711", []string{"198.51.100.1"}, "2001:db8::1"},
		{"IPv4 written as IPv6", "[::ffff:10.0.0.1]:4711", []string{"198.51.100.1, ::ffff:10.0.0.2"}, "198.51.100.1"},
		{"no peer", "@", []string{"198.51.100.1"}, "invalid IP"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.forwarded}}
			if got := clientAddress(r, trusted).String(); got != c.want {
				t.Errorf("a request from %s for %q is %s's, want %s", c.peer, c.forwarded, got, c.want)
			}
			if got, want := clientAddress(r, nil), clientAddress(&http.Request{RemoteAddr: c.peer}, nil); got != want {
				t.Errorf("where nobody is trusted, the header makes it %s's, want %s", got, want)
			}
		})
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"203.0.113.5":                   "203.0.113.5",
		"203.0.113.6":                   "203.0.113.6",
		"2001:db8:1:2::1":               "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff:ffff:ffff:1": "2001:db8:1:2::/64",
		"2001:db8:1:3::1":               "2001:db8:1:3::/64",
		"::1":                           "::/64",
	} {
		a, ok := parseAddress(address)
		if got := network(a); !ok || got != want {
			t.Errorf("%s counts as %s, want %s", address, got, want)
		}
	}
	if got := network(netip.Addr{}); got != "invalid IP" {
		t.Errorf("no address counts as %s", got)
	}
}
