package dialect

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/semaphore"
	"github.com/labstack/echo/v4"
)

// Kind is what is wrong with a request, before any dialect has put it in its own words.
type Kind int

// The kinds of error. Each has one status, the same in every dialect.
const (
	Internal             Kind = iota // 500: a fault of the server's; nothing more is told
	Invalid                          // 400: the path, a header or the body is not what the document asks
	Refused                          // 400: the request is well formed, but a rule of the directory is against it
	Unauthenticated                  // 401: no token, or none that can be believed
	TokenExpired                     // 401: the token was good once
	Forbidden                        // 403: the caller may not do this
	UserNotFound                     // 404: the customer has no such user
	RouteNotFound                    // 404: there is no such path
	MethodNotAllowed                 // 405: the path has no such method
	RequestTimeout                   // 408: the body did not arrive in time, or not to its end
	PreconditionFailed               // 412: If-Match or If-None-Match is false
	ContentTooLarge                  // 413: the body is over its limit
	UnsupportedMediaType             // 415: the body is not declared as JSON
	RateLimited                      // 429: the client makes more requests than it may
	Unavailable                      // 503: the database or the tokens' keys cannot be reached, or the database is too busy
)

var statuses = map[Kind]int{
	Internal:             http.StatusInternalServerError,
	Invalid:              http.StatusBadRequest,
	Refused:              http.StatusBadRequest,
	Unauthenticated:      http.StatusUnauthorized,
	TokenExpired:         http.StatusUnauthorized,
	Forbidden:            http.StatusForbidden,
	UserNotFound:         http.StatusNotFound,
	RouteNotFound:        http.StatusNotFound,
	MethodNotAllowed:     http.StatusMethodNotAllowed,
	RequestTimeout:       http.StatusRequestTimeout,
	PreconditionFailed:   http.StatusPreconditionFailed,
	ContentTooLarge:      http.StatusRequestEntityTooLarge,
	UnsupportedMediaType: http.StatusUnsupportedMediaType,
	RateLimited:          http.StatusTooManyRequests,
	Unavailable:          http.StatusServiceUnavailable,
}

// Problem is an error on its way to the client: what a dialect's renderer is given.
type Problem struct {
	Kind   Kind
	Status int
	Fields []FieldError // each single error, in the dialect's names; empty where the error is about no member
}

// FieldError is one thing wrong with one member or parameter. Field is its path in the dialect's own names, such as
// "subrole.code", and is empty for the body as a whole; Message is a sentence that stands alone.
type FieldError struct {
	Field   string
	Message string
}

// How much of a client's own text an answer repeats, in characters: of one name, and of a path of several.
const (
	maxExcerpt = 64
	maxPath    = 256
)

// Excerpt returns text for an answer: text longer than 64 characters is cut and ends in "...".
func Excerpt(text string) string { return excerpt(text, maxExcerpt) }

func excerpt(text string, most int) string {
	if len(text) <= most { // in bytes: it has no more characters than that
		return text
	}
	characters := 0
	for i := range text {
		if characters == most {
			return text[:i] + "..."
		}
		characters++
	}
	return text
}

// InvalidError is a request that is not what the document asks: a 400.
type InvalidError struct{ Fields []FieldError }

func (e *InvalidError) Error() string { return "invalid request: " + messages(e.Fields) }

// RuleError is a well-formed request that a rule of the directory is against: a 400.
type RuleError struct{ Fields []FieldError }

func (e *RuleError) Error() string { return "refused by a rule: " + messages(e.Fields) }

// Unwrap makes the store, which looks for further refusals beside a *store.FieldErrors, look for them beside this too.
func (e *RuleError) Unwrap() error { return &store.FieldErrors{} }

func messages(fields []FieldError) string { return strings.Join(Messages(fields), ", ") }

// Messages gives the fields' messages.
func Messages(fields []FieldError) []string {
	all := make([]string, len(fields))
	for i, f := range fields {
		all[i] = f.Message
	}
	return all
}

var (
	errPreconditionFailed   = errors.New("a precondition is false")
	errContentTooLarge      = errors.New("the body is too large")
	errUnsupportedMediaType = errors.New("the body is not declared as JSON")
	errBodyIncomplete       = errors.New("the body did not arrive to its end")
)

// ErrClientGone is a client that closed its connection before it had sent the whole body.
var ErrClientGone = errors.New("the client is gone")

// mediaTypeError is a body of a media type or a coding that cannot be read. The answer says in a header what can be.
type mediaTypeError struct {
	reason        string
	header, value string
}

func (e *mediaTypeError) Error() string { return errUnsupportedMediaType.Error() + ": " + e.reason }

func (e *mediaTypeError) Unwrap() error { return errUnsupportedMediaType }

// classify is the one place that says which kind of problem an error is. What it does not know is Internal.
func (d *Dialect) classify(err error) Problem {
	p := Problem{Kind: kindOf(err)}
	p.Status = statuses[p.Kind]
	switch p.Kind {
	case Invalid, Refused:
		p.Fields = boundErrors(d.fieldErrors(err), maxErrors)
	}
	return p
}

// maxErrors is how many single errors an answer lists. Validation stops when it has found more.
const maxErrors = 100

// boundErrors returns the first most errors, then one that says that there are more.
func boundErrors(fields []FieldError, most int) []FieldError {
	if len(fields) <= most {
		return fields
	}
	return append(fields[:most:most], FieldError{Message: "and more errors"})
}

// ErrWrongPassword is beside the *RuleError of a present password that is wrong, for those who watch.
var ErrWrongPassword = errors.New("wrong present password")

// RefusalOf names in a word why a request was refused, for logs and metrics.
func RefusalOf(err error) string {
	if errors.Is(err, ErrWrongPassword) {
		return "wrong_password"
	}
	return kindOf(err).String()
}

func kindOf(err error) Kind {
	var invalid *InvalidError
	var rule *RuleError
	var fields *store.FieldErrors
	var limited *RateLimitedError
	var routing *echo.HTTPError
	switch {
	case errors.Is(err, auth.ErrTokenExpired):
		return TokenExpired
	case errors.Is(err, auth.ErrUnauthenticated):
		return Unauthenticated
	case errors.Is(err, auth.ErrForbidden):
		return Forbidden
	case errors.As(err, &invalid):
		return Invalid
	case errors.As(err, &rule), errors.As(err, &fields), errors.Is(err, store.ErrConflict):
		return Refused
	case errors.Is(err, store.ErrNotFound):
		return UserNotFound
	case errors.Is(err, errPreconditionFailed):
		return PreconditionFailed
	case errors.Is(err, errBodyIncomplete):
		return RequestTimeout
	case errors.Is(err, errContentTooLarge):
		return ContentTooLarge
	case errors.Is(err, errUnsupportedMediaType):
		return UnsupportedMediaType
	case errors.As(err, &limited):
		return RateLimited
	case errors.Is(err, store.ErrBusy), errors.Is(err, store.ErrUnavailable), errors.Is(err, auth.ErrKeysUnavailable), errors.Is(err, errTooManyBytes), errors.Is(err, semaphore.ErrFull),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return Unavailable
	case errors.As(err, &routing) && routing.Code == http.StatusNotFound:
		return RouteNotFound
	case errors.As(err, &routing) && routing.Code == http.StatusMethodNotAllowed:
		return MethodNotAllowed
	case errors.As(err, &routing) && (routing.Code == http.StatusForbidden || routing.Code == http.StatusMisdirectedRequest):
		return Forbidden
	}
	return Internal
}

// fieldErrors collects every single error below err: the dialect's own and, renamed, the model's.
func (d *Dialect) fieldErrors(err error) []FieldError {
	var all []FieldError
	var invalid *InvalidError
	if errors.As(err, &invalid) {
		all = append(all, invalid.Fields...)
	}
	var rule *RuleError
	if errors.As(err, &rule) {
		all = append(all, rule.Fields...)
	}
	var fields *store.FieldErrors
	if errors.As(err, &fields) {
		for _, f := range *fields {
			name := d.FieldName(f.Field)
			all = append(all, FieldError{Field: name, Message: name + " " + f.Reason})
		}
	}
	var conflict *store.ConflictError
	if errors.As(err, &conflict) {
		for _, f := range conflict.Fields {
			if name := d.FieldName(f); name != "" {
				all = append(all, FieldError{Field: name, Message: d.TakenMessage(f)})
			}
		}
	}
	return all
}
