package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/dragoman-id/dragoman/store"
)

type collisionsCommand struct{ databaseFlag }

// Help is the long text of --help.
func (*collisionsCommand) Help() string {
	return "Such users keep their names, and no other user can take one of them. Change all but one of a group, " +
		"then run 'dragoman migrate'.\n\n" + exitStatuses
}

// Run prints the collisions.
func (c *collisionsCommand) Run(ctx context.Context) error {
	collisions, err := store.CollisionsIn(ctx, c.Database, c.wait())
	if err != nil {
		return existingHint(err)
	}
	if len(collisions) == 0 {
		fmt.Println("no two users have the same username or e-mail")
		return nil
	}
	return printCollisions(os.Stdout, collisions)
}

// printCollisions prints a line for each user, and an empty line between groups.
func printCollisions(w io.Writer, collisions []store.Collision) error {
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, c := range collisions {
		if i > 0 {
			fmt.Fprintln(columns)
		}
		for _, u := range c.Users {
			fmt.Fprintf(columns, "collision of %s\tuser %d\tcustomer %d\t%+q\n", strings.ToLower(string(c.Field)), u.ID, u.CustomerID, u.Text)
		}
	}
	if err := columns.Flush(); err != nil {
		return fmt.Errorf("print collisions: %w", err)
	}
	return nil
}
