package testiniumclient_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"net/http"
	"slices"

	"github.com/dragoman-id/dragoman/gen/testiniumclient"
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
	client, err := testiniumclient.NewClientWithResponses(url)
	if err != nil {
		log.Fatal(err)
	}
	// The sandbox is a mock: it gives the answer that a request prefers.
	prefer := func(what string) testiniumclient.RequestEditorFn {
		return func(_ context.Context, r *http.Request) error {
			r.Header.Set("Prefer", what)
			return nil
		}
	}
	try := func(user testiniumclient.UserID, params testiniumclient.UpdateUserParams, body testiniumclient.UserUpdate, editors ...testiniumclient.RequestEditorFn) {
		answer, err := client.UpdateUserWithResponse(context.Background(), customer, user, &params, body, editors...)
		if err == nil {
			err = answer.Err()
		}
		if err != nil {
			explain(err)
			return
		}
		fmt.Println("done:", answer.JSON200.Surname)
	}

	body := testiniumclient.UserUpdate{
		Name: "Ada", Surname: "King", Username: "adalovelace", Email: "ada.lovelace@example.com",
		Enabled: true, AccountNonExpired: true, AccountNonLocked: true, CredentialNonExpired: true,
		Authorities: []testiniumclient.AuthorityReference{{Name: "ROLE_USER"}},
	}
	bad := body
	bad.Email, bad.Authorities = "ada", []testiniumclient.AuthorityReference{{Name: "ROLE_PILOT"}}
	here := testiniumclient.UpdateUserParams{CurrentCompanyID: company}
	try(ada, here, bad, bearer(token))
	try(ada, here, body)
	try(ada, testiniumclient.UpdateUserParams{CurrentCompanyID: 2760}, body, bearer(token))
	try(1, here, body, bearer(token))
	try(ada, testiniumclient.UpdateUserParams{CurrentCompanyID: company, IfMatch: new(`"7"`)}, body, bearer(token))
	try(ada, here, body, prefer("code=429"))
	try(ada, here, body, prefer("code=503"))
	try(ada, here, body, prefer("proxy"))
	try(ada, here, body, bearer(token))
	// Output:
	// correct the request:
	//   authorities.0.name: authorities.0.name is not a role: "ROLE_PILOT"
	//   email: email must be an e-mail address
	// get another token: UNAUTHORIZED
	// ask for the permission: ACCESS_DENIED
	// there is no such user: No user was found for the specified `userId`.
	// the user has changed: read it again
	// wait 1s: TOO_MANY_REQUESTS
	// wait 1s: SERVICE_UNAVAILABLE
	// report it: 502 Bad Gateway: the body is not what the API documents
	// done: King
}
