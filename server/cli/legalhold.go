package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/dragoman-id/dragoman/store"
)

type legalHoldCommand struct {
	Set  legalHoldSetCommand  `cmd:"" help:"Forbid to erase a user."`
	Lift legalHoldLiftCommand `cmd:"" help:"Allow to erase a user again."`
}

type legalHoldFlags struct {
	storeFlags
	User string `required:"" placeholder:"ID" help:"The user, by id, UUID or e-mail."`
}

type legalHoldSetCommand struct{ legalHoldFlags }

// Run sets the legal hold of a user.
func (c *legalHoldSetCommand) Run(ctx context.Context) error { return c.run(ctx, true) }

type legalHoldLiftCommand struct{ legalHoldFlags }

// Run lifts the legal hold of a user.
func (c *legalHoldLiftCommand) Run(ctx context.Context) error { return c.run(ctx, false) }

func (c *legalHoldFlags) run(ctx context.Context, hold bool) (err error) {
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	key, err := locate(ctx, s, c.User)
	if err != nil {
		return err
	}
	command := map[bool]string{true: "legal-hold set", false: "legal-hold lift"}[hold]
	user, changed, err := s.SetLegalHold(withOrigin(ctx, command), key, hold, nil)
	if err != nil {
		return blame(err)
	}
	switch {
	case hold && len(changed) == 0:
		fmt.Printf("user %d has had a legal hold since %s\n", user.ID, user.LegalHoldAt.Format(store.TimeLayout))
	case hold:
		fmt.Printf("user %d cannot be erased from now on: version %d\n", user.ID, user.Version)
	case len(changed) == 0:
		fmt.Printf("user %d has no legal hold\n", user.ID)
	default:
		fmt.Printf("user %d can be erased again: version %d\n", user.ID, user.Version)
	}
	return nil
}
