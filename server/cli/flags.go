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

	"github.com/dragoman-id/dragoman/server/dev"
	"github.com/dragoman-id/dragoman/server/settings"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/userfile"
)

type databaseFlag struct {
	Database string `secret:"password" default:"sqlite:dragoman.db" placeholder:"URL" help:"The database: sqlite:PATH or postgres://USER@HOST/NAME (${default})."`

	DatabaseWait time.Duration `default:"1m" help:"How long to wait at startup for a database that is unavailable (${default})."`
}

// check returns settings.Problems if the URL is invalid.
func (f *databaseFlag) check() error {
	var problems settings.Problems
	problems.Add(store.CheckURL(f.Database))
	return problems.Err()
}

// wait returns how long to wait for the database. Each attempt is logged to standard error.
func (f *databaseFlag) wait() store.Wait { return waitFor(f.DatabaseWait) }

// waitFor is databaseFlag.wait for a command that names its databases by other flags.
func waitFor(d time.Duration) store.Wait {
	return store.Wait{For: d, Waiting: func(err error, pause time.Duration) {
		slog.Warn("waiting for the database", "error", err, "next_try_in", pause.Round(time.Millisecond).String())
	}}
}

// secretKeyFlags are the keys that encrypt secrets at rest.
type secretKeyFlags struct {
	SecretKey    string   `secret:"" placeholder:"BASE64" help:"The key that encrypts access tokens, VCS passwords and answers kept for an Idempotency-Key in the database: 32 bytes in base64, as from 'openssl rand -base64 32'. Required. Prefer the variable."`
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

// storeFlags are the flags of commands that open the directory without a server.
type storeFlags struct {
	databaseFlag
	secretKeyFlags
	Dev bool `help:"Use the key of 'dragoman serve --dev', which is in .dragoman/ of the working directory. For an SQLite database this is the default if no key is configured."`

	ledger string // the erasure ledger's path; empty for the default
}

// open opens an existing directory. The caller must close it.
func (f *storeFlags) open(ctx context.Context) (*store.Store, error) {
	return f.openStore(ctx, dev.SecretKey, true)
}

// openOrCreate opens the directory, or creates it. With --dev it also creates the key in .dragoman/.
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
		URL: f.Database, Existing: existing, SecretKey: key, OldSecretKeys: old, Wait: f.wait(), ErasureLedger: f.ledger,
	})
	return s, explainKey(existingHint(err), !configured)
}

// explainKey adds the place of the development key to an error about the secret key.
func explainKey(err error, isDev bool) error {
	if isDev && errors.Is(err, store.ErrSecretKey) {
		return fmt.Errorf("%w; --dev keeps its own in %s/secret-key: put that file back, or move the database away to begin anew", err, dev.Directory)
	}
	return err
}

// keys returns the configured keys. If no secret key is configured, it uses the development key with --dev and for an SQLite file,
// which 'dragoman serve --dev' creates next to its keys.
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

// existingHint adds the remedy to store.ErrNoDirectory.
func existingHint(err error) error {
	if !errors.Is(err, store.ErrNoDirectory) {
		return err
	}
	return fmt.Errorf("%w: name the database with --database (DRAGOMAN_DATABASE), or create one with `dragoman migrate`", err)
}

// withProblem returns settings.Problems with first before the problems of others.
func withProblem(first, others error) error {
	var problems settings.Problems
	problems.Add(first)
	problems.Add(others)
	return problems.Err()
}

// withOrigin makes the history record the command and the system account that runs it as the origin of changes.
func withOrigin(ctx context.Context, command string) context.Context {
	subject := "unknown"
	if u, err := user.Current(); err == nil {
		subject = u.Username
	}
	return store.WithOrigin(ctx, store.Origin{Subject: subject, Dialect: "cli", Operation: command})
}

// formatFlag is the format of a file of users.
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
