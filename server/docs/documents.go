package docs

import (
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"github.com/dragoman-id/dragoman/server/dialect"
)

// newDocuments returns the handlers of the documents and of the catalog, by path.
func newDocuments(dialects []*dialect.Dialect, explored bool) (map[string]http.Handler, error) {
	handlers := map[string]http.Handler{}
	for _, d := range dialects {
		for _, format := range formats {
			content, err := fs.ReadFile(d.Files, d.Name+format.suffix)
			if err != nil {
				return nil, fmt.Errorf("serve the document of %s: %w", d.Name, err)
			}
			handlers[documentPath(d, format)] = newFile(format.contentType, content)
		}
	}
	catalogue, err := newCatalogue(dialects, explored)
	if err != nil {
		return nil, fmt.Errorf("list the documents: %w", err)
	}
	handlers[wellKnownPath] = catalogue
	handlers[documentsPath], handlers[strings.TrimSuffix(documentsPath, "/")] = catalogue, catalogue
	return handlers, nil
}

// documentsPath is the path of the catalog. The documents are below it.
const documentsPath = "/openapi/"

// format is a format of the documents.
type format struct{ suffix, contentType string }

var formats = []format{
	{".yaml", "application/yaml"}, // RFC 9512
	{".json", "application/json"},
}

func documentPath(d *dialect.Dialect, f format) string { return documentsPath + d.Name + f.suffix }
