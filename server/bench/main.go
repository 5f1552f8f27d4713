// Command bench measures the server beside what bounds it: pgbench's own UPDATE, and a server written by hand that does nothing but
// one statement. All of them run in turn, several rounds of each, on one machine, in one go, so that their ratios mean something
// where the machine's own speed does not. `make bench` and `make growth` run it.
//
// It starts the program as an operator would, and loads it over HTTP with wrk. It knows nothing of how the server does what it
// does, but for the tables that the floor and pgbench write to, and that it fills with more users than an import would in any
// patience.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c struct {
		Run    runCommand    `cmd:"" default:"withargs" help:"Measure the server beside the floor, and say which targets it meets."`
		Growth growthCommand `cmd:"" help:"Measure directories of different sizes beside each other."`
		Floor  floorCommand  `cmd:"" hidden:"" help:"Serve the floor."`
	}
	k := kong.Parse(&c, kong.Name("bench"), kong.BindTo(ctx, (*context.Context)(nil)), kong.UsageOnError())
	k.FatalIfErrorf(k.Run())
}
