// Package apierror is the error that the generated clients return for an answer that is not a documented success. It knows
// no dialect: a client in gen/ fills in what its API's bodies say. It needs the standard library alone, so that a program
// with a client stays light.
package apierror

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Error is an answer that is not a documented success, from the API or from a proxy in front of it.
// [errors.As] finds it in the error of a response's method Err.
type Error struct {
	// Status is the HTTP status. It is 0 if there was no answer, and 200 if the body was not what the API documents.
	Status int
	// Code is the API's name for the error, such as USER_NOT_FOUND. It is empty if the API has no codes or did not answer.
	Code string
	// Message says in English what is wrong. It is empty if the API did not answer.
	Message string
	// Fields says what is wrong with members of the body and with parameters. Its keys are their names, such as email or
	// authorities.0.name. It is nil if the error is about none of them.
	Fields map[string]string
	// RequestID is the answer's X-Request-Id, by which the server's log names the request.
	RequestID string
	// RetryAfter is how long to wait before the request is sent again (RFC 9110, section 10.2.3). It is 0 if the answer
	// does not say.
	RetryAfter time.Duration
}

// New returns the error with what the status and the header of a response say. A nil response is no answer.
func New(response *http.Response) *Error {
	if response == nil {
		return &Error{}
	}
	return &Error{
		Status:     response.StatusCode,
		RequestID:  response.Header.Get("X-Request-Id"),
		RetryAfter: RetryAfter(response.Header, time.Now()),
	}
}

// RetryAfter returns how long an answer that arrived at now asks to wait: a number of seconds, or the time until a date (RFC 9110,
// section 10.2.3). It is 0 if the answer does not say. A date is compared with the answer's own, where there is one: the clocks of
// client and server may differ.
func RetryAfter(header http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(seconds) * time.Second // #nosec G115 -- 31 bits: more is taken for their maximum
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	return max(0, at.Sub(now))
}

// AddField adds what is wrong with a member or a parameter.
func (e *Error) AddField(name, message string) {
	if e.Fields == nil {
		e.Fields = map[string]string{}
	}
	if before := e.Fields[name]; before != "" {
		message = before + ", " + message
	}
	e.Fields[name] = message
}

// Error returns the status, the code, the message, the fields' messages and the request's id, as far as they are known.
func (e *Error) Error() string {
	if e.Status == 0 {
		return "no answer"
	}
	text := strings.TrimSpace(fmt.Sprint(e.Status, " ", http.StatusText(e.Status)))
	if e.Code != "" {
		text += ": " + e.Code
	}
	text += ": " + cmp.Or(e.Message, "the body is not what the API documents")
	for _, name := range slices.Sorted(maps.Keys(e.Fields)) {
		// Some dialects put them into the message.
		if message := e.Fields[name]; !strings.Contains(e.Message, message) {
			text += "; " + message
		}
	}
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	return text
}

// Status returns the HTTP status of the [Error] in err's tree, and 0 if there is none.
func Status(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	return 0
}
