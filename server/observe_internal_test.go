package server

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/store"
	"github.com/labstack/echo/v4"
)

// TestAClientThatIsGoneIsNoFailure: but what failed while it was there is one, and so is work that the server ended.
func TestAClientThatIsGoneIsNoFailure(t *testing.T) {
	t.Parallel()
	there := context.Background()
	gone, leave := context.WithCancel(there)
	leave()
	brokenOff := fmt.Errorf("%w: broken pipe", dialect.ErrBrokenOff)
	for _, c := range []struct {
		client   context.Context
		stopping bool
		err      error
		want     end
	}{
		{gone, false, nil, end{status: 503}},
		{gone, false, context.Canceled, end{499, "client_gone", context.Canceled}},
		{gone, false, brokenOff, end{499, "client_gone", brokenOff}},
		{gone, false, store.ErrUnavailable, end{503, "unavailable", store.ErrUnavailable}},
		{gone, true, brokenOff, end{503, "internal", brokenOff}},
		{there, false, context.Canceled, end{503, "unavailable", context.Canceled}},
		{there, false, brokenOff, end{503, "internal", brokenOff}},
	} {
		answer := httptest.NewRecorder()
		e := echo.New().NewContext(httptest.NewRequest(http.MethodGet, "/", nil), answer)
		e.Response().WriteHeader(http.StatusServiceUnavailable)
		w := &watch{stopping: func() bool { return c.stopping }}
		if got := w.endOf(e, c.client, c.err); got != c.want {
			t.Errorf("client gone: %t, error %v: %+v, want %+v", c.client == gone, c.err, got, c.want)
		}
	}
}

func TestASaneRequestIDIsShortAndPlain(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"a": true, "0-9_A.z": true, strings.Repeat("a", 64): true,
		"": false, strings.Repeat("a", 65): false, "a b": false, "é": false, "a\n": false, "a/b": false, "a@b": false, "{": false, "`": false, "[": false, ":": false,
	} {
		if got := isSaneRequestID(id); got != want {
			t.Errorf("%q is sane: %t, want %t", id, got, want)
		}
	}
}
