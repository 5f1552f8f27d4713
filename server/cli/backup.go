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
	File string `arg:"" help:"The file to write the copy to. It must not exist."`
}

// Help is the long text of --help.
func (*backupCommand) Help() string {
	return "The server may run meanwhile: the copy is a consistent snapshot. It is one file, which only its owner can read, and " +
		"which is checked before it gets its name. Secrets in it stay encrypted, so keep the secret key, and keep it " +
		"elsewhere.\n\n" +
		"This is for SQLite. Back up PostgreSQL with pg_dump.\n\n" + exitStatuses
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
