package servertest

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
)

// beyondVendor are statuses that a vendor's document need not name. They are HTTP's own, or for a
// client that asked for them: see "no surprise statuses" in SEMANTICS.md.
var beyondVendor = []int{
	http.StatusRequestTimeout,
	http.StatusPreconditionFailed, // only with If-Match or If-None-Match
	http.StatusRequestEntityTooLarge,
	http.StatusUnsupportedMediaType,
	http.StatusUnprocessableEntity, // only with Idempotency-Key
	http.StatusTooManyRequests,
	http.StatusServiceUnavailable,
}

// newVendor reads the document of a dialect as its vendor publishes it, without our overlay, for a server whose dialect has this
// prefix. A client that was made of it must read every answer to an operation in it. There is none where we have no overlay.
func newVendor(dialect, prefix string) (d document, ok bool, err error) {
	overlay, err := inModule("openapi", dialect+".overlay.yaml")
	if err != nil {
		return document{}, false, err
	}
	if _, err := os.Stat(overlay); errors.Is(err, fs.ErrNotExist) {
		return document{}, false, nil
	}
	read, _ := vendorSpecs.LoadOrStore(dialect, sync.OnceValues(func() (*openapi3.T, error) {
		return openapi3.NewLoader().LoadFromFile(strings.TrimSuffix(overlay, ".overlay.yaml") + ".yaml")
	}))
	shared, err := read.(func() (*openapi3.T, error))()
	if err != nil {
		return document{}, false, fmt.Errorf("read the vendor's own document: %w", err)
	}
	d, err = newDocument(shared, prefix)
	return d, err == nil, err
}

// vendorSpecs has the functions that read the vendors' documents, once each, by dialect.
var vendorSpecs sync.Map

// inModule gives a path below the module's root, where the tests of any package find it.
func inModule(elements ...string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(append([]string{dir}, elements...)...), nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = parent
	}
}

// checkVendor holds an answer against the vendor's own document, if that has the operation. Headers beyond it are no
// fault, and neither are the statuses of beyondVendor.
func (d document) checkVendor(r *http.Request, answer *http.Response, body []byte) error {
	route, parameters, err := d.findRoute(r)
	if err != nil || slices.Contains(beyondVendor, answer.StatusCode) {
		return nil
	}
	return validate(r, route, parameters, answer, body)
}
