package server

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// guard keeps pages of other sites away from what asks nobody for a token: it refuses requests for a host that is not the
// server's own, which is how DNS rebinding shows, and requests that another site's page makes a browser send. It does not keep
// programs away: whoever reaches the listener may use it.
type guard struct {
	hosts   []string // the names of the server's own hosts beside loopback's, in lower case
	origins []string // the origins whose pages may ask nevertheless
}

// errHost and errSite are the refusals, with what to do about them.
var (
	errHost = errors.New("this is not a name of this server: ask for localhost or the listener's address, or add the name with --admin-host")
	errSite = errors.New("a page of another site may not ask this")
)

// check returns the status and the reason with which r is refused, or 0.
func (g guard) check(r *http.Request) (status int, why error) {
	if !g.isOwnHost(r) {
		return http.StatusMisdirectedRequest, errHost
	}
	if g.isForeign(r) {
		return http.StatusForbidden, errSite
	}
	return 0, nil
}

// isOwnHost reports whether the host that r asks for is one of the server's: a loopback name or address, the address that the
// connection was made to, or one of the names. Its port is of no interest, as a forwarded one may be another.
func (g guard) isOwnHost(r *http.Request) bool {
	host := hostname(r.Host)
	if host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") || slices.Contains(g.hosts, host) {
		return true // a browser never sends none
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	if address.Unmap().IsLoopback() {
		return true
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local == nil {
		return false
	}
	own, ok := parsePeer(local.String())
	return ok && own == address.Unmap().WithZone("")
}

// hostname returns the name of a host without its port, in lower case.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
}

// isForeign reports whether a page of another origin made a browser send r. Browsers say so by Sec-Fetch-Site, but only to hosts
// that they trust, such as localhost, and by Origin or Referer.
func (g guard) isForeign(r *http.Request) bool {
	origin := r.Header.Values("Origin")
	if len(origin) == 1 && slices.Contains(g.origins, origin[0]) {
		return false
	}
	if len(origin) > 0 && (len(origin) > 1 || !isOwnPage(r, origin[0])) {
		return true
	}
	switch sites := r.Header.Values("Sec-Fetch-Site"); {
	case len(sites) > 1, len(sites) == 1 && sites[0] != "same-origin" && sites[0] != "none":
		return true
	case len(sites) == 1:
		return false
	}
	referer := r.Header.Get("Referer")
	return referer != "" && !isOwnPage(r, referer)
}

// isOwnPage reports whether page, an origin or a URL, is of the origin that r asks.
func isOwnPage(r *http.Request, page string) bool {
	u, err := url.Parse(page)
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return err == nil && u.Scheme == scheme && strings.EqualFold(u.Host, r.Host)
}

// isBrowserWithoutSite reports whether r is a browser's that does not say whose page asked, as one that does not trust the host.
func isBrowserWithoutSite(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Site") == "" && strings.Contains(r.UserAgent(), "Mozilla/")
}

// around lets next answer what is not refused.
func (g guard) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status, why := g.check(r); why != nil {
			say(w, status, why.Error())
			return
		}
		next.ServeHTTP(w, r)
	})
}

// middleware is around for a route of Echo's.
func (g guard) middleware(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if status, why := g.check(c.Request()); why != nil {
			return echo.NewHTTPError(status, why.Error())
		}
		return next(c)
	}
}

// checkHost refuses what is no name of a host.
func checkHost(host string) error {
	if host == "" || strings.ContainsAny(host, "/:@?#*[] ") && net.ParseIP(host) == nil {
		return fmt.Errorf("--admin-host %q is no name of a host, such as metrics.example.com: leave out scheme, port and path", host)
	}
	return nil
}

// newGuard returns the guard of a listener at the address listen that has these further names.
func newGuard(listen string, hosts, origins []string) guard {
	g := guard{origins: origins}
	if host, _, err := net.SplitHostPort(listen); err == nil && host != "" {
		if ip := net.ParseIP(host); ip == nil || !ip.IsUnspecified() {
			hosts = append(slices.Clip(hosts), host)
		}
	}
	for _, host := range hosts {
		g.hosts = append(g.hosts, hostname(host))
	}
	return g
}
