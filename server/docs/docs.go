// Package docs is what the server tells about itself, to programs and to people: the OpenAPI document of each dialect, and
// a catalogue that leads to them. It needs no token, as nothing of the directory is in it. It knows the dialects'
// documents, and not what any operation does.
package docs

import (
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"github.com/dragoman-id/dragoman/gen/documents"
	"github.com/dragoman-id/dragoman/server/dialect"
)

// Handlers gives what answers a GET or a HEAD, by its path. Every dialect must have its files in gen/documents.
func Handlers(dialects []*dialect.Dialect) (map[string]http.Handler, error) {
	handlers := map[string]http.Handler{}
	for _, d := range dialects {
		for _, format := range formats {
			content, err := fs.ReadFile(documents.Files, d.Name+format.suffix)
			if err != nil {
				return nil, fmt.Errorf("serve the document of %s: %w", d.Name, err)
			}
			handlers[documentPath(d, format)] = newFile(format.contentType, content)
		}
	}
	catalogue, err := newCatalogue(dialects)
	if err != nil {
		return nil, fmt.Errorf("list the documents: %w", err)
	}
	handlers[wellKnownPath] = catalogue
	handlers[documentsPath], handlers[strings.TrimSuffix(documentsPath, "/")] = catalogue, catalogue
	return handlers, nil
}

// documentsPath is below which the documents are, and itself the list of them.
const documentsPath = "/openapi/"

// format is one of the two ways in which each document is written.
type format struct{ suffix, contentType string }

var formats = []format{
	{".yaml", "application/yaml"}, // RFC 9512
	{".json", "application/json"},
}

func documentPath(d *dialect.Dialect, f format) string { return documentsPath + d.Name + f.suffix }
