package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/settings"
	"github.com/dragoman-id/dragoman/store"
)

// allowHTTPFlag permits endpoints without TLS.
type allowHTTPFlag struct {
	WebhookAllowHTTP bool `name:"webhook-allow-http" help:"Allow http URLs of webhooks. Whoever is on the way can then read which users change, but cannot forge deliveries."`
}

// webhookFlags configure deliveries to webhooks.
type webhookFlags struct {
	Webhooks bool `default:"true" negatable:"" help:"Deliver changes to webhooks. Turn it off where a copy of a directory is served, which would deliver to the endpoints of the original."`
	allowHTTPFlag
	WebhookAllowNetwork []netip.Prefix `placeholder:"CIDR" help:"A network that webhooks may be in although its addresses are not public, such as 10.0.0.0/8; repeat it for several. By default deliveries to private, loopback, link-local and other special addresses are refused."`
	WebhookProxy        string         `secret:"password" placeholder:"URL" help:"A proxy for all deliveries to webhooks, such as http://proxy.example.com:3128. It has to refuse addresses itself: the server does not see them. By default there is none, whatever HTTPS_PROXY is."`
}

func (f *webhookFlags) webhooks() (server.Webhooks, error) {
	w := server.Webhooks{Off: !f.Webhooks, AllowHTTP: f.WebhookAllowHTTP, AllowNetworks: f.WebhookAllowNetwork}
	var problems settings.Problems
	for _, p := range f.WebhookAllowNetwork {
		if p.Addr().Is4In6() {
			problems.Add(fmt.Errorf("--webhook-allow-network %s would match nothing: write it as IPv4", p))
		}
	}
	if f.WebhookProxy != "" {
		u, err := url.Parse(f.WebhookProxy)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			// The error of the parser repeats the URL, which may have a password.
			problems.Add(errors.New("the proxy for webhooks is no http or https URL: set --webhook-proxy (DRAGOMAN_WEBHOOK_PROXY) to one such as http://proxy.example.com:3128"))
		}
		w.Proxy = u
	}
	return w, problems.Err()
}

type webhookCommand struct {
	Add     webhookAddCommand     `cmd:"" help:"Add an endpoint that receives changes, and print its id and its secret."`
	List    webhookListCommand    `cmd:"" help:"List the endpoints, how far each is behind, and the answer to its last delivery."`
	Rotate  webhookRotateCommand  `cmd:"" help:"Give an endpoint a new secret, and print it."`
	Disable webhookDisableCommand `cmd:"" help:"End deliveries to an endpoint. It keeps its place in the change feed."`
	Replay  webhookReplayCommand  `cmd:"" help:"Deliver from a number of the change feed on, or continue where an endpoint was disabled."`
	Remove  webhookRemoveCommand  `cmd:"" help:"Remove an endpoint."`
}

type webhookAddCommand struct {
	storeFlags
	allowHTTPFlag
	URL      string `name:"url" required:"" placeholder:"URL" help:"The URL that changes are sent to by POST. Its host is resolved and judged by the server, at each connection."`
	Customer string `placeholder:"ID" help:"The customer, by id, whose changes are delivered. By default those of all customers."`
	From     *int64 `placeholder:"NUMBER" help:"The number, in the change feed, of the first change to deliver; 1 for all. By default what is written from now on."`
}

// Help is the long text of --help.
func (*webhookAddCommand) Help() string {
	return "It prints the lines webhook_id=N and secret=whsec_... Nothing prints the secret again.\n\n" + exitStatuses
}

// Run adds an endpoint.
func (c *webhookAddCommand) Run(ctx context.Context) (err error) {
	n := store.NewWebhook{URL: c.URL, AllowHTTP: c.WebhookAllowHTTP, From: c.From}
	if c.Customer != "" {
		id, err := strconv.ParseInt(c.Customer, 10, 64)
		if err != nil || id < 1 {
			return badInput{fmt.Errorf("%q is no id of a customer", c.Customer)}
		}
		n.CustomerID = id
	}
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	w, secret, err := s.AddWebhook(ctx, n)
	if err != nil {
		return blame(err)
	}
	fmt.Printf("webhook_id=%d\nsecret=%s\n", w.ID, secret)
	return nil
}

type webhookListCommand struct{ storeFlags }

// Help is the long text of --help.
func (*webhookListCommand) Help() string {
	return "Of an endpoint that is delivered to, the place is up to a second old.\n\n" + exitStatuses
}

// Run lists the endpoints.
func (c *webhookListCommand) Run(ctx context.Context) (err error) {
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	all, err := s.Webhooks(ctx, store.FeedScope{All: true})
	if err != nil {
		return err
	}
	lags := make([]store.WebhookLag, len(all))
	for i, w := range all {
		if lags[i], err = s.WebhookLag(ctx, w); err != nil {
			return err
		}
	}
	return printWebhooks(os.Stdout, all, lags, time.Now())
}

func printWebhooks(w io.Writer, all []store.Webhook, lags []store.WebhookLag, now time.Time) error {
	if len(all) == 0 {
		fmt.Fprintln(w, "no webhooks")
		return nil
	}
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, "ID\tCUSTOMER\tSTATE\tDELIVERED\tBEHIND\tATTEMPTS\tANSWER\tURL")
	for i, h := range all {
		customer, state, answer := "all", "enabled", h.Answer
		if h.CustomerID != store.AllCustomers {
			customer = strconv.FormatInt(h.CustomerID, 10)
		}
		switch {
		case h.DisabledAt != nil:
			state = "disabled: " + h.DisabledFor
		case h.NextAt != nil:
			state = "failing, next at " + h.NextAt.Format(store.TimeLayout)
		}
		if answer == "" {
			answer = "none"
		}
		behind := strconv.FormatInt(lags[i].Changes, 10)
		if !lags[i].Oldest.IsZero() {
			behind += ", " + max(0, now.Sub(lags[i].Oldest)).Round(time.Second).String()
		}
		fmt.Fprintf(columns, "%d\t%s\t%s\t%d\t%s\t%d\t%s\t%s\n", h.ID, customer, state, h.Position, behind, h.Attempts, answer, h.URL)
	}
	if err := columns.Flush(); err != nil {
		return fmt.Errorf("print webhooks: %w", err)
	}
	return nil
}

// webhookID is the endpoint that a command is about.
type webhookID struct {
	storeFlags
	ID int64 `arg:"" name:"webhook" help:"The endpoint's id."`
}

// edit edits the endpoint, and prints its new secret if there is one, or else what was done.
func (c *webhookID) edit(ctx context.Context, edit store.WebhookEdit, done string) (err error) {
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	w, secret, err := s.EditWebhook(ctx, store.FeedScope{All: true}, c.ID, edit)
	if errors.Is(err, store.ErrNotFound) {
		return badInput{fmt.Errorf("there is no webhook %d", c.ID)}
	}
	if err != nil {
		return blame(err)
	}
	if secret != "" {
		fmt.Printf("secret=%s\n", secret)
		return nil
	}
	fmt.Println(strings.NewReplacer("ID", strconv.FormatInt(w.ID, 10), "NEXT", strconv.FormatInt(w.Position+1, 10)).Replace(done))
	return nil
}

type webhookRotateCommand struct {
	webhookID
	Overlap time.Duration `default:"24h" help:"How long deliveries are signed with the present secret, too (${default}); 0s if it is known to others."`
}

// Help is the long text of --help.
func (*webhookRotateCommand) Help() string {
	return "It prints the line secret=whsec_... Nothing prints it again.\n\n" + exitStatuses
}

// Run rotates the secret.
func (c *webhookRotateCommand) Run(ctx context.Context) error {
	if c.Overlap < 0 || c.Overlap > 30*24*time.Hour {
		return badInput{fmt.Errorf("--overlap must be from 0s to 720h, and is %s", c.Overlap)}
	}
	return c.edit(ctx, store.RotateWebhookSecret(c.Overlap), "")
}

type webhookDisableCommand struct{ webhookID }

// Help is the long text of --help.
func (*webhookDisableCommand) Help() string { return exitStatuses }

// Run disables the endpoint.
func (c *webhookDisableCommand) Run(ctx context.Context) error {
	return c.edit(ctx, store.DisableWebhook(), "webhook ID is disabled; its next change would be NEXT")
}

type webhookReplayCommand struct {
	webhookID
	From *int64 `placeholder:"NUMBER" help:"The number, in the change feed, of the first change to deliver. By default the one after the last that was delivered."`
}

// Help is the long text of --help.
func (*webhookReplayCommand) Help() string {
	return "It enables the endpoint if that is disabled. A delivery that has failed is tried again at once.\n\n" + exitStatuses
}

// Run replays.
func (c *webhookReplayCommand) Run(ctx context.Context) error {
	return c.edit(ctx, store.ReplayWebhook(c.From), "webhook ID is enabled; its next change is NEXT")
}

type webhookRemoveCommand struct{ webhookID }

// Help is the long text of --help.
func (*webhookRemoveCommand) Help() string { return exitStatuses }

// Run removes the endpoint.
func (c *webhookRemoveCommand) Run(ctx context.Context) error {
	return c.edit(ctx, store.RemoveWebhook(), "webhook ID is removed")
}
