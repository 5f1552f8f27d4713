package server

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/docs"
	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
)

// newEcho returns the router, with everything mounted, and the dialects.
func newEcho(c Config, service *dialect.Service, addresses *dialect.Limiter, h *health, w *watch) (*echo.Echo, []*dialect.Dialect, error) {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	f := &front{Config: c, addresses: addresses, watch: w}
	for _, spoken := range c.Dialects {
		d, err := spoken.Mount(e, service)
		if err != nil {
			return nil, nil, err
		}
		if err := d.MountDryRuns(e); err != nil {
			return nil, nil, err
		}
		f.dialects = append(f.dialects, d)
	}
	// In Echo (4.16) the last parameter of a path also matches slashes, unless there is a route below it.
	for _, r := range e.Routes() {
		if strings.HasPrefix(path.Base(r.Path), ":") {
			e.RouteNotFound(r.Path+"/*", echo.NotFoundHandler)
		}
	}
	e.HTTPErrorHandler = f.renderError
	middlewares := []echo.MiddlewareFunc{f.identify, dialect.MarkDryRuns, w.observe, f.recover, f.secure, h.endConnections}
	origins, err := parseOrigins(c.CORS)
	if err != nil {
		return nil, nil, err
	}
	if len(origins) > 0 {
		middlewares = append(middlewares, newCORS(origins, f.dialects))
	}
	e.Use(combine(append(middlewares, f.limitAddress, f.answerServerOptions)))
	pages, err := docs.Handlers(f.dialects, c.Docs, reference)
	if err != nil {
		return nil, nil, err
	}
	for path, page := range pages {
		e.GET(path, echo.WrapHandler(page))
	}
	e.GET(livePath, h.live)
	e.GET(readyPath, h.ready)
	if c.Mock != nil {
		e.POST(resetPath, c.Mock.reset, newGuard(c.Listen, c.Admin.Hosts, origins).middleware)
		for path, signIn := range c.Mock.SignIn {
			e.POST(path, echo.WrapHandler(signIn.Post))
		}
	}
	if err := addHead(e); err != nil {
		return nil, nil, err
	}
	f.methods = allowed(e)
	return e, f.dialects, nil
}

// addHead adds a HEAD route for each GET route, with the same handler (RFC 9110, section 9.1).
func addHead(e *echo.Echo) error {
	routes := e.Routes()
	isHead := func(path string) bool {
		return slices.ContainsFunc(routes, func(r *echo.Route) bool { return r.Method == http.MethodHead && r.Path == path })
	}
	for _, r := range routes {
		if r.Method != http.MethodGet || isHead(r.Path) {
			continue
		}
		get, err := dialect.HandlerOf(e, r)
		if err != nil {
			return fmt.Errorf("mount HEAD: %w", err)
		}
		e.HEAD(r.Path, withoutContent(get))
	}
	return nil
}

// withoutContent answers a HEAD by the handler of a GET. net/http discards the content and derives Content-Length from it, unless
// it is empty.
func withoutContent(get echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		w := &headWriter{ResponseWriter: c.Response().Writer}
		c.Response().Writer = w
		err := get(c)
		c.Response().Writer = w.ResponseWriter
		w.end()
		return err
	}
}

// headWriter delays the header until it is known whether the response has content.
type headWriter struct {
	http.ResponseWriter
	status int // of the delayed header; 0 if there is none
}

func (w *headWriter) WriteHeader(status int) { w.status = status }

func (w *headWriter) Write(content []byte) (int, error) {
	w.send()
	return w.ResponseWriter.Write(content)
}

func (w *headWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *headWriter) send() {
	if w.status != 0 {
		w.ResponseWriter.WriteHeader(w.status)
		w.status = 0
	}
}

// end sends a header that is still delayed. A redirection or an error without content has Content-Length 0. For a success the
// length is unknown, since the handler may omit the content of a HEAD.
func (w *headWriter) end() {
	if w.status >= http.StatusMultipleChoices && w.status != http.StatusNotModified && w.Header().Get(echo.HeaderContentLength) == "" {
		w.Header().Set(echo.HeaderContentLength, "0")
	}
	w.send()
}

// allowed returns the methods of all routes, as the value of Allow.
func allowed(e *echo.Echo) string {
	found := map[string]bool{http.MethodOptions: true}
	for _, r := range e.Routes() {
		if slices.Contains(methods, r.Method) {
			found[r.Method] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(found)), ", ")
}

// answerServerOptions answers OPTIONS *, which is about the whole server (RFC 9110, section 9.3.7).
func (f *front) answerServerOptions(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if r := c.Request(); r.Method != http.MethodOptions || r.RequestURI != "*" {
			return next(c)
		}
		c.Response().Header().Set(echo.HeaderAllow, f.methods)
		return c.NoContent(http.StatusNoContent)
	}
}

// combine combines middlewares into one; the first is outermost. Echo (4.16) rebuilds its chain of middlewares for each request.
func combine(all []echo.MiddlewareFunc) echo.MiddlewareFunc {
	chain := func(c echo.Context) error { return c.Handler()(c) }
	for _, m := range slices.Backward(all) {
		chain = m(chain)
	}
	return func(echo.HandlerFunc) echo.HandlerFunc { return chain }
}

// front has the middlewares and the error handler for all dialects.
type front struct {
	Config
	dialects  []*dialect.Dialect
	addresses *dialect.Limiter
	watch     *watch
	methods   string // of all routes, as the value of Allow
}

// isValidRequestID reports whether a client's request id has 1 to 64 letters, digits, dots, underscores and hyphens. Other ids are
// replaced.
func isValidRequestID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for _, c := range []byte(id) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// identify sets X-Request-Id in every response: the request's if it is valid, else a new one.
func (f *front) identify(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id := c.Request().Header.Get(echo.HeaderXRequestID)
		if !isValidRequestID(id) {
			id = f.newRequestID(c.Request())
		}
		c.Response().Header().Set(echo.HeaderXRequestID, id)
		return next(c)
	}
}

func (f *front) newRequestID(r *http.Request) string {
	if f.Mock != nil {
		return f.Mock.NewRequestID(r.Method != http.MethodOptions && f.dialectOf(r) != nil)
	}
	return uuid.NewString()
}

// dialectOf returns the dialect that serves the path of r, or nil.
func (f *front) dialectOf(r *http.Request) *dialect.Dialect {
	for _, d := range f.dialects {
		if d.Serves(r.URL.Path) || f.Mock.signsIn(d.Name, r.URL.Path) {
			return d
		}
	}
	return nil
}

// errPanic is the error of a handler that panicked.
var errPanic = errors.New("panic")

// recover turns a panic into an error, which is rendered and logged like others.
func (f *front) recover(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				f.watch.metrics.Panic()
				err = fmt.Errorf("%w: %v\n%s", errPanic, p, debug.Stack())
			}
		}()
		return next(c)
	}
}

// renderError responds with err, in the format of the dialect that serves the path.
func (f *front) renderError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	if rendered := f.render(err, c); rendered != nil {
		f.Log.Warn("write response", "request_id", c.Response().Header().Get(echo.HeaderXRequestID), "error", rendered)
	}
}

func (f *front) render(err error, c echo.Context) error {
	if d := f.dialectOf(c.Request()); d != nil {
		return d.RenderError(c, err)
	}
	status := http.StatusInternalServerError
	var routing *echo.HTTPError
	var limited *dialect.RateLimitedError
	text := ""
	switch {
	case errors.As(err, &routing):
		status = routing.Code
		if status == http.StatusMisdirectedRequest || status == http.StatusForbidden {
			text = fmt.Sprint(routing.Message) // from a guard
		}
	case errors.As(err, &limited):
		status = http.StatusTooManyRequests
		c.Response().Header().Set(echo.HeaderRetryAfter, dialect.RetryAfter(err))
	}
	return c.String(status, cmp.Or(text, http.StatusText(status))+"\n")
}
