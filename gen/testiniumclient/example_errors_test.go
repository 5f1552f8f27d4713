package testiniumclient_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/dragoman-id/dragoman/gen/testiniumclient"
)

// explain says what became of an update, and what to do about it. Of the fields of an answer the one of its status is set,
// and none of a status that the document does not name, such as a proxy's.
func explain(a *testiniumclient.UpdateUserResponse) {
	switch {
	case a.JSON200 != nil:
		fmt.Println("done")
	case a.JSON400 != nil:
		fmt.Println("mend the request:")
		for _, e := range a.JSON400.Errors {
			fmt.Printf("  %s: %s\n", e.Field, e.Message)
		}
	case a.JSON401 != nil:
		fmt.Println("get another token:", a.JSON401.Message)
	case a.JSON403 != nil:
		fmt.Println("ask for the right to do it:", a.JSON403.Message)
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
	try := func(user int64, params testiniumclient.UpdateUserParams, body testiniumclient.UserUpdate, editors ...testiniumclient.RequestEditorFn) {
		answer, err := client.UpdateUserWithResponse(context.Background(), customer, user, &params, body, editors...)
		if err != nil {
			log.Fatal(err) // there was no answer
		}
		explain(answer)
	}

	ada := testiniumclient.UserUpdate{
		Name: "Ada", Surname: "King", Username: "adalovelace", Email: "ada.lovelace@example.com",
		Enabled: true, AccountNonExpired: true, AccountNonLocked: true, CredentialNonExpired: true,
		Authorities: []testiniumclient.AuthorityReference{{Name: "ROLE_USER"}},
	}
	bad := ada
	bad.Email, bad.Authorities = "ada", []testiniumclient.AuthorityReference{{Name: "ROLE_PILOT"}}
	here := testiniumclient.UpdateUserParams{CurrentCompanyID: company}
	try(adaID, here, bad, bearer(token))
	try(adaID, here, ada)
	try(adaID, testiniumclient.UpdateUserParams{CurrentCompanyID: 2760}, ada, bearer(token))
	try(1, here, ada, bearer(token))
	try(adaID, testiniumclient.UpdateUserParams{CurrentCompanyID: company, IfMatch: new(`"7"`)}, ada, bearer(token))
	try(adaID, here, ada, prefer("code=429"))
	try(adaID, here, ada, prefer("code=503"))
	try(adaID, here, ada, bearer(token))
	// Output:
	// mend the request:
	//   authorities.0.name: authorities.0.name is not a role: "ROLE_PILOT"
	//   email: email must be an e-mail address
	// get another token: UNAUTHORIZED
	// ask for the right to do it: ACCESS_DENIED
	// gone: USER_NOT_FOUND
	// read the user again: somebody else has written
	// wait 1 s: too many requests
	// wait 1 s: not available
	// done
}
