// Package docs serves the server's documentation: the OpenAPI document of each dialect, a catalog of them, an explorer that shows
// them in a browser and calls their operations, and the user's guide. It needs no token, since it contains no data of the
// directory. The package does not know what an operation does or what the guide says.
package docs

import (
	"io/fs"
	"maps"
	"net/http"

	"github.com/dragoman-id/dragoman/server/dialect"
)

// Handlers returns the handlers of GET and HEAD requests, by path: the dialects' documents below /openapi, and with explorer the
// explorer and the guide below /docs. Reference has the guide's pages that are in the repository's folder server.
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
