package cli

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// isSameServer reports whether two URLs name one API, also where one says localhost and the other an address of it.
func isSameServer(a, b *url.URL) bool {
	if portOf(a) != portOf(b) || a.Path != b.Path {
		return false
	}
	x, y := named(a.Hostname()), named(b.Hostname())
	return strings.EqualFold(a.Hostname(), b.Hostname()) || slices.ContainsFunc(x, func(address netip.Addr) bool { return slices.Contains(y, address) })
}

func portOf(u *url.URL) string {
	return cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
}

// named returns the addresses that a host is by its name alone. A client that connects to an unspecified address gets the machine itself.
func named(host string) []netip.Addr {
	address, err := netip.ParseAddr(host)
	switch address = address.Unmap().WithZone(""); {
	case host == "", strings.EqualFold(strings.TrimSuffix(host, "."), "localhost"), err == nil && address.IsUnspecified():
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	case err == nil:
		return []netip.Addr{address}
	}
	return nil
}

// checkLoop returns an error if the URL of a setting leads to an address on which this program itself listens.
func checkLoop(ctx context.Context, setting string, u *url.URL, listening net.Addr) error {
	own, err := netip.ParseAddrPort(listening.String())
	if err != nil || portOf(u) != fmt.Sprint(own.Port()) {
		return nil
	}
	addresses := named(u.Hostname())
	if addresses == nil {
		// A name that is not known now is one that requests will complain of.
		addresses, _ = net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	}
	here := []netip.Addr{own.Addr().Unmap().WithZone("")}
	if here[0].IsUnspecified() {
		if here, err = ownAddresses(own.Addr().Is4()); err != nil {
			return err
		}
	}
	for _, address := range addresses {
		if slices.Contains(here, address.Unmap().WithZone("")) {
			return fmt.Errorf("%s leads to %s, on which --listen makes this program itself listen", setting, address)
		}
	}
	return nil
}

// ownAddresses returns the addresses of this machine.
func ownAddresses(only4 bool) (addresses []netip.Addr, err error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list the addresses of this machine: %w", err)
	}
	for _, a := range all {
		prefix, err := netip.ParsePrefix(a.String())
		if address := prefix.Addr().Unmap().WithZone(""); err == nil && (address.Is4() || !only4) {
			addresses = append(addresses, address)
		}
	}
	return addresses, nil
}
