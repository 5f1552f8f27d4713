package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/google/uuid"
)

// keyring seals and opens secrets with AES-256-GCM. It seals with one key and opens with all of its keys.
//
// A sealed value is the text KEYID.BASE64URL, the latter of a random nonce of 12 bytes and the ciphertext with its tag,
// without padding. The user, the column and the key's id are authenticated with it, so a value that was moved to
// another place in the database does not open there.
type keyring struct {
	sealing string
	keys    map[string]cipher.AEAD
	// fingerprintKey is derived from the key that seals; see [Record].
	fingerprintKey []byte
	// messages has a key derived from each key, the first from the key that seals; see [Store.Encrypt].
	messages []cipher.AEAD
}

// newKeyring returns a keyring that seals with key and opens with any of the old ones, too. [Open] makes it of Config.SecretKey and
// Config.OldSecretKeys, which package cli takes from the flags.
func newKeyring(key []byte, old ...[]byte) (*keyring, error) {
	k := &keyring{sealing: keyID(key), keys: map[string]cipher.AEAD{}, fingerprintKey: deriveKey(key, forFingerprints)}
	for _, key := range append([][]byte{key}, old...) {
		aead, err := newAEAD(key)
		if err != nil {
			return nil, fmt.Errorf("secret key: %w", err)
		}
		k.keys[keyID(key)] = aead
		messages, err := newAEAD(deriveKey(key, forMessages))
		if err != nil {
			return nil, fmt.Errorf("secret key: %w", err)
		}
		k.messages = append(k.messages, messages)
	}
	return k, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	if len(key) != 32 {
		return nil, fmt.Errorf("%d bytes where 32 belong", len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// current reports whether a value is sealed with the key that the keyring seals with. It is true for nil, which is no value.
func (k *keyring) current(sealed *string) bool {
	return sealed == nil || strings.HasPrefix(*sealed, k.sealing+".")
}

var keyIDPattern = regexp.MustCompile(`^[0-9a-f]{8}$`)

// keyID returns the id of a key, which reveals nothing useful about the key.
func keyID(key []byte) string {
	sum := sha256.Sum256(append([]byte("dragoman secret key id\x00"), key...))
	return hex.EncodeToString(sum[:4])
}

// seal returns text sealed for one column of one user.
func (k *keyring) seal(user uuid.UUID, column, text string) string {
	return k.sealWith(k.sealing, user, column, text)
}

// sealWith is seal with one of the keyring's keys.
func (k *keyring) sealWith(id string, user uuid.UUID, column, text string) string {
	// #nosec G407 -- no nonce is given, because the AEAD takes a random one itself
	sealed := k.keys[id].Seal(nil, nil, []byte(text), sealedPlace(user, column, id))
	return id + "." + base64.RawURLEncoding.EncodeToString(sealed)
}

// open returns the text that was sealed for this column of this user. For any other sealed value it returns an error, which reveals
// nothing of the text.
func (k *keyring) open(user uuid.UUID, column, sealed string) (string, error) {
	id, encoded, ok := strings.Cut(sealed, ".")
	if !ok {
		return "", errors.New("no sealed value")
	}
	aead, ok := k.keys[id]
	if !ok && !keyIDPattern.MatchString(id) {
		// It may be the secret itself, so the error repeats nothing of it.
		return "", errors.New("no sealed value")
	}
	if !ok {
		return "", fmt.Errorf("sealed with key %q, which is not the one configured", id)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return "", fmt.Errorf("no sealed value: %w", err)
	}
	text, err := aead.Open(nil, nil, raw, sealedPlace(user, column, id))
	if err != nil {
		return "", errors.New("damaged, or sealed for another user or column")
	}
	return string(text), nil
}

// sealedPlace returns the additional data that binds a sealed value to its user, column and key. Every part has a fixed length or is
// preceded by its length, so that no two places have the same data.
func sealedPlace(user uuid.UUID, column, keyID string) []byte {
	place := []byte("dragoman sealed value\x00")
	place = append(place, user[:]...)
	for _, part := range []string{column, keyID} {
		place = binary.BigEndian.AppendUint32(place, uint32(len(part))) // #nosec G115 -- a column's name or a key's id, of a few bytes
		place = append(place, part...)
	}
	return place
}

// The names of the sealed fields to which their values are bound; see sealedPlace. They are not the columns' names, and never change.
const (
	sealedAccessToken = "access_token"
	sealedVCSPassword = "vcs_password"
)

// openSecrets sets the secrets of a loaded user from its sealed columns. The sealed fields are AccessToken and VCSPassword. Each has a name
// above, a case here and in sealSecrets, a line in keepBookkeeping (update.go), and its column in the table of fields (derived in
// field.go) and in the conditions of canary.go and rekey.go that look for values under other keys.
func (k *keyring) openSecrets(u *User) error {
	var err error
	if u.AccessToken, err = k.open(u.UUID, sealedAccessToken, u.AccessTokenSealed); err != nil {
		return fmt.Errorf("opening access token of user %d: %w", u.ID, err)
	}
	u.VCSPassword = nil
	if u.VCSPasswordSealed != nil {
		text, err := k.open(u.UUID, sealedVCSPassword, *u.VCSPasswordSealed)
		if err != nil {
			return fmt.Errorf("opening VCS password of user %d: %w", u.ID, err)
		}
		u.VCSPassword = &text
	}
	return nil
}

// sealSecrets sets the sealed columns of a user from its secrets. A secret that is the same in before keeps its sealed value, unless
// that is sealed with an old key.
func (k *keyring) sealSecrets(before, u *User) {
	u.AccessTokenSealed = before.AccessTokenSealed
	if u.AccessToken != before.AccessToken || !k.current(&before.AccessTokenSealed) {
		u.AccessTokenSealed = k.seal(u.UUID, sealedAccessToken, u.AccessToken)
	}
	switch {
	case u.VCSPassword == nil:
		u.VCSPasswordSealed = nil
	case equal(u.VCSPassword, before.VCSPassword) && k.current(before.VCSPasswordSealed):
		u.VCSPasswordSealed = before.VCSPasswordSealed
	default:
		sealed := k.seal(u.UUID, sealedVCSPassword, *u.VCSPassword)
		u.VCSPasswordSealed = &sealed
	}
}
