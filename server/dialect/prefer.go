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

// preference returns the value of a preference in a Prefer header, and whether the header has it. If the preference is repeated,
// the first one counts (RFC 7240, section 2).
func preference(header, name string) (value string, given bool) {
	for rest := header; rest != ""; {
		var element string
		element, rest = cutUnquoted(rest, ',')
		element, _ = cutUnquoted(element, ';') // the rest are its parameters
		named, value, _ := strings.Cut(element, "=")
		if strings.EqualFold(strings.TrimSpace(named), name) {
			return unquote(strings.TrimSpace(value)), true
		}
	}
	return "", false
}

// cutUnquoted cuts text at the first separator that is not within a quoted string (RFC 9110, section 5.6.4).
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

// unquote returns the text of a quoted string, and other text as it is.
func unquote(text string) string {
	if len(text) < 2 || text[0] != '"' || text[len(text)-1] != '"' {
		return text
	}
	var b strings.Builder
	for i := 1; i < len(text)-1; i++ {
		if text[i] == '\\' {
			i++
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// appliedPreferences returns the Preference-Applied header of a merged write.
func (c *Call) appliedPreferences() string {
	applied := preferMerge + "=" + mergeUntouched
	if c.strict {
		applied = handlingStrict + ", " + applied
	}
	return applied
}

// prefersMerge reports whether a Prefer header asks for merge=untouched.
func prefersMerge(header string) bool {
	value, _ := preference(header, preferMerge)
	return strings.EqualFold(value, mergeUntouched)
}

// prefersStrict reports whether a Prefer header asks for handling=strict.
func prefersStrict(header string) bool {
	value, _ := preference(header, "handling")
	return strings.EqualFold(value, "strict")
}

// The preferences that a mock server supports besides handling.
const (
	preferCode  = "code"  // the status of the response
	preferDelay = "delay" // the delay before the response, in milliseconds
)

// maxDelay is the longest delay that a request may ask for.
const maxDelay = 30 * time.Second

// errRequested is the internal error that a request can ask for.
var errRequested = errors.New("an internal error")

// mockErrors maps each status that a request can ask for to its error.
var mockErrors = map[int]error{
	http.StatusBadRequest:            preferError("Prefer asks for this status"),
	http.StatusUnauthorized:          auth.ErrUnauthenticated,
	http.StatusForbidden:             auth.ErrForbidden,
	http.StatusNotFound:              store.ErrNotFound,
	http.StatusRequestTimeout:        errBodyIncomplete,
	http.StatusPreconditionFailed:    errPreconditionFailed,
	http.StatusRequestEntityTooLarge: errContentTooLarge,
	http.StatusUnsupportedMediaType:  errUnsupportedMediaType,
	http.StatusUnprocessableEntity:   errKeyReused,
	http.StatusTooManyRequests:       &RateLimitedError{RetryAfter: time.Second},
	http.StatusInternalServerError:   errRequested,
	http.StatusServiceUnavailable:    store.ErrUnavailable,
}

// applyMockPreferences applies the code and delay preferences of a request to a mock server: it waits, then returns the error
// with the requested status. If the status is not an error, it returns nil, and the request is served as usual.
func (op *operation) applyMockPreferences(c echo.Context, call *Call) error {
	header := strings.Join(c.Request().Header.Values(headerPrefer), ", ")
	delay, err := preferredDelay(header)
	if err != nil {
		return err
	}
	code, err := op.preferredCode(header)
	if err != nil {
		return err
	}
	c.Response().Before(func() {
		// The status is known only now.
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
	if requested := mockErrors[code]; requested != nil {
		return fmt.Errorf("requested by Prefer: %w", requested)
	}
	return nil
}

// preferredDelay returns the delay that a Prefer header asks for, or 0.
func preferredDelay(header string) (time.Duration, error) {
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

// preferredCode returns the status that a Prefer header asks for, or 0. It must be one that the operation documents.
func (op *operation) preferredCode(header string) (int, error) {
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

// wait waits for delay, and extends the time limits of the call and of its connection by it.
func (c *Call) wait(delay time.Duration) error {
	if delay == 0 {
		return nil
	}
	var deadline time.Time
	if c.idleTimer != nil {
		c.idleTimer.Reset(delay + c.idleTimeout)
		deadline = time.Now().Add(delay + c.idleTimeout)
	}
	// An error means that the connection does not support deadlines, and so has none to extend.
	connection := http.NewResponseController(c.response)
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
