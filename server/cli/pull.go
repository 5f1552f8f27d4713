package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/moving/pull"
	"github.com/dragoman-id/dragoman/server/moving/source"
	"github.com/dragoman-id/dragoman/store/userfile"
)

// sourceFlags are the flags of commands that read from a vendor.
type sourceFlags struct {
	Source       string        `env:"SOURCE" required:"" placeholder:"URL" help:"The vendor's server, such as https://api.joinworth.com, or the URL of the API if its base path differs."`
	Customer     string        `env:"CUSTOMER" required:"" placeholder:"ID" help:"The customer whose users to read, as it appears in the vendor's paths."`
	TokenFile    string        `env:"TOKEN_FILE" placeholder:"FILE" help:"A file with a bearer token of the vendor's. It is read again when the token is refused."`
	TokenCommand string        `env:"TOKEN_COMMAND" placeholder:"COMMAND" help:"A command for the shell that prints a token. It is run when the token of the file is refused, or if there is no file."`
	CACert       string        `name:"ca-cert" env:"CA_CERT" type:"existingfile" placeholder:"FILE" help:"A PEM file with the authority of the server's certificate, in addition to the system's."`
	Rate         float64       `env:"RATE" default:"2" placeholder:"N" help:"The maximum of requests per second to the vendor (${default}). An answer 429 halves it."`
	Timeout      time.Duration `env:"TIMEOUT" default:"30s" help:"How long the vendor may send nothing (${default})."`
	RetryFor     time.Duration `env:"RETRY_FOR" default:"10m" help:"How long to repeat a request that fails for a reason that may pass (${default})."`
}

// targetFlags are the flags of commands that ask a server that is to answer in a vendor's place.
type targetFlags struct {
	Target             string `env:"TARGET" required:"" placeholder:"URL" help:"The server that is to answer in the vendor's place."`
	TargetTokenFile    string `env:"TARGET_TOKEN_FILE" placeholder:"FILE" help:"A file with a bearer token for the target. It is read again when the token is refused."`
	TargetTokenCommand string `env:"TARGET_TOKEN_COMMAND" placeholder:"COMMAND" help:"A command for the shell that prints a token for the target. It is run when the token of the file is refused, or if there is no file."`
}

func (f *targetFlags) tokens() *source.Tokens {
	return &source.Tokens{File: f.TargetTokenFile, Command: f.TargetTokenCommand, Of: "target-"}
}

// vendors are the dialects that users can be moved from.
var vendors = []string{"worth", "testinium"}

// apiOf returns the description of a vendor's dialect, and the URL of its API at a server that a flag names.
func apiOf(dialect, flag, at string) (description.API, *url.URL, error) {
	if !slices.Contains(vendors, dialect) {
		return description.API{}, nil, fmt.Errorf("no vendor has the dialect %q: set --dialect to one of %s", dialect, strings.Join(vendors, ", "))
	}
	all := server.Descriptions(server.Dialects())
	d := all[slices.IndexFunc(all, func(d description.API) bool { return d.Name == dialect })]
	document, err := d.Spec()
	if err != nil {
		return d, nil, err
	}
	u, err := description.BaseURL(flag, at, description.BasePath(document))
	return d, u, err
}

// apisOf returns the description of a vendor's dialect, and the URLs of its API at the source and at another server, the target.
func apisOf(dialect, source, target string) (d description.API, there, here *url.URL, err error) {
	if d, there, err = apiOf(dialect, "--source", source); err != nil {
		return d, nil, nil, err
	}
	if _, here, err = apiOf(dialect, "--target", target); err != nil {
		return d, nil, nil, err
	}
	if isSameServer(there, here) {
		return d, nil, nil, errors.New("--source and --target are the same server, which does not differ from itself: one is the vendor's, the other the one that is to answer in its place")
	}
	return d, there, here, nil
}

// client returns the client that the flags describe.
func (f *sourceFlags) client(ctx context.Context, dialect, company string, notice func(string)) (*source.Client, error) {
	_, u, err := apiOf(dialect, "--source", f.Source)
	if err != nil {
		return nil, err
	}
	switch {
	case f.Rate <= 0:
		return nil, errors.New("--rate must be a number of requests per second above 0")
	case f.Timeout <= 0 || f.RetryFor <= 0:
		return nil, errors.New("--timeout and --retry-for must be times above 0")
	}
	t, err := transport(f.CACert, 4)
	if err != nil {
		return nil, err
	}
	config := source.Config{
		URL: u, Customer: f.Customer, Company: company, Tokens: &source.Tokens{File: f.TokenFile, Command: f.TokenCommand},
		Transport: t, Rate: f.Rate, Timeout: f.Timeout, RetryFor: f.RetryFor, Notice: notice,
	}
	if err := config.Check(dialect); err != nil {
		return nil, err
	}
	if err := config.Tokens.Check(ctx); err != nil {
		return nil, err
	}
	return source.New(config), nil
}

type pullCommand struct {
	Worth     pullWorthCommand     `cmd:"" help:"Copy users from Worth."`
	Testinium pullTestiniumCommand `cmd:"" help:"Copy users from Testinium."`
}

// pullFlags are the flags of both.
type pullFlags struct {
	sourceFlags
	Output string `env:"OUTPUT" placeholder:"FILE" help:"The file to write to. By default standard output. The file appears when it is complete; until then FILE.part keeps what was read."`
	Resume bool   `env:"RESUME" help:"Continue a pull that was interrupted, with what FILE.part has."`
}

const pullHelp = "It writes NDJSON that 'dragoman import' takes, with the vendor's ids, and without any secret that the vendor shows. " +
	"It changes nothing at the vendor.\n\n" +
	"Users that the directory's rules do not allow, such as the second of two with one e-mail, are named on standard error with the reason, " +
	"and left out; the exit status is then 2. If anything else fails, there is no file, and the same command with --resume goes on.\n\n" + exitStatuses

type pullWorthCommand struct {
	pullFlags `envprefix:"DRAGOMAN_PULL_"`
	PageSize  int64 `env:"DRAGOMAN_PULL_PAGE_SIZE" default:"100" placeholder:"N" help:"The number of users on a page (${default})."`
}

// Help is the long text of --help.
func (*pullWorthCommand) Help() string { return pullHelp }

// Run copies users.
func (c *pullWorthCommand) Run(ctx context.Context) error {
	if c.PageSize <= 0 {
		return badInput{errors.New("--page-size must be a number of users above 0")}
	}
	return c.run(ctx, "worth", "", c.PageSize)
}

type pullTestiniumCommand struct {
	pullFlags `envprefix:"DRAGOMAN_PULL_"`
	Company   string `env:"DRAGOMAN_PULL_COMPANY" required:"" placeholder:"ID" help:"The company in which the token's owner acts, the vendor's current-company-id."`
}

// Help is the long text of --help.
func (*pullTestiniumCommand) Help() string { return pullHelp }

// Run copies users.
func (c *pullTestiniumCommand) Run(ctx context.Context) error {
	return c.run(ctx, "testinium", c.Company, 0)
}

func (f *pullFlags) run(ctx context.Context, dialect, company string, pageSize int64) error {
	if f.Resume && f.Output == "" {
		return badInput{errors.New("--resume needs the --output of the pull that was interrupted")}
	}
	if err := checkFolder("--output", f.Output); err != nil {
		return err
	}
	journal := ""
	if f.Output != "" {
		journal = f.Output + ".part"
	}
	bar := newProgress(f.Output == "" && term.IsTerminal(int(os.Stdout.Fd()))) // where it would be mixed with the output
	say := func(text string) {
		bar.clear()
		fmt.Fprintln(os.Stderr, text)
	}
	client, err := f.client(ctx, dialect, company, say)
	if err != nil {
		return badInput{err}
	}
	reported := 0
	p := pull.Pull{
		Client: client, Dialect: dialect, Source: f.Source, Customer: f.Customer, PageSize: pageSize, Journal: journal, Resume: f.Resume,
		Refused: func(r pull.Refused) {
			if reported++; reported <= userfile.MaxRefused {
				say(r.String())
			}
		},
		Progress: func(users, total int64) {
			if total < 0 {
				bar.users(users)
				return
			}
			bar.bytes(users, total)
		},
		Notice: say,
	}
	result, err := p.Run(ctx, func(write func(io.Writer) error) error {
		if f.Output == "" {
			return write(os.Stdout)
		}
		if err := userfile.RemoveUnfinished(f.Output); err != nil { // which has personal data
			return err
		}
		return userfile.WriteFile(f.Output, write)
	})
	bar.clear()
	switch {
	case errors.Is(err, pull.ErrJournalExists):
		return badInput{fmt.Errorf("%w, %s: add --resume to continue it, or remove the file", err, journal)}
	case errors.Is(err, pull.ErrOtherJournal):
		return badInput{fmt.Errorf("%w: %s was begun with another --source, --customer or --page-size: give the same again, or remove the file", err, journal)}
	case err != nil && f.Output != "":
		return fmt.Errorf("%w: to continue, run the same command with --resume", err)
	case err != nil:
		return err
	case result.Refused > 0:
		return badInput{fmt.Errorf("written: %d users; left out, as the lines above say: %d", result.Written, result.Refused)}
	}
	fmt.Fprintf(os.Stderr, "written: %d users\n", result.Written)
	return nil
}
