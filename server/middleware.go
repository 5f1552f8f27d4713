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

// newEcho builds the router with everything mounted on it, and returns the dialects that are.
func newEcho(c Config, service *dialect.Service, addresses *dialect.Limiter, h *health, w *watch) (*echo.Echo, []*dialect.Dialect, error) {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	f := &front{Config: c, addresses: addresses, watch: w}
	for _, spoken := range c.Dialects {
		d, err := spoken.Mount(e, service)
		if err != nil {
			return nil, nil, err
		}
		f.dialects = append(f.dialects, d)
	}
	// Echo (4.16) lets a path's last parameter run over slashes, unless there is a route below it.
	for _, r := range e.Routes() {
		if strings.HasPrefix(path.Base(r.Path), ":") {
			e.RouteNotFound(r.Path+"/*", echo.NotFoundHandler)
		}
	}
	e.HTTPErrorHandler = f.renderError
	around := []echo.MiddlewareFunc{f.identify, w.observe, f.recover, f.secure, h.endConnections}
	origins, err := parseOrigins(c.CORS)
	if err != nil {
		return nil, nil, err
	}
	if len(origins) > 0 {
		around = append(around, newCORS(origins, f.dialects))
	}
	e.Use(once(append(around, f.limitAddress, f.answerServerOptions)))
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
	}
	if err := addHead(e); err != nil {
		return nil, nil, err
	}
	f.methods = allowed(e)
	return e, f.dialects, nil
}

// addHead serves a HEAD wherever there is a GET (RFC 9110, section 9.1), by the same handler.
func addHead(e *echo.Echo) error {
	routes := e.Routes()
	isHead := func(path string) bool {
		return slices.ContainsFunc(routes, func(r *echo.Route) bool { return r.Method == http.MethodHead && r.Path == path })
	}
	for _, r := range routes {
		if r.Method != http.MethodGet || isHead(r.Path) {
			continue
		}
		c := e.NewContext(nil, nil)
		e.Router().Find(http.MethodGet, r.Path, c)
		if c.Path() != r.Path {
			return fmt.Errorf("mount HEAD %s: its GET is shadowed by %s", r.Path, c.Path())
		}
		e.HEAD(r.Path, withoutContent(c.Handler()))
	}
	return nil
}

// withoutContent answers a HEAD by the handler of a GET. net/http passes over what that writes, and takes the Content-Length from
// it, but for that of nothing.
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

// headWriter holds the header of an answer back until it is known whether it has content.
type headWriter struct {
	http.ResponseWriter
	status int // of the header that is held back; 0 if none is
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

// end sends a header that is still held back. A refusal or a redirection that was given no content has none, while a handler that
// knows of HEAD may have left the content of a success out.
func (w *headWriter) end() {
	if w.status >= http.StatusMultipleChoices && w.status != http.StatusNotModified && w.Header().Get(echo.HeaderContentLength) == "" {
		w.Header().Set(echo.HeaderContentLength, "0")
	}
	w.send()
}

// allowed returns the methods that the server has routes for, as Allow lists them.
func allowed(e *echo.Echo) string {
	found := map[string]bool{http.MethodOptions: true}
	for _, r := range e.Routes() {
		if slices.Contains(methods, r.Method) {
			found[r.Method] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(found)), ", ")
}

// answerServerOptions answers OPTIONS *, which asks about the server as a whole (RFC 9110, section 9.3.7).
func (f *front) answerServerOptions(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if r := c.Request(); r.Method != http.MethodOptions || r.RequestURI != "*" {
			return next(c)
		}
		c.Response().Header().Set(echo.HeaderAllow, f.methods)
		return c.NoContent(http.StatusNoContent)
	}
}

// once makes one of several middlewares, the first outermost. Echo (4.16) builds its chain of them anew for each request, which for
// one that is built already costs nothing.
func once(all []echo.MiddlewareFunc) echo.MiddlewareFunc {
	chain := func(c echo.Context) error { return c.Handler()(c) }
	for _, m := range slices.Backward(all) {
		chain = m(chain)
	}
	return func(echo.HandlerFunc) echo.HandlerFunc { return chain }
}

// front is what stands before every dialect.
type front struct {
	Config
	dialects  []*dialect.Dialect
	addresses *dialect.Limiter
	watch     *watch
	methods   string // that there are routes for, as Allow lists them
}

// isSaneRequestID tells whether a client's own request id is one of 1 to 64 letters, digits, dots, underscores and hyphens; any
// other is replaced.
func isSaneRequestID(id string) bool {
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

// identify gives every answer an X-Request-Id: the request's own if it is sane.
func (f *front) identify(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id := c.Request().Header.Get(echo.HeaderXRequestID)
		if !isSaneRequestID(id) {
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

// dialectOf gives the dialect whose path it is, or nil.
func (f *front) dialectOf(r *http.Request) *dialect.Dialect {
	for _, d := range f.dialects {
		if d.Serves(r.URL.Path) {
			return d
		}
	}
	return nil
}

// errPanic is a handler that panicked.
var errPanic = errors.New("panic")

// recover makes an error of a panic, which is then answered and logged as any other.
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

// renderError answers in the words of the dialect whose path it is.
func (f *front) renderError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	if rendered := f.render(err, c); rendered != nil {
		f.Log.Warn("write answer", "request_id", c.Response().Header().Get(echo.HeaderXRequestID), "error", rendered)
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
			text = fmt.Sprint(routing.Message) // of a guard
		}
	case errors.As(err, &limited):
		status = http.StatusTooManyRequests
		c.Response().Header().Set(echo.HeaderRetryAfter, dialect.RetryAfter(err))
	}
	return c.String(status, cmp.Or(text, http.StatusText(status))+"\n")
}
