// Command bench measures the server beside what bounds it: pgbench's own UPDATE, and a server written by hand that does nothing but
// one statement. All of them run in turn, several rounds of each, on one machine, in one go, so that their ratios mean something
// where the machine's own speed does not. `make bench` runs it.
//
// It starts the program as an operator would, and loads it over HTTP with wrk. It knows nothing of how the server does what it
// does, but for the table that the floor and pgbench write to.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c struct {
		Run   runCommand   `cmd:"" default:"withargs" help:"Measure, and print a table."`
		Floor floorCommand `cmd:"" hidden:"" help:"Serve the floor."`
	}
	k := kong.Parse(&c, kong.Name("bench"), kong.BindTo(ctx, (*context.Context)(nil)), kong.UsageOnError())
	k.FatalIfErrorf(k.Run())
}

type runCommand struct {
	Program     string        `required:"" type:"existingfile" help:"The program to measure."`
	Postgres    string        `required:"" env:"TEST_POSTGRES_DSN" help:"A Postgres to measure on; a schema is made and dropped."`
	PGBench     string        `name:"pgbench" default:"pgbench" help:"Where pgbench is."`
	Users       int           `default:"10000" help:"How many users the directory has."`
	Connections []int         `default:"1,16,64,256" help:"How many connections load it."`
	Rounds      int           `default:"3" help:"How often each is measured; the median counts."`
	Duration    time.Duration `default:"3s" help:"How long each time."`
	Only        string        `placeholder:"WORD" help:"Measure only what has this word in its name."`
}

// Run measures everything in turn.
func (c *runCommand) Run(ctx context.Context) (err error) {
	b, err := newBench(ctx, c)
	if err != nil {
		return err
	}
	defer b.close()
	results, err := b.run(ctx)
	if err != nil {
		return err
	}
	if err := report(os.Stdout, c, results); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	return nil
}
