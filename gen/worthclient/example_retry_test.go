package worthclient_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/dragoman-id/dragoman/gen/worthclient"
	"github.com/hashicorp/go-retryablehttp"
)

// safeRetries retries the requests that are safe to retry: reads, and writes that name the version which they change. Any
// other write may have succeeded although its answer was lost, and would undo what others wrote since.
//
// If the answer to a write under If-Match is lost, its retry is answered with 412, since the write itself made a new version.
// A program reads the user again after a 412 anyway.
type safeRetries struct{ retrying, once *http.Client }

func (c safeRetries) Do(r *http.Request) (*http.Response, error) {
	ifMatch := r.Header.Get("If-Match")
	if r.Method == http.MethodGet || ifMatch != "" && ifMatch != "*" {
		return c.retrying.Do(r)
	}
	return c.once.Do(r)
}

// newSafeRetries returns a client that tries up to five times: after a failed connection, a 429, and a status of 500 or above.
// It waits for as long as Retry-After says, or else for one, two, four and eight seconds, at most until the request's context
// is done.
func newSafeRetries() safeRetries {
	c := retryablehttp.NewClient()
	c.RetryMax = 4
	c.Logger = nil
	c.ErrorHandler = retryablehttp.PassthroughErrorHandler // return the last answer, not an error
	return safeRetries{retrying: c.StandardClient(), once: http.DefaultClient}
}

// Retries of what is safe to retry, with [go-retryablehttp].
//
// [go-retryablehttp]: https://pkg.go.dev/github.com/hashicorp/go-retryablehttp
func Example_retry() {
	url, token, stop := sandbox(unavailable(2))
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	client, err := worthclient.NewClientWithResponses(url,
		worthclient.WithHTTPClient(newSafeRetries()), worthclient.WithRequestEditorFn(bearer(token)))
	if err != nil {
		log.Fatal(err)
	}

	// Without If-Match there is no retry.
	blind, err := client.UpdateCustomerUserWithResponse(ctx, customer, ada, nil,
		worthclient.UserPatch{Mobile: new("+44 20 7946 0001")})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("without If-Match:", blind.Status())

	start := time.Now()
	patched, err := client.UpdateCustomerUserWithResponse(ctx, customer, ada,
		&worthclient.UpdateCustomerUserParams{IfMatch: new(`"1"`)},
		worthclient.UserPatch{Mobile: new("+44 20 7946 0001")})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("with If-Match:", patched.Status())
	fmt.Println("waited for Retry-After:", time.Since(start) >= time.Second)
	// Output:
	// without If-Match: 503 Service Unavailable
	// with If-Match: 200 OK
	// waited for Retry-After: true
}
