package worthclient_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/dragoman-id/dragoman/gen/worthclient"
	"github.com/google/uuid"
)

// explain says what became of an update, and what to do about it. Of the fields of an answer the one of its status is set,
// and none of a status that the document does not name, such as a proxy's.
func explain(a *worthclient.UpdateCustomerUserResponse) {
	switch {
	case a.JSON200 != nil:
		fmt.Println("done")
	case a.JSON400 != nil:
		fmt.Println("mend the request:")
		for _, e := range a.JSON400.Data.Errors {
			fmt.Printf("  %s: %s\n", e.Field, e.Message)
		}
	case a.JSON401 != nil:
		fmt.Println("get another token:", a.JSON401.Data.ErrorName)
	case a.JSON403 != nil:
		fmt.Println("ask for the right to do it:", a.JSON403.ErrorCode)
	case a.JSON404 != nil:
		fmt.Println("gone:", a.JSON404.Message)
	case a.JSON412 != nil:
		fmt.Println("read the user again: somebody else has written")
	case a.JSON429 != nil:
		fmt.Printf("wait %d s: too many requests\n", a.Headers429.RetryAfter)
	case a.JSON503 != nil:
		fmt.Printf("wait %d s: not available\n", a.Headers503.RetryAfter)
	default:
		fmt.Println("report it, with this id:", a.HTTPResponse.Header.Get("X-Request-Id"), a.Status())
	}
}

// Each error, and what a program may do about it.
func Example_errors() {
	url, token, stop := sandbox()
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
	try := func(customer, user uuid.UUID, params *worthclient.UpdateCustomerUserParams, patch worthclient.UserPatch, editors ...worthclient.RequestEditorFn) {
		answer, err := client.UpdateCustomerUserWithResponse(context.Background(), customer.String(), user.String(), params, patch, editors...)
		if err != nil {
			log.Fatal(err) // there was no answer
		}
		explain(answer)
	}

	patch := worthclient.UserPatch{FirstName: new("Augusta")}
	elsewhere := uuid.MustParse("1189b832-9e28-409a-a655-28d9e04eb022")
	try(customer, ada, nil, worthclient.UserPatch{Email: new("ada"), Status: new(worthclient.UserStatus("GONE"))}, bearer(token))
	try(customer, ada, nil, patch)
	try(elsewhere, ada, nil, patch, bearer(token))
	try(customer, uuid.Nil, nil, patch, bearer(token))
	try(customer, ada, &worthclient.UpdateCustomerUserParams{IfMatch: new(`"7"`)}, patch, bearer(token))
	try(customer, ada, nil, patch, prefer("code=429"))
	try(customer, ada, nil, patch, prefer("code=503"))
	try(customer, ada, nil, patch, bearer(token))
	// Output:
	// mend the request:
	//   email: email must be an e-mail address
	//   status: status must be one of ACTIVE, INACTIVE
	// get another token: AuthenticationMiddlewareError
	// ask for the right to do it: ERR_FORBIDDEN
	// gone: Customer user does not exist
	// read the user again: somebody else has written
	// wait 1 s: too many requests
	// wait 1 s: not available
	// done
}
