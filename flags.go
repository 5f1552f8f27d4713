package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os/user"

	"github.com/dragoman-id/dragoman/server/dev"
	"github.com/dragoman-id/dragoman/server/settings"
	"github.com/dragoman-id/dragoman/store"
)

// secretKeyFlags are the keys that seal secrets at rest.
type secretKeyFlags struct {
	SecretKey    string   `secret:"" placeholder:"BASE64" help:"The key that seals secrets at rest: 32 bytes in base64, as from 'openssl rand -base64 32'. Better given by its variable."`
	OldSecretKey []string `secret:"" placeholder:"BASE64" help:"A key that secrets may still be sealed with, until 'dragoman rekey' has run; several are separated by commas."`
}

func (f secretKeyFlags) decode() (key []byte, old [][]byte, err error) {
	var problems settings.Problems
	if f.SecretKey == "" {
		problems.Add(errors.New("no key to seal secrets with: set DRAGOMAN_SECRET_KEY to 32 bytes in base64, as from `openssl rand -base64 32`"))
	} else if key, err = decodeSecretKey(f.SecretKey); err != nil {
		problems.Add(errors.New("the secret key is not 32 bytes in base64: set DRAGOMAN_SECRET_KEY to one that `openssl rand -base64 32` has made"))
	}
	for _, text := range f.OldSecretKey {
		k, err := decodeSecretKey(text)
		if err != nil {
			problems.Add(errors.New("an old secret key is not 32 bytes in base64: see DRAGOMAN_OLD_SECRET_KEY"))
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
	Dev bool `help:"Use the key that 'dragoman serve --dev' keeps in .dragoman/."`
}

// open opens the directory. Whoever opens it closes it.
func (f *storeFlags) open(ctx context.Context) (*store.Store, error) {
	if f.Dev && f.SecretKey == "" {
		key, err := dev.MakeSecretKey()
		if err != nil {
			return nil, err
		}
		f.SecretKey = key
	}
	key, old, err := f.decode()
	if err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, store.Config{URL: f.Database, SecretKey: key, OldSecretKeys: old, Patience: f.patience()})
	return s, explainKey(err, f.Dev)
}

// explainKey adds to an error of opening the directory where --dev keeps the key, if it is about that.
func explainKey(err error, isDev bool) error {
	if isDev && errors.Is(err, store.ErrSecretKey) {
		return fmt.Errorf("%w; --dev keeps its own in %s/secret-key: put that file back, or move the database away to begin anew", err, dev.Directory)
	}
	return err
}

// withOrigin records what a command writes as its own, and as the account's that ran it.
func withOrigin(ctx context.Context, command string) context.Context {
	subject := "unknown"
	if u, err := user.Current(); err == nil {
		subject = u.Username
	}
	return store.WithOrigin(ctx, store.Origin{Subject: subject, Dialect: "cli", Operation: command})
}
