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

// secure says on every answer what a browser may do with it, which is next to nothing, and that nobody may store it. An
// answer that may be stored says so itself.
func (f *front) secure(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		for _, s := range secureHeaders {
			h[s.name] = s.value
		}
		if c.IsTLS() {
			h.Set(echo.HeaderStrictTransportSecurity, "max-age=31536000") // a year
		}
		return next(c)
	}
}

const noStore = "no-store"

// secureHeaders are the same on every answer, which shares their values: nobody alters one, as Header's methods replace it.
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

// preflightAge is for how many seconds a browser may remember what it was allowed.
const preflightAge = 600

// newCORS lets scripts of these origins, as browsers send them, use the dialects: with the methods and the headers that their documents have. It
// allows no cookies, since there are none: a script sends its token in a header.
func newCORS(origins []string, dialects []*dialect.Dialect) echo.MiddlewareFunc {
	methods := map[string]bool{}
	sent := map[string]bool{
		echo.HeaderAuthorization: true, echo.HeaderContentType: true, echo.HeaderXRequestID: true,
		"traceparent": true, "tracestate": true, // W3C Trace Context, which browsers' tracing adds to each request
	}
	shown := map[string]bool{}
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
				for _, answer := range o.Responses.Map() {
					for name := range answer.Value.Headers {
						shown[name] = true
					}
				}
			}
		}
	}
	return middleware.CORSWithConfig(middleware.CORSConfig{
		Skipper: func(c echo.Context) bool {
			// The middleware (4.16) takes every OPTIONS for a preflight.
			r := c.Request()
			return r.Method == http.MethodOptions && r.Header.Get(echo.HeaderAccessControlRequestMethod) == ""
		},
		// Of the middleware's AllowOrigins some would be patterns.
		AllowOriginFunc: func(origin string) (bool, error) { return slices.Contains(origins, origin), nil },
		AllowMethods:    slices.Sorted(maps.Keys(methods)),
		AllowHeaders:    slices.Sorted(maps.Keys(sent)),
		ExposeHeaders:   slices.Sorted(maps.Keys(shown)),
		MaxAge:          preflightAge,
	})
}
