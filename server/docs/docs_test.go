package docs_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/gen/documents"
	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/servertest"
)

// paths has all paths that are not redirects, and their media types.
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

	"/docs/worth":                            "text/html; charset=utf-8",
	"/docs/testinium":                        "text/html; charset=utf-8",
	"/docs/directory":                        "text/html; charset=utf-8",
	"/docs/explorer.js":                      "text/javascript; charset=utf-8",
	"/docs/explorer.css":                     "text/css; charset=utf-8",
	"/docs/swagger-ui-bundle.js":             "text/javascript; charset=utf-8",
	"/docs/swagger-ui.css":                   "text/css; charset=utf-8",
	"/docs/LICENSE":                          "text/plain; charset=utf-8",
	"/docs/NOTICE":                           "text/plain; charset=utf-8",
	"/docs/swagger-ui-bundle.js.LICENSE.txt": "text/plain; charset=utf-8",

	"/docs/guide.css":       "text/css; charset=utf-8",
	"/docs/guide":           "text/html; charset=utf-8",
	"/docs/guide/all":       "text/html; charset=utf-8",
	"/docs/guide/tokens":    "text/html; charset=utf-8",
	"/docs/guide/semantics": "text/html; charset=utf-8",
}

func withExplorer(t *testing.T) *servertest.Server {
	t.Helper()
	return servertest.StartWith(t, server.Config{Docs: true})
}

const catalogueType = `application/linkset+json; profile="https://www.rfc-editor.org/info/rfc9727"`

func ask(s *servertest.Server, method, path string, header ...string) servertest.Answer {
	// Set explicitly, so that Go's client does not decompress the response.
	r := servertest.Request{Method: method, Path: path, Header: http.Header{"Accept-Encoding": {"gzip"}}}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return s.Send(r)
}

func TestDocumentsServed(t *testing.T) {
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
	s := withExplorer(t)
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
				t.Errorf("ETag %s is not a strong entity tag", etag)
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
	for _, path := range []string{"/openapi/no-such-dialect.yaml", "/docs/guide/no-such-page", "/docs/guide/tokens.md", "/docs/guide/tokens/"} {
		if a := ask(s, http.MethodGet, path); a.Status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.Status)
		}
	}
}

// TestETagSpelling: Go's HTTP client hides how a header is spelled.
func TestETagSpelling(t *testing.T) {
	t.Parallel()
	s := withExplorer(t)
	for path := range paths {
		for _, validator := range []string{`"other"`, "*"} {
			c, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: %s\r\nConnection: close\r\n\r\n", path, validator); err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(c)
			if err != nil {
				t.Fatal(err)
			}
			header, _, _ := strings.Cut(string(answer), "\r\n\r\n")
			if !strings.Contains(header, "\r\nETag: ") || strings.Contains(header, "\r\nEtag: ") {
				t.Errorf("%s with If-None-Match: %s: %s", path, validator, header)
			}
		}
	}
}

func TestETagsDiffer(t *testing.T) {
	t.Parallel()
	s := withExplorer(t)
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

// TestCatalogue checks the API catalog of RFC 9727, with the relations of RFC 8631.
func TestCatalogue(t *testing.T) {
	t.Parallel()
	s := withExplorer(t)
	type link struct{ Href, Type, Title string }
	var catalogue struct {
		Linkset []struct {
			Anchor      string
			ServiceDesc []link `json:"service-desc"`
			ServiceDoc  []link `json:"service-doc"`
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
		if len(api.ServiceDoc) != 1 {
			t.Errorf("%s has %d links to its documentation", api.Anchor, len(api.ServiceDoc))
		}
		for _, l := range slices.Concat(api.ServiceDesc, api.ServiceDoc, api.Status) {
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
			if len(document.Servers) != 2 || document.Servers[0].URL != api.Anchor || document.Servers[1].URL != "/dry-run"+api.Anchor {
				t.Errorf("%s is the document of %s, but has the servers %v", l.Href, api.Anchor, document.Servers)
			}
		}
	}
	for path, contentType := range paths {
		if strings.HasPrefix(path, "/openapi/") && contentType != catalogueType && found[path] != contentType {
			t.Errorf("the catalog has the type %[2]q for %[1]s", path, found[path])
		}
	}
}

func TestWithoutExplorer(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for path := range paths {
		want := http.StatusOK
		if strings.HasPrefix(path, "/docs") {
			want = http.StatusNotFound
		}
		if a := ask(s, http.MethodGet, path); a.Status != want {
			t.Errorf("%s: %d, want %d", path, a.Status, want)
		}
	}
	if a := ask(s, http.MethodGet, "/docs"); a.Status != http.StatusNotFound {
		t.Errorf("/docs: %d", a.Status)
	}
	if a := ask(s, http.MethodGet, "/openapi"); strings.Contains(a.Body, "/docs") {
		t.Errorf("without the explorer, the catalog links to it: %s", a.Body)
	}
}

func TestExplorerRedirects(t *testing.T) {
	t.Parallel()
	s := withExplorer(t)
	for _, path := range []string{"/docs", "/docs/"} {
		client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		a, err := client.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		target, err := a.Location()
		if a.StatusCode != http.StatusFound || err != nil || target.Path != "/docs/worth" {
			t.Errorf("%s: %d to %v, %v", path, a.StatusCode, target, err)
		}
		if strings.HasPrefix(a.Header.Get("Location"), "/") {
			t.Errorf("%s redirects to %s, which is not relative", path, a.Header.Get("Location"))
		}
	}
}

func TestContentSecurityPolicy(t *testing.T) {
	t.Parallel()
	s := withExplorer(t)
	for path, contentType := range paths {
		want := "default-src 'none'; frame-ancestors 'none'"
		if strings.HasPrefix(contentType, "text/html") {
			want = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
				"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
		}
		a := ask(s, http.MethodGet, path)
		a.ExpectHeader(t, "Content-Security-Policy", want)
		a.ExpectHeader(t, "X-Content-Type-Options", "nosniff")
		a.ExpectHeader(t, "X-Frame-Options", "DENY")
	}
}

func TestAcceptEncoding(t *testing.T) {
	t.Parallel()
	s := withExplorer(t)
	const path = "/docs/swagger-ui.css"
	plain := ask(s, http.MethodGet, path, "Accept-Encoding", "identity")
	plain.ExpectHeader(t, "Content-Encoding")
	if !strings.Contains(plain.Body, ".swagger-ui") {
		t.Fatal("the plain content is not a style sheet")
	}
	for accepted, wantsGzip := range map[string]bool{
		"gzip": true, "deflate, gzip;q=0.5": true, "br, *": true, "GZIP": true, "x-gzip": true, "gzip; q=1, *;q=0": true,
		"identity": false, "gzip;q=0": false, "*;q=0, gzip;q=0.000": false, "gzip;q=0, *": false, "br": false,
	} {
		a := ask(s, http.MethodGet, path, "Accept-Encoding", accepted)
		a.ExpectHeader(t, "Vary", "Accept-Encoding")
		if !wantsGzip {
			if a.Body != plain.Body || a.Header.Get("ETag") != plain.Header.Get("ETag") {
				t.Errorf("%q: the response is not the plain content", accepted)
			}
			continue
		}
		a.ExpectHeader(t, "Content-Encoding", "gzip")
		if a.Header.Get("ETag") == plain.Header.Get("ETag") {
			t.Errorf("%q: the compressed and the plain content have the same ETag", accepted)
		}
		r, err := gzip.NewReader(strings.NewReader(a.Body))
		if err != nil {
			t.Fatalf("%q: %v", accepted, err)
		}
		if content, err := io.ReadAll(r); err != nil || string(content) != plain.Body {
			t.Errorf("%q: the decompressed content differs, %v", accepted, err)
		}
	}
}
