package docs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"
)

// file is content that stays the same as long as the server runs. Whoever has a copy asks by its entity tag whether it is
// still good.
type file struct {
	contentType string
	content     []byte
	etag        string
}

func newFile(contentType string, content []byte) file {
	sum := sha256.Sum256(content)
	return file{contentType: contentType, content: content, etag: `"` + hex.EncodeToString(sum[:16]) + `"`}
}

// ServeHTTP answers GET and HEAD, under If-None-Match and the other preconditions.
func (f file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("ETag", f.etag)
	h.Set("Cache-Control", "no-cache")
	http.ServeContent(etagWriter{w}, r, "", time.Time{}, bytes.NewReader(f.content))
}

// etagWriter writes the header ETag as RFC 9110 spells it. http.ServeContent reads it as Etag, Go's canonical form.
type etagWriter struct{ http.ResponseWriter }

// WriteHeader renames the header just before it is written.
func (w etagWriter) WriteHeader(status int) {
	h := w.Header()
	if tag, ok := h["Etag"]; ok {
		delete(h, "Etag")
		h["ETag"] = tag
	}
	w.ResponseWriter.WriteHeader(status)
}
