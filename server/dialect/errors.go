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

// Kind is the kind of an error, independent of the dialect that renders it.
type Kind int

// The kinds of errors. Each has one status, the same in every dialect.
const (
	Internal             Kind = iota // the server failed; the client gets no details
	Invalid                          // the path, the query, a header or the body does not match the document
	Refused                          // the request is well formed, but breaks a rule of the directory
	Unauthenticated                  // the token is missing or invalid
	TokenExpired                     // the token has expired and is otherwise valid
	Forbidden                        // the caller may not do this
	UserNotFound                     // the customer has no such user
	RouteNotFound                    // there is no such path
	MethodNotAllowed                 // the path has no such method
	RequestTimeout                   // the body did not arrive in time, or not completely
	PreconditionFailed               // If-Match or If-None-Match is false
	ContentTooLarge                  // the body is over its limit
	UnsupportedMediaType             // the body is not declared as JSON
	KeyReused                        // the idempotency key is that of another request
	RateLimited                      // the client exceeds a rate or concurrency limit
	Unavailable                      // the database or the tokens' keys cannot be reached, or the database is too busy
)

// kinds has the status and the name of each kind.
var kinds = [...]struct {
	status int
	name   string // in logs and metrics
}{
	Internal:             {http.StatusInternalServerError, "internal"},
	Invalid:              {http.StatusBadRequest, "invalid"},
	Refused:              {http.StatusBadRequest, "refused"},
	Unauthenticated:      {http.StatusUnauthorized, "unauthenticated"},
	TokenExpired:         {http.StatusUnauthorized, "token_expired"},
	Forbidden:            {http.StatusForbidden, "forbidden"},
	UserNotFound:         {http.StatusNotFound, "user_not_found"},
	RouteNotFound:        {http.StatusNotFound, "route_not_found"},
	MethodNotAllowed:     {http.StatusMethodNotAllowed, "method_not_allowed"},
	RequestTimeout:       {http.StatusRequestTimeout, "request_timeout"},
	PreconditionFailed:   {http.StatusPreconditionFailed, "precondition_failed"},
	ContentTooLarge:      {http.StatusRequestEntityTooLarge, "content_too_large"},
	UnsupportedMediaType: {http.StatusUnsupportedMediaType, "unsupported_media_type"},
	KeyReused:            {http.StatusUnprocessableEntity, "key_reused"},
	RateLimited:          {http.StatusTooManyRequests, "rate_limited"},
	Unavailable:          {http.StatusServiceUnavailable, "unavailable"},
}

// String returns the kind's name in logs and metrics.
func (k Kind) String() string { return kinds[k].name }

// Problem is a classified error, which a dialect renders for the client.
type Problem struct {
	Kind   Kind
	Status int
	Fields []FieldError // the errors of single members and parameters, in the dialect's names; may be empty
	// Taken says that all that is wrong is that another user has a value that must be unique. The Kind is Refused.
	Taken bool
	// LastAdministrator says that the request would leave the customer without an active administrator. The Kind is Refused.
	LastAdministrator bool
	// Changes are the fields that have changed since the version in If-Match, of a PreconditionFailed whose caller may know them.
	Changes []ConcurrentChange
}

// FieldError is an error of one member or parameter. Field is its path in the dialect's names, such as "subrole.code", and is
// empty for the body as a whole. Message is a complete sentence.
type FieldError struct {
	Field   string
	Message string
	Code    string // a classification of the error, which only a dialect's Render reads: the dialect's own, or TooManyItems; often empty
}

// TooManyItems is the Code of the error of an array that has more items than its schema allows.
const TooManyItems = "too many items"

// The maximum lengths, in characters, of text from a request that a response repeats.
const (
	maxExcerpt = 64  // a name
	maxPath    = 256 // a path of names
)

// Excerpt shortens text for a response: it truncates text of more than 64 characters and appends "...".
func Excerpt(text string) string { return excerpt(text, maxExcerpt) }

func excerpt(text string, most int) string {
	if len(text) <= most { // the number of bytes, which is at least that of characters
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

// InvalidError reports that a request does not match the document. It is rendered as 400.
type InvalidError struct{ Fields []FieldError }

func (e *InvalidError) Error() string { return "invalid request: " + messages(e.Fields) }

// RuleError reports that a well-formed request breaks a rule of the directory. It is rendered as 400.
type RuleError struct{ Fields []FieldError }

func (e *RuleError) Error() string { return "refused by a rule: " + messages(e.Fields) }

// Unwrap returns an empty *store.FieldErrors. The store continues after such an error, to collect further ones; so it does after
// a RuleError.
func (e *RuleError) Unwrap() error { return &store.FieldErrors{} }

func messages(fields []FieldError) string { return strings.Join(Messages(fields), ", ") }

// Messages returns the messages of fields.
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
	errBodyIncomplete       = errors.New("the body is incomplete")
)

// ErrClientGone reports that a client closed its connection before it had sent the whole body.
var ErrClientGone = errors.New("the client closed the connection")

// mediaTypeError reports that the media type or the content coding of a body is not supported.
type mediaTypeError struct {
	reason        string
	header, value string // the response header that lists what is supported
}

func (e *mediaTypeError) Error() string { return errUnsupportedMediaType.Error() + ": " + e.reason }

func (e *mediaTypeError) Unwrap() error { return errUnsupportedMediaType }

// classify returns the problem that an error is rendered as. An unknown error is Internal.
func (d *Dialect) classify(err error) Problem {
	p := Problem{Kind: kindOf(err)}
	p.Status = kinds[p.Kind].status
	switch p.Kind {
	case Invalid, Refused:
		p.Fields = boundErrors(d.fieldErrors(err), maxErrors)
		p.LastAdministrator = errors.Is(err, store.ErrLastAdministrator)
		if p.Taken = isOnlyTaken(err); p.Taken && d.TakenStatus != 0 {
			p.Status = d.TakenStatus
		}
	}
	return p
}

// isOnlyTaken reports whether an error is about values that another user has, and about nothing else.
func isOnlyTaken(err error) bool {
	var invalid *InvalidError
	var rule *RuleError
	var fields *store.FieldErrors
	return errors.Is(err, store.ErrConflict) && !errors.As(err, &invalid) && !errors.As(err, &rule) && !errors.As(err, &fields)
}

// maxErrors is the maximum number of field errors in a response.
const maxErrors = 100

// boundErrors returns the first most errors. If it omits any, it appends an error that says that there are more.
func boundErrors(fields []FieldError, most int) []FieldError {
	if len(fields) <= most {
		return fields
	}
	return append(fields[:most:most], FieldError{Message: "and more errors"})
}

// ErrWrongPassword is joined to the *RuleError for a wrong current password, so that logs and metrics can count it.
var ErrWrongPassword = errors.New("wrong present password")

// RefusalOf returns the reason for which a request was refused, as a label for logs and metrics.
func RefusalOf(err error) string {
	if errors.Is(err, ErrWrongPassword) {
		return "wrong_password"
	}
	return kindOf(err).String()
}

// kindOf returns the kind of an error, which decides the status of the response. An error that is none of these is Internal. A canceled
// request is Unavailable: the server is stopping, or the client is gone and reads no response. It is no fault of the database, so
// engine.Kind does not include it.
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
	case errors.As(err, &rule), errors.As(err, &fields), errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrErased), errors.Is(err, store.ErrNoLedger):
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
	case errors.Is(err, errKeyReused):
		return KeyReused
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

// fieldErrors returns all field errors in err's tree: the dialect's own, and the model's with the dialect's names.
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
			// A field without a name takes its value from one that has a name, as a username does from the e-mail.
			if name := d.FieldName(f.Field); name != "" {
				all = append(all, FieldError{Field: name, Message: name + " " + f.Reason})
			}
		}
	}
	for _, about := range []error{store.ErrErased, store.ErrNoLedger} { // which are about no field
		if errors.Is(err, about) {
			all = append(all, FieldError{Message: about.Error()})
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
