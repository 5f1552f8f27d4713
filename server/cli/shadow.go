package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/dragoman-id/dragoman/server/moving/difference"
	"github.com/dragoman-id/dragoman/server/moving/shadow"
)

type shadowCommand struct {
	targetFlags `envprefix:"DRAGOMAN_SHADOW_"`
	Listen      string        `env:"DRAGOMAN_SHADOW_LISTEN" default:"127.0.0.1:8090" placeholder:"ADDRESS" help:"The address to listen on (${default})."`
	Source      string        `env:"DRAGOMAN_SHADOW_SOURCE" required:"" placeholder:"URL" help:"The vendor's server, which answers the clients."`
	Dialect     string        `env:"DRAGOMAN_SHADOW_DIALECT" placeholder:"NAME" help:"The vendor's dialect: worth or testinium."`
	Sample      float64       `env:"DRAGOMAN_SHADOW_SAMPLE" default:"1" placeholder:"PART" help:"The part of the requests to compare, from 0 to 1 (${default})."`
	Workers     int           `env:"DRAGOMAN_SHADOW_WORKERS" default:"8" placeholder:"N" help:"The maximum of concurrent requests to the target (${default})."`
	Queue       int           `env:"DRAGOMAN_SHADOW_QUEUE" default:"1000" placeholder:"N" help:"The maximum of requests that wait to be compared; further ones are not (${default})."`
	MaxBody     int64         `env:"DRAGOMAN_SHADOW_MAX_BODY" default:"16777216" placeholder:"BYTES" help:"The maximum size of a body that is compared (${default})."`
	MaxMemory   int64         `env:"DRAGOMAN_SHADOW_MAX_MEMORY" default:"268435456" placeholder:"BYTES" help:"The maximum size of all bodies that wait to be compared; what does not fit is not (${default})."`
	Timeout     time.Duration `env:"DRAGOMAN_SHADOW_TIMEOUT" default:"10s" help:"The timeout of a request to the target (${default})."`
	Ignore      []string      `env:"DRAGOMAN_SHADOW_IGNORE" placeholder:"PATH" help:"A member that may differ, or 'header NAME'; repeat it for several."`
	ShowValues  bool          `env:"DRAGOMAN_SHADOW_SHOW_VALUES" help:"Show values in reports. By default there is an HMAC of each other than HTTP statuses, with a random key."`
	Every       time.Duration `env:"DRAGOMAN_SHADOW_EVERY" default:"1m" placeholder:"DURATION" help:"How often to print the report; it is also printed at the end (${default})."`
	JSON        string        `name:"json" env:"DRAGOMAN_SHADOW_JSON" placeholder:"FILE" help:"Also write the report in JSON to this file, as often."`
	CACert      string        `name:"ca-cert" env:"DRAGOMAN_SHADOW_CA_CERT" type:"existingfile" placeholder:"FILE" help:"A PEM file with the authority of the servers' certificates, in addition to the system's."`
}

// Help is the long text of --help.
func (*shadowCommand) Help() string {
	return "A proxy in front of the vendor. It answers each request with what the vendor answers, and afterwards asks the target the same: reads " +
		"as they are, writes as dry runs, so that nothing is written twice. It reports what differs. Clients do not wait for the target.\n\n" +
		"A user that the vendor was seen writing, and lists after any write, are counted as written since, as the target does not have that.\n\n" +
		"The target gets the clients' tokens, unless there is --target-token-file or --target-token-command.\n\n" +
		"It speaks HTTP; for HTTPS, put it behind your load balancer.\n\n" +
		"Exit status: 0 nothing differed, 1 something did, or a fault, 2 nothing could be compared, or bad input, 80 a bad command line."
}

// Run serves until a signal comes.
func (c *shadowCommand) Run(ctx context.Context) error {
	config, err := c.config(ctx)
	if err != nil {
		return badInput{err}
	}
	s, err := shadow.New(config)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return badInput{fmt.Errorf("--listen: %w", err)}
	}
	if err := errors.Join(checkLoop(ctx, "--source", config.Source, l.Addr()), checkLoop(ctx, "--target", config.Target, l.Addr())); err != nil {
		return badInput{err}
	}
	fmt.Fprintf(os.Stderr, "The shadow of %s is listening on http://%s\n", c.Source, l.Addr())
	served := make(chan error, 1)
	h := s.Server()
	go func() { served <- h.Serve(l) }()
	ticks := time.NewTicker(c.Every)
	defer ticks.Stop()
	for ended := false; !ended; {
		select {
		case err := <-served:
			return err
		case <-ticks.C:
			if err := c.write(s.Report()); err != nil {
				return err
			}
		case <-ctx.Done():
			ended = true
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shadowEnd)
	defer cancel()
	if err = h.Shutdown(ctx); err == nil {
		s.Close(ctx)
	} else {
		err = fmt.Errorf("clients that still waited for the source after %s were cut off: %w", shadowEnd, err)
	}
	report := s.Report()
	if err := errors.Join(err, c.write(report)); err != nil {
		return err
	}
	switch {
	case report.Differ() > 0:
		return errDiffers
	case report.Nothing():
		return uncheckable{errors.New("nothing was compared, for the reasons that the report has")}
	}
	return nil
}

// shadowEnd is how long clients are waited for at the end.
const shadowEnd = 10 * time.Second

func (c *shadowCommand) config(ctx context.Context) (config shadow.Config, err error) {
	if c.Sample < 0 || c.Sample > 1 || c.Workers < 1 || c.Queue < 1 || c.MaxBody < 1 || c.Timeout <= 0 || c.Every <= 0 {
		return config, errors.New("--sample must be from 0 to 1, and --workers, --queue, --max-body, --timeout and --every above 0")
	}
	if c.MaxMemory < 3*c.MaxBody {
		return config, errors.New("--max-memory must be at least three times --max-body: a body of each side and one of an encoded answer")
	}
	config = shadow.Config{
		Rules: difference.New(c.Dialect, c.Ignore), Sample: c.Sample, Workers: c.Workers, Queue: c.Queue, MaxBody: c.MaxBody, MaxMemory: c.MaxMemory,
		Timeout: c.Timeout, ShowValues: c.ShowValues, Log: slog.Default(),
	}
	if config.Dialect, config.Source, config.Target, err = apisOf(c.Dialect, c.Source, c.Target); err != nil {
		return config, err
	}
	if err := checkFolder("--json", c.JSON); err != nil {
		return config, err
	}
	if c.TargetTokenFile != "" || c.TargetTokenCommand != "" {
		config.Tokens = c.tokens()
		if err := config.Tokens.Check(ctx); err != nil {
			return config, err
		}
	}
	t, err := transport(c.CACert, c.Workers)
	if err != nil {
		return config, err
	}
	config.Transport = t
	return config, nil
}

func (c *shadowCommand) write(r shadow.Report) error {
	if err := r.WriteText(os.Stdout); err != nil {
		return err
	}
	if c.JSON == "" {
		return nil
	}
	return writeTo(c.JSON, r.WriteJSON)
}
