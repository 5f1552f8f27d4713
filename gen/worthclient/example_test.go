package worthclient_test

import (
	"context"
	"fmt"
	"log"

	"github.com/dragoman-id/dragoman/gen/worthclient"
)

// The sandbox's customer, and a user of it.
const (
	customer worthclient.CustomerID = "2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1"
	ada      worthclient.UserID     = "94520740-d63c-4e02-85ca-c4e138801e73"
)

// An update changes the fields that it names. A nil field is not named. An empty Mobile removes the number.
func Example() {
	url, token, stop := sandbox()
	defer stop()
	ctx := context.Background()

	client, err := worthclient.NewClientWithResponses(url, worthclient.WithRequestEditorFn(bearer(token)))
	if err != nil {
		log.Fatal(err)
	}
	patched, err := client.UpdateCustomerUserWithResponse(ctx, customer, ada, nil,
		worthclient.UserPatch{Mobile: new("+44 20 7946 0001")})
	if err != nil {
		log.Fatal(err)
	}
	if err := patched.Err(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(patched.JSON200.Message)
	fmt.Println("changed:", patched.Headers200.DragomanChanged)

	read, err := client.GetCustomerUserWithResponse(ctx, customer, ada, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := read.Err(); err != nil {
		log.Fatal(err)
	}
	user := read.JSON200.Data
	fmt.Println(user.FirstName, user.LastName, *user.Mobile)
	// Output:
	// User details updated successfully
	// changed: mobile
	// Ada Lovelace +44 20 7946 0001
}
