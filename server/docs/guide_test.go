package docs_test

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"golang.org/x/net/html"

	"github.com/dragoman-id/dragoman/server/servertest"
)

// guidePaths returns the paths of the guide's pages.
func guidePaths(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("guide/*.md")
	if err != nil || len(files) < 20 {
		t.Fatalf("the guide's files are %v, %v", files, err)
	}
	paths := []string{"/docs/guide", "/docs/guide/all", "/docs/guide/semantics", "/docs/guide/fields"}
	for _, file := range files {
		if name := filepath.Base(file); name != "README.md" {
			paths = append(paths, "/docs/guide/"+strings.TrimSuffix(name, ".md"))
		}
	}
	return paths
}

// htmlPage has the parts of a page that a test checks.
type htmlPage struct {
	ids      map[string]int
	links    []string
	elements map[string]int
	rows     []string // rows of a table outside of one, as after an empty line
}

func parsePage(t *testing.T, s *servertest.Server, path string) htmlPage {
	t.Helper()
	a := ask(s, http.MethodGet, path)
	if a.Status != http.StatusOK {
		t.Fatalf("%s: %d", path, a.Status)
	}
	root, err := html.Parse(strings.NewReader(a.Body))
	if err != nil {
		t.Fatal(err)
	}
	p := htmlPage{ids: map[string]int{}, elements: map[string]int{}}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			p.elements[n.Data]++
		}
		if n.Type == html.TextNode && n.Parent.Data == "p" && strings.HasPrefix(n.Data, "| ") {
			p.rows = append(p.rows, n.Data)
		}
		for _, attribute := range n.Attr {
			switch attribute.Key {
			case "id":
				p.ids[attribute.Val]++
			case "href":
				p.links = append(p.links, attribute.Val)
			case "style":
				p.elements["style"]++ // forbidden by the content security policy
			}
		}
	}
	return p
}

// TestGuideNamesTests: each test that the guide names is a function of a package's tests.
func TestGuideNamesTests(t *testing.T) {
	t.Parallel()
	var tests strings.Builder
	if err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		tests.Write(text)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("guide/*.md")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\bTest[A-Z]\w*`).FindAllString(string(text), -1) {
			named++
			if !strings.Contains(tests.String(), "\nfunc "+name+"(t *testing.T)") {
				t.Errorf("%s names %s, which is no test below server", page, name)
			}
		}
	}
	if named == 0 {
		t.Error("the guide names no test")
	}
}

func TestGuideLinks(t *testing.T) {
	t.Parallel()
	s := withExplorer(t)
	pages := map[string]htmlPage{}
	for _, path := range guidePaths(t) {
		pages[path] = parsePage(t, s, path)
	}
	for path, page := range pages {
		base, err := url.Parse(path)
		if err != nil {
			t.Fatal(err)
		}
		for id, n := range page.ids {
			if n > 1 {
				t.Errorf("%s: %d elements have the id %q", path, n, id)
			}
		}
		if page.elements["h1"] == 0 || page.elements["script"] > 0 || page.elements["style"] > 0 {
			t.Errorf("%s has the elements %v", path, page.elements)
		}
		for _, row := range page.rows {
			t.Errorf("%s: this row is in no table: %s", path, row)
		}
		for _, link := range page.links {
			if file, ok := strings.CutPrefix(link, "https://github.com/dragoman-id/dragoman/blob/main/"); ok {
				if _, err := os.Stat("../../" + file); err != nil {
					t.Errorf("%s: %s: %v", path, link, err)
				}
				continue
			}
			target, err := base.Parse(link)
			if err != nil || strings.HasPrefix(link, "/") {
				t.Errorf("%s: %s is not relative, so it breaks if a proxy adds a prefix: %v", path, link, err)
				continue
			}
			if target.Scheme != "" {
				continue
			}
			linked, ok := pages[target.Path]
			switch {
			case ok && target.Fragment != "" && linked.ids[target.Fragment] == 0:
				t.Errorf("%s: %s: there is no such heading", path, link)
			case !ok && ask(s, http.MethodHead, target.Path).Status != http.StatusOK:
				t.Errorf("%s: %s: there is no such page", path, link)
			}
		}
	}
	if tables := pages["/docs/guide/configuration"].elements["table"]; tables == 0 {
		t.Error("the page on configuration has no table")
	}
	if all := pages["/docs/guide/all"]; all.ids["tokens"] != 1 || all.ids["operating/health"] != 1 {
		t.Error("the page with all pages has no section of tokens, or of the server's health")
	}
}

func TestGuideInABrowser(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	s := withExplorer(t)
	page := openTab(t, browser, s.URL)
	for _, width := range []int64{360, 1440} {
		page.do(chromedp.EmulateViewport(width, 900))
		for _, path := range []string{"/docs/guide", "/docs/guide/tokens", "/docs/guide/all"} {
			page.do(chromedp.Navigate(s.URL + path))
			wide, err := chromedp.Run(page.ctx, chromedp.Evaluate[int64]("document.documentElement.scrollWidth"))
			if err != nil || wide > width {
				t.Errorf("%s is %d pixels wide in a window of %d: %v", path, wide, width, err)
			}
		}
	}
	for text, want := range map[string]bool{"DRAGOMAN_LISTEN": true, "pg_restore": true, "no page has this": false} {
		found, err := chromedp.Run(page.ctx, chromedp.Evaluate[bool](fmt.Sprintf("window.find(%q, false, false, true)", text)))
		if err != nil || found != want {
			t.Errorf("the browser's search for %q: %t, %v", text, found, err)
		}
	}
	page.do(chromedp.Navigate(s.URL + "/docs/worth"))
	page.press("nav a[href=guide]")
	page.do(chromedp.WaitVisible(`article a[href="guide/tokens"]`))
}
