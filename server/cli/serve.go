package cli

import (
	"context"
	"errors"
	"os"
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

type timeoutFlags struct {
	ReadHeaderTimeout time.Duration `default:"5s" help:"The timeout for reading a request's header (${default})."`
	ReadTimeout       time.Duration `default:"15s" help:"The timeout for reading a whole request (${default})."`
	WriteTimeout      time.Duration `default:"30s" help:"The timeout for writing an answer (${default})."`
	IdleTimeout       time.Duration `default:"2m" help:"How long an idle connection stays open (${default})."`
	RequestTimeout    time.Duration `default:"10s" help:"The timeout for handling a request, after which the answer is 503 (${default})."`
	DrainDelay        time.Duration `default:"0s" help:"How long to continue serving after a signal to stop, while /readyz is 503: as long as a load balancer takes to notice (${default})."`
	ShutdownTimeout   time.Duration `default:"20s" help:"How long to wait for requests in flight after a signal to stop (${default})."`
}

func (f timeoutFlags) timeouts() server.Timeouts {
	return server.Timeouts{
		ReadHeader: f.ReadHeaderTimeout, Read: f.ReadTimeout, Write: f.WriteTimeout,
		Idle: f.IdleTimeout, Request: f.RequestTimeout,
		Drain: f.DrainDelay, Shutdown: f.ShutdownTimeout,
	}
}

type serveCommand struct {
	Listen string `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"The address to listen on (${default})."`
	databaseFlag
	DatabaseConnections  int           `default:"16" placeholder:"N" help:"How many connections to PostgreSQL the server opens at most, at least 6 (${default}). With several servers the sum counts; see the guide. SQLite has no use for it."`
	NoMigrate            bool          `help:"Do not migrate the database, but wait until 'dragoman migrate' has, as long as --database-wait says."`
	DatabaseRead         string        `secret:"password" placeholder:"URL" help:"A PostgreSQL standby of --database, from which lists, searches, histories and the change feed are read. Single users, and whatever a write reads, are read from --database. By default there is none."`
	ReadLag              time.Duration `default:"5s" help:"How far the standby of --database-read may be behind. While it is further behind, or down, it is not used (${default})."`
	RememberedUsers      int           `default:"16384" placeholder:"N" help:"The size of the cache of users who were read or written in the last five minutes, at about a kilobyte each. An update of a cached user need not read the user first (${default}). 0 disables the cache."`
	IdempotencyRetention time.Duration `default:"24h" help:"How long the answer to a write with an Idempotency-Key is kept, to be repeated: from 1m to 720h (${default}). Whoever repeats a request later makes another write."`
	HistoryRetention     store.Age     `placeholder:"AGE" help:"How old an entry of the history must be for its personal values to be erased: days, weeks or years, such as 730d, 104w or 2y. Entries stay; users with a legal hold are left alone. By default nothing is erased. Of several servers with different settings the shortest counts."`
	ledgerFlag
	secretKeyFlags
	issuerFlags
	tokenLimitFlag

	timeoutFlags
	limitFlags
	webhookFlags
	tlsFlags
	CORSOrigin []string `name:"cors-origin" placeholder:"ORIGIN" help:"An origin whose scripts may use the server, such as https://app.example.com; repeat it for several. It is normalized as browsers normalize origins. By default none may."`

	Docs bool `default:"true" negatable:"" help:"Serve an explorer of the APIs under /docs, and the guide under /docs/guide. The documents under /openapi are always served."`

	adminFlags
	Dev bool `help:"Serve for development: on a loopback address only, with generated keys in .dragoman/, sample data if the database is empty, and commands to try."`
	mockFlags

	issuers []issuerItem // of the configuration file; if there are any, issuerFlags are not used
}

// Run serves until a signal comes.
func (c *serveCommand) Run(ctx context.Context, k *kong.Context, b server.Build) error {
	if c.Mock {
		return c.runMock(ctx, k, b)
	}
	if c.Dev {
		if err := c.generateKeys(dev.MakeJWTSecret, dev.MakeSecretKey); err != nil {
			return err
		}
	}
	config, err := c.config()
	if err != nil {
		return err
	}
	if err := config.CheckFree(); err != nil {
		return err
	}
	config.Build = b
	config.Tracing = tracing.FromEnvironment(ctx, b.Version, config.Log)
	defer flush(config.Tracing, config.Log)
	s, err := server.New(ctx, config)
	if err != nil {
		return explainKey(err, c.Dev)
	}
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
		if err := dev.Greet(os.Stdout, l.Addr().String(), s.APIs(), c.Docs, keys.Issuers[0], time.Now()); err != nil {
			return err
		}
	}
	return s.Serve(ctx, l)
}

// generateKeys sets the keys that are not configured.
func (c *serveCommand) generateKeys(jwtSecret, secretKey func() (string, error)) (err error) {
	if !c.hasKey() && len(c.issuers) == 0 {
		if c.JWTSecret, err = jwtSecret(); err != nil {
			return err
		}
		c.generated = true
	}
	if c.SecretKey == "" {
		c.SecretKey, err = secretKey()
	}
	return err
}

// config converts the flags, and returns settings.Problems with all that is wrong with them.
func (c *serveCommand) config() (server.Config, error) {
	var problems settings.Problems
	if c.Dev {
		problems.Add(dev.CheckLoopback(c.Listen))
	}
	if !c.hasKey() && !c.discovers() && c.missing() == nil && len(c.issuers) == 0 {
		problems.Add(errors.New("no key to verify tokens with: set DRAGOMAN_ISSUER and DRAGOMAN_AUDIENCE, DRAGOMAN_JWT_SECRET, DRAGOMAN_JWT_PUBLIC_KEY_FILE or DRAGOMAN_JWKS_URL, or try `dragoman serve --dev`"))
	}
	if c.JWTSecret == mock.Secret {
		problems.Add(errors.New("the secret of tokens is the mock's, which everybody knows: set --jwt-secret (DRAGOMAN_JWT_SECRET) to another"))
	}
	secretKey, oldSecretKeys, err := c.secretKeyFlags.decode()
	problems.Add(err)
	limits, err := c.limits(c.Dev)
	problems.Add(err)
	webhooks, err := c.webhooks()
	problems.Add(err)
	tls, err := c.tls(c.Dev)
	problems.Add(err)
	issuers, err := c.all(c.issuers)
	problems.Add(err)
	erasures, err := c.path(c.Database, c.Dev)
	problems.Add(err)
	log, level := c.logger()
	config := server.Config{
		Listen:               c.Listen,
		Database:             c.Database,
		DatabaseRead:         c.DatabaseRead,
		ReadLag:              c.ReadLag,
		DatabaseWait:         c.DatabaseWait,
		DatabaseConnections:  &c.DatabaseConnections,
		NoMigrate:            c.NoMigrate,
		RememberedUsers:      &c.RememberedUsers,
		IdempotencyRetention: &c.IdempotencyRetention,
		HistoryRetention:     c.HistoryRetention,
		ErasureLedger:        erasures,
		SecretKey:            secretKey,
		OldSecretKeys:        oldSecretKeys,
		Auth:                 auth.Config{Issuers: issuers, MaxTokenBytes: c.MaxTokenBytes},
		Timeouts:             c.timeouts(),
		Limits:               limits,
		Webhooks:             webhooks,
		TLS:                  tls,
		CORS:                 c.CORSOrigin,
		Log:                  log,
		Admin:                c.admin(level),
		Docs:                 c.Docs,
	}
	for _, problem := range config.Problems() {
		if !errors.Is(problem, auth.ErrNoKey) { // added above, with the names of the variables
			problems.Add(problem)
		}
	}
	return config, problems.Err()
}
