package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/conformance"
	"github.com/dragoman-id/dragoman/server/description"
)

type checkCommand struct {
	Target         string   `env:"DRAGOMAN_CHECK_TARGET" placeholder:"URL" help:"The server, such as https://staging.example.com, or the URL of the API if its base path differs."`
	Dialect        string   `env:"DRAGOMAN_CHECK_DIALECT" placeholder:"NAME" help:"The dialect to test: ${dialects}."`
	Update         string   `env:"DRAGOMAN_CHECK_UPDATE" placeholder:"OPERATION" help:"The operationId of the update to test, for a dialect with several. By default the first."`
	Token          string   `env:"DRAGOMAN_CHECK_TOKEN" placeholder:"TEXT" help:"A bearer token of a caller who may read and write the user. Prefer the variable or a file, since others on the machine can read a command line."`
	TokenFile      string   `env:"DRAGOMAN_CHECK_TOKEN_FILE" placeholder:"FILE" help:"A file with the token."`
	OtherToken     string   `env:"DRAGOMAN_CHECK_OTHER_TOKEN" placeholder:"TEXT" help:"A valid token of a caller who has no rights in this customer. Without it the laws about such callers are not checked."`
	OtherTokenFile string   `env:"DRAGOMAN_CHECK_OTHER_TOKEN_FILE" placeholder:"FILE" help:"A file with that token."`
	Customer       string   `env:"DRAGOMAN_CHECK_CUSTOMER" placeholder:"ID" help:"The user's customer, as it appears in the dialect's paths."`
	User           string   `env:"DRAGOMAN_CHECK_USER" placeholder:"ID" help:"The user to write to: an ordinary one that exists for tests. The token's own user and administrators are rejected."`
	Company        string   `env:"DRAGOMAN_CHECK_COMPANY" placeholder:"ID" help:"The company in which the caller acts, such as the current-company-id, if the dialect has one."`
	Allow          []string `env:"DRAGOMAN_CHECK_ALLOW" placeholder:"PART" help:"What may be changed temporarily besides names and mobile number: identity (e-mail and username), state (status and flags), roles, or all."`
	Require        []string `env:"DRAGOMAN_CHECK_REQUIRE" placeholder:"FEATURE" help:"An addition of Dragoman that the server must support: etag, changed, prefer, repeat, dry-run, conflict, rules, or all. Otherwise laws about an addition that it does not support are skipped."`
	Only           []string `env:"DRAGOMAN_CHECK_ONLY" placeholder:"LAW" help:"Check only this law, or those that match a pattern such as 'if-match-*'; repeat it for several."`
	Skip           []string `env:"DRAGOMAN_CHECK_SKIP" placeholder:"LAW" help:"Skip this law, or those that match a pattern."`
	List           bool     `env:"DRAGOMAN_CHECK_LIST" help:"List the laws of the dialect, or of all dialects, without sending a request."`

	Format string `env:"DRAGOMAN_CHECK_FORMAT" enum:"text,json,junit" default:"text" help:"The format of the report: text, json or junit (${default})."`
	Output string `env:"DRAGOMAN_CHECK_OUTPUT" placeholder:"FILE" help:"The file to write the report to. By default standard output."`
	JSON   string `name:"json" env:"DRAGOMAN_CHECK_JSON" placeholder:"FILE" help:"Also write a report in JSON to this file."`
	JUnit  string `name:"junit" env:"DRAGOMAN_CHECK_JUNIT" placeholder:"FILE" help:"Also write a report in JUnit's XML to this file."`

	Timeout     time.Duration `env:"DRAGOMAN_CHECK_TIMEOUT" default:"10s" help:"The timeout of a request (${default})."`
	Rate        float64       `env:"DRAGOMAN_CHECK_RATE" default:"50" placeholder:"N" help:"The maximum of requests per second (${default})."`
	MaxRequests int           `env:"DRAGOMAN_CHECK_MAX_REQUESTS" default:"3000" placeholder:"N" help:"The maximum of requests (${default}), without those that restore the user."`
	Writers     int           `env:"DRAGOMAN_CHECK_WRITERS" default:"6" placeholder:"N" help:"The number of concurrent writers in the laws about concurrency, 2 to 32 (${default})."`
	CACert      string        `name:"ca-cert" env:"DRAGOMAN_CHECK_CA_CERT" type:"existingfile" placeholder:"FILE" help:"A PEM file with the authority of the server's certificate, in addition to the system's."`
}

// Help is the long text of --help.
func (*checkCommand) Help() string {
	return "Tests any server against the laws of a dialect: that a PATCH merges, that a PUT replaces, that If-Match is " +
		"respected, that customers are isolated, and what else 'dragoman check --list' prints.\n\n" +
		"It writes to one user and restores that user, also after an error or Ctrl-C; if it cannot, it prints the request " +
		"that does. It never sets a password or an access token, creates or deletes no user, and grants no role that " +
		"the user does not have.\n\n" +
		"Laws have three grades: vendor (documented by the vendor), http (required by HTTP or JSON) and own (Dragoman's, where " +
		"the vendor's documentation is silent). A server is not at fault for lacking an addition that a law of grade own is about.\n\n" +
		"Exit status: 0 no law is broken, 1 a law is broken, 2 the server could not be checked, or bad input, 80 a bad command line."
}

const formatText = "text"

// errBroken makes the exit status 1, which says that a law is broken.
var errBroken = errors.New("the server does not keep every law")

// uncheckable is an error that prevents checking the laws.
type uncheckable struct{ error }

// ExitCode returns the exit status.
func (uncheckable) ExitCode() int { return 2 }

// Unwrap returns the cause.
func (u uncheckable) Unwrap() error { return u.error }

// Run checks the server and writes the reports.
func (c *checkCommand) Run(ctx context.Context) error {
	if c.List {
		return c.list()
	}
	config, err := c.config()
	if err != nil {
		return badInput{err}
	}
	if err := c.checkFiles(); err != nil {
		return badInput{err}
	}
	out, finish, err := c.open()
	if err != nil {
		return badInput{err}
	}
	text := conformance.Text{W: out, Colours: colours(out)}
	if c.Format == formatText {
		config.Began, config.Observe = text.Began, text.Result
	}
	report, err := conformance.Run(ctx, config)
	if err != nil {
		return uncheckable{errors.Join(err, finish())}
	}
	err = c.write(text, report)
	conformance.Text{W: os.Stderr, Colours: colours(os.Stderr)}.Alarm(report)
	switch err = errors.Join(err, finish()); {
	case err != nil:
		return uncheckable{err}
	case report.Count(conformance.Broken) > 0:
		return errBroken
	case !report.Checked():
		return uncheckable{errors.New("not everything could be checked")}
	}
	return nil
}

// checkFiles returns an error if a report cannot be written to its file. It creates no file.
func (c *checkCommand) checkFiles() error {
	for _, file := range []string{c.Output, c.JSON, c.JUnit} {
		if file == "" {
			continue
		}
		f, err := os.OpenFile(file, os.O_WRONLY, 0) // #nosec G304 -- whoever runs the command names the file
		if errors.Is(err, fs.ErrNotExist) {
			if f, err = os.CreateTemp(filepath.Dir(file), ".dragoman-check-*"); err == nil {
				err = os.Remove(f.Name())
			}
		}
		if f != nil {
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			return fmt.Errorf("the report could not be written to %s, see --output, --json and --junit: %w", file, err)
		}
	}
	return nil
}

// open returns the writer of the text report, which is printed law by law, and a function that finishes it. Reports in other formats
// are written at the end.
func (c *checkCommand) open() (out *os.File, finish func() error, err error) {
	if c.Output == "" || c.Format != formatText {
		return os.Stdout, func() error { return nil }, nil
	}
	if out, err = os.Create(c.Output); err != nil {
		return nil, nil, fmt.Errorf("write the report: %w", err)
	}
	return out, out.Close, nil
}

// write prints the report and writes it to the files of --json and --junit.
func (c *checkCommand) write(text conformance.Text, report conformance.Report) error {
	formats := map[string]func(io.Writer) error{"json": report.WriteJSON, "junit": report.WriteJUnit}
	var err error
	switch write := formats[c.Format]; {
	case write == nil:
		text.Ended(report)
	case c.Output == "":
		err = write(os.Stdout)
	default:
		err = writeTo(c.Output, write)
	}
	for format, file := range map[string]string{"json": c.JSON, "junit": c.JUnit} {
		if file != "" {
			err = errors.Join(err, writeTo(file, formats[format]))
		}
	}
	return err
}

// writeTo writes a report, which may have values of users, to a file that only its owner can read.
func writeTo(file string, write func(io.Writer) error) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // #nosec G304 -- whoever runs the command names the file
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return errors.Join(write(f), f.Close())
}

// colours reports whether f takes colours: it is a terminal, TERM is not dumb, and NO_COLOR (no-color.org) is not set.
func colours(f *os.File) bool {
	return term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func (c *checkCommand) list() error {
	dialects := checkable()
	if c.Dialect != "" {
		chosen, err := c.dialect()
		if err != nil {
			return badInput{err}
		}
		dialects = []description.API{chosen}
	}
	for i, d := range dialects {
		laws, err := conformance.Select(conformance.Laws(d), c.Only, c.Skip)
		if err != nil {
			return badInput{err}
		}
		if i > 0 {
			fmt.Println()
		}
		fmt.Printf("%s, %d laws\n\n", d.Name, len(laws))
		if err := conformance.List(os.Stdout, laws); err != nil {
			return err
		}
	}
	return nil
}

// checkable describes the dialects that have an update, which is what laws are about.
func checkable() []description.API {
	return slices.DeleteFunc(server.Descriptions(server.Dialects()), func(d description.API) bool { return len(d.Updates) == 0 })
}

func checkableNames() []string {
	var names []string
	for _, d := range checkable() {
		names = append(names, d.Name)
	}
	return names
}

// dialect describes the dialect of --dialect.
func (c *checkCommand) dialect() (description.API, error) {
	for _, d := range checkable() {
		if d.Name == c.Dialect {
			return d, nil
		}
	}
	return description.API{}, fmt.Errorf("there is no dialect %q: set --dialect to one of %s", c.Dialect, strings.Join(checkableNames(), ", "))
}

func (c *checkCommand) config() (config conformance.Config, err error) {
	config = conformance.Config{
		Update: c.Update, Target: c.Target, Customer: c.Customer, User: c.User, Company: c.Company,
		Only: c.Only, Skip: c.Skip, Timeout: c.Timeout, Rate: c.Rate, MaxRequests: c.MaxRequests, Writers: c.Writers,
	}
	if err := c.missing(); err != nil {
		return config, err
	}
	if config.Dialect, err = c.dialect(); err != nil {
		return config, err
	}
	if config.Token, err = secretOrFile(c.Token, c.TokenFile); err != nil {
		return config, err
	}
	if config.OtherToken, err = secretOrFile(c.OtherToken, c.OtherTokenFile); err != nil {
		return config, err
	}
	config.Allow = allOr(c.Allow, conformance.Groups)
	config.Require = allOr(c.Require, conformance.Features)
	t, err := transport(c.CACert, c.Writers)
	if err != nil {
		return config, err
	}
	config.Transport = t
	return config, nil
}

// missing returns an error that lists the required flags that are not set.
func (c *checkCommand) missing() error {
	var names, flags []string
	for _, needed := range []struct{ name, flag, value string }{
		{"target", "--target", c.Target},
		{"dialect", "--dialect", c.Dialect},
		{"token", "--token-file", c.Token + c.TokenFile},
		{"customer", "--customer", c.Customer},
		{"user", "--user", c.User},
	} {
		if needed.value == "" {
			variable := strings.ToUpper(strings.ReplaceAll(strings.TrimPrefix(needed.flag, "--"), "-", "_"))
			names = append(names, "no "+needed.name)
			flags = append(flags, fmt.Sprintf("%s (DRAGOMAN_CHECK_%s)", needed.flag, variable))
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("there is %s: set %s\nfor example: dragoman check --target https://staging.example.com --dialect NAME --token-file FILE --customer ID --user ID",
		strings.Join(names, ", "), strings.Join(flags, ", "))
}

// allOr converts names to values; the name "all" stands for all of them.
func allOr[T ~string](names []string, all []T) []T {
	var chosen []T
	for _, name := range names {
		if name == "all" {
			return all
		}
		chosen = append(chosen, T(name))
	}
	return chosen
}

// secretOrFile returns a secret, from its flag or from a file.
func secretOrFile(secret, file string) (string, error) {
	if file == "" || secret != "" {
		return secret, nil
	}
	text, err := os.ReadFile(file) // #nosec G304 -- whoever runs the command names the file
	if err != nil {
		return "", fmt.Errorf("read the token of --token-file or --other-token-file: %w", err)
	}
	if secret = strings.TrimSpace(string(text)); secret == "" {
		return "", fmt.Errorf("read the token of --token-file or --other-token-file: %s is empty", file)
	}
	return secret, nil
}

// transport returns a transport that keeps a connection for each writer and also trusts the authority of caCert.
func transport(caCert string, writers int) (*http.Transport, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = writers
	if caCert == "" {
		return t, nil
	}
	pem, err := os.ReadFile(caCert) // #nosec G304 -- whoever runs the command names the file
	if err != nil {
		return nil, fmt.Errorf("read the authority's certificate of --ca-cert: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read the authority's certificate of --ca-cert: %s holds none", caCert)
	}
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return t, nil
}
