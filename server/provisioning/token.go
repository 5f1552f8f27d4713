// Package provisioning issues and verifies the tokens of provisioning clients: opaque credentials that an administrator pastes into an
// identity provider, which then manages the users of one customer.
//
// A token is "drg_", 43 base62 digits of 32 random bytes, and 6 of the CRC-32 of all before them. The checksum lets a token be recognized in
// logs and source code, and a mistyped one be refused without a query. The store has the SHA-256 of the token; since a token has 256 random
// bits, a plain hash cannot be reversed, and looking the hash up takes the same time whichever token is sent.
//
// The package knows neither HTTP nor the dialects.
package provisioning

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"math/big"
	"strings"
	"time"
)

// Prefix is what every token begins with.
const Prefix = "drg_"

// What a token has unless its issuer says otherwise.
const (
	DefaultRole = "ROLE_USER"
	DefaultLife = 365 * 24 * time.Hour
)

const (
	secretBytes    = 32
	secretDigits   = 43 // 62^43 > 256^32
	checksumDigits = 6  // 62^6 > 2^32
	tokenLength    = len(Prefix) + secretDigits + checksumDigits
)

// Generate returns a new token, which is made of random.
func Generate(random io.Reader) (string, error) {
	var secret [secretBytes]byte
	if _, err := io.ReadFull(random, secret[:]); err != nil {
		return "", fmt.Errorf("generating a token: %w", err)
	}
	return encode(secret), nil
}

func encode(secret [secretBytes]byte) string {
	token := Prefix + base62(new(big.Int).SetBytes(secret[:]), secretDigits)
	return token + checksum(token)
}

// checksum returns the last digits of the token that begins with text.
func checksum(text string) string {
	return base62(new(big.Int).SetUint64(uint64(crc32.ChecksumIEEE([]byte(text)))), checksumDigits)
}

// base62 returns a number in digits from 0-9, a-z and A-Z, with leading zeros.
func base62(n *big.Int, digits int) string {
	text := n.Text(62)
	return strings.Repeat("0", digits-len(text)) + text
}

// Is reports whether text has the prefix of a provisioning token, well-formed or not. No JWT has it, since an encoded JSON object cannot
// begin with it.
func Is(text string) bool { return strings.HasPrefix(text, Prefix) }

// WellFormed reports whether text has a token's form and checksum.
func WellFormed(text string) bool {
	if len(text) != tokenLength || !Is(text) {
		return false
	}
	body := text[:tokenLength-checksumDigits]
	return checksum(body) == text[len(body):] // nothing secret is compared: anybody can compute it
}

// Hash returns the form in which the store keeps a token.
func Hash(token string) string { return kept(sha256.Sum256([]byte(token))) }

// kept returns the form in which the store keeps the SHA-256 of a token.
func kept(sum [sha256.Size]byte) string { return hex.EncodeToString(sum[:]) }
