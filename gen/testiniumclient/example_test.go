package testiniumclient_test

import (
	"context"
	"fmt"
	"log"

	"github.com/dragoman-id/dragoman/gen/testiniumclient"
)

// The sandbox's customer, a company of it, and a user of it.
const (
	customer = 3393
	company  = 5251
	adaID    = 6860
)

// replacement is a user as an update wants it: the whole of what the API can change. Whoever changes one field sends the
// others as they were read.
func replacement(u testiniumclient.User) testiniumclient.UserUpdate {
	whole := testiniumclient.UserUpdate{
		Name: u.Name, Surname: u.Surname, Username: u.Username, Email: u.Email,
		Enabled: u.Enabled, AccountNonExpired: u.AccountNonExpired, AccountNonLocked: u.AccountNonLocked, CredentialNonExpired: u.CredentialNonExpired,
		Authorities: []testiniumclient.AuthorityReference{},
	}
	for _, a := range u.Authorities {
		whole.Authorities = append(whole.Authorities, testiniumclient.AuthorityReference{Name: a.Name})
	}
	return whole
}

// An update replaces the whole user: read, edit, put.
func Example() {
	url, token, stop := sandbox()
	defer stop()
	ctx := context.Background()

	client, err := testiniumclient.NewClientWithResponses(url, testiniumclient.WithRequestEditorFn(bearer(token)))
	if err != nil {
		log.Fatal(err)
	}
	read, err := client.GetUserWithResponse(ctx, customer, adaID, &testiniumclient.GetUserParams{CurrentCompanyID: company})
	if err != nil {
		log.Fatal(err)
	}
	if read.JSON200 == nil {
		log.Fatalf("%s: %s", read.Status(), read.Body)
	}

	ada := replacement(*read.JSON200)
	ada.Surname = "King"
	put, err := client.UpdateUserWithResponse(ctx, customer, adaID, &testiniumclient.UpdateUserParams{CurrentCompanyID: company}, ada)
	if err != nil {
		log.Fatal(err)
	}
	if put.JSON200 == nil {
		log.Fatalf("%s: %s", put.Status(), put.Body)
	}
	fmt.Println(put.JSON200.Name, put.JSON200.Surname)
	fmt.Println("changed:", put.Headers200.DragomanChanged)
	// Output:
	// Ada King
	// changed: surname
}
