package server

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/labstack/echo/v4"
)

// Limits limit the requests of a client. The zero value has no limits.
type Limits struct {
	// Address limits the requests from one address. It applies before the token is verified. All IPv6 addresses of a /64
	// network count as one, since a client usually has a whole /64.
	Address dialect.Rate
	// Principal limits the requests with tokens of one subject, from all addresses.
	Principal dialect.Rate
	// InFlight limits the concurrent requests with tokens of one subject; 0 is no limit.
	InFlight int
	// TrustedProxies are the proxies whose X-Forwarded-For header is trusted.
	TrustedProxies []netip.Prefix
}

// newLimiter returns a limiter for r, or nil if r is zero.
func newLimiter(c Config, whose string, r dialect.Rate) (*dialect.Limiter, error) {
	if r == (dialect.Rate{}) {
		return nil, nil
	}
	l, err := dialect.NewLimiter(whose, r, c.Now)
	if err != nil {
		return nil, fmt.Errorf("--rate-limit-%s and --rate-limit-%s-burst: %w", whose, whose, err)
	}
	return l, nil
}

// limitAddress refuses requests that exceed the limit of their address.
func (f *front) limitAddress(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if f.addresses == nil || isHealth(c.Path()) {
			return next(c)
		}
		if err := f.addresses.Admit(network(clientAddress(c.Request(), f.Limits.TrustedProxies)), c.Response().Header()); err != nil {
			return err
		}
		return next(c)
	}
}

// network returns the part of the address space that one client has: an IPv4 address, or the /64 of an IPv6 address.
func network(a netip.Addr) string {
	if !a.Is6() {
		return a.String()
	}
	prefix, _ := a.Prefix(64) // every IPv6 address has one
	return prefix.String()
}

// clientAddress returns the address of the client that sent r. That is the peer's, unless the peer is a trusted proxy: then it
// is the last address in X-Forwarded-For, and so on from right to left as long as the address is a trusted proxy's. Entries that
// a client forged are left of those that trusted proxies append, and are ignored. The walk ends at an entry that is not an
// address. The result is the zero Addr if the peer has no address.
func clientAddress(r *http.Request, trusted []netip.Prefix) netip.Addr {
	client, ok := parsePeer(r.RemoteAddr)
	if !ok || len(trusted) == 0 {
		return client
	}
	// The header is not split, since one of only commas would have tens of thousands of entries.
	for rest, more := strings.Join(r.Header.Values(echo.HeaderXForwardedFor), ","), true; more; {
		hop := rest
		if at := strings.LastIndexByte(rest, ','); at >= 0 {
			rest, hop = rest[:at], rest[at+1:]
		} else {
			more = false
		}
		isTrusted := func(p netip.Prefix) bool { return p.Contains(client) }
		named, ok := parseAddress(strings.Trim(hop, " \t"))
		if !ok || !slices.ContainsFunc(trusted, isTrusted) {
			break
		}
		client = named
	}
	return client
}

// parsePeer parses the address of a connection's peer.
func parsePeer(text string) (netip.Addr, bool) {
	if a, err := netip.ParseAddrPort(text); err == nil {
		return a.Addr().Unmap().WithZone(""), true
	}
	return parseAddress(text)
}

// parseAddress parses an address with or without a port, since some proxies add it. It returns an IPv4-mapped IPv6 address as
// IPv4, and an IPv6 address without its zone.
func parseAddress(text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		var withPort netip.AddrPort
		if withPort, err = netip.ParseAddrPort(text); err != nil {
			return netip.Addr{}, false
		}
		a = withPort.Addr()
	}
	return a.Unmap().WithZone(""), true
}
