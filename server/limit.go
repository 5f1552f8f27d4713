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

// Limits bound what one client may take. Their zero value bounds nothing.
type Limits struct {
	// Address is how many requests may come from one address, whether or not they have a token that is any good: it is
	// asked before the token is. An IPv6 address counts with all of its /64, which is what one client is given.
	Address dialect.Rate
	// Principal is how many requests may be made with the tokens of one subject, wherever they come from.
	Principal dialect.Rate
	// InFlight is how many requests may be in flight at once with the tokens of one subject; 0 is no limit.
	InFlight int
	// TrustedProxies are the peers that are believed when they say by X-Forwarded-For whom they speak for.
	TrustedProxies []netip.Prefix
}

// newLimiter gives the limiter of a rate, which is nil for none.
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

// limitAddress refuses what is more than its address may ask.
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

// network is what one client has of the address space: an IPv4 address, or the /64 of an IPv6 address.
func network(a netip.Addr) string {
	if !a.Is6() {
		return a.String()
	}
	// Only an address that is none has no such prefix.
	prefix, _ := a.Prefix(64)
	return prefix.String()
}

// clientAddress is where r comes from: its peer, or, as long as that is one of the trusted, whom it names as the one that
// it speaks for, which is the last in X-Forwarded-For. So of a header that a client made up, only what the trusted have
// written behind it counts. An entry that is no address is not believed, and the request is then its sender's. The zero
// address is a peer that has none.
func clientAddress(r *http.Request, trusted []netip.Prefix) netip.Addr {
	client, ok := parsePeer(r.RemoteAddr)
	if !ok || len(trusted) == 0 {
		return client
	}
	// From its end, as far as is needed: a header of commas alone would be tens of thousands of hops.
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

// parsePeer reads the address of a connection's other end.
func parsePeer(text string) (netip.Addr, bool) {
	if a, err := netip.ParseAddrPort(text); err == nil {
		return a.Addr().Unmap().WithZone(""), true
	}
	return parseAddress(text)
}

// parseAddress reads an address, with or without a port, since some proxies write theirs with it. An IPv4 address that
// is written as IPv6 is the IPv4 address, and an IPv6 address has no zone.
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
