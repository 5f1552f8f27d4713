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

// compressed is a file that is kept compressed by gzip. Whoever takes gzip gets it so, others get it plain, which is rare.
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

// ServeHTTP answers GET and HEAD. Both forms have entity tags of their own.
func (c compressed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", "Accept-Encoding")
	if takesGzip(r.Header.Values("Accept-Encoding")) {
		w.Header().Set("Content-Encoding", "gzip")
		c.gzipped.ServeHTTP(w, r)
		return
	}
	plain, err := c.plain()
	if err != nil {
		panic(err) // the program's own file is broken
	}
	plain.ServeHTTP(w, r)
}

// takesGzip reads Accept-Encoding (RFC 9110, section 12.5.3).
func takesGzip(accepted []string) bool {
	takes := false
	for coding := range strings.SplitSeq(strings.Join(accepted, ","), ",") {
		name, weight, _ := strings.Cut(coding, ";")
		if name = strings.ToLower(strings.TrimSpace(name)); name != "gzip" && name != "x-gzip" && name != "*" {
			continue
		}
		takes = !isZeroWeight(weight)
		if name != "*" {
			return takes // what is said of gzip goes before what is said of all
		}
	}
	return takes
}

func isZeroWeight(weight string) bool {
	name, value, _ := strings.Cut(strings.ReplaceAll(weight, " ", ""), "=")
	q, err := strconv.ParseFloat(value, 64)
	return strings.EqualFold(name, "q") && err == nil && q == 0
}
