package servertest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// FieldError is one error of a body or a parameter, as both dialects list them: its path and its message.
type FieldError [2]string

// WorthError is an error's body in Worth's words. Without a message of its own it has those of its fields.
func WorthError(status int, errorCode, errorName, message string, fields ...FieldError) string {
	outcome := "fail"
	if status >= http.StatusInternalServerError {
		outcome = "error"
	}
	if message == "" {
		var all []string
		for _, f := range fields {
			all = append(all, f[1])
		}
		message = strings.Join(all, ", ")
	}
	return fmt.Sprintf(`{"status":%q,"message":%s,"errorCode":%q,"data":{"errorName":%q,"errors":%s}}`,
		outcome, quote(message), errorCode, errorName, fieldErrors(fields))
}

// TestiniumError is an error's body in Testinium's words, with the timestamp that Expect takes for any.
func TestiniumError(status int, code, description, path string, fields ...FieldError) string {
	return fmt.Sprintf(`{"timestamp":0,"status":%d,"error":%q,"message":%q,"description":%q,"path":%s,"errors":%s}`,
		status, http.StatusText(status), code, description, quote(path), fieldErrors(fields))
}

// Problem is an error's body as problem details, of the kind that says this.
func Problem(status int, detail string, fields ...FieldError) string {
	return fmt.Sprintf(`{"type":"about:blank","title":%q,"status":%d,"detail":%q,"errors":%s}`,
		http.StatusText(status), status, detail, fieldErrors(fields))
}

func fieldErrors(fields []FieldError) string {
	var all []string
	for _, f := range fields {
		all = append(all, fmt.Sprintf(`{"field":%s,"message":%s}`, quote(f[0]), quote(f[1])))
	}
	return "[" + strings.Join(all, ",") + "]"
}

func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(quoted)
}

var timestamp = regexp.MustCompile(`^\{"timestamp":[1-9][0-9]{12},`)

// Expect fails the test unless the answer has this status and, byte for byte, this body. Of an error in Testinium's words
// the timestamp, which no test can know, is 0 in body.
func (a Answer) Expect(t testing.TB, status int, body string) {
	t.Helper()
	got := timestamp.ReplaceAllLiteralString(strings.TrimSuffix(a.Body, "\n"), `{"timestamp":0,`)
	if a.Status != status || got != body {
		t.Errorf("the answer is\n%d %s\nwant\n%d %s", a.Status, got, status, body)
	}
}

// ExpectHeader fails the test unless the answer has exactly these values for a header; without any, unless it lacks it.
func (a Answer) ExpectHeader(t testing.TB, name string, values ...string) {
	t.Helper()
	if got := a.Header.Values(name); strings.Join(got, "\n") != strings.Join(values, "\n") || len(got) != len(values) {
		t.Errorf("the answer's %s is %q, want %q", name, got, values)
	}
}
