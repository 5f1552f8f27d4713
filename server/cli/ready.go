package cli

import (
	"context"
	"fmt"
	"net"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/settings"
)

type readyCommand struct {
	Listen string `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"The address that the server listens on (${default})."`
	tlsFlags
}

// Help is the long text of --help.
func (*readyCommand) Help() string {
	return "It uses the settings of the server, from the same variables and file. If the server speaks TLS, it trusts only the " +
		"certificate of --tls-cert."
}

// Run sends one request.
func (c *readyCommand) Run(ctx context.Context) error {
	files := server.TLS{CertFile: c.TLSCert, KeyFile: c.TLSKey}
	if err := files.Check(); err != nil {
		return settings.Problems{err}
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return settings.Problems{fmt.Errorf("%q is not an address: set --listen (DRAGOMAN_LISTEN) to HOST:PORT, such as 127.0.0.1:8080", c.Listen)}
	}
	return server.CheckReady(ctx, c.Listen, files.CertFile)
}
