package docs

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// compressed serves a file that is stored compressed by gzip. It is decompressed for clients that do not accept gzip, which are
// rare.
type compressed struct {
	gzipped file
	plain   func() (file, error)
}

func newCompressed(contentType string, gzipped []byte) compressed {
	return compressed{
		gzipped: newFile(contentType, gzipped),
		plain: sync.OnceValues(func() (file, error) {
			content, err := gunzip(gzipped)
			return newFile(contentType, content), err
		}),
	}
}

func gunzip(gzipped []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(gzipped))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	return io.ReadAll(r)
}

// ServeHTTP serves GET and HEAD. The compressed and the plain content have different entity tags.
func (c compressed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", "Accept-Encoding")
	if acceptsGzip(r.Header.Values("Accept-Encoding")) {
		w.Header().Set("Content-Encoding", "gzip")
		c.gzipped.ServeHTTP(w, r)
		return
	}
	plain, err := c.plain()
	if err != nil {
		panic(err) // an embedded file is corrupt
	}
	plain.ServeHTTP(w, r)
}

// acceptsGzip reports whether the values of Accept-Encoding accept gzip (RFC 9110, section 12.5.3).
func acceptsGzip(accepted []string) bool {
	accepts := false
	for coding := range strings.SplitSeq(strings.Join(accepted, ","), ",") {
		name, weight, _ := strings.Cut(coding, ";")
		if name = strings.ToLower(strings.TrimSpace(name)); name != "gzip" && name != "x-gzip" && name != "*" {
			continue
		}
		accepts = !isZeroWeight(weight)
		if name != "*" {
			return accepts // gzip accepts precedence over *
		}
	}
	return accepts
}

func isZeroWeight(weight string) bool {
	name, value, _ := strings.Cut(strings.ReplaceAll(weight, " ", ""), "=")
	q, err := strconv.ParseFloat(value, 64)
	return strings.EqualFold(name, "q") && err == nil && q == 0
}
