package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/dragoman-id/dragoman/server/moving/compare"
	"github.com/dragoman-id/dragoman/server/moving/difference"
	"github.com/dragoman-id/dragoman/server/moving/source"
)

type compareCommand struct {
	sourceFlags `envprefix:"DRAGOMAN_COMPARE_"`
	targetFlags `envprefix:"DRAGOMAN_COMPARE_"`
	Dialect     string        `env:"DRAGOMAN_COMPARE_DIALECT" placeholder:"NAME" help:"The dialect to compare: worth or testinium."`
	Company     string        `env:"DRAGOMAN_COMPARE_COMPANY" placeholder:"ID" help:"The company in which the tokens' owners act, if the dialect has one."`
	TargetRate  float64       `env:"DRAGOMAN_COMPARE_TARGET_RATE" default:"50" placeholder:"N" help:"The maximum of requests per second to the target (${default})."`
	Sample      int           `env:"DRAGOMAN_COMPARE_SAMPLE" placeholder:"N" help:"Compare so many users, chosen at random. By default all."`
	Ignore      []string      `env:"DRAGOMAN_COMPARE_IGNORE" placeholder:"PATH" help:"A member that may differ, such as data.mobile or authorities[].cleanName, or 'header NAME'; repeat it for several."`
	PageSize    int64         `env:"DRAGOMAN_COMPARE_PAGE_SIZE" default:"100" placeholder:"N" help:"The number of users on a page of the list, where it has pages (${default})."`
	Watch       time.Duration `env:"DRAGOMAN_COMPARE_WATCH" placeholder:"DURATION" help:"Compare again and again with this pause, until a signal comes or a token is refused. By default once."`
	Format      string        `env:"DRAGOMAN_COMPARE_FORMAT" enum:"text,json,junit" default:"text" help:"The format of the report: text, json or junit (${default})."`
	Output      string        `env:"DRAGOMAN_COMPARE_OUTPUT" placeholder:"FILE" help:"The file to write the report to. By default standard output."`
	Rules       bool          `env:"DRAGOMAN_COMPARE_RULES" help:"Also print which differences are known and not reported, and why."`
}

// Help is the long text of --help.
func (*compareCommand) Help() string {
	return "It lists the vendor's users, reads each from both servers, and compares the answers member by member. Before it reports a difference " +
		"it asks both again, and drops what is gone then. It only reads. Users that only the target has are not looked at.\n\n" +
		"Exit status: 0 nothing differs, 1 something does, 2 the servers could not be compared, or bad input, 80 a bad command line. " +
		"With --watch it is that of the last comparison. One that fails is reported and repeated, after pauses that double up to an hour; " +
		"only tokens that are refused, with nowhere to take others from, end the watch."
}

// errDiffers makes the exit status 1.
var errDiffers = errors.New("the target does not answer as the source does")

// Run compares.
func (c *compareCommand) Run(ctx context.Context) error {
	bar := newProgress(false)
	say := func(text string) {
		bar.clear()
		fmt.Fprintln(os.Stderr, text)
	}
	job, err := c.job(ctx, say)
	if err != nil {
		return badInput{err}
	}
	job.Progress = bar.bytes
	if c.Rules {
		for _, r := range job.Rules.Rules {
			fmt.Fprintf(os.Stderr, "%s %s: %s\n", orNone(r.Path), r.Kind, r.Reason)
		}
	}
	var result error
	pause := c.Watch
	for n := 0; ; n++ {
		outcome := c.compare(ctx, job, bar)
		failed := errors.As(outcome, new(uncheckable))
		if failed && n > 0 && ctx.Err() != nil {
			return result
		}
		result = outcome
		switch {
		case c.Watch == 0, failed && source.IsRefused(result):
			return result
		case failed:
			pause = min(2*pause, max(c.Watch, maxPause))
			say(fmt.Sprintf("%v; comparing again in %s", result, pause))
		default:
			pause = c.Watch
		}
		select {
		case <-ctx.Done():
			return result
		case <-time.After(pause):
		}
	}
}

// maxPause is the longest pause of a watch after comparisons that fail, unless --watch is longer.
const maxPause = time.Hour

// compare compares once and writes the report.
func (c *compareCommand) compare(ctx context.Context, job *compare.Compare, bar progress) error {
	report, err := job.Run(ctx)
	bar.clear()
	if err != nil {
		return uncheckable{err}
	}
	if err := c.write(report); err != nil {
		return uncheckable{err}
	}
	if report.Differences() {
		return errDiffers
	}
	return nil
}

func (c *compareCommand) job(ctx context.Context, say func(string)) (*compare.Compare, error) {
	if c.PageSize <= 0 || c.Sample < 0 || c.TargetRate <= 0 || c.Watch < 0 {
		return nil, errors.New("--page-size and --target-rate must be above 0, and --sample and --watch not below")
	}
	there, err := c.client(ctx, c.Dialect, c.Company, say)
	if err != nil {
		return nil, err
	}
	api, _, u, err := apisOf(c.Dialect, c.Source, c.Target)
	if err != nil {
		return nil, err
	}
	if err := checkFolder("--output", c.Output); err != nil {
		return nil, err
	}
	tokens := c.tokens()
	if err := tokens.Check(ctx); err != nil {
		return nil, err
	}
	t, err := transport(c.CACert, 4)
	if err != nil {
		return nil, err
	}
	here := source.New(source.Config{
		URL: u, Setting: "--target", Customer: c.Customer, Company: c.Company, Tokens: tokens, Transport: t,
		Rate: c.TargetRate, Timeout: c.Timeout, RetryFor: c.RetryFor, Notice: say,
	})
	return &compare.Compare{
		Dialect: c.Dialect, Operation: api.Show, Source: there, Target: here, Rules: difference.New(c.Dialect, c.Ignore), PageSize: c.PageSize,
		Sample: c.Sample, Workers: 4, Notice: say,
	}, nil
}

func (c *compareCommand) write(r compare.Report) error {
	write := map[string]func(io.Writer) error{"text": r.WriteText, "json": r.WriteJSON, "junit": r.WriteJUnit}[c.Format]
	if c.Output == "" {
		return write(os.Stdout)
	}
	return writeTo(c.Output, write)
}
