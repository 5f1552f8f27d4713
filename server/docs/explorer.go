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

// explorerPath is below which the explorer is, a page for each dialect.
const explorerPath = "/docs/"

// explorerPolicy lets the explorer's own files work, and ask this server; nothing is fetched from or sent to another.
// Swagger UI draws some icons as data.
const explorerPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed explorer/page.html
var pageSource string

var page = template.Must(template.New("page").Parse(pageSource))

// swaggerui is Swagger UI as its makers publish it, with its licences; `make swagger-ui` puts it there.
//
//go:embed swaggerui explorer/explorer.js explorer/explorer.css
var assets embed.FS

// newExplorer gives the handlers of the explorer: a page for each dialect, that shows its operations and calls them on this
// very server, and the files that make it do so.
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
	// Relative, as a proxy may serve all this below a path of its own.
	handlers[explorerPath] = redirect(pages[0].Name)
	handlers["/"] = redirect(strings.Trim(explorerPath, "/"))
	handlers[strings.TrimSuffix(explorerPath, "/")] = redirect(strings.TrimPrefix(explorerPath, "/") + pages[0].Name)
	return handlers, nil
}

// dialectPage names one page: as its path and its document do, and as people do.
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
		w.Header().Set("Content-Security-Policy", explorerPolicy)
		page.ServeHTTP(w, r)
	})
}

// contentTypeOf knows the sorts of files that there are. What package mime says depends on the machine.
func contentTypeOf(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	}
	return "text/plain; charset=utf-8"
}

// redirect leads to a target that is relative to the path asked for.
func redirect(target string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("Location", target)
		w.WriteHeader(http.StatusFound)
	})
}
