package worthclient_test

import (
	"context"
	"fmt"
	"log"

	"github.com/dragoman-id/dragoman/gen/worthclient"
	"github.com/google/uuid"
)

// The sandbox's customer, and a user of it.
var (
	customer = uuid.MustParse("2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1")
	ada      = uuid.MustParse("94520740-d63c-4e02-85ca-c4e138801e73")
)

// An update changes what it names, and nothing else. A field that is nil is not named; the empty text in Mobile is no number.
func Example() {
	url, token, stop := sandbox()
	defer stop()
	ctx := context.Background()

	client, err := worthclient.NewClientWithResponses(url, worthclient.WithRequestEditorFn(bearer(token)))
	if err != nil {
		log.Fatal(err)
	}
	patched, err := client.UpdateCustomerUserWithResponse(ctx, customer.String(), ada.String(), nil,
		worthclient.UserPatch{Mobile: new("+44 20 7946 0001")})
	if err != nil {
		log.Fatal(err)
	}
	if patched.JSON200 == nil {
		log.Fatalf("%s: %s", patched.Status(), patched.Body)
	}
	fmt.Println(patched.JSON200.Message)
	fmt.Println("changed:", patched.Headers200.DragomanChanged)

	read, err := client.GetCustomerUserWithResponse(ctx, customer, ada, nil)
	if err != nil {
		log.Fatal(err)
	}
	if read.JSON200 == nil {
		log.Fatalf("%s: %s", read.Status(), read.Body)
	}
	user := read.JSON200.Data
	fmt.Println(user.FirstName, user.LastName, *user.Mobile)
	// Output:
	// User details updated successfully
	// changed: mobile
	// Ada Lovelace +44 20 7946 0001
}
