package servertest

import (
	"fmt"
	"github.com/dragoman-id/dragoman/server"
	"io"
	"net/http"
	"strings"
	"testing"
)

// canned is a server that always answers this.
type canned struct {
	status int
	body   string
}

func (c canned) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: c.status,
		Header:     http.Header{"Content-Type": {"application/json; charset=utf-8"}, "X-Request-Id": {"1"}},
		Body:       io.NopCloser(strings.NewReader(c.body)),
	}, nil
}

// recorder remembers what a test is failed with.
type recorder struct {
	testing.TB
	said []string
}

func (r *recorder) Errorf(format string, arguments ...any) {
	r.said = append(r.said, fmt.Sprintf(format, arguments...))
}

// TestVendorsDocumentIsHeld plants answers to Worth's update that its document does not allow, and some that it does.
func TestVendorsDocumentIsHeld(t *testing.T) {
	t.Parallel()
	const update = "PATCH /customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users/94520740-d63c-4e02-85ca-c4e138801e73"
	const elsewhere = "PATCH /customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users"
	for _, c := range []struct {
		call   string
		status int
		body   string
		fault  bool
	}{
		{update, 200, `{"status":"success","message":"User details updated successfully"}`, false},
		{update, 200, `{"status":"success","message":"User details updated successfully","data":{}}`, false},
		{update, 200, `{"status":true,"message":"User details updated successfully"}`, true},
		{update, 200, `[]`, true},
		{update, 200, ``, true},
		{update, 201, `{"status":"success","message":"User details updated successfully"}`, true},
		{update, 400, `{"message":"Error occurred","errorCode":"INVALID"}`, false},
		{update, 400, `{"message":["Error occurred"],"errorCode":"INVALID"}`, true},
		{update, 401, `{"message":"Unauthorized","errorCode":401}`, true},
		{update, 403, `{"message":null,"errorCode":"ERR_FORBIDDEN"}`, true},
		{update, 404, `{"status":"fail","message":"Customer user does not exist","errorCode":"INVALID","data":{"errorName":"CustomersApiError"}}`, false},
		{update, 404, `{"status":"fail","message":"Customer user does not exist","errorCode":"INVALID"}`, true},
		{update, 404, `{"status":"fail","message":"Customer user does not exist","errorCode":"INVALID","data":{}}`, true},
		{update, 409, `{"message":"Another customer user exists with the same email."}`, true},
		{update, 500, `{"message":{},"errorCode":"ERR_INTERNAL_SERVER"}`, true},
		{update, 501, `{}`, true},
		// The vendor has no word for these, whatever they say.
		{update, 412, `[]`, false},
		{update, 413, `[]`, false},
		{update, 415, `[]`, false},
		{update, 429, `[]`, false},
		{update, 503, `[]`, false},
		{elsewhere, 405, `[]`, false},
	} {
		t.Run(fmt.Sprintf("%d %s", c.status, c.body), func(t *testing.T) {
			t.Parallel()
			said := &recorder{TB: t}
			transport := newChecker(t, "http://dragoman.test", canned{c.status, c.body}, server.Descriptions(server.Dialects())).with(said)
			method, path, _ := strings.Cut(c.call, " ")
			r, err := http.NewRequestWithContext(t.Context(), method, "http://dragoman.test/auth/api/v1"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := answer.Body.Close(); err != nil {
				t.Fatal(err)
			}
			found := strings.Contains(strings.Join(said.said, "\n"), "the vendor's own document")
			if found != c.fault {
				t.Errorf("the vendor's document refuses the answer: %t, want %t; all that was said: %q", found, c.fault, said.said)
			}
		})
	}
}
