package cli

import (
	"context"
	"errors"
	"fmt"
)

type changesCommand struct {
	Number numberCommand `cmd:"" help:"Number the changes that have no number yet, for the change feed."`
}

type numberCommand struct{ storeFlags }

// Help is the long text of --help.
func (*numberCommand) Help() string {
	return "'dragoman serve' does this within a second of each change. The command is for a directory that no server serves, or " +
		"that a server only reads.\n\n" + exitStatuses
}

// Run numbers changes, and prints how many.
func (c *numberCommand) Run(ctx context.Context) (err error) {
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	n, err := s.NumberChanges(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("changes numbered: %d\n", n)
	return nil
}
