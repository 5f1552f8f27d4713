package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/dragoman-id/dragoman/store"
)

// Config configures a [Verifier].
type Config struct {
	// Issuers are the issuers whose tokens are accepted, at least one. If there are several, each must have a different Issuer that is
	// not empty: a token's iss selects the issuer, whose keys alone must verify the token and whose rules alone apply to it.
	Issuers []Issuer

	// MaxTokenBytes is the maximum size of a token in bytes, from 1 KiB to 48 KiB. 0 means DefaultMaxTokenBytes.
	MaxTokenBytes int

	// Now returns the time with which tokens' exp, nbf and iat are compared. Nil means time.Now.
	Now func() time.Time

	// Transport wraps the transport that fetches key sets, for example for tracing. Nil means no wrapper.
	Transport func(http.RoundTripper) http.RoundTripper

	// Log gets a line when a key set is first read, changes, cannot be read, or loses keys. Nil means slog.Default().
	Log *slog.Logger
}

// DefaultMaxTokenBytes is the default of Config.MaxTokenBytes. A token with the ids of 200 groups, the most that Entra ID puts into
// one, has about 12 KiB.
const DefaultMaxTokenBytes = 16 << 10

// Issuer is an issuer of tokens: the keys that verify them, and the rules by which they are read. It needs a secret, a public key or
// a key set; a secret can be combined with one of the others.
type Issuer struct {
	// Secret is the key of HS256 tokens: at least 32 raw bytes, which are not decoded. Empty means none.
	Secret []byte

	// PublicKeyPEM is a PEM file with one PUBLIC KEY (PKIX), RSA PUBLIC KEY (PKCS #1) or CERTIFICATE, of which only the key is
	// used. An RSA key of at least 2048 bits verifies RS256, an ECDSA key on P-256 verifies ES256, and an Ed25519 key verifies
	// EdDSA, which is also called Ed25519 (RFC 9864). Nil means none; an empty file is invalid.
	PublicKeyPEM []byte

	// JWKSURL is the location of the issuer's JWK Set (RFC 7517): an https URL, a file URL or a path. An http URL is only permitted
	// for a loopback address (127.0.0.0/8, ::1 or localhost). Empty means none.
	//
	// The set may contain the same kinds of keys as PublicKeyPEM, and each is used only for its own algorithm. If a key has the
	// members use, key_ops or alg, they must permit this. An RSA key whose alg is PS256 verifies PS256 instead of RS256. Symmetric and private keys are ignored. A token's kid names the key. A
	// token without a kid is verified with the set's only key for its algorithm, and refused if there are several. The set is
	// fetched without following redirects, within 10 seconds, and must not exceed 1 MiB.
	//
	// The set is read in the background: at the start, every JWKSRefresh, and for a token of this issuer with an unknown kid. The last of these
	// happens at most every ten seconds, and requests wait for it for at most 2 seconds. A read that returns no usable key counts as
	// failed. After a failed read the keys remain active, and the set is read again within 30 seconds. A key is dropped if two
	// consecutive successful reads do not return it, or if its kid names another key. A file must be valid at the start. A URL need
	// not be reachable then; see ErrKeysUnavailable.
	JWKSURL string

	// JWKSRefresh is the interval between reads, at least a second. A withdrawn key may verify tokens for twice as long. 0 means
	// DefaultJWKSRefresh.
	JWKSRefresh time.Duration

	// JWKSMaxAge is how long a key verifies tokens after the last successful read that returned it. It must not be less than
	// JWKSRefresh. 0 means DefaultJWKSMaxAge.
	JWKSMaxAge time.Duration

	// Discover is whether the URL of the key set is discovered instead: Rules.Issuer is then the URL of an issuer that publishes a
	// document about itself, by OpenID Connect Discovery 1.0 or RFC 8414. It must be https, or http for a loopback address. The
	// URL of the key set in the document must be https, or, if the issuer's address is a loopback address, http for another one. The document's issuer must be Rules.Issuer exactly; one final slash is only removed to
	// make the document's URL. The document is read with each read of the key set, under the same limits. JWKSURL and PublicKeyPEM
	// must be empty.
	Discover bool

	// Rules apply to all tokens. With a public key or a key set, Issuer and Audiences are required, since the owner of the keys may
	// sign tokens for other services.
	Rules
}

// ErrNoKey is the problem that [Config.Problems] returns for a configuration without a key.
var ErrNoKey = errors.New("there is neither a secret nor a public key nor a JWKS URL to verify tokens with")

// Problems returns all errors in the configuration, or nil. It reads a key set from a file, but does not fetch one from a server.
func (c Config) Problems() (problems []error) {
	if len(c.Issuers) == 0 {
		return []error{ErrNoKey}
	}
	if n := c.MaxTokenBytes; n != 0 && (n < 1<<10 || n > 48<<10) {
		problems = append(problems, fmt.Errorf("--max-token-bytes must be from %d to %d, and is %d", 1<<10, 48<<10, n))
	}
	seen := map[string]bool{}
	for n, i := range c.Issuers {
		found := i.problems(c)
		switch {
		case len(c.Issuers) > 1 && i.Rules.Issuer == "":
			found = append(found, errors.New("it needs its issuer, since there are several"))
		case len(c.Issuers) > 1 && strings.ContainsFunc(i.Rules.Issuer, unicode.IsSpace):
			// A space separates the issuer from the rest of Principal.Subject.
			found = append(found, errors.New("its issuer has white space"))
		case seen[i.Rules.Issuer]:
			found = append(found, errors.New("another has the same issuer"))
		}
		seen[i.Rules.Issuer] = true
		for _, err := range found {
			if len(c.Issuers) > 1 {
				err = fmt.Errorf("issuer %d, %q: %w", n+1, i.Rules.Issuer, err)
			}
			problems = append(problems, err)
		}
	}
	return problems
}

// CheckRoles returns an error for each mapping onto a role that the catalogue does not have.
func (c Config) CheckRoles(roles *store.Catalogue) error {
	var problems []error
	for _, i := range c.Issuers {
		problems = append(problems, i.checkRoles(roles)...)
	}
	return errors.Join(problems...)
}

// problems returns all errors in the configuration of the issuer.
func (i Issuer) problems(c Config) (problems []error) {
	add := func(err error) {
		if err != nil {
			problems = append(problems, err)
		}
	}
	if len(i.Secret) > 0 {
		add(checkSecret(i.Secret))
	}
	if i.PublicKeyPEM != nil {
		_, _, err := parsePublicKey(i.PublicKeyPEM)
		add(err)
		if !i.isForUs() {
			add(errors.New("a public key needs an issuer and an audience, --issuer and --audience, or any token that its owner signs for anyone would be accepted"))
		}
	}
	if i.hasKeySet() {
		problems = append(problems, i.keySetProblems(c)...)
	}
	if len(i.Secret) == 0 && i.PublicKeyPEM == nil && !i.hasKeySet() {
		add(ErrNoKey)
	}
	_, found := i.compile(len(c.Issuers) > 1)
	return append(problems, found...)
}

func (i Issuer) hasKeySet() bool { return i.JWKSURL != "" || i.Discover }

// keySetReader returns a function that reads the key set, and whether it is a file.
func (i Issuer) keySetReader(c Config, log *slog.Logger) (read func(context.Context) ([]byte, error), isFile bool, err error) {
	if !i.Discover {
		return keySetReader(i.JWKSURL, c.Transport)
	}
	d, err := newDiscovery(i.Rules.Issuer, c.Transport, log)
	if err != nil {
		return nil, false, err
	}
	return d.read, false, nil
}

// isForUs reports whether the rules reject tokens of other issuers and for other services.
func (r Rules) isForUs() bool {
	return r.Issuer != "" && len(r.Audiences) > 0 && !slices.Contains(r.Audiences, "")
}

// keySetProblems returns all errors in the configuration of the key set.
func (i Issuer) keySetProblems(c Config) (problems []error) {
	switch {
	case i.PublicKeyPEM != nil:
		problems = append(problems, errors.New("there is both a public key and a JWKS URL: set --jwt-public-key-file or --jwks-url, and put the key into the set if both are needed"))
	case i.Discover && !i.isForUs():
		problems = append(problems, errors.New("an issuer whose keys are discovered needs an audience, --audience, or any token that it signs for anyone would be accepted"))
	case !i.isForUs():
		problems = append(problems, errors.New("a JWKS URL needs an issuer and an audience, --issuer and --audience, or any token that its owner signs for anyone would be accepted"))
	}
	if i.JWKSRefresh != 0 && i.JWKSRefresh < minJWKSRefresh {
		problems = append(problems, fmt.Errorf("the JWKS would be refreshed every %s, and the minimum is %s: set --jwks-refresh", i.JWKSRefresh, minJWKSRefresh))
	}
	if refresh, age := cmp.Or(i.JWKSRefresh, DefaultJWKSRefresh), cmp.Or(i.JWKSMaxAge, DefaultJWKSMaxAge); age < refresh {
		problems = append(problems, fmt.Errorf("keys of the JWKS would be dropped after %s and are refreshed only every %s: --jwks-max-age must not be less than --jwks-refresh", age, refresh))
	}
	read, isFile, err := i.keySetReader(c, slog.Default())
	if err != nil {
		return append(problems, err)
	}
	if isFile {
		// Unlike a server, which may be down temporarily, a file must be readable at the start.
		content, err := read(context.Background())
		if err == nil {
			_, err = parseKeySet(content)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("the JWKS file cannot be used, see --jwks-url (DRAGOMAN_JWKS_URL): %w", err))
		}
	}
	return problems
}
