package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

const (
	minSecretBytes = 32   // RFC 7518, section 3.2: the key must be at least as long as the hash
	minRSABits     = 2048 // RFC 7518, section 3.3
)

const remedySecret = "set --jwt-secret (DRAGOMAN_JWT_SECRET) to the output of `openssl rand -base64 48`" // #nosec G101 -- it is a sentence

// checkSecret returns an error if a secret is short enough to be guessed, or is a PEM file, which may be a public key.
func checkSecret(secret []byte) error {
	if len(secret) < minSecretBytes {
		return fmt.Errorf("the secret has %d bytes and needs at least %d: "+remedySecret, len(secret), minSecretBytes)
	}
	// If a public key were configured as the secret by mistake, anyone could sign tokens.
	if bytes.Contains(secret, []byte("-----BEGIN ")) {
		return errors.New("the secret is a PEM file, where random bytes are expected: " + remedySecret + ", or name a public key with --jwt-public-key-file (DRAGOMAN_JWT_PUBLIC_KEY_FILE)")
	}
	return nil
}

// parsePublicKey returns the public key in a PEM file, and the only algorithm for which it is used. From a certificate it takes
// only the key, and ignores names, dates and the issuer.
func parsePublicKey(file []byte) (jwt.SigningMethod, any, error) {
	block, rest := pem.Decode(file)
	if block == nil {
		return nil, nil, errors.New("the public key file of --jwt-public-key-file (DRAGOMAN_JWT_PUBLIC_KEY_FILE) has no PEM block")
	}
	if more, _ := pem.Decode(rest); more != nil {
		return nil, nil, errors.New("the public key file of --jwt-public-key-file (DRAGOMAN_JWT_PUBLIC_KEY_FILE) has more than one PEM block: leave only the key that signs tokens")
	}

	var key any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = certificate.PublicKey
		}
	case "PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY":
		return nil, nil, errors.New("the public key file of --jwt-public-key-file (DRAGOMAN_JWT_PUBLIC_KEY_FILE) has a private key, which this server must not have: give it the public key")
	default:
		return nil, nil, errors.New("the public key file of --jwt-public-key-file (DRAGOMAN_JWT_PUBLIC_KEY_FILE) must have a PUBLIC KEY, an RSA PUBLIC KEY or a CERTIFICATE")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading the public key file of --jwt-public-key-file (DRAGOMAN_JWT_PUBLIC_KEY_FILE): %w", err)
	}

	method, err := methodOf(key)
	if err != nil {
		return nil, nil, err
	}
	return method, key, nil
}

// ed25519Name is the name of EdDSA with Ed25519 keys that RFC 9864 registers, and which deprecates the name EdDSA.
const ed25519Name = "Ed25519"

// ed25519Method is jwt.SigningMethodEdDSA under its other name.
type ed25519Method struct{ *jwt.SigningMethodEd25519 }

// Alg implements jwt.SigningMethod.
func (ed25519Method) Alg() string { return ed25519Name }

// golang-jwt 5.3.1 does not know the name.
func init() {
	jwt.RegisterSigningMethod(ed25519Name, func() jwt.SigningMethod { return ed25519Method{jwt.SigningMethodEdDSA} })
}

// algorithmOf returns the name by which keys are found for the alg of a token or a key.
func algorithmOf(alg string) string {
	if alg == ed25519Name {
		return jwt.SigningMethodEdDSA.Alg()
	}
	return alg
}

// methodOf returns the only algorithm for which a public key is used that does not say so itself, or an error if the key is not
// supported.
func methodOf(key any) (jwt.SigningMethod, error) {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSABits {
			return nil, fmt.Errorf("the RSA public key has %d bits and needs at least %d", bits, minRSABits)
		}
		return jwt.SigningMethodRS256, nil
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return nil, fmt.Errorf("the ECDSA public key is on the curve %s and must be on P-256", key.Curve.Params().Name)
		}
		return jwt.SigningMethodES256, nil
	case ed25519.PublicKey:
		return jwt.SigningMethodEdDSA, nil
	}
	return nil, errors.New("the public key must be an RSA, an ECDSA P-256 or an Ed25519 key")
}
