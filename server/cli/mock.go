package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/alecthomas/kong"
	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/mock"
	"github.com/dragoman-id/dragoman/server/settings"
)

type mockFlags struct {
	Mock     bool   `help:"Serve a mock of the APIs: sample data in memory, a reproducible clock and reproducible ids, errors and delays by the header Prefer, and POST /mock/reset."`
	MockSeed uint64 `default:"1" placeholder:"N" help:"The seed of the mock's ids and access tokens (${default})."`
}

// ofMock are the flags that apply to a mock.
var ofMock = map[string]bool{
	"mock": true, "mock-seed": true, "listen": true, "cors-origin": true, "admin-host": true, "docs": true, "log-format": true, "log-level": true,
	"config": true, "format": true, // the file, whose other keys are ignored, and the format of 'dragoman config'
	"read-header-timeout": true, "read-timeout": true, "write-timeout": true, "idle-timeout": true, "request-timeout": true, "shutdown-timeout": true,
}

// checkMock rejects flags on the command line that do not apply to a mock. Such variables and keys of the file are ignored: an image
// sets some for the server.
func checkMock(k *kong.Context) error {
	for _, p := range k.Path {
		if p.Flag != nil && !p.Resolved && !ofMock[p.Flag.Name] {
			return fmt.Errorf("a mock has its own directory, keys and limits, and speaks plain HTTP: leave out --%s, or --mock", p.Flag.Name)
		}
	}
	return nil
}

// mockConfig converts the flags of a mock, and returns settings.Problems with all that is wrong with them.
func (c *serveCommand) mockConfig(k *kong.Context) (server.Config, error) {
	log, _ := c.logger()
	config := server.Config{
		Listen:   c.Listen,
		Timeouts: c.timeouts(),
		CORS:     c.CORSOrigin,
		Admin:    server.Admin{Hosts: c.AdminHost},
		Log:      log,
		Docs:     c.Docs,
	}
	var problems settings.Problems
	problems.Add(checkMock(k))
	for _, problem := range mock.Problems(config) {
		problems.Add(problem)
	}
	return config, problems.Err()
}

// runMock serves a mock until a signal comes.
func (c *serveCommand) runMock(ctx context.Context, k *kong.Context, b server.Build) error {
	config, err := c.mockConfig(k)
	if err != nil {
		return err
	}
	config.Build = b
	m, err := mock.New(ctx, config, c.MockSeed)
	if err != nil {
		return err
	}
	return errors.Join(c.serveMock(ctx, m), m.Close())
}

func (c *serveCommand) serveMock(ctx context.Context, m *mock.Server) error {
	l, err := m.Listen()
	if err != nil {
		return err
	}
	if err := mock.Greet(os.Stdout, l.Addr(), m.APIs(), c.MockSeed, c.Docs); err != nil {
		return errors.Join(err, l.Close())
	}
	return m.Serve(ctx, l)
}
