package worthclient_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/dragoman-id/dragoman/gen/worthclient"
)

// maxTries is how often update begins anew when others are faster.
const maxTries = 5

var errBusy = errors.New("others were faster each time")

// update writes what edit makes of the user as it is: if somebody writes in between, edit is asked again with what they left.
func update(ctx context.Context, client *worthclient.ClientWithResponses, edit func(worthclient.UserDetails) worthclient.UserPatch) error {
	for range maxTries {
		read, err := client.GetCustomerUserWithResponse(ctx, customer, ada, nil)
		if err != nil {
			return fmt.Errorf("read the user: %w", err)
		}
		if read.JSON200 == nil {
			return fmt.Errorf("read the user: %s: %s", read.Status(), read.Body)
		}
		written, err := client.UpdateCustomerUserWithResponse(ctx, customer.String(), ada.String(),
			&worthclient.UpdateCustomerUserParams{IfMatch: &read.Headers200.ETag}, edit(read.JSON200.Data))
		switch {
		case err != nil:
			return fmt.Errorf("write the user: %w", err)
		case written.JSON200 != nil:
			return nil
		case written.JSON412 == nil:
			return fmt.Errorf("write the user: %s: %s", written.Status(), written.Body)
		}
	}
	return errBusy
}

// A write that depends on what was read: under If-Match, and read again when it is refused with 412.
func Example_readModifyWrite() {
	url, token, stop := sandbox()
	defer stop()
	ctx := context.Background()
	client, err := worthclient.NewClientWithResponses(url, worthclient.WithRequestEditorFn(bearer(token)))
	if err != nil {
		log.Fatal(err)
	}

	tries := 0
	err = update(ctx, client, func(u worthclient.UserDetails) worthclient.UserPatch {
		if tries++; tries == 1 {
			// Somebody else is faster.
			if _, err := client.UpdateCustomerUserWithResponse(ctx, customer.String(), ada.String(), nil, worthclient.UserPatch{LastName: new("King")}); err != nil {
				log.Fatal(err)
			}
		}
		return worthclient.UserPatch{FirstName: new(u.FirstName + " " + u.LastName[:1] + ".")}
	})
	if err != nil {
		log.Fatal(err)
	}
	read, err := client.GetCustomerUserWithResponse(ctx, customer, ada, nil)
	if err != nil {
		log.Fatal(err)
	}
	if read.JSON200 == nil {
		log.Fatalf("%s: %s", read.Status(), read.Body)
	}
	fmt.Println("tries:", tries)
	fmt.Println(read.JSON200.Data.FirstName, read.JSON200.Data.LastName)
	// Output:
	// tries: 2
	// Ada K. King
}
