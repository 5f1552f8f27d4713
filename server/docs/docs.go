// Package docs is what the server tells about itself, to programs and to people: the OpenAPI document of each dialect, a
// catalogue that leads to them, and an explorer that shows them in a browser and tries them out. It needs no token, as
// nothing of the directory is in it. It knows the dialects' documents, and not what any operation does.
package docs

import (
	"maps"
	"net/http"

	"github.com/dragoman-id/dragoman/server/dialect"
)

// Handlers gives what answers a GET or a HEAD, by its path: below /openapi the dialects' documents, each of which must be in
// gen/documents, and with explorer below /docs the explorer.
func Handlers(dialects []*dialect.Dialect, explorer bool) (map[string]http.Handler, error) {
	handlers, err := newDocuments(dialects, explorer)
	if err != nil || !explorer {
		return handlers, err
	}
	pages, err := newExplorer(dialects)
	if err != nil {
		return nil, err
	}
	maps.Copy(handlers, pages)
	return handlers, nil
}
