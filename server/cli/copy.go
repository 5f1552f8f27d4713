package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dragoman-id/dragoman/server/settings"
	"github.com/dragoman-id/dragoman/store"
)

type copyCommand struct {
	From string `required:"" secret:"password" placeholder:"URL" help:"The database to copy: sqlite:PATH or postgres://USER@HOST/NAME. Nothing may write to it meanwhile."`
	To   string `required:"" secret:"password" placeholder:"URL" help:"The database to copy to, without a directory. It is created and migrated."`

	ledgerFlag

	DatabaseWait time.Duration `default:"1m" help:"How long to wait for a database that is unavailable (${default})."`
}

// Help is the long text of --help.
func (*copyCommand) Help() string {
	return "It copies everything: customers, users, history, the numbers of the change feed, and secrets, which stay encrypted, so that " +
		"the copy needs the same secret key. Then it compares all rows of both databases. Stop all servers first. If it is " +
		"interrupted, the same command continues; until it has succeeded no server opens the copy.\n\n" +
		"It refuses a database that has personal data of a person whom an erasure ledger lists: that of either SQLite file, or the one of " +
		"--erasure-ledger.\n\n" + exitStatuses
}

// Run copies the directory.
func (c *copyCommand) Run(ctx context.Context) error {
	var problems settings.Problems
	for _, flag := range []struct{ name, url string }{{"--from (DRAGOMAN_FROM)", c.From}, {"--to (DRAGOMAN_TO)", c.To}} {
		if err := store.CheckURL(flag.url); err != nil {
			problems.Add(fmt.Errorf("%s: %w", flag.name, err))
		}
	}
	if c.From == c.To {
		problems.Add(errors.New("--from (DRAGOMAN_FROM) and --to (DRAGOMAN_TO) must name different databases"))
	}
	if err := problems.Err(); err != nil {
		return err
	}
	bar := newProgress(false)
	tables, err := store.Copy{
		From: c.From, To: c.To, ErasureLedger: c.ErasureLedger, Progress: func(_ string, rows int64) { bar.users(rows) },
		Wait: waitFor(c.DatabaseWait),
	}.Run(ctx)
	bar.clear()
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("the copy is not complete: run the same command again to continue")
	case errors.Is(err, store.ErrNotEmpty), errors.Is(err, store.ErrSchemasDiffer), errors.Is(err, store.ErrNoDirectory), errors.Is(err, store.ErrCopying), errors.Is(err, store.ErrNotErased):
		return badInput{err}
	case err != nil:
		return err
	}
	for _, t := range tables {
		fmt.Printf("copied and compared %s: %d\n", t.Name, t.Rows)
	}
	return nil
}
