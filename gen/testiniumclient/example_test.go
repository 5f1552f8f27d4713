package testiniumclient_test

import (
	"context"
	"fmt"
	"log"

	"github.com/dragoman-id/dragoman/gen/testiniumclient"
)

// The sandbox's customer, a company of it, and a user of it.
const (
	customer testiniumclient.CustomerID = 3393
	company                             = 5251
	ada      testiniumclient.UserID     = 6860
)

// An update replaces the whole user: read, edit, put. User.Update has every member that is replaced, so that none is lost. The
// ETag of the read makes the update fail with 412 if the user has changed since.
func Example() {
	url, token, stop := sandbox()
	defer stop()
	ctx := context.Background()

	client, err := testiniumclient.NewClientWithResponses(url, testiniumclient.WithRequestEditorFn(bearer(token)))
	if err != nil {
		log.Fatal(err)
	}
	read, err := client.GetUserWithResponse(ctx, customer, ada, &testiniumclient.GetUserParams{CurrentCompanyID: company})
	if err != nil {
		log.Fatal(err)
	}
	if err := read.Err(); err != nil {
		log.Fatal(err)
	}

	update := read.JSON200.Update()
	update.Surname = "King"
	put, err := client.UpdateUserWithResponse(ctx, customer, ada,
		&testiniumclient.UpdateUserParams{CurrentCompanyID: company, IfMatch: &read.Headers200.ETag}, update)
	if err != nil {
		log.Fatal(err)
	}
	if err := put.Err(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(put.JSON200.Name, put.JSON200.Surname)
	fmt.Println("changed:", put.Headers200.DragomanChanged)
	// Output:
	// Ada King
	// changed: surname
}
