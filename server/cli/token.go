package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dev"
	"github.com/dragoman-id/dragoman/server/mock"
	"github.com/dragoman-id/dragoman/server/settings"
)

type tokenCommand struct {
	Sign    signCommand        `cmd:"" default:"withargs" help:"Print a signed token on standard output, also without the word sign."`
	Create  tokenCreateCommand `cmd:"" help:"Create a token for a provisioning client (SCIM), and print it on standard output."`
	List    tokenListCommand   `cmd:"" help:"List the tokens of provisioning clients, without the tokens themselves."`
	Revoke  tokenRevokeCommand `cmd:"" help:"Revoke the token of a provisioning client. Every server refuses it within 5 seconds."`
	Explain explainCommand     `cmd:"" help:"Print what the server reads from a token, and who the caller would be."`
}

type signCommand struct {
	tokenFlags
	ruleFlags
	Subject    string        `default:"dragoman-cli" help:"The sub claim (${default})."`
	Customer   []string      `placeholder:"ID" help:"A customer that the token is for, by id or UUID; repeat it for several. * alone, with the authority ROLE_ADMIN, is for all customers. By default the token is for none."`
	Permission []string      `placeholder:"CODE" help:"A permission: customer_user:read, customer_user:write or customer_user:create; repeat it for several."`
	Authority  []string      `placeholder:"ROLE" help:"A role of the caller, such as ROLE_COMPANY_ADMIN; repeat it for several."`
	Expires    time.Duration `default:"1h" help:"How long the token is valid (${default})."`
	Dev        bool          `xor:"whose" help:"Sign with the key of 'dragoman serve --dev' in .dragoman/, even if another is configured."`
	Mock       bool          `xor:"whose" help:"Sign with the secret of 'dragoman serve --mock', which is public."`
}

// Run prints a token.
func (c *signCommand) Run() error {
	secret, err := c.secret()
	if err != nil {
		return err
	}
	permissions := make([]auth.Permission, len(c.Permission))
	for i, p := range c.Permission {
		permissions[i] = auth.Permission(p)
	}
	rules, err := c.rules(c.tokenFlags)
	if err != nil {
		return err
	}
	token, err := auth.Sign([]byte(secret), auth.Claims{
		Subject:     c.Subject,
		Customers:   c.Customer,
		Permissions: permissions,
		Authorities: c.Authority,
		Expires:     c.Expires,
		Rules:       rules,
	}, time.Now())
	if err != nil {
		return settings.Problems{err}
	}
	fmt.Println(token)
	return nil
}

func (c *signCommand) secret() (string, error) {
	if c.Mock {
		return mock.Secret, nil
	}
	if c.JWTSecret != "" && !c.Dev {
		return c.JWTSecret, nil
	}
	secret, err := dev.JWTSecret()
	if errors.Is(err, fs.ErrNotExist) {
		return "", errors.New("no key to sign with: set DRAGOMAN_JWT_SECRET, or run `dragoman serve --dev` in this directory first")
	}
	return secret, err
}
