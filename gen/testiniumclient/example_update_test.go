package testiniumclient_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"

	"github.com/dragoman-id/dragoman/gen/testiniumclient"
	"github.com/dragoman-id/dragoman/server/apierror"
)

// maxTries is how often update reads and writes before it gives up.
const maxTries = 5

var errConflict = errors.New("the user changed between each read and its write")

// update applies edit to the user and returns the user as it is then. If the user changes between the read and the write, it
// starts again with what is there now.
func update(ctx context.Context, client *testiniumclient.ClientWithResponses, edit func(*testiniumclient.UserUpdate)) (*testiniumclient.User, error) {
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
		put, err := client.UpdateUserWithResponse(ctx, customer, ada,
			&testiniumclient.UpdateUserParams{CurrentCompanyID: company, IfMatch: &read.Headers200.ETag}, body)
		if err == nil {
			err = put.Err()
		}
		switch {
		case err == nil:
			return put.JSON200, nil
		case apierror.Status(err) != http.StatusPreconditionFailed:
			return nil, fmt.Errorf("write the user: %w", err)
		}
	}
	return nil, errConflict
}

// A write that depends on what was read: under If-Match, with another read after a 412. Without If-Match it would undo what
// others wrote since the read.
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
			// Another client writes first.
			theirs := *u
			theirs.Surname = "King"
			if _, err := client.UpdateUserWithResponse(ctx, customer, ada, &testiniumclient.UpdateUserParams{CurrentCompanyID: company}, theirs); err != nil {
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
