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

// guard protects handlers without authentication from pages of other sites. It refuses requests for a host name that is not the
// server's, which prevents DNS rebinding, and requests that a browser sends for a page of another origin. It does not refuse
// programs that can connect.
type guard struct {
	hosts   []string // names of this server beside localhost, in lower case
	origins []string // origins whose pages are allowed
}

var (
	errHost = errors.New("this is not a name of this server: ask for localhost or the listener's address, or add the name with --admin-host")
	errSite = errors.New("a page of another site may not ask this")
)

// check returns 0 and nil if r is allowed, else the status and the text of the response.
func (g guard) check(r *http.Request) (status int, why error) {
	if !g.isOwnHost(r) {
		return http.StatusMisdirectedRequest, errHost
	}
	if g.isForeign(r) {
		return http.StatusForbidden, errSite
	}
	return 0, nil
}

// isOwnHost reports whether the Host header of r names this server: by a loopback name or address, by the connection's local
// address, or by one of g.hosts. It ignores the port, which may differ if it is forwarded.
func (g guard) isOwnHost(r *http.Request) bool {
	host := hostname(r.Host)
	if host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") || slices.Contains(g.hosts, host) {
		return true // browsers always send a host
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

// hostname returns a host without its port, in lower case.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
}

// isForeign reports whether a browser sent r for a page of another origin. Browsers tell by Origin, by Sec-Fetch-Site (only to
// trustworthy hosts such as localhost), or by Referer.
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

// isOwnPage reports whether page, an origin or a URL, has the origin that r was sent to.
func isOwnPage(r *http.Request, page string) bool {
	u, err := url.Parse(page)
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return err == nil && u.Scheme == scheme && strings.EqualFold(u.Host, r.Host)
}

// isBrowserWithoutSite reports whether a browser sent r without Sec-Fetch-Site, as to hosts that it does not trust.
func isBrowserWithoutSite(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Site") == "" && strings.Contains(r.UserAgent(), "Mozilla/")
}

// wrap serves next if the request is allowed.
func (g guard) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status, why := g.check(r); why != nil {
			say(w, status, why.Error())
			return
		}
		next.ServeHTTP(w, r)
	})
}

// middleware is wrap for an Echo route.
func (g guard) middleware(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if status, why := g.check(c.Request()); why != nil {
			return echo.NewHTTPError(status, why.Error())
		}
		return next(c)
	}
}

// checkHost returns an error if host is not a host name.
func checkHost(host string) error {
	if host == "" || strings.ContainsAny(host, "/:@?#*[] ") && net.ParseIP(host) == nil {
		return fmt.Errorf("--admin-host %q is not a host name such as metrics.example.com: leave out scheme, port and path", host)
	}
	return nil
}

// newGuard returns the guard of a listener at the address listen. Hosts are further names of the server.
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
