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

func TestOutcomeOfClientGone(t *testing.T) {
	t.Parallel()
	connected := context.Background()
	gone, cancel := context.WithCancel(connected)
	cancel()
	truncated := fmt.Errorf("%w: broken pipe", dialect.ErrTruncated)
	for _, c := range []struct {
		client   context.Context
		stopping bool
		err      error
		want     outcome
	}{
		{gone, false, nil, outcome{status: 503}},
		{gone, false, context.Canceled, outcome{499, "client_gone", context.Canceled}},
		{gone, false, truncated, outcome{499, "client_gone", truncated}},
		{gone, false, store.ErrUnavailable, outcome{503, "unavailable", store.ErrUnavailable}},
		{gone, true, truncated, outcome{503, "internal", truncated}},
		{connected, false, context.Canceled, outcome{503, "unavailable", context.Canceled}},
		{connected, false, truncated, outcome{503, "internal", truncated}},
	} {
		answer := httptest.NewRecorder()
		e := echo.New().NewContext(httptest.NewRequest(http.MethodGet, "/", nil), answer)
		e.Response().WriteHeader(http.StatusServiceUnavailable)
		w := &watch{stopping: func() bool { return c.stopping }}
		if got := w.outcomeOf(e, c.client, c.err); got != c.want {
			t.Errorf("client gone: %t, error %v: %+v, want %+v", c.client == gone, c.err, got, c.want)
		}
	}
}

func TestIsValidRequestID(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"a": true, "0-9_A.z": true, strings.Repeat("a", 64): true,
		"": false, strings.Repeat("a", 65): false, "a b": false, "é": false, "a\n": false, "a/b": false, "a@b": false, "{": false, "`": false, "[": false, ":": false,
	} {
		if got := isValidRequestID(id); got != want {
			t.Errorf("%q is valid: %t, want %t", id, got, want)
		}
	}
}
