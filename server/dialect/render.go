package dialect

import (
	"errors"
	"net/http"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/labstack/echo/v4"
)

// retryAfter is how many seconds a client is asked to wait when the database could not serve it.
const retryAfter = "1"

// RenderError answers c with err in the dialect's words. Nothing of err but what its kind and its fields say reaches
// the client.
func (d *Dialect) RenderError(c echo.Context, err error) error {
	p := d.classify(err)
	operation, _ := c.Get(operationKey).(string)
	header := c.Response().Header()
	switch p.Kind {
	case Unauthenticated, TokenExpired:
		header.Set(echo.HeaderWWWAuthenticate, challenge(err))
	case Unavailable:
		header.Set(echo.HeaderRetryAfter, retryAfter)
	}
	header.Set(echo.HeaderContentType, d.ContentType)
	if c.Request().Method == http.MethodHead {
		return c.NoContent(p.Status)
	}
	c.Response().WriteHeader(p.Status)
	return writeJSON(c.Response(), d.Render(p, operation, c.Request()))
}

// challenge is RFC 6750's: an error code only where a token was sent that cannot be used.
func challenge(err error) string {
	switch {
	case errors.Is(err, auth.ErrTokenMissing):
		return "Bearer"
	case errors.Is(err, auth.ErrTokenExpired):
		return `Bearer error="invalid_token", error_description="the token has expired"`
	default:
		return `Bearer error="invalid_token"`
	}
}
