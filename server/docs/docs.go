// Package docs serves the server's documentation, for programs and for people: the OpenAPI document of each dialect, a
// catalogue of them, an explorer that shows them in a browser and calls their operations, and the user's guide. None of it
// needs a token, since none of it contains data of the directory. The package knows the dialects' documents. It does not
// know what an operation does, nor what the guide says.
package docs

import (
	"io/fs"
	"maps"
	"net/http"

	"github.com/dragoman-id/dragoman/server/dialect"
)

// Handlers returns handlers of GET and HEAD requests by their paths: the dialects' documents below /openapi, each of which
// must be in gen/documents, and with explorer the explorer and the guide below /docs. Reference has the pages of the guide
// that are in the repository's folder server itself.
func Handlers(dialects []*dialect.Dialect, explorer bool, reference fs.FS) (map[string]http.Handler, error) {
	handlers, err := newDocuments(dialects, explorer)
	if err != nil || !explorer {
		return handlers, err
	}
	pages, err := newExplorer(dialects)
	if err != nil {
		return nil, err
	}
	maps.Copy(handlers, pages)
	if pages, err = newGuide(reference, pagesOf(dialects)); err != nil {
		return nil, err
	}
	maps.Copy(handlers, pages)
	return handlers, nil
}
