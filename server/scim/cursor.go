package scim

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"

	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/store"
)

// A cursor (RFC 9865) is the id of the last user of a page, encrypted for this customer and this query by a key that only servers of the
// directory have. So no server keeps anything between two pages, and a cursor does not expire, tells nothing and gives no rights.

const cursorPurpose = "SCIM cursor"

// cursors makes and reads the cursors of one query.
type cursors struct {
	store *store.Store
	query []byte
}

// cursorsOf returns the cursors of a query, which is identified by its parameters, for a customer.
func cursorsOf(s *store.Store, customerID int64, parameters ...string) cursors {
	h := sha256.New()
	for _, p := range append([]string{strconv.FormatInt(customerID, 10)}, parameters...) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	return cursors{s, h.Sum(nil)}
}

// after returns the cursor of what follows the user with this id.
func (c cursors) after(id int64) string {
	key := binary.BigEndian.AppendUint64(nil, uint64(id)) // #nosec G115 -- ids are positive
	return base64.RawURLEncoding.EncodeToString(c.store.Encrypt(cursorPurpose, c.query, key))
}

// read returns the id in a cursor, 0 for the empty one, which is that of the first page.
func (c cursors) read(cursor string) (int64, error) {
	if cursor == "" {
		return 0, nil
	}
	if raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor); err == nil {
		if key, ok := c.store.Decrypt(cursorPurpose, c.query, raw); ok && len(key) == 8 {
			return int64(binary.BigEndian.Uint64(key)), nil // #nosec G115 -- as it was written
		}
	}
	return 0, &dialect.InvalidError{Fields: []dialect.FieldError{{
		Field: "cursor", Code: invalidCursor,
		Message: "cursor must be empty, or the nextCursor of the previous page of the same query: begin again with an empty one",
	}}}
}
