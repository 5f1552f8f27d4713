package docs

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/dragoman-id/dragoman/server/dialect"
)

// explorerPath is the path below which the explorer has a page for each dialect.
const explorerPath = "/docs/"

// pageCSP is the Content-Security-Policy of the explorer and the guide. It allows a page to use the server's own files and to
// call this server, and no other. Swagger UI has icons in data
// URLs.
const pageCSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed explorer/page.html
var pageSource string

var page = template.Must(template.New("page").Parse(pageSource))

// assets has the explorer's files. The folder swaggerui is the published Swagger UI with its licenses; `make swagger-ui` updates
// it.
//
//go:embed swaggerui explorer/explorer.js explorer/explorer.css
var assets embed.FS

// newExplorer returns the handlers of the explorer, by path: a page for each dialect, and the files of the pages.
func newExplorer(dialects []*dialect.Dialect) (map[string]http.Handler, error) {
	handlers := map[string]http.Handler{}
	err := fs.WalkDir(assets, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(assets, name)
		if err != nil {
			return err
		}
		base, isCompressed := strings.CutSuffix(path.Base(name), ".gz")
		if isCompressed {
			handlers[explorerPath+base] = newCompressed(contentTypeOf(base), content)
		} else {
			handlers[explorerPath+base] = newFile(contentTypeOf(base), content)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the explorer's files: %w", err)
	}
	pages := pagesOf(dialects)
	for _, p := range pages {
		if handlers[explorerPath+p.Name], err = newPage(p, pages); err != nil {
			return nil, fmt.Errorf("write the explorer's page of %s: %w", p.Name, err)
		}
	}
	// Relative, since a proxy may add a prefix to the path.
	handlers[explorerPath] = redirect(pages[0].Name)
	handlers["/"] = redirect(strings.Trim(explorerPath, "/"))
	handlers[strings.TrimSuffix(explorerPath, "/")] = redirect(strings.TrimPrefix(explorerPath, "/") + pages[0].Name)
	return handlers, nil
}

// dialectPage is the page of a dialect. Name is in its path, and Label in its title.
type dialectPage struct{ Name, Label string }

func pagesOf(dialects []*dialect.Dialect) []dialectPage {
	pages := make([]dialectPage, len(dialects))
	for i, d := range dialects {
		pages[i] = dialectPage{Name: d.Name, Label: strings.ToUpper(d.Name[:1]) + d.Name[1:]}
	}
	return pages
}

func newPage(p dialectPage, all []dialectPage) (http.Handler, error) {
	var text bytes.Buffer
	if err := page.Execute(&text, struct {
		dialectPage
		Pages []dialectPage
	}{p, all}); err != nil {
		return nil, err
	}
	return newHTML(text.Bytes()), nil
}

// newHTML returns the handler of a page of the explorer or the guide.
func newHTML(content []byte) http.Handler {
	page := newFile("text/html; charset=utf-8", content)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", pageCSP)
		page.ServeHTTP(w, r)
	})
}

// contentTypeOf returns the media type of a file. Package mime is not used, since its results depend on the machine.
func contentTypeOf(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	}
	return "text/plain; charset=utf-8"
}

// redirect redirects to a target that is relative to the request's path.
func redirect(target string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("Location", target)
		w.WriteHeader(http.StatusFound)
	})
}
