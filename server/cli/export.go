package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/userfile"
	"github.com/google/uuid"
	"golang.org/x/term"
)

type exportCommand struct {
	storeFlags
	formatFlag
	Customer string `placeholder:"ID" help:"The customer whose users to export, by id or UUID. By default all customers."`
	Output   string `placeholder:"FILE" help:"The file to write to. By default standard output. The file appears when it is complete."`

	Spreadsheet bool `help:"Write CSV for a spreadsheet program: cells that it could interpret as formulas begin with an apostrophe. Not for 'dragoman import', which would make the apostrophe part of the value."`
}

// Help is the long text of --help.
func (*exportCommand) Help() string {
	return "It writes everything except secrets and erased users: passwords, access tokens and VCS passwords. " +
		"'dragoman import' reads what it writes without --spreadsheet. On standard output the default format is CSV.\n\n" + exitStatuses
}

// Run exports users.
func (c *exportCommand) Run(ctx context.Context) (err error) {
	format := userfile.CSV
	if c.Output != "" || c.Format != "" {
		if format, err = c.of(c.Output); err != nil {
			return err
		}
	}
	if c.Spreadsheet {
		if format != userfile.CSV {
			return badInput{errors.New("--spreadsheet is for CSV: leave it out, or give --format csv")}
		}
		format = userfile.Spreadsheet
	}
	customer, err := parseCustomer(c.Customer)
	if err != nil {
		return err
	}
	if c.Output != "" {
		if err := checkFolder("--output", c.Output); err != nil {
			return err
		}
	}
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	bar := newProgress(c.Output == "" && term.IsTerminal(int(os.Stdout.Fd()))) // where it would be mixed with the output
	export := userfile.Export{Store: s, Format: format, Customer: customer, Progress: bar.users}
	write := func(w io.Writer) error {
		_, err := export.Run(ctx, w)
		return err
	}
	if c.Output == "" {
		err = write(os.Stdout)
	} else {
		err = userfile.WriteFile(c.Output, write)
	}
	bar.clear()
	if errors.Is(err, store.ErrNotFound) && customer != nil {
		return badInput{fmt.Errorf("there is no customer %s, as --customer has it", plain(c.Customer))}
	}
	return blame(err)
}

// checkFolder returns an error if the folder of an output file does not exist. name is the argument or flag of the file.
func checkFolder(name, file string) error {
	if _, err := os.Stat(filepath.Dir(file)); err != nil {
		return badInput{fmt.Errorf("%s cannot be written: %w", name, err)}
	}
	return nil
}

// parseCustomer parses the id or the UUID of a customer. It returns nil for an empty text.
func parseCustomer(text string) (*store.CustomerKey, error) {
	if text == "" {
		return nil, nil
	}
	if id, err := strconv.ParseInt(text, 10, 64); err == nil {
		key := store.CustomerByID(id)
		return &key, nil
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return nil, badInput{fmt.Errorf("%q is neither the id nor the UUID of a customer", text)}
	}
	key := store.CustomerByUUID(id)
	return &key, nil
}
