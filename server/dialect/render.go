package dialect

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/labstack/echo/v4"
)

// RetryAfter returns the value of the Retry-After header for an error: a number of seconds, rounded up. It is 1 for all errors
// but a *RateLimitedError.
func RetryAfter(err error) string {
	wait := time.Second
	var limited *RateLimitedError
	if errors.As(err, &limited) {
		wait = limited.RetryAfter
	}
	return strconv.FormatFloat(math.Ceil(wait.Seconds()), 'f', 0, 64)
}

// RenderError writes err as the response, in the dialect's words. The client learns only the kind and the field errors of err.
func (d *Dialect) RenderError(c echo.Context, err error) error {
	p := d.classify(err)
	header := c.Response().Header()
	switch p.Kind {
	case Unauthenticated, TokenExpired:
		header.Set(echo.HeaderWWWAuthenticate, challenge(err))
	case UnsupportedMediaType:
		var refused *mediaTypeError
		if errors.As(err, &refused) {
			header.Set(refused.header, refused.value)
		}
	case RateLimited, Unavailable:
		header.Set(echo.HeaderRetryAfter, RetryAfter(err))
	}
	p.Changes = d.describe(c, err)
	if p.Kind != Invalid && p.Kind != Refused {
		// Only these two kinds of errors can result from a preference.
		header.Del(headerPreferenceApplied)
	}
	header.Set(echo.HeaderContentType, cmp.Or(d.ErrorContentType, d.ContentType))
	path := c.Request().URL.Path
	if IsDryRun(path) {
		path = strings.TrimPrefix(path, DryRunPath) // as the real request is answered
	}
	body, err := d.errorBody(p, SummaryOf(c).Operation, path)
	if err != nil {
		return err
	}
	// net/http does not set it for a response that is sent before the request's body has arrived completely.
	header.Set(echo.HeaderContentLength, strconv.Itoa(len(body)))
	c.Response().WriteHeader(p.Status)
	if _, err := c.Response().Write(body); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

// maxErrorBody is the maximum size in bytes of the body of an error response. The body contains names that the client chose,
// which can be six times as long when JSON escapes them.
const maxErrorBody = 16 << 10

// errorBody renders a problem in the dialect's words. It halves the number of field errors until the body fits in maxErrorBody.
func (d *Dialect) errorBody(p Problem, operation, path string) ([]byte, error) {
	path = excerpt(path, maxPath)
	all := p.Fields
	for most := len(all); ; most /= 2 {
		p.Fields = boundErrors(all, most)
		var body bytes.Buffer
		if err := writeJSON(&body, d.Render(p, operation, path)); err != nil {
			return nil, err
		}
		if body.Len() <= maxErrorBody || most == 0 {
			return body.Bytes(), nil
		}
	}
}

// challenge returns the value of the WWW-Authenticate header. It has an error code only if a token was sent (RFC 6750, section 3).
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
