package dialect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/store"
	"github.com/labstack/echo/v4"
)

func TestErrorsHaveTheirKind(t *testing.T) {
	t.Parallel()
	fields := store.FieldErrors{{Field: store.FieldEmail, Reason: "must be an e-mail address"}}
	for _, c := range []struct {
		err  error
		want Kind
	}{
		{auth.ErrTokenMissing, Unauthenticated},
		{auth.ErrUnauthenticated, Unauthenticated},
		{auth.ErrTokenExpired, TokenExpired},
		{auth.ErrForbidden, Forbidden},
		{&auth.ForbiddenError{Reason: "rank"}, Forbidden},
		{&InvalidError{}, Invalid},
		{&RuleError{}, Refused},
		{&fields, Refused},
		{&store.ConflictError{Fields: []store.Field{store.FieldEmail}}, Refused},
		{errors.Join(&RuleError{}, &store.ConflictError{}), Refused},
		{store.ErrNotFound, UserNotFound},
		{errPreconditionFailed, PreconditionFailed},
		{errContentTooLarge, ContentTooLarge},
		{errUnsupportedMediaType, UnsupportedMediaType},
		{&RateLimitedError{}, RateLimited},
		{store.ErrBusy, Unavailable},
		{store.ErrUnavailable, Unavailable},
		{context.DeadlineExceeded, Unavailable},
		{context.Canceled, Unavailable},
		{echo.ErrNotFound, RouteNotFound},
		{echo.ErrMethodNotAllowed, MethodNotAllowed},
		{echo.NewHTTPError(http.StatusBadRequest, "Invalid format for parameter id: strconv.ParseInt"), Internal},
		{errors.New(`ERROR: relation "users" does not exist (SQLSTATE 42P01)`), Internal},
	} {
		for _, err := range []error{c.err, fmt.Errorf("updating user: %w", c.err)} {
			if got := kindOf(err); got != c.want {
				t.Errorf("%v is of kind %d, want %d", err, got, c.want)
			}
		}
	}
}

func TestEveryKindHasAStatus(t *testing.T) {
	t.Parallel()
	for kind := Internal; kind <= Unavailable; kind++ {
		if kinds[kind].status < 400 {
			t.Errorf("kind %d has status %d", kind, kinds[kind].status)
		}
	}
}

func TestModelErrorsUseDialectNames(t *testing.T) {
	t.Parallel()
	d := &Dialect{
		FieldName: func(f store.Field) string {
			return map[store.Field]string{store.FieldEmail: "mail", store.FieldFirstName: "given"}[f]
		},
		TakenMessage: func(f store.Field) string { return string(f) + " is taken" },
	}
	model := store.FieldErrors{{Field: store.FieldFirstName, Reason: "must have at most 255 characters"}}
	taken := &store.ConflictError{Fields: []store.Field{store.FieldEmail}}
	for _, c := range []struct {
		refused error
		want    []FieldError
	}{
		{&model, []FieldError{{Field: "given", Message: "given must have at most 255 characters"}, {Field: "mail", Message: "Email is taken"}}},
		{&RuleError{Fields: []FieldError{{Field: "secret", Message: "secret is wrong"}}}, []FieldError{{Field: "secret", Message: "secret is wrong"}, {Field: "mail", Message: "Email is taken"}}},
	} {
		p := d.classify(fmt.Errorf("updating user: %w", errors.Join(c.refused, taken)))
		if p.Kind != Refused || p.Status != 400 || !slices.Equal(p.Fields, c.want) {
			t.Errorf("got %+v, want %v", p, c.want)
		}
	}
}

func TestOtherErrorsRevealNothing(t *testing.T) {
	t.Parallel()
	for _, err := range []error{errors.New("pq: password authentication failed"), store.ErrUnavailable, auth.ErrForbidden, store.ErrNotFound} {
		if p := (&Dialect{}).classify(err); len(p.Fields) > 0 {
			t.Errorf("%v tells %v", err, p.Fields)
		}
	}
}
