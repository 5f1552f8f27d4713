package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/provisioning"
	"github.com/dragoman-id/dragoman/store"
	"github.com/google/uuid"
)

type tokenCreateCommand struct {
	storeFlags
	Scim     bool          `required:"" help:"Create a token for SCIM, the only kind there is."`
	Customer string        `required:"" placeholder:"ID" help:"The customer whose users the client manages, by id or UUID."`
	Role     string        `default:"ROLE_USER" placeholder:"ROLE" help:"The highest role that the client may have to do with (${default}): it may neither grant a role of higher rank nor write to a user who has one of rank 2 or above."`
	Expires  time.Duration `default:"8760h" help:"How long the token is valid (${default}, which is 365 days), at most 17520h."`
	Note     string        `placeholder:"TEXT" help:"What the token is for, such as the name of the identity provider's application."`
}

// Help is the long text of --help.
func (*tokenCreateCommand) Help() string {
	return "It prints the token alone on standard output, this once: the directory has only its hash. Its id and expiry are printed on standard " +
		"error. Several tokens of a customer may be valid at once, so that a client can change from one to the next.\n\n" + exitStatuses
}

// Run creates a token.
func (c *tokenCreateCommand) Run(ctx context.Context) (err error) {
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	customer, err := findCustomer(ctx, s, c.Customer)
	if err != nil {
		return err
	}
	token, err := provisioning.Generate(rand.Reader)
	if err != nil {
		return err
	}
	row := store.ProvisioningToken{
		Hash: provisioning.Hash(token), CustomerID: customer.ID, Role: c.Role, Note: c.Note, CreatedBy: store.OriginFrom(withOrigin(ctx, "token create")).Subject, ExpiresAt: time.Now().Add(c.Expires),
	}
	if err := s.CreateProvisioningToken(ctx, &row); err != nil {
		return blame(byFlags(err))
	}
	fmt.Fprintf(os.Stderr, "id=%s\nexpires=%s\n", row.ID, row.ExpiresAt.Format(time.RFC3339))
	fmt.Println(token)
	return nil
}

// flagsOfToken are the flags that set the fields of a new token.
var flagsOfToken = map[store.Field]store.Field{
	store.FieldCustomer: "--customer", store.FieldTokenRole: "--role", store.FieldTokenNote: "--note", store.FieldTokenExpires: "--expires",
}

// byFlags returns what is wrong with the fields of a new token with the flags that set them in the fields' places.
func byFlags(err error) error {
	var wrong *store.FieldErrors
	if !errors.As(err, &wrong) {
		return err
	}
	named := slices.Clone(*wrong)
	for i := range named {
		named[i].Field = flagsOfToken[named[i].Field]
	}
	return &named
}

// findCustomer returns the customer with an id or a UUID.
func findCustomer(ctx context.Context, s *store.Store, text string) (store.Customer, error) {
	var key store.CustomerKey
	if id, err := strconv.ParseInt(text, 10, 64); err == nil {
		key = store.CustomerByID(id)
	} else if id, ok := auth.ParseUUID(text); ok {
		key = store.CustomerByUUID(id)
	} else {
		return store.Customer{}, badInput{errors.New("--customer must be the id or the UUID of a customer")}
	}
	customer, err := s.FindCustomer(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return store.Customer{}, badInput{errors.New("there is no such customer: see --customer")}
	}
	return customer, err
}

type tokenListCommand struct {
	storeFlags
	Customer string `placeholder:"ID" help:"Only tokens of this customer, by id or UUID."`
}

// Help is the long text of --help.
func (*tokenListCommand) Help() string { return exitStatuses }

// Run prints a line for each token.
func (c *tokenListCommand) Run(ctx context.Context) (err error) {
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var customer store.Customer
	if c.Customer != "" {
		if customer, err = findCustomer(ctx, s, c.Customer); err != nil {
			return err
		}
	}
	tokens, err := s.ProvisioningTokens(ctx, customer.ID)
	if err != nil {
		return err
	}
	if len(tokens) == 0 {
		fmt.Println("there are no tokens of provisioning clients")
		return nil
	}
	columns := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, "ID\tCUSTOMER\tROLE\tSTATE\tCREATED\tEXPIRES\tLAST USED\tNOTE")
	for _, t := range tokens {
		fmt.Fprintf(columns, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%+q\n", t.ID, t.CustomerID, t.Role, tokenState(t, time.Now()),
			t.CreatedAt.Format(time.RFC3339), t.ExpiresAt.Format(time.RFC3339), timeOrNever(t.LastUsedAt), t.Note)
	}
	if err := columns.Flush(); err != nil {
		return fmt.Errorf("print tokens: %w", err)
	}
	return nil
}

func tokenState(t store.ProvisioningToken, now time.Time) string {
	switch {
	case t.RevokedAt != nil:
		return "revoked"
	case !t.Valid(now):
		return "expired"
	}
	return "valid"
}

func timeOrNever(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.Format(time.RFC3339)
}

type tokenRevokeCommand struct {
	storeFlags
	ID string `arg:"" name:"id" help:"The token's id, as 'dragoman token list' prints it."`
}

// Help is the long text of --help.
func (*tokenRevokeCommand) Help() string {
	return "A token that is revoked stays in the list. Revoking it again does nothing.\n\n" + exitStatuses
}

// Run revokes a token.
func (c *tokenRevokeCommand) Run(ctx context.Context) (err error) {
	id, err := uuid.Parse(c.ID)
	if err != nil {
		return badInput{errors.New("the id of a token is a UUID: see 'dragoman token list'")}
	}
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	err = s.RevokeProvisioningToken(ctx, 0, id)
	if errors.Is(err, store.ErrNotFound) {
		return badInput{errors.New("there is no such token: see 'dragoman token list'")}
	}
	if err != nil {
		return err
	}
	fmt.Printf("revoked: %s\n", id)
	return nil
}

// explainProvisioningToken says what can be said of a provisioning token without a database.
func explainProvisioningToken(token string) error {
	if !provisioning.WellFormed(token) {
		fmt.Println("result  rejected: a provisioning client's token whose checksum does not match: it was not copied as it was issued")
		return errRejected
	}
	fmt.Println("form    a provisioning client's token, whose checksum matches\n" +
		"result  accepted below /scim while it is valid, and nowhere else: 'dragoman token list' shows that, its customer and its role")
	return nil
}
