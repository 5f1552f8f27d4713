package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/dragoman-id/dragoman/store"
)

type rekeyCommand struct{ storeFlags }

// Run encrypts all secrets with the current key.
func (c *rekeyCommand) Run(ctx context.Context) (err error) {
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	done, err := s.Rekey(ctx)
	if done != (store.Rekeyed{}) {
		fmt.Printf("users whose secrets were sealed anew: %d\n", done.Users)
		fmt.Printf("kept answers that were sealed anew: %d\n", done.Records)
		fmt.Printf("secrets of webhooks that were sealed anew: %d\n", done.WebhookSecrets)
	} else if err == nil {
		fmt.Println("nothing to seal anew: all secrets are sealed with the present key")
	}
	return err
}
