package docs_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/gen/documents"
	"github.com/dragoman-id/dragoman/server/servertest"
)

// paths are all that this package serves to programs, and what each is.
var paths = map[string]string{
	"/openapi/worth.yaml":      "application/yaml",
	"/openapi/worth.json":      "application/json",
	"/openapi/testinium.yaml":  "application/yaml",
	"/openapi/testinium.json":  "application/json",
	"/openapi/directory.yaml":  "application/yaml",
	"/openapi/directory.json":  "application/json",
	"/openapi":                 catalogueType,
	"/openapi/":                catalogueType,
	"/.well-known/api-catalog": catalogueType,
}

const catalogueType = `application/linkset+json; profile="https://www.rfc-editor.org/info/rfc9727"`

func ask(s *servertest.Server, method, path string, header ...string) servertest.Answer {
	r := servertest.Request{Method: method, Path: path, Header: http.Header{}}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return s.Send(r)
}

func TestDocumentsAreServedAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	files, err := documents.Files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		want, err := documents.Files.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		a := ask(s, http.MethodGet, "/openapi/"+f.Name())
		if a.Status != http.StatusOK || a.Body != string(want) {
			t.Errorf("/openapi/%s is %d with %d bytes, not the %d of gen/documents", f.Name(), a.Status, len(a.Body), len(want))
		}
	}
}

func TestServedWithoutToken(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for path, contentType := range paths {
		t.Run(path, func(t *testing.T) {
			got := ask(s, http.MethodGet, path)
			if got.Status != http.StatusOK || got.Body == "" {
				t.Fatalf("%d with %d bytes", got.Status, len(got.Body))
			}
			got.ExpectHeader(t, "Content-Type", contentType)
			got.ExpectHeader(t, "Cache-Control", "no-cache")
			etag := got.Header.Get("ETag")
			if !strings.HasPrefix(etag, `"`) || len(etag) < 20 {
				t.Errorf("ETag: %s is no strong one", etag)
			}

			head := ask(s, http.MethodHead, path)
			if head.Status != http.StatusOK || head.Body != "" {
				t.Errorf("HEAD: %d with %q", head.Status, head.Body)
			}
			for _, name := range []string{"Content-Type", "Content-Length", "ETag", "Cache-Control"} {
				head.ExpectHeader(t, name, got.Header.Values(name)...)
			}

			for _, validator := range []string{etag, `"other", ` + etag, "W/" + etag, "*"} {
				unchanged := ask(s, http.MethodGet, path, "If-None-Match", validator)
				if unchanged.Status != http.StatusNotModified || unchanged.Body != "" {
					t.Errorf("If-None-Match: %s: %d with %d bytes", validator, unchanged.Status, len(unchanged.Body))
				}
				unchanged.ExpectHeader(t, "ETag", etag)
				unchanged.ExpectHeader(t, "Cache-Control", "no-cache")
			}
			if changed := ask(s, http.MethodGet, path, "If-None-Match", `"other"`); changed.Status != http.StatusOK {
				t.Errorf("If-None-Match of another: %d", changed.Status)
			}

			for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
				a := ask(s, method, path)
				if a.Status != http.StatusMethodNotAllowed {
					t.Errorf("%s: %d", method, a.Status)
				}
				a.ExpectHeader(t, "Allow", "OPTIONS, GET, HEAD")
			}
		})
	}
	if a := ask(s, http.MethodGet, "/openapi/acme.yaml"); a.Status != http.StatusNotFound {
		t.Errorf("a document that there is not: %d", a.Status)
	}
}

// TestEachDocumentHasATagOfItsOwn: else a cache could give one for another.
func TestEachDocumentHasATagOfItsOwn(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	seen := map[string]string{}
	for path, contentType := range paths {
		if contentType == catalogueType {
			continue
		}
		etag := ask(s, http.MethodHead, path).Header.Get("ETag")
		if other, ok := seen[etag]; ok {
			t.Errorf("%s and %s have the same ETag", path, other)
		}
		seen[etag] = path
	}
}

// TestCatalogueLeadsToEveryDocument: RFC 9727, with the relations of RFC 8631.
func TestCatalogueLeadsToEveryDocument(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	type link struct{ Href, Type, Title string }
	var catalogue struct {
		Linkset []struct {
			Anchor      string
			ServiceDesc []link `json:"service-desc"`
			Status      []link
		}
	}
	a := ask(s, http.MethodGet, "/.well-known/api-catalog")
	a.ExpectHeader(t, "Link", `</.well-known/api-catalog>; rel="api-catalog"`)
	if err := json.Unmarshal([]byte(a.Body), &catalogue); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, api := range catalogue.Linkset {
		for _, l := range append(api.ServiceDesc, api.Status...) {
			target := ask(s, http.MethodGet, l.Href)
			if target.Status != http.StatusOK || !strings.HasPrefix(target.Header.Get("Content-Type"), l.Type) {
				t.Errorf("%s is %d, %s", l.Href, target.Status, target.Header.Get("Content-Type"))
			}
		}
		for _, l := range api.ServiceDesc {
			found[l.Href] = l.Type
			if l.Title == "" {
				t.Errorf("%s has no title", l.Href)
			}
			if l.Type != "application/json" {
				continue
			}
			var document struct{ Servers []struct{ URL string } }
			if err := json.Unmarshal([]byte(ask(s, http.MethodGet, l.Href).Body), &document); err != nil {
				t.Fatal(err)
			}
			if len(document.Servers) != 1 || document.Servers[0].URL != api.Anchor {
				t.Errorf("%s is the document of %s, and says that it is served at %v", l.Href, api.Anchor, document.Servers)
			}
		}
	}
	for path, contentType := range paths {
		if contentType != catalogueType && found[path] != contentType {
			t.Errorf("the catalogue says of %s that it is %q", path, found[path])
		}
	}
}
