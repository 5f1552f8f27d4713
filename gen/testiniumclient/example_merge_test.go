package testiniumclient_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/dragoman-id/dragoman/gen/testiniumclient"
	"github.com/dragoman-id/dragoman/server/apierror"
)

// merge applies edit to the user and returns the user as it is then. What others write between the read and the write is kept. Only if
// they write what edit writes too, edit is called again, with what is there now; so it must decide by that and by nothing that
// it was given before.
func merge(ctx context.Context, client *testiniumclient.ClientWithResponses, edit func(*testiniumclient.UserUpdate)) (*testiniumclient.User, error) {
	for range maxTries {
		read, err := client.GetUserWithResponse(ctx, customer, ada, &testiniumclient.GetUserParams{CurrentCompanyID: company})
		if err == nil {
			err = read.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("read the user: %w", err)
		}
		body := read.JSON200.Update()
		edit(&body)
		put, err := client.UpdateUserWithResponse(ctx, customer, ada, &testiniumclient.UpdateUserParams{
			CurrentCompanyID: company, IfMatch: &read.Headers200.ETag, Prefer: new("merge=untouched"),
		}, body)
		if err == nil {
			err = put.Err()
		}
		switch {
		case err == nil:
			return put.JSON200, nil
		case apierror.Status(err) != http.StatusPreconditionFailed:
			return nil, fmt.Errorf("write the user: %w", err)
		case put.JSON412 != nil:
			for _, change := range put.JSON412.Changes {
				fmt.Println(change.Field, change.State)
			}
		}
	}
	return nil, errConflict
}

// An edit of a user whom others edit as well: their changes are kept, and the edit is repeated only where it conflicts with them.
func Example_merge() {
	url, token, stop := sandbox()
	defer stop()
	ctx := context.Background()
	client, err := testiniumclient.NewClientWithResponses(url, testiniumclient.WithRequestEditorFn(bearer(token)))
	if err != nil {
		log.Fatal(err)
	}
	// Others write before each of the first two attempts.
	others := []func(*testiniumclient.UserUpdate){
		func(u *testiniumclient.UserUpdate) { u.Name, u.Surname = "Augusta", "King" },
		func(u *testiniumclient.UserUpdate) { u.AccountNonLocked = false },
	}
	user, err := merge(ctx, client, func(u *testiniumclient.UserUpdate) {
		if len(others) > 0 {
			theirs := *u
			others[0](&theirs)
			others = others[1:]
			if _, err := client.UpdateUserWithResponse(ctx, customer, ada, &testiniumclient.UpdateUserParams{CurrentCompanyID: company}, theirs); err != nil {
				log.Fatal(err)
			}
		}
		u.Surname += " Byron"
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(user.Name, user.Surname, user.AccountNonLocked)
	// Output:
	// name moved
	// surname conflict
	// Augusta King Byron false
}
