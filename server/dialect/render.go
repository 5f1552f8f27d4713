package dialect

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/labstack/echo/v4"
)

// RetryAfter is how many seconds a client is asked to wait, as the header of that name says it: whole ones, rounded up.
// When the database could not serve it, that is one.
func RetryAfter(err error) string {
	wait := time.Second
	var limited *RateLimitedError
	if errors.As(err, &limited) {
		wait = limited.RetryAfter
	}
	return strconv.FormatFloat(math.Ceil(wait.Seconds()), 'f', 0, 64)
}

// RenderError answers c with err in the dialect's words. Nothing of err but what its kind and its fields say reaches
// the client.
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
	if p.Kind != Invalid && p.Kind != Refused {
		// What the client preferred had no part in it.
		header.Del(headerPreferenceApplied)
	}
	header.Set(echo.HeaderContentType, cmp.Or(d.ErrorContentType, d.ContentType))
	body, err := d.errorBody(p, SummaryOf(c).Operation, c.Request().URL.Path)
	if err != nil {
		return err
	}
	// Said here, as net/http does not know it where the answer is sent before the whole body has come.
	header.Set(echo.HeaderContentLength, strconv.Itoa(len(body)))
	c.Response().WriteHeader(p.Status)
	if _, err := c.Response().Write(body); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

// maxErrorBody is how many bytes the body of an error's answer may have. The client chose what is in it: names that JSON
// escapes are six times as long there.
const maxErrorBody = 16 << 10

// errorBody encodes a problem in the dialect's words, with as many of its single errors as there is room for.
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
