package testiniumclient_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/dragoman-id/dragoman/gen/testiniumclient"
	"github.com/google/uuid"
	"github.com/hashicorp/go-retryablehttp"
)

// Idempotent returns a request editor that gives each write an Idempotency-Key of its own, unless it has one. The server then executes
// the write once, however often the request is sent, and repeats its first answer.
func Idempotent() testiniumclient.RequestEditorFn {
	return func(_ context.Context, r *http.Request) error {
		if r.Method != http.MethodGet && r.Header.Get("Idempotency-Key") == "" {
			r.Header.Set("Idempotency-Key", uuid.NewString())
		}
		return nil
	}
}

// Retry returns a client that tries up to five times: after a failed connection, a 429, and a status of 500 or above. It waits for as
// long as Retry-After says, or else for one, two, four and eight seconds, at most until the request's context is done. It sends the
// same header each time, so the writes of a client with [Idempotent] are executed once.
func Retry() *http.Client {
	c := retryablehttp.NewClient()
	c.RetryMax = 4
	c.Logger = nil
	c.ErrorHandler = retryablehttp.PassthroughErrorHandler // return the last answer, not an error
	return c.StandardClient()
}

// Retries of reads and writes, with [go-retryablehttp]: each write has a key, which it keeps for all attempts.
//
// [go-retryablehttp]: https://pkg.go.dev/github.com/hashicorp/go-retryablehttp
func Example_retry() {
	url, token, stop := sandbox(cut(1), unavailable(1))
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	client, err := testiniumclient.NewClientWithResponses(url,
		testiniumclient.WithHTTPClient(Retry()), testiniumclient.WithRequestEditorFn(bearer(token)), testiniumclient.WithRequestEditorFn(Idempotent()))
	if err != nil {
		log.Fatal(err)
	}

	// The first attempt is refused, and the second written, but its answer is lost. If-Match is right only once.
	start := time.Now()
	written, err := client.UpdateUserWithResponse(ctx, customer, ada,
		&testiniumclient.UpdateUserParams{CurrentCompanyID: company, IfMatch: new(`"1"`)},
		testiniumclient.UserUpdate{
			Name: "Ada", Surname: "King", Username: "adalovelace", Email: "ada.lovelace@example.com",
			Enabled: true, AccountNonExpired: true, AccountNonLocked: true, CredentialNonExpired: true,
			Authorities: []testiniumclient.AuthorityReference{{Name: "ROLE_USER"}},
		})
	if err != nil {
		log.Fatal(err)
	}
	if err := written.Err(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(written.Status(), written.Headers200.ETag, "replayed:", *written.Headers200.IdempotencyReplayed)
	fmt.Println("waited for Retry-After:", time.Since(start) >= time.Second)
	// Output:
	// 200 OK "2" replayed: true
	// waited for Retry-After: true
}
