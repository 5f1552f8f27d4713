// Command dragoman serves one user directory in the API dialects of two vendors. It turns flags and variables into a
// configuration and hands that on: serve, migrate and token stand here, the other commands in the files beside.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dev"
	"github.com/dragoman-id/dragoman/server/mock"
	"github.com/dragoman-id/dragoman/server/settings"
	"github.com/dragoman-id/dragoman/server/tracing"
	"github.com/dragoman-id/dragoman/store"
)

type commandLine struct {
	ConfigFile string `name:"config" placeholder:"FILE" help:"A YAML file of settings: the flags of 'dragoman serve' without their dashes. Flags and variables are stronger."`

	Serve      serveCommand      `cmd:"" help:"Serve the directory."`
	Config     configCommand     `cmd:"" help:"Print the configuration that 'dragoman serve' would have, and where each value comes from."`
	Migrate    migrateCommand    `cmd:"" help:"Bring the database to this version's schema, and say what was done."`
	Collisions collisionsCommand `cmd:"" help:"List users whose usernames or e-mails are the same to this version, though they were not to the one that stored them."`
	Customer   customerCommand   `cmd:"" help:"Customers and their companies."`
	Import     importCommand     `cmd:"" help:"Take a file of users into the directory."`
	Export     exportCommand     `cmd:"" help:"Write the users of the directory to a file."`
	History    historyCommand    `cmd:"" help:"Tell what was changed of a user: when, by whom, through which API, from what to what."`
	Changes    changesCommand    `cmd:"" help:"The feed of all changes."`
	Restore    restoreCommand    `cmd:"" help:"Write an older state of a user back, as a new change. Secrets stay as they are."`
	Backup     backupCommand     `cmd:"" help:"Copy a SQLite database to a file, while it is being used."`
	Rekey      rekeyCommand      `cmd:"" help:"Seal all secrets anew with the present key, so that old ones can be forgotten."`
	Token      tokenCommand      `cmd:"" help:"Print a signed token, alone on standard output."`
	Check      checkCommand      `cmd:"" help:"Hold any server that speaks a dialect against the laws of that dialect."`
	Ready      readyCommand      `cmd:"" help:"Ask the server of this machine whether it is ready; the exit status says it."`
	Version    versionCommand    `cmd:"" help:"Print which version this is, and of which commit and date."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal does not wait for the first one's work.
	context.AfterFunc(ctx, stop)
	var c commandLine
	parser, err := newParser(&c, kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		panic(err) // of a mistake in the structs
	}
	parser.FatalIfErrorf(settings.DropEmpty())
	k, err := parser.Parse(os.Args[1:])
	parser.FatalIfErrorf(settings.Explain(err))
	err = k.Run()
	standardError.Flush()
	k.FatalIfErrorf(err)
}

// newParser returns the parser of the command line, which takes from variables and files what a command line leaves out.
func newParser(c *commandLine, options ...kong.Option) (*kong.Kong, error) {
	all := []kong.Option{
		kong.Name("dragoman"),
		kong.Description("A user directory that speaks Worth's and Testinium's APIs.\n\n" +
			"Every flag has a variable: --listen is DRAGOMAN_LISTEN, and so on. A file named by --config has those of " +
			"'dragoman serve'. 'dragoman config' prints what it all comes to. Start with 'dragoman serve --dev'."),
	}
	all = append(all, settings.New("serve").Options()...)
	return kong.New(c, append(all, options...)...)
}

type databaseFlag struct {
	Database string `secret:"password" default:"sqlite:dragoman.db" placeholder:"URL" help:"Where the directory is kept: sqlite:PATH or postgres://USER@HOST/NAME (${default})."`

	DatabaseWait time.Duration `default:"1m" help:"How long to wait for a database that is not there yet when the program starts (${default})."`
}

// check returns what is wrong with the URL, as settings.Problems.
func (f *databaseFlag) check() error {
	var problems settings.Problems
	problems.Add(store.CheckURL(f.Database))
	return problems.Err()
}

// patience waits for the database, and says so on standard error.
func (f *databaseFlag) patience() store.Patience {
	return store.Patience{For: f.DatabaseWait, Waiting: func(err error, pause time.Duration) {
		slog.Warn("waiting for the database", "error", err, "next_try_in", pause.Round(time.Millisecond).String())
	}}
}

type tokenFlags struct {
	JWTSecret string `name:"jwt-secret" secret:"" placeholder:"TEXT" help:"The secret that HS256 tokens are signed with, at least 32 bytes. Better given by its variable, as others on the machine can read a command line."`
	Issuer    string `placeholder:"TEXT" help:"The iss claim that tokens must have."`
	Audience  string `placeholder:"TEXT" help:"The aud claim that tokens must have."`
}

type claimFlags struct {
	ClaimUserID      string `name:"claim-user-id" default:"custom:id" help:"The claim that holds the caller's own user UUID (${default})."`
	ClaimCustomers   string `default:"customer_id" help:"The claim that holds the caller's customers (${default})."`
	ClaimPermissions string `default:"permissions" help:"The claim that holds the caller's permissions (${default})."`
	ClaimAuthorities string `default:"authorities" help:"The claim that holds the caller's roles (${default})."`
}

func (f claimFlags) names() auth.ClaimNames {
	return auth.ClaimNames{
		UserID: f.ClaimUserID, Customers: f.ClaimCustomers, Permissions: f.ClaimPermissions, Authorities: f.ClaimAuthorities,
	}
}

type timeoutFlags struct {
	ReadHeaderTimeout time.Duration `default:"5s" help:"For reading a request's header (${default})."`
	ReadTimeout       time.Duration `default:"15s" help:"For reading a whole request (${default})."`
	WriteTimeout      time.Duration `default:"30s" help:"For writing an answer (${default})."`
	IdleTimeout       time.Duration `default:"2m" help:"For a connection between two requests (${default})."`
	RequestTimeout    time.Duration `default:"10s" help:"For the work on a request; then the answer is 503 (${default})."`
	DrainDelay        time.Duration `default:"0s" help:"How long to serve on, saying by /readyz that the server is not ready any more, when it is told to stop: as long as a load balancer takes to notice (${default})."`
	ShutdownTimeout   time.Duration `default:"20s" help:"For requests under way when the server is told to stop (${default})."`
}

func (f timeoutFlags) timeouts() server.Timeouts {
	return server.Timeouts{
		ReadHeader: f.ReadHeaderTimeout, Read: f.ReadTimeout, Write: f.WriteTimeout,
		Idle: f.IdleTimeout, Request: f.RequestTimeout,
		Drain: f.DrainDelay, Shutdown: f.ShutdownTimeout,
	}
}

type serveCommand struct {
	Listen string `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Where to listen (${default})."`
	databaseFlag
	RememberedUsers int `default:"16384" placeholder:"N" help:"How many users to remember who were read or written in the last five minutes, at about a kilobyte each, so that an update need not read them first (${default}). 0 is none."`
	secretKeyFlags
	tokenFlags
	JWTPublicKeyFile string        `name:"jwt-public-key-file" type:"existingfile" placeholder:"FILE" help:"A PEM file with the public key that RS256, ES256 or EdDSA tokens are verified with. Needs --issuer and --audience."`
	JWKSURL          string        `name:"jwks-url" placeholder:"URL" help:"Where the issuer publishes the JSON Web Key Set that RS256, ES256 or EdDSA tokens are verified with: an https URL, or a file. It is read anew while the server runs. Instead of --jwt-public-key-file; needs --issuer and --audience."`
	JWKSMaxAge       time.Duration `name:"jwks-max-age" default:"24h" help:"How long a key is used after the last reading that had it (${default})."`
	JWKSRefresh      time.Duration `name:"jwks-refresh" default:"5m" help:"How often the key set is read anew (${default}). Keys not seen before are looked up sooner."`
	claimFlags
	timeoutFlags
	limitFlags
	tlsFlags
	CORSOrigin []string `name:"cors-origin" placeholder:"ORIGIN" help:"An origin whose scripts may use the server, such as https://app.example.com; repeat it for several. Upper case, a default port and letters beyond ASCII are written as browsers write them. Without it none may."`

	Docs bool `default:"true" negatable:"" help:"Serve an explorer of the APIs under /docs. The documents under /openapi are served either way."`

	watchFlags
	Dev bool `help:"Try it out: on a loopback address only, with keys made and kept in .dragoman/, an invented directory if the database is empty, and calls to paste."`
	mockFlags
}

// Run serves until a signal comes.
func (c *serveCommand) Run(ctx context.Context, k *kong.Context) error {
	if c.Mock {
		return c.runMock(ctx, k)
	}
	if c.Dev {
		if err := c.makeUp(dev.MakeJWTSecret, dev.MakeSecretKey); err != nil {
			return err
		}
	}
	config, err := c.config()
	if err != nil {
		return err
	}
	config.Tracing = tracing.FromEnvironment(ctx, config.Build.Version, config.Log)
	defer flush(config.Tracing, config.Log)
	s, err := server.New(ctx, config)
	if err != nil {
		return explainKey(err, c.Dev)
	}
	manageMemory(ctx) // after all that is only needed once
	return errors.Join(c.serve(ctx, s, config.Auth), s.Close())
}

func (c *serveCommand) serve(ctx context.Context, s *server.Server, keys auth.Config) error {
	if c.Dev {
		if err := s.Store().SeedSandbox(withOrigin(ctx, "serve --dev")); err != nil {
			return err
		}
	}
	l, err := s.Listen()
	if err != nil {
		return err
	}
	if c.Dev && c.JWTSecret != "" {
		if err := dev.Greet(os.Stdout, l.Addr().String(), s.APIs(), c.Docs, keys, time.Now()); err != nil {
			return err
		}
	}
	return s.Serve(ctx, l)
}

// makeUp fills in the keys that were not given.
func (c *serveCommand) makeUp(jwtSecret, secretKey func() (string, error)) (err error) {
	if !c.hasTokenKey() {
		if c.JWTSecret, err = jwtSecret(); err != nil {
			return err
		}
	}
	if c.SecretKey == "" {
		c.SecretKey, err = secretKey()
	}
	return err
}

// hasTokenKey reports whether there is something to verify tokens with.
func (c *serveCommand) hasTokenKey() bool {
	return c.JWTSecret != "" || c.JWTPublicKeyFile != "" || c.JWKSURL != ""
}

// config gives what the flags stand for, or settings.Problems with all that is wrong with them.
func (c *serveCommand) config() (server.Config, error) {
	var problems settings.Problems
	if c.Dev {
		problems.Add(dev.CheckLoopback(c.Listen))
	}
	if !c.hasTokenKey() {
		problems.Add(errors.New("no key to verify tokens with: set DRAGOMAN_JWT_SECRET, DRAGOMAN_JWT_PUBLIC_KEY_FILE or DRAGOMAN_JWKS_URL, or try `dragoman serve --dev`"))
	}
	if c.JWTSecret == mock.Secret {
		problems.Add(errors.New("the secret of tokens is the mock's, which everybody knows: set --jwt-secret (DRAGOMAN_JWT_SECRET) to another"))
	}
	secretKey, oldSecretKeys, err := c.secretKeyFlags.decode()
	problems.Add(err)
	limits, err := c.limits(c.Dev)
	problems.Add(err)
	tls, err := c.tls(c.Dev)
	problems.Add(err)
	var publicKey []byte
	if c.JWTPublicKeyFile != "" {
		if publicKey, err = os.ReadFile(c.JWTPublicKeyFile); err != nil {
			problems.Add(fmt.Errorf("read the public key of --jwt-public-key-file (DRAGOMAN_JWT_PUBLIC_KEY_FILE): %w", err))
		}
	}
	log, level := c.logger()
	config := server.Config{
		Listen:          c.Listen,
		Database:        c.Database,
		DatabaseWait:    c.DatabaseWait,
		RememberedUsers: &c.RememberedUsers,
		SecretKey:       secretKey,
		OldSecretKeys:   oldSecretKeys,
		Auth: auth.Config{
			Secret:       []byte(c.JWTSecret),
			PublicKeyPEM: publicKey,
			JWKSURL:      c.JWKSURL,
			JWKSRefresh:  c.JWKSRefresh,
			JWKSMaxAge:   c.JWKSMaxAge,
			Issuer:       c.Issuer,
			Audience:     c.Audience,
			Claims:       c.claimFlags.names(),
		},
		Timeouts: c.timeouts(),
		Limits:   limits,
		TLS:      tls,
		CORS:     c.CORSOrigin,
		Log:      log,
		Admin:    c.admin(level),
		Build:    build(),
		Docs:     c.Docs,
	}
	for _, problem := range config.Problems() {
		if !errors.Is(problem, auth.ErrNoKey) { // said above, in the words of whoever is to mend it
			problems.Add(problem)
		}
	}
	return config, problems.Err()
}

type migrateCommand struct{ databaseFlag }

// Run applies what is not applied yet.
func (c *migrateCommand) Run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	applied, err := store.Migrate(ctx, c.Database, c.patience())
	if err != nil {
		return err
	}
	for _, name := range applied {
		fmt.Println("applied", name)
	}
	if len(applied) == 0 {
		fmt.Println("nothing to apply: the database is up to date")
	}
	collisions, err := store.CollisionsIn(ctx, c.Database, c.patience())
	if err != nil {
		return err
	}
	return tellCollisions(os.Stdout, collisions)
}

type tokenCommand struct {
	tokenFlags
	claimFlags
	Subject    string        `default:"dragoman-cli" help:"The sub claim (${default})."`
	Customer   []string      `placeholder:"ID" help:"A customer that the token is for, by UUID or Long; repeat it for several. * alone, with the authority ROLE_ADMIN, is for all customers. Without a customer the token is for none."`
	Permission []string      `placeholder:"CODE" help:"A permission: customer_user:read, customer_user:write or customer_user:create; repeat it for several."`
	Authority  []string      `placeholder:"ROLE" help:"A role of the caller, such as ROLE_COMPANY_ADMIN; repeat it for several."`
	Expires    time.Duration `default:"1h" help:"How long the token is good (${default})."`
	Dev        bool          `xor:"whose" help:"Sign with the key that 'dragoman serve --dev' keeps in .dragoman/, even if another is configured."`
	Mock       bool          `xor:"whose" help:"Sign with the secret of 'dragoman serve --mock', which everybody knows."`
}

// Run prints one token.
func (c *tokenCommand) Run() error {
	secret, err := c.secret()
	if err != nil {
		return err
	}
	permissions := make([]auth.Permission, len(c.Permission))
	for i, p := range c.Permission {
		permissions[i] = auth.Permission(p)
	}
	token, err := auth.Sign([]byte(secret), auth.Claims{
		Subject:     c.Subject,
		Customers:   c.Customer,
		Permissions: permissions,
		Authorities: c.Authority,
		Issuer:      c.Issuer,
		Audience:    c.Audience,
		Expires:     c.Expires,
		Names:       c.claimFlags.names(),
	}, time.Now())
	if err != nil {
		return settings.Problems{err}
	}
	fmt.Println(token)
	return nil
}

func (c *tokenCommand) secret() (string, error) {
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

type readyCommand struct {
	Listen string `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Where it listens (${default})."`
	tlsFlags
}

// Help is the long text of --help.
func (*readyCommand) Help() string {
	return "It takes the settings of the server that it asks, from the same variables and file. Where the server speaks TLS, it " +
		"trusts the certificate of --tls-cert and no other."
}

// Run asks once.
func (c *readyCommand) Run(ctx context.Context) error {
	files := server.TLS{CertFile: c.TLSCert, KeyFile: c.TLSKey}
	if err := files.Check(); err != nil {
		return settings.Problems{err}
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return settings.Problems{fmt.Errorf("%q is no address to ask at: set --listen (DRAGOMAN_LISTEN) to HOST:PORT, such as 127.0.0.1:8080", c.Listen)}
	}
	return server.CheckReady(ctx, c.Listen, files.CertFile)
}
