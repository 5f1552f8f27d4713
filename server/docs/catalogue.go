package docs

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/dragoman-id/dragoman/server/dialect"
)

// wellKnownPath is the well-known path of an API catalog (RFC 9727).
const wellKnownPath = "/.well-known/api-catalog"

// catalogueType is the type of a link set (RFC 9264) with the profile of an API catalog.
const catalogueType = `application/linkset+json; profile="https://www.rfc-editor.org/info/rfc9727"`

// linkset has the links of each API (RFC 8631). The anchor is the API itself.
type linkset struct {
	Linkset []apiLinks `json:"linkset"`
}

type apiLinks struct {
	Anchor      string `json:"anchor"`
	ServiceDesc []link `json:"service-desc"`
	ServiceDoc  []link `json:"service-doc,omitempty"`
	Status      []link `json:"status"`
}

type link struct {
	Href  string `json:"href"`
	Type  string `json:"type"`
	Title string `json:"title,omitempty"`
}

// newCatalogue returns the handler of the API catalog. Its URLs have no host, since the server does not know its public name.
func newCatalogue(dialects []*dialect.Dialect, explored bool) (http.Handler, error) {
	var all linkset
	for _, d := range dialects {
		api := apiLinks{Anchor: d.BasePath(), Status: []link{{Href: "/readyz", Type: "text/plain"}}}
		for _, f := range formats {
			api.ServiceDesc = append(api.ServiceDesc, link{Href: documentPath(d, f), Type: f.contentType, Title: d.Document.Info.Title})
		}
		if explored {
			api.ServiceDoc = []link{{Href: explorerPath + d.Name, Type: "text/html", Title: d.Document.Info.Title}}
		}
		all.Linkset = append(all.Linkset, api)
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(all); err != nil {
		return nil, err
	}
	content := newFile(catalogueType, text.Bytes())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// RFC 9727 requires this header for HEAD.
		w.Header().Set("Link", "<"+wellKnownPath+`>; rel="api-catalog"`)
		content.ServeHTTP(w, r)
	}), nil
}
