package worthclient_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"net/http"
	"slices"

	"github.com/dragoman-id/dragoman/gen/worthclient"
	"github.com/dragoman-id/dragoman/server/apierror"
)

// explain says how an update ended, and what to do about it.
func explain(err error) {
	var refused *apierror.Error
	if !errors.As(err, &refused) {
		fmt.Println("the server cannot be reached:", err)
		return
	}
	switch refused.Status {
	case http.StatusBadRequest:
		fmt.Println("correct the request:")
		for _, field := range slices.Sorted(maps.Keys(refused.Fields)) {
			fmt.Printf("  %s: %s\n", field, refused.Fields[field])
		}
	case http.StatusUnauthorized:
		fmt.Println("get another token:", refused.Code)
	case http.StatusForbidden:
		fmt.Println("ask for the permission:", refused.Code)
	case http.StatusNotFound:
		fmt.Println("there is no such user:", refused.Message)
	case http.StatusPreconditionFailed:
		fmt.Println("the user has changed: read it again")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		fmt.Printf("wait %v: %s\n", refused.RetryAfter, refused.Code)
	default:
		fmt.Println("report it:", refused)
	}
}

// Each error, and what a program may do about it.
func Example_errors() {
	url, token, stop := sandbox(proxy)
	defer stop()
	client, err := worthclient.NewClientWithResponses(url)
	if err != nil {
		log.Fatal(err)
	}
	// The sandbox is a mock: it gives the answer that a request prefers.
	prefer := func(what string) worthclient.RequestEditorFn {
		return func(_ context.Context, r *http.Request) error {
			r.Header.Set("Prefer", what)
			return nil
		}
	}
	try := func(customer worthclient.CustomerID, user worthclient.UserID, params *worthclient.UpdateCustomerUserParams, patch worthclient.UserPatch, editors ...worthclient.RequestEditorFn) {
		answer, err := client.UpdateCustomerUserWithResponse(context.Background(), customer, user, params, patch, editors...)
		if err == nil {
			err = answer.Err()
		}
		if err != nil {
			explain(err)
			return
		}
		fmt.Println("done:", answer.Headers200.DragomanChanged)
	}

	patch := worthclient.UserPatch{FirstName: new("Augusta")}
	const another worthclient.CustomerID = "1189b832-9e28-409a-a655-28d9e04eb022"
	try(customer, ada, nil, worthclient.UserPatch{Email: new("ada"), Status: new(worthclient.UserStatus("GONE"))}, bearer(token))
	try(customer, ada, nil, patch)
	try(another, ada, nil, patch, bearer(token))
	try(customer, "00000000-0000-0000-0000-000000000000", nil, patch, bearer(token))
	try(customer, ada, &worthclient.UpdateCustomerUserParams{IfMatch: new(`"7"`)}, patch, bearer(token))
	try(customer, ada, nil, patch, prefer("code=429"))
	try(customer, ada, nil, patch, prefer("code=503"))
	try(customer, ada, nil, patch, prefer("proxy"))
	try(customer, ada, nil, patch, bearer(token))
	// Output:
	// correct the request:
	//   email: email must be an e-mail address
	//   status: status must be one of ACTIVE, INACTIVE
	// get another token: ERR_UNAUTHORIZED
	// ask for the permission: ERR_FORBIDDEN
	// there is no such user: Customer user does not exist
	// the user has changed: read it again
	// wait 1s: TOO_MANY_REQUESTS
	// wait 1s: SERVICE_UNAVAILABLE
	// report it: 502 Bad Gateway: the body is not what the API documents
	// done: first_name
}
