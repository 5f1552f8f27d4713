package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/dragoman-id/dragoman/server/dev"
	"github.com/dragoman-id/dragoman/server/settings"
	"github.com/dragoman-id/dragoman/store"
)

// ledgerFlag is the file that lists erased users.
type ledgerFlag struct {
	ErasureLedger string `placeholder:"FILE" help:"The file that lists who was erased, by UUID and time, so that an erasure can be repeated after a restore. All servers of a directory must share it, and no backup of the database may replace it. By default the SQLite file's name with .erasures at its end; for PostgreSQL there is none, and nobody can be erased. See the guide."`
}

// path returns the ledger's path, empty for the default. With --dev there is one for PostgreSQL, too.
func (f ledgerFlag) path(database string, isDev bool) (string, error) {
	if f.ErasureLedger == "" && isDev && store.EngineOf(database) == "postgres" {
		return dev.MakeErasureLedger()
	}
	return f.ErasureLedger, nil
}

type eraseCommand struct {
	storeFlags
	ledgerFlag
	User   string `xor:"who" placeholder:"ID" help:"The user, by id, UUID or e-mail."`
	Reason string `placeholder:"TEXT" help:"Why, such as the number of a case. It is kept in the database, so it must not tell who the person is."`
	Yes    bool   `env:"-" help:"Erase. Without it the command prints what it would do, and changes nothing."`
	Replay string `xor:"who" placeholder:"LEDGER" help:"Erase the users that this ledger lists and that the database has, as after a restore. It needs no --yes, and can be repeated."`
}

// Help is the long text of --help.
func (*eraseCommand) Help() string {
	return "An erased user keeps its id, UUID, versions, and the fields' names in its history. Everything that tells who the person is goes, " +
		"and cannot be brought back. A user with a legal hold, and a customer's last administrator, are not erased.\n\n" + exitStatuses
}

// checkFlags returns settings.Problems if flags do not go together.
func (c *eraseCommand) checkFlags() error {
	switch {
	case c.User == "" && c.Replay == "":
		return settings.Problems{errors.New("nobody to erase: give --user, or --replay with a ledger")}
	case c.Replay != "" && (c.Yes || c.Reason != ""):
		return settings.Problems{errors.New("--yes and --reason are for --user: leave them out with --replay")}
	case c.Replay != "":
		if _, err := os.Stat(c.Replay); err != nil {
			return settings.Problems{fmt.Errorf("--replay: %w", err)}
		}
	}
	return nil
}

// Run erases a user, or says what that would do.
func (c *eraseCommand) Run(ctx context.Context) (err error) {
	if err := c.checkFlags(); err != nil {
		return err
	}
	if c.ledger, err = c.path(c.Database, c.Dev); err != nil {
		return err
	}
	if c.Replay != "" && c.ledger == "" && store.EngineOf(c.Database) == "postgres" {
		c.ledger = c.Replay
	}
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	ctx = withOrigin(ctx, "erase")
	if c.Replay != "" {
		return c.replay(ctx, s)
	}
	key, err := locate(ctx, s, c.User)
	if err != nil {
		return err
	}
	what := store.Erasure{Key: key, Reason: c.Reason}
	if !c.Yes {
		done, err := s.PreviewErasure(ctx, what)
		if err != nil {
			return blame(err)
		}
		if !done.Done {
			fmt.Printf("would erase %s\n", describeErased(done))
			fmt.Println("nothing was changed: give --yes to erase")
			return nil
		}
		printAlreadyErased(done)
		return nil
	}
	done, err := s.EraseUser(ctx, what)
	if err != nil {
		return blame(err)
	}
	if done.Done {
		printAlreadyErased(done)
	} else {
		fmt.Printf("erased %s\n", describeErased(done))
	}
	return c.purge(ctx, s)
}

func printAlreadyErased(e store.Erased) {
	fmt.Printf("nothing to erase: user %d, %s, is erased as version %d\n", e.User.ID, e.User.UUID, e.User.Version)
}

// describeErased says what an erasure is about, without any value of the user.
func describeErased(e store.Erased) string {
	names := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		names[i] = string(f)
	}
	return fmt.Sprintf("user %d, %s, of customer %d, as version %d:\n  fields: %s\n  entries of its history with values: %d\n"+
		"  changes of other users with its subject: %d\n  answers kept for an Idempotency-Key: %d",
		e.User.ID, e.User.UUID, e.User.CustomerID, e.User.Version, strings.Join(names, ", "), e.Changes, e.Subjects, e.Records)
}

// replay erases whom the ledger lists.
func (c *eraseCommand) replay(ctx context.Context, s *store.Store) error {
	erased := 0
	err := s.ReplayErasures(ctx, c.Replay, func(e store.Erased) {
		erased++
		fmt.Printf("erased user %d, %s, of customer %d, as version %d\n", e.User.ID, e.User.UUID, e.User.CustomerID, e.User.Version)
	})
	if err != nil {
		return err
	}
	if erased == 0 {
		fmt.Println("nothing to erase: the database has no personal data of a user of the ledger")
		return nil
	}
	return c.purge(ctx, s)
}

// purgeFor is how long to try to empty SQLite's log, which others prevent while they read.
const purgeFor = 15 * time.Second

// purge removes from the database's files what was erased, or says what has to be done.
func (c *eraseCommand) purge(ctx context.Context, s *store.Store) error {
	if store.EngineOf(c.Database) == "postgres" {
		fmt.Println("PostgreSQL keeps old rows in its files until they are rewritten: run VACUUM FULL users, user_changes, claims, reserved_folds, " +
			"user_search, idempotency_records, provisioning_tokens when the directory may be locked for it. Archived write-ahead logs and backups have them, too.")
		return nil
	}
	for end := time.Now().Add(purgeFor); ; {
		err := s.Purge(ctx)
		if err == nil {
			fmt.Println("the file and its log have been overwritten; backups have not")
			return nil
		}
		if !errors.Is(err, store.ErrBusy) || time.Now().After(end) {
			return fmt.Errorf("the user was erased, but SQLite's log was not emptied: run the same command again: %w", err)
		}
	}
}
