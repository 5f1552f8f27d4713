package dialect

import (
	"fmt"
	"strings"

	"github.com/dragoman-id/dragoman/store"
	"github.com/labstack/echo/v4"
)

// DryRunPath is followed by the path of an operation to try it out: the request passes the same stages and is answered as the real one
// would be, and nothing is written. It is a path and not a header, since a server that does not know a header would write.
const DryRunPath = "/dry-run"

// headerDryRun is in every response below DryRunPath, by [MarkDryRuns].
const headerDryRun = "Dragoman-Dry-Run"

// IsDryRun reports whether a path, of a request or of a route, is below DryRunPath.
func IsDryRun(path string) bool { return strings.HasPrefix(path, DryRunPath+"/") }

// MountDryRuns serves all routes of the dialect below DryRunPath as well. It must be called once they are registered on e.
func (d *Dialect) MountDryRuns(e *echo.Echo) error {
	for _, r := range e.Routes() {
		if !strings.HasPrefix(r.Path, d.BasePath()+"/") {
			continue
		}
		handler, err := HandlerOf(e, r)
		if err != nil {
			return fmt.Errorf("mount dry runs: %w", err)
		}
		e.Add(r.Method, DryRunPath+r.Path, handler)
	}
	return nil
}

// HandlerOf returns the handler of a route of e.
func HandlerOf(e *echo.Echo, r *echo.Route) (echo.HandlerFunc, error) {
	c := e.NewContext(nil, nil)
	e.Router().Find(r.Method, r.Path, c)
	if c.Path() != r.Path {
		return nil, fmt.Errorf("%s %s is shadowed by %s", r.Method, r.Path, c.Path())
	}
	return c.Handler(), nil
}

// MarkDryRuns is middleware for all requests. It marks every response below DryRunPath, also those that no operation gives, such as a 404.
func MarkDryRuns(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if IsDryRun(c.Request().URL.Path) {
			c.Response().Header().Set(headerDryRun, "true")
		}
		return next(c)
	}
}

// assumedHash stands for the hash of a password that is not hashed. No stored hash is equal.
var assumedHash = "not hashed"

// assumePassword makes the edit set a password without hashing it or looking at the present one, so that neither the response nor its
// timing reveals anything about the present password.
func (c *Call) assumePassword(edit *Edit) {
	assumed := passwordHash{hash: assumedHash, at: c.dialect.service.Now()}
	edit.setPassword = func(u *store.User) error {
		assumed.set(u)
		return edit.Password.checkProof(c)
	}
}
