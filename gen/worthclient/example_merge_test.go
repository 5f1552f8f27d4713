package worthclient_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/dragoman-id/dragoman/gen/worthclient"
	"github.com/dragoman-id/dragoman/server/apierror"
)

// merge writes what edit returns for the user. What others write between the read and the write is kept. Only if they write what edit
// writes too, edit is called again, with what is there now; so it must decide by that and by nothing that it was given before.
func merge(ctx context.Context, client *worthclient.ClientWithResponses, edit func(worthclient.UserDetails) worthclient.UserPatch) error {
	for range maxTries {
		read, err := client.GetCustomerUserWithResponse(ctx, customer, ada, nil)
		if err == nil {
			err = read.Err()
		}
		if err != nil {
			return fmt.Errorf("read the user: %w", err)
		}
		written, err := client.UpdateCustomerUserWithResponse(ctx, customer, ada, &worthclient.UpdateCustomerUserParams{
			IfMatch: &read.Headers200.ETag, Prefer: new("merge=untouched"),
		}, edit(read.JSON200.Data))
		if err == nil {
			err = written.Err()
		}
		switch {
		case err == nil:
			return nil
		case apierror.Status(err) != http.StatusPreconditionFailed:
			return fmt.Errorf("write the user: %w", err)
		case written.JSON412 != nil:
			for _, change := range written.JSON412.Data.Changes {
				fmt.Println(change.Field, change.State)
			}
		}
	}
	return errConflict
}

// An edit of a user whom others edit as well: their changes are kept, and the edit is repeated only where it conflicts with them.
func Example_merge() {
	url, token, stop := sandbox()
	defer stop()
	ctx := context.Background()
	client, err := worthclient.NewClientWithResponses(url, worthclient.WithRequestEditorFn(bearer(token)))
	if err != nil {
		log.Fatal(err)
	}
	// Others write before each of the first two attempts.
	others := []worthclient.UserPatch{{FirstName: new("Augusta"), LastName: new("King")}, {Mobile: new("+44 20 7946 0001")}}
	err = merge(ctx, client, func(u worthclient.UserDetails) worthclient.UserPatch {
		if len(others) > 0 {
			theirs := others[0]
			others = others[1:]
			if _, err := client.UpdateCustomerUserWithResponse(ctx, customer, ada, nil, theirs); err != nil {
				log.Fatal(err)
			}
		}
		return worthclient.UserPatch{LastName: new(u.LastName + " Byron")}
	})
	if err != nil {
		log.Fatal(err)
	}
	read, err := client.GetCustomerUserWithResponse(ctx, customer, ada, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := read.Err(); err != nil {
		log.Fatal(err)
	}
	u := read.JSON200.Data
	fmt.Println(u.FirstName, u.LastName, *u.Mobile)
	// Output:
	// first_name moved
	// last_name conflict
	// Augusta King Byron +44 20 7946 0001
}
