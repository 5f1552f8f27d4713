package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/docs/generated"
)

// manual returns README and the pages of the guide, by their paths from the root of the module.
func manual(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(root + "server/docs/guide/*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{}
	for _, path := range append(paths, root+"README.md") {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		pages[strings.TrimPrefix(path, root)] = string(content)
	}
	return pages
}

func TestReadmeIsShort(t *testing.T) {
	t.Parallel()
	if n := strings.Count(manual(t)["README.md"], "\n"); n > 250 {
		t.Errorf("README.md has %d lines, more than 250: move something into server/docs/guide", n)
	}
}

// TestGeneratedContents: README has the table of contents of the guide.
func TestGeneratedContents(t *testing.T) {
	t.Parallel()
	_, contents, _ := strings.Cut(manual(t)["server/docs/guide/README.md"], "\n\n")
	contents = strings.NewReplacer("\n## ", "\n### ", "](../../", "](server/", "](", "](server/docs/guide/").Replace("\n" + contents)
	generated.Check(t, root+"README.md", "contents", contents)
}

var (
	markdownLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	markdownHeading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notInAnchors    = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// anchors returns the names that GitHub gives to a page's headings.
func anchors(page []byte) map[string]bool {
	names := map[string]bool{}
	for _, heading := range markdownHeading.FindAllSubmatch(page, -1) {
		name := notInAnchors.ReplaceAll(bytes.ToLower(heading[1]), nil)
		names[strings.ReplaceAll(string(name), " ", "-")] = true
	}
	return names
}

func TestLinksOfManual(t *testing.T) {
	t.Parallel()
	pages := manual(t)
	for _, path := range []string{"SECURITY.md", "server/SEMANTICS.md", "server/bench/RESULTS.md"} {
		content, err := os.ReadFile(root + path)
		if err != nil {
			t.Fatal(err)
		}
		pages[path] = string(content)
	}
	for path, page := range pages {
		for _, link := range markdownLink.FindAllStringSubmatch(page, -1) {
			target, anchor, _ := strings.Cut(link[1], "#")
			if strings.Contains(target, ":") {
				continue // another site
			}
			file := filepath.Join(filepath.Dir(path), target)
			if target == "" {
				file = path
			}
			if _, err := os.Stat(root + file); err != nil {
				t.Errorf("%s: link %s: %v", path, link[1], err)
				continue
			}
			if anchor == "" {
				continue
			}
			content, err := os.ReadFile(root + file)
			if err != nil {
				t.Errorf("%s: link %s: %v", path, link[1], err)
			} else if !anchors(content)[anchor] {
				t.Errorf("%s: link %s: %s has no such heading", path, link[1], file)
			}
		}
	}
}
