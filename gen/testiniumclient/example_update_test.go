package testiniumclient_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/dragoman-id/dragoman/gen/testiniumclient"
)

// maxTries is how often update begins anew when others are faster.
const maxTries = 5

var errBusy = errors.New("others were faster each time")

// update puts back what edit makes of the user as it is, and returns the user as it then is: if somebody writes in between,
// edit is asked again with what they left.
func update(ctx context.Context, client *testiniumclient.ClientWithResponses, edit func(*testiniumclient.UserUpdate)) (*testiniumclient.User, error) {
	for range maxTries {
		read, err := client.GetUserWithResponse(ctx, customer, adaID, &testiniumclient.GetUserParams{CurrentCompanyID: company})
		if err != nil {
			return nil, fmt.Errorf("read the user: %w", err)
		}
		if read.JSON200 == nil {
			return nil, fmt.Errorf("read the user: %s: %s", read.Status(), read.Body)
		}
		user := replacement(*read.JSON200)
		edit(&user)
		put, err := client.UpdateUserWithResponse(ctx, customer, adaID,
			&testiniumclient.UpdateUserParams{CurrentCompanyID: company, IfMatch: &read.Headers200.ETag}, user)
		switch {
		case err != nil:
			return nil, fmt.Errorf("write the user: %w", err)
		case put.JSON200 != nil:
			return put.JSON200, nil
		case put.JSON412 == nil:
			return nil, fmt.Errorf("write the user: %s: %s", put.Status(), put.Body)
		}
	}
	return nil, errBusy
}

// A write that depends on what was read: under If-Match, and read again when it is refused with 412. Without it the update
// would undo what somebody else has written since the read.
func Example_readModifyWrite() {
	url, token, stop := sandbox()
	defer stop()
	ctx := context.Background()
	client, err := testiniumclient.NewClientWithResponses(url, testiniumclient.WithRequestEditorFn(bearer(token)))
	if err != nil {
		log.Fatal(err)
	}

	tries := 0
	user, err := update(ctx, client, func(u *testiniumclient.UserUpdate) {
		if tries++; tries == 1 {
			// Somebody else is faster.
			theirs := *u
			theirs.Surname = "King"
			if _, err := client.UpdateUserWithResponse(ctx, customer, adaID, &testiniumclient.UpdateUserParams{CurrentCompanyID: company}, theirs); err != nil {
				log.Fatal(err)
			}
		}
		u.Authorities = append(u.Authorities, testiniumclient.AuthorityReference{Name: "ROLE_REPORT"})
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("tries:", tries)
	fmt.Println(user.Name, user.Surname)
	for _, a := range user.Authorities {
		fmt.Println(a.Name)
	}
	// Output:
	// tries: 2
	// Ada King
	// ROLE_USER
	// ROLE_REPORT
}
