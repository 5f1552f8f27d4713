package server

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// hostProfile converts a host to ASCII as browsers do (WHATWG URL, "domain to ASCII" without beStrict).
var hostProfile = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false), idna.CheckHyphens(false),
	idna.CheckJoiners(true), idna.BidiRule())

// parseOrigin returns an origin as browsers send it in the header Origin (WHATWG HTML, "serialization of an origin"): scheme
// and host in lower case, the host in ASCII, an IPv6 address in its shortest form, and no default port. It returns an error if
// text is not an http or https origin.
func parseOrigin(text string) (string, error) {
	refuse := func(why string) (string, error) {
		return "", fmt.Errorf("--cors-origin %q %s: set an origin such as https://app.example.com, with a scheme, a host and optionally a port", text, why)
	}
	switch text {
	case "*":
		return refuse("would allow the scripts of every site")
	case "null":
		return refuse("is the origin of every sandboxed page and every file")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return refuse("is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return refuse("does not start with http:// or https://")
	case u.User != nil:
		return refuse("has a user name")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#"):
		return refuse("has a path, a query or a fragment")
	}
	host, ok := asciiHost(u.Hostname(), strings.HasPrefix(u.Host, "["))
	if !ok {
		return refuse("has no valid host")
	}
	if u.Port() == "" {
		return u.Scheme + "://" + host, nil
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		return refuse("has an invalid port")
	}
	if defaultPorts[u.Scheme] == port {
		return u.Scheme + "://" + host, nil
	}
	return u.Scheme + "://" + host + ":" + strconv.FormatUint(port, 10), nil
}

var defaultPorts = map[string]uint64{"http": 80, "https": 443}

// forbiddenInHost are the bytes that a host cannot contain (WHATWG URL, "forbidden domain code point"), and the wildcard that
// other programs support.
const forbiddenInHost = " #%/:<>?@[\\]^|*\x7f"

// asciiHost returns a host as browsers serialize it.
func asciiHost(host string, bracketed bool) (string, bool) {
	if bracketed {
		address, err := netip.ParseAddr(host)
		if err != nil || !address.Is6() || address.Zone() != "" {
			return "", false
		}
		if address.Is4In6() {
			// Browsers write the last 32 bits in hexadecimal, and package netip in decimal.
			b := address.As16()
			return fmt.Sprintf("[::ffff:%x:%x]", uint(b[12])<<8|uint(b[13]), uint(b[14])<<8|uint(b[15])), true
		}
		return "[" + address.String() + "]", true
	}
	ascii, err := hostProfile.ToASCII(host)
	if err != nil || ascii == "" || strings.ContainsAny(ascii, forbiddenInHost) || strings.ContainsFunc(ascii, func(r rune) bool { return r < ' ' }) {
		return "", false
	}
	if !endsInNumber(ascii) {
		return ascii, true
	}
	// Browsers parse it as an IPv4 address. Only the usual notation is supported here.
	address, err := netip.ParseAddr(strings.TrimSuffix(ascii, "."))
	if err != nil {
		return "", false
	}
	return address.String(), true
}

// endsInNumber reports whether the last label of a host is a decimal or hexadecimal number.
func endsInNumber(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	if _, err := strconv.ParseUint(last, 0, 64); err == nil {
		return true
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// parseOrigins calls parseOrigin for each of texts.
func parseOrigins(texts []string) ([]string, error) {
	var origins []string
	for _, text := range texts {
		origin, err := parseOrigin(text)
		if err != nil {
			return nil, err
		}
		origins = append(origins, origin)
	}
	return origins, nil
}
