package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/dragoman-id/dragoman/store/userfile"
)

// standard is the file name of standard input.
const standard = "-"

type importCommand struct {
	storeFlags
	formatFlag
	ledgerFlag
	DryRun bool   `help:"Check the file and write nothing."`
	Batch  int    `placeholder:"N" help:"Write N users per transaction, instead of all in one. If the import fails, it reports which lines were imported."`
	File   string `arg:"" help:"The file of users: CSV with a header, or NDJSON; - is standard input."`
}

// Help is the long text of --help.
func (*importCommand) Help() string {
	return "Every line is checked before anything is written. If a line is invalid, nothing is written, and standard error lists " +
		"the invalid lines with their errors.\n\n" +
		"Required are customer (its id or UUID), first_name, last_name and email. Any other column that 'dragoman export' " +
		"writes may be there; what is left out is generated, or is what an invited user has. A line with the UUID of a person whom the " +
		"erasure ledger lists is invalid.\n\n" + exitStatuses
}

// Run imports a file.
func (c *importCommand) Run(ctx context.Context) (err error) {
	format, err := c.of(c.File)
	if err != nil {
		return err
	}
	if c.Batch < 0 {
		return badInput{errors.New("--batch must be a number of users")}
	}
	var source *userfile.Source
	if c.File == standard {
		source, err = userfile.CopySource(ctx, os.Stdin)
	} else {
		source, err = userfile.OpenSource(ctx, c.File)
	}
	if missing := (*fs.PathError)(nil); errors.As(err, &missing) && c.File != standard {
		return badInput{fmt.Errorf("FILE: %w", err)}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if c.ledger, err = c.path(c.Database, c.Dev); err != nil {
		return err
	}
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	bar := newProgress(false)
	users, err := userfile.Import{
		Store: s, Format: format, DryRun: c.DryRun, Batch: c.Batch, Refused: bar.refused, Progress: bar.bytes,
	}.Run(withOrigin(ctx, "import"), source)
	bar.clear()
	if stopped := (*userfile.StoppedError)(nil); errors.Is(err, context.Canceled) && !errors.As(err, &stopped) {
		return errors.New("nothing was imported: interrupted")
	}
	if err != nil {
		return blame(err)
	}
	if c.DryRun {
		fmt.Printf("users that can be imported: %d\n", users)
		return nil
	}
	fmt.Printf("imported users: %d\n", users)
	return nil
}
