package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dragoman-id/dragoman/store"
)

type restoreCommand struct {
	storeFlags
	User    string `required:"" placeholder:"ID" help:"The user, by id, UUID or e-mail."`
	Version int64  `required:"" help:"The version to restore, as 'dragoman history' prints it."`
	DryRun  bool   `help:"Print what would change, and write nothing."`
}

// Help is the long text of --help.
func (*restoreCommand) Help() string {
	return "The restored values are validated as any other change is. " +
		"Passwords, access tokens and VCS passwords are not in the history, and stay as they are.\n\n" + exitStatuses
}

// Run restores the earlier version and prints which fields changed.
func (c *restoreCommand) Run(ctx context.Context) (err error) {
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	key, err := locate(ctx, s, c.User)
	if err != nil {
		return err
	}
	var present int64
	var changed []store.Field
	if c.DryRun {
		present, changed, err = s.PreviewRestore(ctx, key, c.Version)
	} else {
		var user store.User
		user, changed, err = s.RestoreUser(withOrigin(ctx, "restore"), key, c.Version, nil)
		present = user.Version
	}
	if errors.Is(err, store.ErrNotFound) {
		return badInput{fmt.Errorf("the history of %s has no version %d", plain(c.User), c.Version)}
	}
	if err != nil {
		return blame(err)
	}
	if len(changed) == 0 {
		fmt.Printf("nothing to restore: version %d is as version %d was\n", present, c.Version)
		return nil
	}
	names := make([]string, len(changed))
	for i, f := range changed {
		names[i] = string(f)
	}
	if c.DryRun {
		fmt.Printf("would restore version %d over version %d: %s\n", c.Version, present, strings.Join(names, ", "))
		return nil
	}
	fmt.Printf("restored version %d as version %d: %s\n", c.Version, present, strings.Join(names, ", "))
	return nil
}
