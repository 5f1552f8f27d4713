// Package conformance checks a server against the laws of a dialect: what the vendor documents, what HTTP requires, and, if the
// server offers it, what Dragoman adds. It is an HTTP client that knows the dialect's description and document. It does not know
// the server's implementation, its database, or the command line.
//
// It may run against a shared system: it writes to one user only, and restores that user after each law and at the end, also after
// an error or a cancellation. See [Config] for what it changes, and [Run] for the steps.
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

// Config says which server to check, with which tokens and user, and what may be changed.
type Config struct {
	Dialect description.API // what the server claims to speak
	Update  string          // the operationId of the update that is checked; empty: the dialect's first
	// Target is the server's origin, such as https://staging.example.com, or the API's base URL. With an origin the API is looked
	// for at the dialect's base path, then at the root.
	Target string

	Token      string // a bearer token that may read and write User
	OtherToken string // a valid token of a caller without rights in Customer; empty: laws that need one are skipped

	Customer string // the user's customer, as the dialect writes it in paths
	User     string // the user to write to: neither the token's own nor an administrator
	Company  string // the company that the caller acts in, in a dialect that has it

	// Allow lists the groups that may be changed besides names and mobile number. A law that needs another is skipped.
	Allow []Group
	// Require lists features that the server must offer: laws about them are broken instead of skipped.
	Require []Feature

	Only, Skip []string // names of laws, or patterns of them such as if-match-*; see [Select]

	Timeout     time.Duration // for one request; 0: DefaultTimeout
	Rate        float64       // requests a second; 0: DefaultRate
	MaxRequests int           // of the run, without those that restore the user; 0: DefaultMaxRequests
	Writers     int           // concurrent writers in the laws about concurrency; 0: DefaultWriters
	// RestoreTimeout bounds restoring the user, which a cancellation does not stop; 0: DefaultRestoreTimeout.
	RestoreTimeout time.Duration

	Transport http.RoundTripper // nil: http.DefaultTransport
	Began     func(Report)      // called before the first law, with a report without results; may be nil
	Observe   func(Result)      // called with each result; may be nil
}

// The defaults of Config.
const (
	DefaultTimeout     = 10 * time.Second
	DefaultRate        = 50
	DefaultMaxRequests = 3000
	DefaultWriters     = 6

	DefaultRestoreTimeout = 30 * time.Second
)

// maxWriters is the limit of Config.Writers.
const maxWriters = 32

// ErrConfig means that a Config is invalid.
var ErrConfig = errors.New("cannot check")

// ErrUnsafe means that the user must not be used for a check.
var ErrUnsafe = errors.New("will not check with this user")

// ErrUnreachable means that the server does not answer, or not as a server of the dialect.
var ErrUnreachable = errors.New("cannot be checked")

// Run checks a server. It first reads the user and makes a write that changes nothing; an error that is ErrConfig, ErrUnsafe or
// ErrUnreachable means that no law was checked. It resets the user after each law; a change that no update can revert becomes part
// of the baseline, see [Kept]. At the end, also if ctx is done or a law panics, it restores the user within Config.RestoreTimeout.
// [Report.Restoration] says whether that worked, and which request to send if not.
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
	report := Report{Dialect: c.Dialect.Name, Update: d.update.OperationID, Target: r.client.base.String(), Customer: c.Customer, User: c.User, Started: started.UTC()}
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

// check validates the Config, sets defaults, and returns the laws to check.
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

// isHost reports whether a target has no path.
func isHost(target string) bool {
	u, err := url.Parse(target)
	return err == nil && strings.Trim(u.Path, "/") == ""
}
