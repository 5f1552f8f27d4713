package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// errAddress: the address is one that deliveries are not sent to.
var errAddress = errors.New("deliveries are not sent to this address: name its network in --webhook-allow-network (DRAGOMAN_WEBHOOK_ALLOW_NETWORK) if they may be")

// Of IPv4 everything is public but these networks (IANA's registry of special-purpose addresses, and what clouds use).
var notPublic4 = prefixes(
	"0.0.0.0/8",        // this network
	"10.0.0.0/8",       // private
	"100.64.0.0/10",    // carriers, and a cloud's metadata
	"127.0.0.0/8",      // loopback
	"168.63.129.16/32", // a cloud's metadata
	"169.254.0.0/16",   // link-local, and most clouds' metadata
	"172.16.0.0/12",    // private
	"192.0.0.0/24",     // protocols, and a cloud's metadata
	"192.0.2.0/24",     // documentation
	"192.88.99.0/24",   // 6to4 relays
	"192.168.0.0/16",   // private
	"198.18.0.0/15",    // benchmarks
	"198.51.100.0/24",  // documentation
	"203.0.113.0/24",   // documentation
	"224.0.0.0/4",      // multicast
	"240.0.0.0/4",      // reserved, and broadcast
)

// Of IPv6 nothing is public but the global unicast addresses, without these networks.
var (
	public6    = netip.MustParsePrefix("2000::/3")
	notPublic6 = prefixes(
		"2001::/23",     // protocols, Teredo among them, which contains an IPv4 address
		"2001:db8::/32", // documentation
		"2002::/16",     // 6to4, which contains an IPv4 address
		"3fff::/20",     // documentation
	)
)

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// isPublic reports whether an address belongs to the public internet. An address that embeds an IPv4 address in another form than
// ::ffff:a.b.c.d, such as one of NAT64 or 6to4, does not.
func isPublic(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	in := func(p netip.Prefix) bool { return p.Contains(a) }
	if a.Is4() {
		return !slices.ContainsFunc(notPublic4, in)
	}
	return public6.Contains(a) && !slices.ContainsFunc(notPublic6, in)
}

// dialer dials public addresses, and those of the allowed networks.
type dialer struct {
	allowed  []netip.Prefix
	resolver *net.Resolver // nil: the system's resolver
}

// dialTimeout is how long a connection may take to be made.
const dialTimeout = 10 * time.Second

// DialContext connects to an address. Each address that a name resolves to is judged when it is dialled, so it does not matter what the
// name has resolved to before.
func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	n := net.Dialer{Timeout: dialTimeout, Resolver: d.resolver, ControlContext: d.judge}
	return n.DialContext(ctx, network, address)
}

// judge returns errAddress unless deliveries may be sent to the address, which is numeric.
func (d dialer) judge(_ context.Context, network, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", errAddress, err)
	}
	a := ap.Addr().Unmap().WithZone("")
	if isPublic(a) || slices.ContainsFunc(d.allowed, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return nil
	}
	return fmt.Errorf("%w: %s %s", errAddress, network, a)
}
