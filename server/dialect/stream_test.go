package dialect

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"
)

func TestTimeLimitWithoutProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		call := &Call{response: httptest.NewRecorder()}
		call.begin(t.Context(), time.Minute)
		defer call.end()
		for range 10 {
			time.Sleep(time.Minute - time.Second)
			if call.Err() != nil {
				t.Fatal("the time was over although there was progress")
			}
			call.Progress()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !errors.Is(context.Cause(call), context.DeadlineExceeded) {
			t.Errorf("the cause is %v", context.Cause(call))
		}
	})
}

func TestStoppedTimeLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		call := &Call{}
		call.begin(t.Context(), time.Minute)
		call.end()
		time.Sleep(time.Hour)
		if errors.Is(context.Cause(call), context.DeadlineExceeded) {
			t.Error("the time was over after the work was")
		}
	})
}

func TestProgressNeedsNoTimeLimit(t *testing.T) {
	t.Parallel()
	call := &Call{response: httptest.NewRecorder()}
	call.begin(t.Context(), 0)
	defer call.end()
	call.Progress()
}

func TestSlashOptionalAddsTheSlashToCollections(t *testing.T) {
	t.Parallel()
	e := echo.New()
	r := SlashOptional(e)
	answer := func(c echo.Context) error { return c.String(http.StatusOK, c.Path()) }
	r.GET("/a", answer)
	r.GET("/a/:b", answer)
	r.PUT("/c", answer)
	var got []string
	for _, route := range e.Routes() {
		got = append(got, route.Method+" "+route.Path)
	}
	slices.Sort(got)
	if want := []string{"GET /a", "GET /a/", "GET /a/:b", "PUT /c"}; !slices.Equal(got, want) {
		t.Errorf("the routes are %q", got)
	}
}
