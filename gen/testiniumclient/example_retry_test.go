package testiniumclient_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/dragoman-id/dragoman/gen/testiniumclient"
	"github.com/hashicorp/go-retryablehttp"
)

// careful sends again what can be sent again without harm: a read, and a write that names the version which it is for. Any
// other write may have been done although its answer was lost, and would undo what others have written since.
//
// When the answer to a write under If-Match is lost, its repetition is a 412: the user has moved on, by this very write.
// Who gets a 412 reads the user again anyway.
type careful struct{ again, once *http.Client }

func (c careful) Do(r *http.Request) (*http.Response, error) {
	ifMatch := r.Header.Get("If-Match")
	if r.Method == http.MethodGet || ifMatch != "" && ifMatch != "*" {
		return c.again.Do(r)
	}
	return c.once.Do(r)
}

// newCareful gives a client that tries up to five times: after a connection that failed, a 429, and what is 500 or above. It
// waits as long as Retry-After says, and else a second, two, four, eight. The request's context ends it sooner.
func newCareful() careful {
	c := retryablehttp.NewClient()
	c.RetryMax = 4
	c.Logger = nil
	c.ErrorHandler = retryablehttp.PassthroughErrorHandler // the last answer as it is, not an error of the library's
	return careful{again: c.StandardClient(), once: http.DefaultClient}
}

// Requests that are repeated where that is safe, over [go-retryablehttp].
//
// [go-retryablehttp]: https://pkg.go.dev/github.com/hashicorp/go-retryablehttp
func Example_retry() {
	url, token, stop := sandbox(refusing(2))
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	client, err := testiniumclient.NewClientWithResponses(url,
		testiniumclient.WithHTTPClient(newCareful()), testiniumclient.WithRequestEditorFn(bearer(token)))
	if err != nil {
		log.Fatal(err)
	}

	ada := testiniumclient.UserUpdate{
		Name: "Ada", Surname: "King", Username: "adalovelace", Email: "ada.lovelace@example.com",
		Enabled: true, AccountNonExpired: true, AccountNonLocked: true, CredentialNonExpired: true,
		Authorities: []testiniumclient.AuthorityReference{{Name: "ROLE_USER"}},
	}
	// Without If-Match it is tried once.
	blind, err := client.UpdateUserWithResponse(ctx, customer, adaID, &testiniumclient.UpdateUserParams{CurrentCompanyID: company}, ada)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("blind:", blind.Status())

	begun := time.Now()
	put, err := client.UpdateUserWithResponse(ctx, customer, adaID,
		&testiniumclient.UpdateUserParams{CurrentCompanyID: company, IfMatch: new(`"1"`)}, ada)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("under If-Match:", put.Status())
	fmt.Println("as late as was asked:", time.Since(begun) >= time.Second)
	// Output:
	// blind: 503 Service Unavailable
	// under If-Match: 200 OK
	// as late as was asked: true
}
