package docs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"
)

// file serves constant content. Clients can cache it, and revalidate it by its entity tag.
type file struct {
	contentType string
	content     []byte
	etag        string
}

func newFile(contentType string, content []byte) file {
	sum := sha256.Sum256(content)
	return file{contentType: contentType, content: content, etag: `"` + hex.EncodeToString(sum[:16]) + `"`}
}

// ServeHTTP serves GET and HEAD, and evaluates preconditions.
func (f file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("ETag", f.etag)
	h.Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content))
}
