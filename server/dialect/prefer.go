package dialect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/store"
	"github.com/labstack/echo/v4"
)

// preference gives the value of a preference in a Prefer header, and whether it is there. Where it is repeated, the first
// counts (RFC 7240, section 2).
func preference(header, name string) (value string, given bool) {
	for rest := header; rest != ""; {
		var element string
		element, rest = cutUnquoted(rest, ',')
		element, _ = cutUnquoted(element, ';') // the rest are its parameters
		named, value, _ := strings.Cut(element, "=")
		if strings.EqualFold(strings.TrimSpace(named), name) {
			return strings.Trim(strings.TrimSpace(value), `"`), true
		}
	}
	return "", false
}

// cutUnquoted cuts a header's text at the first separator that does not stand in a quoted string (RFC 9110, section 5.6.4).
func cutUnquoted(text string, separator byte) (before, after string) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == separator && !quoted:
			return text[:i], text[i+1:]
		}
	}
	return text, ""
}

// prefersStrict tells whether a Prefer header asks for handling=strict.
func prefersStrict(header string) bool {
	value, _ := preference(header, "handling")
	return strings.EqualFold(value, "strict")
}

// The preferences that a mock honours beside handling.
const (
	preferCode  = "code"  // the status to answer with
	preferDelay = "delay" // for how many milliseconds to wait first
)

// maxDelay is for how long a request may ask to wait.
const maxDelay = 30 * time.Second

// errAsked is a fault that only the request's wish explains.
var errAsked = errors.New("a fault of the server's")

// forced are the errors that a mock can be asked for, by their statuses.
var forced = map[int]error{
	http.StatusBadRequest:            preferError("Prefer asks for this status"),
	http.StatusUnauthorized:          auth.ErrUnauthenticated,
	http.StatusForbidden:             auth.ErrForbidden,
	http.StatusNotFound:              store.ErrNotFound,
	http.StatusRequestTimeout:        errBodyIncomplete,
	http.StatusPreconditionFailed:    errPreconditionFailed,
	http.StatusRequestEntityTooLarge: errContentTooLarge,
	http.StatusUnsupportedMediaType:  errUnsupportedMediaType,
	http.StatusTooManyRequests:       &RateLimitedError{RetryAfter: time.Second},
	http.StatusInternalServerError:   errAsked,
	http.StatusServiceUnavailable:    store.ErrUnavailable,
}

// grant does what a request to a mock prefers: it waits, and gives the error that was asked for. A status that is no error is
// not forced: the request then goes its way, and has that status if that is how it ends.
func (op *operation) grant(c echo.Context, call *Call) error {
	header := strings.Join(c.Request().Header.Values(headerPrefer), ", ")
	delay, err := wantedDelay(header)
	if err != nil {
		return err
	}
	code, err := op.wantedCode(header)
	if err != nil {
		return err
	}
	c.Response().Before(func() {
		// At the last moment, when the status is known.
		h := c.Response().Header()
		applied := h.Values(headerPreferenceApplied)
		if delay > 0 {
			applied = append(applied, fmt.Sprintf("%s=%d", preferDelay, delay.Milliseconds()))
		}
		if code == c.Response().Status {
			applied = append(applied, fmt.Sprintf("%s=%d", preferCode, code))
		}
		if len(applied) > 0 {
			h.Set(headerPreferenceApplied, strings.Join(applied, ", "))
		}
	})
	if err := call.wait(delay); err != nil {
		return err
	}
	if asked := forced[code]; asked != nil {
		return fmt.Errorf("asked for by Prefer: %w", asked)
	}
	return nil
}

// wantedDelay gives the wait that a Prefer header asks for; 0 is none.
func wantedDelay(header string) (time.Duration, error) {
	text, given := preference(header, preferDelay)
	if !given {
		return 0, nil
	}
	ms, err := strconv.ParseUint(text, 10, 32)
	if delay := time.Duration(ms) * time.Millisecond; err == nil && delay <= maxDelay { // #nosec G115 -- 32 bits
		return delay, nil
	}
	return 0, preferError(fmt.Sprintf("Prefer's delay must be a number of milliseconds, %d at most", maxDelay.Milliseconds()))
}

// wantedCode gives the status that a Prefer header asks for, one of those that the operation documents; 0 is none.
func (op *operation) wantedCode(header string) (int, error) {
	text, given := preference(header, preferCode)
	if !given {
		return 0, nil
	}
	documented := make([]string, len(op.statuses))
	for i, status := range op.statuses {
		if documented[i] = strconv.Itoa(status); documented[i] == text {
			return status, nil
		}
	}
	return 0, preferError("Prefer's code must be a status that the operation documents: " + strings.Join(documented, ", "))
}

func preferError(message string) error {
	return &InvalidError{Fields: []FieldError{{Field: headerPrefer, Message: message}}}
}

// wait lets a request stand still for a while, which counts neither as its work nor as its client's.
func (c *Call) wait(delay time.Duration) error {
	if delay == 0 {
		return nil
	}
	var deadline time.Time
	if c.overdue != nil {
		c.overdue.Reset(delay + c.limit)
		deadline = time.Now().Add(delay + c.limit)
	}
	// A connection that knows no deadlines has none that could run out.
	connection := http.NewResponseController(c.answer)
	_ = connection.SetReadDeadline(deadline)
	_ = connection.SetWriteDeadline(deadline)
	over := time.NewTimer(delay)
	defer over.Stop()
	select {
	case <-over.C:
		return nil
	case <-c.Done():
		return context.Cause(c)
	}
}
