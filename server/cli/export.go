package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/dragoman-id/dragoman/server/settings"
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

	User string `placeholder:"ID" help:"Write all that is kept of one person as a JSON document, history included: of the user with this id, UUID or e-mail."`

	Spreadsheet bool `help:"Write CSV for a spreadsheet program: cells that it could interpret as formulas begin with an apostrophe. Not for 'dragoman import', which would make the apostrophe part of the value."`
}

// Help is the long text of --help.
func (*exportCommand) Help() string {
	return "It writes everything except secrets and erased users: passwords, access tokens and VCS passwords. " +
		"'dragoman import' reads what it writes without --spreadsheet. On standard output the default format is CSV.\n\n" +
		"With --user it answers the question what the directory keeps of a person: the user, its history, and where else the person is named. " +
		"Of secrets it tells whether they are set. 'dragoman import' does not read it.\n\n" + exitStatuses
}

// Run exports users, or all that is kept of one.
func (c *exportCommand) Run(ctx context.Context) (err error) {
	if err := checkFolder("--output", c.Output); err != nil {
		return err
	}
	if c.User != "" {
		return c.person(ctx)
	}
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
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	bar := newProgress(c.Output == "" && term.IsTerminal(int(os.Stdout.Fd()))) // where it would be mixed with the output
	export := userfile.Export{Store: s, Format: format, Customer: customer, Progress: bar.users}
	err = c.write(func(w io.Writer) error {
		_, err := export.Run(ctx, w)
		return err
	})
	bar.clear()
	if errors.Is(err, store.ErrNotFound) && customer != nil {
		return badInput{fmt.Errorf("there is no customer %s, as --customer has it", plain(c.Customer))}
	}
	return blame(err)
}

// write writes the output by a function.
func (c *exportCommand) write(write func(io.Writer) error) error {
	if c.Output == "" {
		return write(os.Stdout)
	}
	return userfile.WriteFile(c.Output, write)
}

// person writes all that is kept of one person.
func (c *exportCommand) person(ctx context.Context) (err error) {
	if c.Customer != "" || c.Format != "" || c.Spreadsheet {
		return settings.Problems{errors.New("--customer, --format and --spreadsheet are for files of users: leave them out with --user")}
	}
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	key, err := locate(ctx, s, c.User)
	if err != nil {
		return err
	}
	return c.write(func(w io.Writer) error { return userfile.Person{Store: s, Key: key, Now: time.Now().UTC()}.Run(ctx, w) })
}

// checkFolder returns an error if the folder of an output file does not exist. name is the argument or flag of the file. An empty file is none.
func checkFolder(name, file string) error {
	if file == "" {
		return nil
	}
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
