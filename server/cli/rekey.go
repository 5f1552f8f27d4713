package cli

import (
	"context"
	"errors"
	"fmt"
)

type rekeyCommand struct{ storeFlags }

// Run encrypts all secrets with the current key.
func (c *rekeyCommand) Run(ctx context.Context) (err error) {
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	users, err := s.Rekey(ctx)
	if err != nil {
		return err
	}
	if users == 0 {
		fmt.Println("nothing to seal anew: all secrets are sealed with the present key")
		return nil
	}
	fmt.Printf("users whose secrets were sealed anew: %d\n", users)
	return nil
}
