// Command bench compares the server with two baselines: an UPDATE run by pgbench, and the floor, a hand-written server that runs a
// single statement. It measures them in turn, for several rounds, on one machine. So their ratios are meaningful even though the
// absolute figures depend on the machine. `make bench` and `make growth` run it.
//
// It starts the program as an operator would and loads it over HTTP with wrk. It does not depend on the implementation of the server,
// except for the tables that the floor and pgbench write to, and that it fills directly where an import would take too long.
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
		Run          runCommand          `cmd:"" default:"withargs" help:"Compare the server with the floor, and print which targets it meets."`
		Growth       growthCommand       `cmd:"" help:"Compare directories of different sizes."`
		Provisioning provisioningCommand `cmd:"" help:"Measure an identity provider's requests, alone and beside the load of another customer."`
		Webhooks     webhooksCommand     `cmd:"" help:"Measure how fast changes reach webhooks, and what deliveries cost writers."`
		Floor        floorCommand        `cmd:"" hidden:"" help:"Serve the floor."`
	}
	k := kong.Parse(&c, kong.Name("bench"), kong.BindTo(ctx, (*context.Context)(nil)), kong.UsageOnError())
	k.FatalIfErrorf(k.Run())
}
