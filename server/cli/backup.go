package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/dragoman-id/dragoman/store"
)

type backupCommand struct {
	databaseFlag
	File string `arg:"" help:"Where to write the copy. There must be no such file yet."`
}

// Help is the long text of --help.
func (*backupCommand) Help() string {
	return "The server may run meanwhile: the copy is of one moment, and holds all that was written before. It is one file, " +
		"which only its owner can read, and is checked before it is there. Secrets in it stay sealed, so keep the secret key, " +
		"and keep it elsewhere.\n\n" +
		"This is for SQLite. A PostgreSQL database is backed up by its own pg_dump.\n\n" + exitStatuses
}

// Run copies the database.
func (c *backupCommand) Run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	if err := checkFolder("FILE", c.File); err != nil {
		return err
	}
	copied, err := store.Backup(ctx, c.Database, c.File)
	switch {
	case errors.Is(err, store.ErrNotSQLite):
		return badInput{errors.New("only a SQLite database is backed up by this, see --database (DRAGOMAN_DATABASE): for PostgreSQL use pg_dump, as in pg_dump --format=custom --no-owner --file=FILE URL")}
	case errors.Is(err, fs.ErrExist):
		return badInput{fmt.Errorf("%s is there already: name a file that is not", c.File)}
	case err != nil:
		return existingHint(err)
	}
	fmt.Printf("backed up %s to %s: %d users, %d bytes\n", c.Database, c.File, copied.Users, copied.Bytes)
	return nil
}
