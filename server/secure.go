package server

import (
	"maps"
	"net/http"
	"slices"

	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

// secure sets the security headers of every response, and forbids caches to store it. A handler whose response may be stored
// overrides Cache-Control. It also spells ETag as RFC 9110 and the documents do: Go's canonical form, which package http and the
// generated code write, is Etag.
func (f *front) secure(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		for _, s := range secureHeaders {
			h[s.name] = s.value
		}
		if c.IsTLS() {
			h.Set(echo.HeaderStrictTransportSecurity, "max-age=31536000") // a year
		}
		c.Response().Before(func() {
			if tag, ok := h["Etag"]; ok {
				delete(h, "Etag")
				h["ETag"] = tag
			}
		})
		return next(c)
	}
}

const noStore = "no-store"

// secureHeaders are set in every response. Responses share the slices, so they must be replaced and never modified.
var secureHeaders = []struct {
	name  string // in its canonical form
	value []string
}{
	{echo.HeaderXContentTypeOptions, []string{"nosniff"}},
	{echo.HeaderXFrameOptions, []string{"DENY"}},
	{echo.HeaderContentSecurityPolicy, []string{"default-src 'none'; frame-ancestors 'none'"}},
	{echo.HeaderReferrerPolicy, []string{"no-referrer"}},
	{echo.HeaderCacheControl, []string{noStore}},
}

// preflightAge is how many seconds browsers may cache the response to a preflight request.
const preflightAge = 600

// newCORS allows scripts of these origins to call the dialects, with the methods and headers of the dialects' documents. It does
// not allow credentials: a script sends its token in a header.
func newCORS(origins []string, dialects []*dialect.Dialect) echo.MiddlewareFunc {
	methods := map[string]bool{}
	sent := map[string]bool{
		echo.HeaderAuthorization: true, echo.HeaderContentType: true, echo.HeaderXRequestID: true,
		"traceparent": true, "tracestate": true, // W3C Trace Context, which instrumented pages send
	}
	exposed := map[string]bool{}
	for _, d := range dialects {
		for _, item := range d.Document.Paths.Map() {
			for method, o := range item.Operations() {
				methods[method] = true
				if method == http.MethodGet {
					methods[http.MethodHead] = true
				}
				for _, p := range slices.Concat(item.Parameters, o.Parameters) {
					if p.Value.In == openapi3.ParameterInHeader {
						sent[p.Value.Name] = true
					}
				}
				for _, response := range o.Responses.Map() {
					for name := range response.Value.Headers {
						exposed[name] = true
					}
				}
			}
		}
	}
	return middleware.CORSWithConfig(middleware.CORSConfig{
		Skipper: func(c echo.Context) bool {
			// The middleware (4.16) treats every OPTIONS as a preflight.
			r := c.Request()
			return r.Method == http.MethodOptions && r.Header.Get(echo.HeaderAccessControlRequestMethod) == ""
		},
		// AllowOrigins supports patterns, which this server does not.
		AllowOriginFunc: func(origin string) (bool, error) { return slices.Contains(origins, origin), nil },
		AllowMethods:    slices.Sorted(maps.Keys(methods)),
		AllowHeaders:    slices.Sorted(maps.Keys(sent)),
		ExposeHeaders:   slices.Sorted(maps.Keys(exposed)),
		MaxAge:          preflightAge,
	})
}
