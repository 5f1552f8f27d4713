package apierror_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/apierror"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		value, date string
		want        time.Duration
	}{
		{"", "", 0},
		{"0", "", 0},
		{"120", "", 2 * time.Minute},
		{"-1", "", 0},
		{"1.5", "", 0},
		{"+5", "", 0},
		{" 120 ", "", 2 * time.Minute},
		{"soon", "", 0},
		{"99999999999999999999", "", (1<<31 - 1) * time.Second},
		{"-99999999999999999999", "", 0},
		{"Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:48:37 GMT", time.Minute},
		{"Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Nov 1994 08:48:37 GMT", time.Minute},
		{"Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 09:00:00 GMT", 0},
		{"Sun, 06 Nov 1994 08:49:37 GMT", "", 0},
	} {
		header := http.Header{"Retry-After": {c.value}, "Date": {c.date}}
		if got := apierror.New(&http.Response{Header: header}).RetryAfter; got != c.want {
			t.Errorf("Retry-After %q at %q is %v, want %v", c.value, c.date, got, c.want)
		}
	}
	later := http.Header{"Retry-After": {time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}}
	if got := apierror.New(&http.Response{Header: later}).RetryAfter; got <= 50*time.Minute || got > time.Hour {
		t.Errorf("a date an hour ahead, in an answer without a Date, is %v", got)
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]*apierror.Error{
		"no answer": apierror.New(nil),
		"404 Not Found: USER_NOT_FOUND: No user was found. (request r1)": {
			Status: 404, Code: "USER_NOT_FOUND", Message: "No user was found.", RequestID: "r1"},
		"400 Bad Request: INVALID_REQUEST: The request was malformed.; email must be an e-mail address; name is required": {
			Status: 400, Code: "INVALID_REQUEST", Message: "The request was malformed.",
			Fields: map[string]string{"name": "name is required", "email": "email must be an e-mail address"}},
		"400 Bad Request: email must be an e-mail address": {
			Status: 400, Message: "email must be an e-mail address", Fields: map[string]string{"email": "email must be an e-mail address"}},
		"502 Bad Gateway: the body is not what the API documents": {Status: 502},
		"599: the body is not what the API documents":             {Status: 599},
	} {
		if got := e.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestAddField(t *testing.T) {
	t.Parallel()
	var e apierror.Error
	e.AddField("email", "too long")
	e.AddField("email", "not an address")
	e.AddField("name", "too long")
	if e.Fields["email"] != "too long, not an address" || e.Fields["name"] != "too long" || len(e.Fields) != 2 {
		t.Errorf("%q", e.Fields)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]int{
		nil:                            0,
		errors.New("no route to host"): 0,
		&apierror.Error{Status: 412}:   412,
		fmt.Errorf("w: %w", &apierror.Error{Status: 404}): 404,
	} {
		if got := apierror.Status(err); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
}
