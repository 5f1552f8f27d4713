package cli

import (
	"context"
	"fmt"
	"os"

	"github.com/dragoman-id/dragoman/store"
)

type migrateCommand struct {
	databaseFlag
	Distribute bool `help:"Also distribute the tables over the nodes of a Citus cluster, by customer. It needs no running servers."`
}

// Run applies the migrations that are due.
func (c *migrateCommand) Run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	applied, err := store.Migrate(ctx, c.Database, c.wait())
	if err != nil {
		return err
	}
	for _, name := range applied {
		fmt.Println("applied", name)
	}
	if len(applied) == 0 {
		fmt.Println("nothing to apply: the database is up to date")
	}
	if c.Distribute {
		if err := store.Distribute(ctx, c.Database, c.wait(), func(done string) { fmt.Println(done) }); err != nil {
			return err
		}
	}
	collisions, err := store.CollisionsIn(ctx, c.Database, c.wait())
	if err != nil {
		return err
	}
	return printCollisions(os.Stdout, collisions)
}
