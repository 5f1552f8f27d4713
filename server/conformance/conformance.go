// Package conformance holds a server that claims one of the dialects against the laws of that dialect: what its vendor
// documents, what HTTP requires, and, where the server offers them, what Dragoman adds. It is a client like any other. It
// knows the documents and HTTP; it knows nothing of the server behind them, of users beyond what answers show, or of how
// results are asked for on a command line.
//
// It is made to be run against systems that others use. It writes to one user, whom it is told, and gives that user back as
// it found them, whatever happens in between. See [Config] for what it changes, and [Run] for how it ends.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-id/dragoman/server/description"
)

// Config says which server to check, as whom, with which user, and how far to go.
type Config struct {
	Dialect description.API // what the server claims to speak
	Update  string          // the operationId of the update that is checked; empty: the dialect's first
	// Target is where the server is: its host, as https://staging.example.com, or the API's base URL. Below a host the API is at
	// the dialect's own base path or, if the user is not found there, at the root.
	Target string

	Token      string // a bearer token that may read and write User
	OtherToken string // a good one of a caller who has no rights in Customer; empty: what needs one is skipped

	Customer string // whose user it is, as the dialect writes it in its paths
	User     string // whom to write to: a plain user who is there for tests, neither the token's own nor an administrator
	Company  string // the company that the caller acts in, in a dialect that has it

	// Allow names what may be changed of the user beside names and mobile number. A law that needs more is skipped.
	Allow []Group
	// Require names the features without which a law is broken rather than skipped.
	Require []Feature

	Only, Skip []string // names of laws, or patterns of them such as if-match-*; see [Select]

	Timeout     time.Duration // for one request; 0: DefaultTimeout
	Rate        float64       // requests a second; 0: DefaultRate
	MaxRequests int           // how many in all, those that give the user back apart; 0: DefaultMaxRequests
	Writers     int           // how many write at once in the laws about that; 0: DefaultWriters
	// RestoreTimeout is how long giving the user back may take, whatever else was cancelled; 0: DefaultRestoreTimeout.
	RestoreTimeout time.Duration

	Transport http.RoundTripper // nil: http.DefaultTransport
	Began     func(Report)      // told what is known before the first law; nil: nobody is
	Observe   func(Result)      // told each result as it comes; nil: nobody is
}

// What an empty Config stands for.
const (
	DefaultTimeout     = 10 * time.Second
	DefaultRate        = 50
	DefaultMaxRequests = 3000
	DefaultWriters     = 6

	DefaultRestoreTimeout = 30 * time.Second
)

// maxWriters bounds how many requests are under way at once.
const maxWriters = 32

// ErrConfig: a Config cannot be run as it is. What is wrong with it stands behind.
var ErrConfig = errors.New("cannot check")

// ErrUnsafe: the user is one that must not be written to.
var ErrUnsafe = errors.New("will not check with this user")

// ErrUnreachable: the server does not answer as the dialect's would, so that there is nothing to hold laws against.
var ErrUnreachable = errors.New("cannot be checked")

// Run checks a server. Before the first law it reads the user and makes sure that it may write to them: an error that is
// ErrConfig, ErrUnsafe or ErrUnreachable says that no law was tried. After each law it writes back what it found. What the server
// changed and no update gives back becomes what the user is compared with from then on, see [Kept]. After the last law, and also
// when ctx is done or a law panics, it writes back what it found, with time of its own; [Report.Restoration] says whether that
// worked, and what to send if it did not.
func Run(ctx context.Context, c Config) (Report, error) {
	d, err := newDialect(c.Dialect, c.Update)
	if err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	laws, err := c.check(d)
	if err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	r, err := newRun(c, d)
	if err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	started := time.Now()
	err = r.begin(ctx)
	report := Report{Dialect: c.Dialect.Name, Target: r.client.base.String(), Customer: c.Customer, User: c.User, Started: started.UTC()}
	if d.company != nil {
		report.CompanyHeader = d.company.Name
	}
	if err != nil {
		return report, err
	}
	report.Features = r.offered()
	report.MayBeOwn = r.allowed(State) && r.mayBeOwn()
	report.Results, report.Restoration, err = r.checkAll(ctx, laws, func() {
		if c.Began != nil {
			c.Began(report)
		}
	})
	report.Requests, report.Took = r.client.sent(), time.Since(started)
	return report, err
}

// check fills in what is empty, and gives the laws to hold.
func (c *Config) check(d *dialect) ([]Law, error) {
	for _, needed := range []struct{ name, value string }{
		{"target", c.Target}, {"token", c.Token}, {"customer", c.Customer}, {"user", c.User},
	} {
		if needed.value == "" {
			return nil, fmt.Errorf("no %s was given", needed.name)
		}
	}
	if c.Token == c.OtherToken {
		return nil, errors.New("the other token is the same: --other-token must be one of a caller who has no rights in the customer")
	}
	if err := d.checkIDs(c); err != nil {
		return nil, err
	}
	for _, g := range c.Allow {
		if !slices.Contains(Groups, g) {
			return nil, fmt.Errorf("there is no %q to --allow: there are %s", g, list(Groups))
		}
	}
	for _, f := range c.Require {
		if !slices.Contains(Features, f) {
			return nil, fmt.Errorf("there is no %q to --require: there are %s", f, list(Features))
		}
	}
	if c.Timeout < 0 || c.Rate < 0 || c.MaxRequests < 0 || c.Writers < 0 || c.Writers == 1 || c.Writers > maxWriters {
		return nil, fmt.Errorf("--timeout, --rate and --max-requests must be above 0, and --writers 2 to %d", maxWriters)
	}
	orDefault(&c.Timeout, DefaultTimeout)
	orDefault(&c.Rate, DefaultRate)
	orDefault(&c.MaxRequests, DefaultMaxRequests)
	orDefault(&c.Writers, DefaultWriters)
	orDefault(&c.RestoreTimeout, DefaultRestoreTimeout)
	return Select(d.laws(), c.Only, c.Skip)
}

func orDefault[T comparable](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}

// baseURL makes of a target the address of the API: a target without a path is a host, and the dialect's own base path is
// put behind it.
func baseURL(target, basePath string) (*url.URL, error) {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("the --target must be an http or https URL, such as https://staging.example.com")
	}
	if u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, errors.New("the --target must be a URL without user, query and fragment")
	}
	for len(u.Path) > 0 && u.Path[len(u.Path)-1] == '/' {
		u.Path = u.Path[:len(u.Path)-1]
	}
	if u.Path == "" {
		u.Path = basePath
	}
	return u, nil
}

// isHost tells whether a target names a host and no path.
func isHost(target string) bool {
	u, err := url.Parse(target)
	return err == nil && strings.Trim(u.Path, "/") == ""
}
