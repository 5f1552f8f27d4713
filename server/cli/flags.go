package cli

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os/user"
	"strings"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dev"
	"github.com/dragoman-id/dragoman/server/settings"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/userfile"
)

type databaseFlag struct {
	Database string `secret:"password" default:"sqlite:dragoman.db" placeholder:"URL" help:"The database: sqlite:PATH or postgres://USER@HOST/NAME (${default})."`

	DatabaseWait time.Duration `default:"1m" help:"How long to wait at startup for a database that is unavailable (${default})."`
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
	JWTSecret string `name:"jwt-secret" secret:"" placeholder:"TEXT" help:"The secret of HS256 tokens, at least 32 bytes, used as it is. It, --jwt-public-key-file or --jwks-url is required. Prefer the variable, since others on the machine can read a command line."`
	Issuer    string `placeholder:"TEXT" help:"The iss claim that tokens must have. By default it is not checked."`
	Audience  string `placeholder:"TEXT" help:"The aud claim that tokens must have. By default it is not checked."`
}

type claimFlags struct {
	ClaimUserID      string `name:"claim-user-id" default:"custom:id" help:"The claim with the caller's own user UUID (${default})."`
	ClaimCustomers   string `default:"customer_id" help:"The claim with the caller's customers (${default})."`
	ClaimPermissions string `default:"permissions" help:"The claim with the caller's permissions (${default})."`
	ClaimAuthorities string `default:"authorities" help:"The claim with the caller's roles (${default})."`
}

func (f claimFlags) names() auth.ClaimNames {
	return auth.ClaimNames{
		UserID: f.ClaimUserID, Customers: f.ClaimCustomers, Permissions: f.ClaimPermissions, Authorities: f.ClaimAuthorities,
	}
}

// secretKeyFlags are the keys that seal secrets at rest.
type secretKeyFlags struct {
	SecretKey    string   `secret:"" placeholder:"BASE64" help:"The key that encrypts access tokens and VCS passwords in the database: 32 bytes in base64, as from 'openssl rand -base64 32'. Required. Prefer the variable."`
	OldSecretKey []string `secret:"" placeholder:"BASE64" help:"A previous secret key, needed until 'dragoman rekey' has run; separate several by commas."`
}

func (f secretKeyFlags) decode() (key []byte, old [][]byte, err error) {
	var problems settings.Problems
	if f.SecretKey == "" {
		problems.Add(errors.New("no key to seal secrets with: set DRAGOMAN_SECRET_KEY to 32 bytes in base64, as from `openssl rand -base64 32`, or try `--dev`"))
	} else if key, err = decodeSecretKey(f.SecretKey); err != nil {
		problems.Add(errors.New("the secret key is not 32 bytes in base64: set --secret-key (DRAGOMAN_SECRET_KEY) to one that `openssl rand -base64 32` has made"))
	}
	for _, text := range f.OldSecretKey {
		k, err := decodeSecretKey(text)
		if err != nil {
			problems.Add(errors.New("an old secret key is not 32 bytes in base64: set --old-secret-key (DRAGOMAN_OLD_SECRET_KEY) to keys that --secret-key has had, as they were"))
			continue
		}
		old = append(old, k)
	}
	return key, old, problems.Err()
}

var errSecretKey = errors.New("not 32 bytes in base64")

func decodeSecretKey(text string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != 32 {
		return nil, errSecretKey
	}
	return key, nil
}

// storeFlags are what a command needs to open the directory by itself.
type storeFlags struct {
	databaseFlag
	secretKeyFlags
	Dev bool `help:"Use the key of 'dragoman serve --dev', which is in .dragoman/ of the working directory. For an SQLite database this is the default if no key is configured."`
}

// open opens a directory that is there already. Whoever opens it closes it.
func (f *storeFlags) open(ctx context.Context) (*store.Store, error) {
	return f.openStore(ctx, dev.SecretKey, true)
}

// openOrCreate opens the directory and creates it if there is none, with --dev the key in .dragoman/ as well.
func (f *storeFlags) openOrCreate(ctx context.Context) (*store.Store, error) {
	developmentKey := dev.SecretKey
	if f.Dev {
		developmentKey = dev.MakeSecretKey
	}
	return f.openStore(ctx, developmentKey, false)
}

func (f *storeFlags) openStore(ctx context.Context, developmentKey func() (string, error), existing bool) (*store.Store, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	configured := f.SecretKey != ""
	key, old, err := f.keys(developmentKey)
	if err != nil {
		if existing {
			err = withProblem(existingHint(store.CheckExisting(ctx, f.Database)), err)
		}
		return nil, err
	}
	s, err := store.Open(ctx, store.Config{
		URL: f.Database, Existing: existing, SecretKey: key, OldSecretKeys: old, Patience: f.patience(),
	})
	return s, explainKey(existingHint(err), !configured)
}

// explainKey adds to an error of opening the directory where --dev keeps the key, if it is about that.
func explainKey(err error, isDev bool) error {
	if isDev && errors.Is(err, store.ErrSecretKey) {
		return fmt.Errorf("%w; --dev keeps its own in %s/secret-key: put that file back, or move the database away to begin anew", err, dev.Directory)
	}
	return err
}

// keys returns the configured keys. Where no secret key is configured it takes the development key, if --dev allows it or
// the database is an SQLite file, as the one that 'dragoman serve --dev' keeps beside its keys.
func (f *storeFlags) keys(developmentKey func() (string, error)) (key []byte, old [][]byte, err error) {
	if f.SecretKey == "" && (f.Dev || strings.HasPrefix(f.Database, "sqlite:")) {
		f.SecretKey, err = developmentKey()
		switch {
		case errors.Is(err, fs.ErrNotExist) && f.Dev:
			return nil, nil, settings.Problems{errors.New("there is no key in .dragoman/ of the working directory: start `dragoman serve --dev` here first, or leave out --dev and set DRAGOMAN_SECRET_KEY")}
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return nil, nil, err
		}
	}
	return f.decode()
}

// existingHint adds to store.ErrNoDirectory what to do about it.
func existingHint(err error) error {
	if !errors.Is(err, store.ErrNoDirectory) {
		return err
	}
	return fmt.Errorf("%w: name the database with --database (DRAGOMAN_DATABASE), or create one with `dragoman migrate`", err)
}

// withProblem puts one problem before those of another error.
func withProblem(first, others error) error {
	var problems settings.Problems
	problems.Add(first)
	problems.Add(others)
	return problems.Err()
}

// withOrigin records what a command writes as its own, and as the account's that ran it.
func withOrigin(ctx context.Context, command string) context.Context {
	subject := "unknown"
	if u, err := user.Current(); err == nil {
		subject = u.Username
	}
	return store.WithOrigin(ctx, store.Origin{Subject: subject, Dialect: "cli", Operation: command})
}

// formatFlag says how a file of users is written.
type formatFlag struct {
	Format string `enum:"csv,ndjson," default:"" placeholder:"FORMAT" help:"The file's format: csv or ndjson. By default the extension decides: .csv, .ndjson or .jsonl."`
}

func (f formatFlag) of(name string) (userfile.Format, error) {
	if f.Format != "" {
		return userfile.Format(f.Format), nil
	}
	if format, ok := userfile.FormatOf(name); ok {
		return format, nil
	}
	return "", badInput{fmt.Errorf("the name %q does not tell the format: give --format csv or --format ndjson", name)}
}
