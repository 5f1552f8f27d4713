package worthclient_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"

	"github.com/dragoman-id/dragoman/gen/worthclient"
	"github.com/dragoman-id/dragoman/server/apierror"
)

// maxTries is how often update reads and writes before it gives up.
const maxTries = 5

var errConflict = errors.New("the user changed between each read and its write")

// update writes what edit returns for the user. If the user changes between the read and the write, it starts again with what
// is there now.
func update(ctx context.Context, client *worthclient.ClientWithResponses, edit func(worthclient.UserDetails) worthclient.UserPatch) error {
	for range maxTries {
		read, err := client.GetCustomerUserWithResponse(ctx, customer, ada, nil)
		if err == nil {
			err = read.Err()
		}
		if err != nil {
			return fmt.Errorf("read the user: %w", err)
		}
		written, err := client.UpdateCustomerUserWithResponse(ctx, customer, ada,
			&worthclient.UpdateCustomerUserParams{IfMatch: &read.Headers200.ETag}, edit(read.JSON200.Data))
		if err == nil {
			err = written.Err()
		}
		switch {
		case err == nil:
			return nil
		case apierror.Status(err) != http.StatusPreconditionFailed:
			return fmt.Errorf("write the user: %w", err)
		}
	}
	return errConflict
}

// A write that depends on what was read: under If-Match, with another read after a 412.
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
			// Another client writes first.
			if _, err := client.UpdateCustomerUserWithResponse(ctx, customer, ada, nil, worthclient.UserPatch{LastName: new("King")}); err != nil {
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
	if err := read.Err(); err != nil {
		log.Fatal(err)
	}
	fmt.Println("tries:", tries)
	fmt.Println(read.JSON200.Data.FirstName, read.JSON200.Data.LastName)
	// Output:
	// tries: 2
	// Ada K. King
}
