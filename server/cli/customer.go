package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/dragoman-id/dragoman/store"
	"github.com/google/uuid"
)

type customerCommand struct {
	Add customerAddCommand `cmd:"" help:"Add a customer and its companies, and print their ids."`
}

type customerAddCommand struct {
	storeFlags
	Name    string   `required:"" help:"The customer's name."`
	ID      int64    `name:"id" placeholder:"N" help:"The customer's id. By default the next one."`
	UUID    string   `name:"uuid" placeholder:"UUID" help:"The customer's UUID. By default a random one."`
	Company []string `sep:"none" placeholder:"[ID=]NAME" help:"A company of the customer, with its id before an equals sign if it is not to be generated; repeat it for several."`
}

// Help is the long text of --help.
func (*customerAddCommand) Help() string {
	return "It prints the lines customer_id=N, customer_uuid=UUID and, for each company in order, company_id=N.\n\n" + exitStatuses
}

// Run adds a customer.
func (c *customerAddCommand) Run(ctx context.Context) (err error) {
	if c.Name == "" || slices.Contains(c.Company, "") {
		return badInput{errors.New("a customer and a company must have a name")}
	}
	customer := store.Customer{ID: c.ID, Name: c.Name}
	if c.UUID != "" {
		if customer.UUID, err = uuid.Parse(c.UUID); err != nil || customer.UUID == uuid.Nil {
			return badInput{fmt.Errorf("%q is no UUID", c.UUID)}
		}
	}
	companies := make([]*store.Company, len(c.Company))
	for i, text := range c.Company {
		companies[i] = parseCompany(text)
	}
	s, err := c.openOrCreate(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.CreateCustomer(withOrigin(ctx, "customer add"), &customer, companies...); err != nil {
		return blame(err)
	}
	fmt.Printf("customer_id=%d\ncustomer_uuid=%s\n", customer.ID, customer.UUID)
	for _, company := range companies {
		fmt.Printf("company_id=%d\n", company.ID)
	}
	return nil
}

// parseCompany parses ID=NAME; text of another form is the name.
func parseCompany(text string) *store.Company {
	if number, name, found := strings.Cut(text, "="); found {
		if id, err := strconv.ParseInt(number, 10, 64); err == nil && id > 0 {
			return &store.Company{ID: id, Name: name}
		}
	}
	return &store.Company{Name: text}
}
