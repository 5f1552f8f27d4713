// Package dev has what `dragoman serve --dev` adds to try the server: keys in the working directory, the claims of the sandbox's
// administrator, and commands to paste. It knows the store's sandbox, and nothing of how requests are served.
package dev

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"os"
	"strings"
	"text/template"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/google/uuid"
)

// Directory is the directory of the keys, relative to the working directory.
const Directory = ".dragoman"

// The files of Directory with keys. Each has 32 random bytes in base64.
const (
	jwtSecretFile = "jwt-secret"
	secretKeyFile = "secret-key"
)

// JWTSecret returns the stored secret that signs tokens, or an fs.ErrNotExist if there is none.
func JWTSecret() (string, error) { return read(jwtSecretFile) }

// MakeJWTSecret returns the stored secret that signs tokens. It makes one if there is none.
func MakeJWTSecret() (string, error) { return readOrMake(jwtSecretFile) }

// SecretKey returns the stored key that encrypts secrets at rest, in base64, or an fs.ErrNotExist if there is none.
func SecretKey() (string, error) { return read(secretKeyFile) }

// MakeSecretKey returns the stored key that encrypts secrets at rest, in base64. It makes one if there is none.
func MakeSecretKey() (string, error) { return readOrMake(secretKeyFile) }

// MakeErasureLedger returns the path of the erasure ledger of a PostgreSQL that is served for development, and makes its directory.
func MakeErasureLedger() (string, error) {
	if err := os.MkdirAll(Directory, 0o700); err != nil {
		return "", fmt.Errorf("make the directory of the erasure ledger: %w", err)
	}
	return Directory + "/erasures", nil
}

func read(name string) (string, error) {
	if err := checkPrivate(); err != nil {
		return "", fmt.Errorf("read development key: %w", err)
	}
	text, err := fs.ReadFile(os.DirFS(Directory), name)
	if err != nil {
		return "", fmt.Errorf("read development key: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// checkPrivate refuses a directory and files that other accounts own or can write to: the keys may be theirs.
func checkPrivate() error {
	for _, name := range []string{Directory, Directory + "/" + jwtSecretFile, Directory + "/" + secretKeyFile} {
		info, err := os.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if othersCanWrite(info) {
			return fmt.Errorf("others can write to %s and may know the key: remove %s, or make it your own with chmod and chown", name, Directory)
		}
	}
	return nil
}

func readOrMake(name string) (string, error) {
	key, err := read(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := os.MkdirAll(Directory, 0o700); err != nil {
		return "", fmt.Errorf("make development key: %w", err)
	}
	if err := checkPrivate(); err != nil { // another process may have made it
		return "", fmt.Errorf("make development key: %w", err)
	}
	directory, err := os.OpenRoot(Directory)
	if err != nil {
		return "", fmt.Errorf("make development key: %w", err)
	}
	defer directory.Close()
	random := make([]byte, 32)
	rand.Read(random)
	key = base64.StdEncoding.EncodeToString(random)
	// With O_EXCL, only one of two servers that start at once makes the key.
	f, err := directory.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return read(name)
	}
	if err != nil {
		return "", fmt.Errorf("make development key: %w", err)
	}
	_, err = f.WriteString(key + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("make development key: %w", err)
	}
	return key, nil
}

// ErrNotLoopback refuses to listen on an address of --dev that others can reach.
var ErrNotLoopback = errors.New("--dev listens on a loopback address only, such as 127.0.0.1:8080: see --listen (DRAGOMAN_LISTEN)")

// CheckLoopback returns an [ErrNotLoopback] for an address that other machines can reach.
func CheckLoopback(listen string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotLoopback, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return ErrNotLoopback
	}
	return nil
}

// sandboxUUID is the UUID of the sandbox's customer, whose id is 3393.
const sandboxUUID = "2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1"

// Administrator returns the claims of Grace Hopper, who administers the sandbox's customer and may do everything there.
func Administrator(lifetime time.Duration) auth.Claims {
	grace := uuid.MustParse("0cfecc31-e3f4-4fce-9a27-f36ea6256a10")
	return auth.Claims{
		Subject:     grace.String(),
		UserID:      &grace,
		Customers:   []string{"3393"},
		Permissions: []auth.Permission{auth.PermissionRead, auth.PermissionWrite, auth.PermissionCreate},
		Authorities: []string{"ROLE_COMPANY_ADMIN", "ROLE_USER"},
		Expires:     lifetime,
	}
}

// TokenLifetime is how long the printed token is valid.
const TokenLifetime = 24 * time.Hour

// Greet prints the server's address, its APIs by their names and base paths, the explorer's URL if there is one, a token for the
// sandbox's customer, and both vendors' updates as commands. A verifier with this issuer accepts the token. If the issuer's rules
// cannot express it, Greet prints why instead.
func Greet(w io.Writer, address string, apis iter.Seq2[string, string], explorer bool, issuer auth.Issuer, now time.Time) error {
	claims := Administrator(TokenLifetime)
	claims.Rules = issuer.Rules
	token, err := auth.Sign(issuer.Secret, claims, now)
	if err != nil {
		// A map may mean the customer by its UUID alone.
		claims.Customers = []string{sandboxUUID}
		token, err = auth.Sign(issuer.Secret, claims, now)
	}
	data := map[string]any{"Address": address, "Customer": sandboxUUID, "APIs": apis, "Explorer": explorer, "Token": token, "Without": err}
	if err := greeting.Execute(w, data); err != nil {
		return fmt.Errorf("print the greeting: %w", err)
	}
	return nil
}

var greeting = template.Must(template.New("greeting").Parse(`Dragoman is listening on http://{{.Address}}, with an invented directory.

{{range $name, $path := .APIs}}  {{printf "%-10s" $name}} http://{{$.Address}}{{$path}}
{{end}}{{if .Explorer}}  Explorer   http://{{.Address}}/docs
{{end}}
{{if .Without}}Take a token of your identity provider for customer 3393 "Sandbox". None is made here: {{.Without}}.

TOKEN=
{{else}}A token of customer 3393 "Sandbox", good for a day:

TOKEN='{{.Token}}'
{{end}}
Worth's update, partial:

curl --request PATCH 'http://{{.Address}}/auth/api/v1/customers/{{.Customer}}/users/94520740-d63c-4e02-85ca-c4e138801e73' \
--header "Authorization: Bearer $TOKEN" \
--header 'Content-Type: application/json' \
--data '{"first_name":"Augusta Ada","mobile":"+44 20 7946 0000"}'

Testinium's update, the whole object:

curl --location --request PUT 'http://{{.Address}}/account/api/v1/customers/3393/users/6860' \
--header "Authorization: Bearer $TOKEN" \
--header 'current-company-id: 5251' \
--data '{"name":"Ada","surname":"Lovelace","username":"adalovelace","email":"ada.lovelace@example.com","enabled":false,"accountNonExpired":true,"accountNonLocked":true,"credentialNonExpired":true,"authorities":[{"entityId":2,"name":"ROLE_USER","cleanName":"ROLE USER"}]}'

`))
