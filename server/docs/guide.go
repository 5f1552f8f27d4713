package docs

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

const (
	// guidePath is the path of the guide's index. The pages are below it.
	guidePath = "/docs/guide"
	// allPages is the name of the page that contains all others, so that the browser's find-in-page searches the whole guide.
	allPages = "all"
	// guideIndex is the file of the index in the repository.
	guideIndex = "server/docs/guide/README.md"
	// repositoryURL is the URL of files in the repository that are not pages of the guide.
	repositoryURL = "https://github.com/dragoman-id/dragoman/blob/main/"
)

//go:embed guide
var guideFiles embed.FS

var guideTemplate = template.Must(template.ParseFS(guideFiles, "guide/page.html"))

// newGuide returns the handlers of the user's guide, by path. Its pages are the Markdown files to which the index links, in the
// order of the links. Reference has those that are in the repository's folder server.
func newGuide(reference fs.FS, apis []dialectPage) (map[string]http.Handler, error) {
	g, err := readGuide(reference)
	if err != nil {
		return nil, err
	}
	css, err := guideFiles.ReadFile("guide/guide.css")
	if err != nil {
		return nil, err
	}
	handlers := map[string]http.Handler{
		explorerPath + "guide.css": newFile(contentTypeOf("guide.css"), css),
		guidePath + "/":            redirect("../guide"),
	}
	views := []guideView{{Title: "All pages", Name: allPages}}
	for _, p := range g.pages {
		views = append(views, guideView{Title: p.Title, Name: p.Name})
	}
	for _, view := range views {
		view.APIs, view.Pages = apis, g.pages[1:]
		handlers[path.Join(guidePath, view.Name)] = rendered(func() ([]byte, error) { return g.render(view) })
	}
	return handlers, nil
}

// rendered returns the handler of a page that is rendered when it is first requested: rendering the whole guide takes longer than
// everything else that happens before the server is ready.
func rendered(render func() ([]byte, error)) http.Handler {
	page := sync.OnceValue(func() http.Handler {
		html, err := render()
		if err != nil {
			panic(err) // an embedded file is wrong
		}
		return newHTML(html)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { page().ServeHTTP(w, r) })
}

// render returns the HTML of a view.
func (g *guide) render(view guideView) ([]byte, error) {
	for i, p := range g.pages {
		if view.Name == p.Name || view.Name == allPages && i > 0 {
			if err := view.add(g, p); err != nil {
				return nil, err
			}
		}
	}
	var html bytes.Buffer
	if err := guideTemplate.Execute(&html, &view); err != nil {
		return nil, fmt.Errorf("write the guide's page %q: %w", view.Title, err)
	}
	return html.Bytes(), nil
}

// guide is the Markdown of all pages.
type guide struct {
	markdown goldmark.Markdown
	pages    []guidePage // the index is the first
}

// guidePage is a page's Markdown. The index's name is empty.
type guidePage struct {
	file, Name, Title string
	source            []byte
}

func readGuide(reference fs.FS) (*guide, error) {
	g := &guide{markdown: goldmark.New(
		// The alignment is an attribute, since the content security policy forbids inline styles.
		goldmark.WithExtensions(extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute))),
		goldmark.WithParserOptions(parser.WithAutoHeadingID()),
	)}
	index, err := guideFiles.ReadFile("guide/" + path.Base(guideIndex))
	if err != nil {
		return nil, err
	}
	g.pages = append(g.pages, newGuidePage(guideIndex, "", index))
	err = ast.Walk(g.parse(g.pages[0]), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		l, ok := n.(*ast.Link)
		if !ok || !entering {
			return ast.WalkContinue, nil
		}
		file := path.Join(path.Dir(guideIndex), string(l.Destination))
		var source []byte
		if name, ok := strings.CutPrefix(file, "server/docs/"); ok {
			source, err = guideFiles.ReadFile(name)
		} else if name, ok := strings.CutPrefix(file, "server/"); ok {
			source, err = fs.ReadFile(reference, name)
		} else {
			return ast.WalkContinue, nil // not a page of the guide
		}
		g.pages = append(g.pages, newGuidePage(file, strings.ToLower(strings.TrimSuffix(path.Base(file), ".md")), source))
		return ast.WalkContinue, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the guide: %w", err)
	}
	return g, nil
}

func newGuidePage(file, name string, source []byte) guidePage {
	title, _, _ := strings.Cut(strings.TrimPrefix(string(source), "# "), "\n")
	return guidePage{file: file, Name: name, Title: title, source: source}
}

func (g *guide) parse(p guidePage) ast.Node {
	return g.markdown.Parser().Parse(text.NewReader(p.source))
}

// guideView is the template's data: one page, or all.
type guideView struct {
	Title, Name string
	HTML        template.HTML
	Headings    []guideHeading
	APIs        []dialectPage
	Pages       []guidePage
}

// guideHeading is an entry of a view's table of contents.
type guideHeading struct{ ID, Text string }

// Root is the path of the explorer relative to the view, since a proxy may add a prefix to the path.
func (v *guideView) Root() string {
	if v.Name == "" {
		return ""
	}
	return "../"
}

// add renders a page into the view. In the view of all pages, the page's name is the prefix of its headings' ids.
func (v *guideView) add(g *guide, p guidePage) error {
	prefix := ""
	if v.Name == allPages {
		prefix = p.Name + "/"
		v.Headings = append(v.Headings, guideHeading{p.Name, p.Title})
	}
	document := g.parse(p)
	err := ast.Walk(document, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		switch n := n.(type) {
		case *ast.Link:
			if entering {
				destination, err := v.resolve(g, p, string(n.Destination))
				n.Destination = []byte(destination)
				return ast.WalkContinue, err
			}
		case *ast.Heading:
			if entering {
				break
			}
			value, _ := n.AttributeString("id")
			id, ok := value.([]byte)
			if !ok {
				return ast.WalkStop, errors.New("a heading has no id")
			}
			id = append([]byte(prefix), id...)
			n.SetAttributeString("id", id)
			if n.Level == 2 && v.Name != allPages {
				v.Headings = append(v.Headings, guideHeading{string(id), strings.ReplaceAll(string(n.Lines().Value(p.source)), "`", "")})
			}
			if n.Level > 1 {
				anchor := ast.NewLink()
				anchor.Destination = append([]byte("#"), id...)
				anchor.SetAttributeString("class", []byte("anchor"))
				anchor.AppendChild(anchor, ast.NewString([]byte("#")))
				n.AppendChild(n, anchor)
			}
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return fmt.Errorf("render %s: %w", p.file, err)
	}
	var html bytes.Buffer
	if err := g.markdown.Renderer().Render(&html, p.source, document); err != nil {
		return fmt.Errorf("render %s: %w", p.file, err)
	}
	rendered := html.String()
	if v.Name == allPages {
		rendered = `<section id="` + p.Name + `">` + rendered + "</section>\n"
	}
	v.HTML += template.HTML(rendered) // #nosec G203 -- from embedded files
	return nil
}

// resolve converts a link that is relative to a page's file into a URL that is relative to the view.
func (v *guideView) resolve(g *guide, p guidePage, link string) (string, error) {
	target, err := url.Parse(link)
	if err != nil || target.IsAbs() {
		return link, err
	}
	file := p.file
	if target.Path != "" {
		file = path.Join(path.Dir(p.file), target.Path)
	}
	fragment := ""
	if target.Fragment != "" {
		fragment = "#" + target.Fragment
	}
	for _, other := range g.pages {
		switch {
		case other.file != file:
		case v.Name == allPages && other.Name != "":
			return strings.TrimSuffix("#"+other.Name+"/"+target.Fragment, "/"), nil
		default:
			return v.Root() + path.Join("guide", other.Name) + fragment, nil
		}
	}
	return repositoryURL + file + fragment, nil
}
