package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/userfile"
)

// exitStatuses is what the commands of this file say of their exit status.
const exitStatuses = "Exit status: 0 done, 1 a fault, 2 bad input, 80 a bad command line or configuration."

// badInput is an error for which the command's input is to blame, not the machine.
type badInput struct{ error }

// ExitCode is the exit status.
func (badInput) ExitCode() int { return 2 }

// Unwrap returns what is bad.
func (b badInput) Unwrap() error { return b.error }

// formatFlag says how a file of users is written.
type formatFlag struct {
	Format string `enum:"csv,ndjson," default:"" placeholder:"FORMAT" help:"The file's format: csv or ndjson. Its name's ending tells it otherwise: .csv, .ndjson or .jsonl."`
}

func (f formatFlag) of(name string) (userfile.Format, error) {
	if f.Format != "" {
		return userfile.Format(f.Format), nil
	}
	if format, ok := userfile.FormatOf(name); ok {
		return format, nil
	}
	return "", badInput{fmt.Errorf("the name %q does not tell the format: give --format csv or --format ndjson", name)}
}

// standard is the name that stands for standard input.
const standard = "-"

type importCommand struct {
	storeFlags
	formatFlag
	DryRun bool   `help:"Check everything and write nothing."`
	Batch  int    `placeholder:"N" help:"Write N users per transaction, instead of all of them in one. If it then fails, it says which lines are in."`
	File   string `arg:"" help:"A file of users, CSV with a header or NDJSON; - is standard input."`
}

// Help is the long text of --help.
func (*importCommand) Help() string {
	return "Every line is checked before anything is written. Bad lines are named on standard error with what is wrong " +
		"with them, and then nothing is written.\n\n" +
		"Required are customer (its id or UUID), first_name, last_name and email. Any other column that 'dragoman export' " +
		"writes may be there; what is left out is generated, or is what an invited user has.\n\n" + exitStatuses
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
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	bar := newProgress()
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

// blame makes errors that the input is the cause of a badInput.
func blame(err error) error {
	var refused *userfile.RefusedError
	var conflict *store.ImportError
	var fields *store.FieldErrors
	if errors.As(err, &refused) || errors.As(err, &conflict) || errors.As(err, &fields) ||
		errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return badInput{err}
	}
	return err
}

type exportCommand struct {
	storeFlags
	formatFlag
	Customer string `placeholder:"ID" help:"Whose users, by id or UUID; without it, those of all customers."`
	Output   string `placeholder:"FILE" help:"Where to write; without it, to standard output. The file is there once it is complete."`

	Spreadsheet bool `help:"Write CSV to be looked at in a spreadsheet: cells that it could take for formulas begin with an apostrophe. Not for 'dragoman import', which would take the apostrophe for a part of the value."`
}

// Help is the long text of --help.
func (*exportCommand) Help() string {
	return "Everything of a user is written but secrets: passwords, access tokens and VCS passwords. " +
		"'dragoman import' reads what this writes without --spreadsheet. To standard output it writes CSV unless --format says otherwise.\n\n" + exitStatuses
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
	bar := newProgress()
	if c.Output == "" && term.IsTerminal(int(os.Stdout.Fd())) {
		bar = progress{} // it would be in the way of what is written
	}
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

// checkFolder refuses a file to be written by the argument or flag of this name, whose folder is not there.
func checkFolder(name, file string) error {
	if _, err := os.Stat(filepath.Dir(file)); err != nil {
		return badInput{fmt.Errorf("%s cannot be written: %w", name, err)}
	}
	return nil
}

// parseCustomer reads the id or the UUID of a customer; nil if there is none.
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

type customerCommand struct {
	Add customerAddCommand `cmd:"" help:"Add a customer and its companies, and print their ids."`
}

type customerAddCommand struct {
	storeFlags
	Name    string   `required:"" help:"What the customer is called."`
	ID      int64    `name:"id" placeholder:"N" help:"Its id; without it, the next one."`
	UUID    string   `name:"uuid" placeholder:"UUID" help:"Its UUID; without it, a random one."`
	Company []string `sep:"none" placeholder:"[ID=]NAME" help:"A company of the customer, with its id if the number before the equals sign is to be it; repeat it for several."`
}

// Help is the long text of --help.
func (*customerAddCommand) Help() string {
	return "It prints customer_id=N, customer_uuid=UUID and, for each company in their order, company_id=N, a line each.\n\n" + exitStatuses
}

// Run adds a customer.
func (c *customerAddCommand) Run(ctx context.Context) (err error) {
	if c.Name == "" || slices.Contains(c.Company, "") {
		return badInput{errors.New("a customer and a company must have a name")}
	}
	customer := store.Customer{ID: c.ID, Name: c.Name}
	if c.UUID != "" {
		if customer.UUID, err = uuid.Parse(c.UUID); err != nil || customer.UUID == uuid.Nil {
			return badInput{fmt.Errorf("%q is no UUID", c.UUID)}
		}
	}
	companies := make([]*store.Company, len(c.Company))
	for i, text := range c.Company {
		companies[i] = parseCompany(text)
	}
	s, err := c.openOrCreate(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.CreateCustomer(withOrigin(ctx, "customer add"), &customer, companies...); err != nil {
		return blame(err)
	}
	fmt.Printf("customer_id=%d\ncustomer_uuid=%s\n", customer.ID, customer.UUID)
	for _, company := range companies {
		fmt.Printf("company_id=%d\n", company.ID)
	}
	return nil
}

// parseCompany reads ID=NAME, or else takes all of it for a name.
func parseCompany(text string) *store.Company {
	if number, name, found := strings.Cut(text, "="); found {
		if id, err := strconv.ParseInt(number, 10, 64); err == nil && id > 0 {
			return &store.Company{ID: id, Name: name}
		}
	}
	return &store.Company{Name: text}
}

// progress shows on standard error how far a command is. Where that is no terminal it shows nothing.
type progress struct{ bar *progressbar.ProgressBar }

func newProgress() progress {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return progress{}
	}
	return progress{progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish(),
		progressbar.OptionShowCount())}
}

// bytes shows an import's progress.
func (p progress) bytes(done, total int64) {
	if p.bar == nil {
		return
	}
	// What is drawn is all that could go wrong here, and nobody's loss.
	p.bar.ChangeMax64(total)
	_ = p.bar.Set64(done)
}

// users shows an export's progress.
func (p progress) users(n int64) {
	if p.bar != nil {
		_ = p.bar.Set64(n)
	}
}

func (p progress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}

// refused prints a bad line.
func (p progress) refused(line *userfile.LineError) {
	p.clear()
	fmt.Fprintln(os.Stderr, line)
}
