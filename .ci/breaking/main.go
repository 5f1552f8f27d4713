// Command breaking fails when a document of this release breaks a client of the last release, or one that was made of the
// vendor's own document, and nobody has said so. It compares files and knows nothing of the server.
//
// What breaks a client of the last release is named in CHANGELOG.md, in a list "### Breaking" below "## [Unreleased]".
// What our overlay asks beyond a vendor's document is named in openapi/NAME.differences.yaml, with the reason. An entry that
// names nothing is a fault too.
//
// It is a module of its own, since what oasdiff needs would else be in the module graph of whoever uses the SDK.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: breaking ROOT")
		os.Exit(2)
	}
	err := check(os.Args[1], os.Stdout)
	if errors.Is(err, errBroken) {
		os.Exit(1)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "breaking:", err)
		os.Exit(2)
	}
}

// errBroken says that what is wrong has been written out.
var errBroken = errors.New("a document breaks clients, and nobody has said so")

// check compares the documents of the checkout at root, and writes what is wrong and what to do about it.
func check(root string, out io.Writer) error {
	again, err := sinceRelease(root, out)
	if err != nil {
		return err
	}
	beyond, err := sinceVendor(root, out)
	if err != nil {
		return err
	}
	if again || beyond {
		return errBroken
	}
	return nil
}

// sinceRelease holds gen/documents against openapi/released, and tells whether that failed.
func sinceRelease(root string, out io.Writer) (failed bool, err error) {
	released, err := documents(filepath.Join(root, "openapi", "released"))
	if err != nil {
		return false, err
	}
	if len(released) == 0 {
		return false, errors.New("openapi/released has no documents: `make release-documents` makes them")
	}
	var changes []string
	for _, name := range released {
		found, err := compare(name,
			filepath.Join(root, "openapi", "released", name+".yaml"), filepath.Join(root, "gen", "documents", name+".yaml"))
		if err != nil {
			return false, err
		}
		changes = append(changes, found...)
	}
	text, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	if err != nil {
		return false, err
	}
	untold, stale := reconcile(changes, breakingEntries(string(text)))
	tell(out, "This breaks clients of the last release. Undo it, or say so in CHANGELOG.md: a list \"### Breaking\" below\n"+
		"\"## [Unreleased]\" with these entries, each followed by what a client has to do:", "- %s\n", untold)
	tell(out, "CHANGELOG.md names as breaking what is no such change since the last release. Remove it or put it right:", "- %s\n", stale)
	fmt.Fprintf(out, "%s: breaking changes since the last release: %d, untold: %d\n",
		strings.Join(released, ", "), len(changes), len(untold))
	today, err := documents(filepath.Join(root, "gen", "documents"))
	if err != nil {
		return false, err
	}
	for _, name := range today {
		if !slices.Contains(released, name) {
			fmt.Fprintf(out, "%s: new since the last release, so it breaks nobody yet\n", name)
		}
	}
	return len(untold)+len(stale) > 0, nil
}

// sinceVendor holds each document that has an overlay against the vendor's own, and tells whether that failed.
func sinceVendor(root string, out io.Writer) (failed bool, err error) {
	overlays, err := filepath.Glob(filepath.Join(root, "openapi", "*.overlay.yaml"))
	if err != nil {
		return false, err
	}
	if len(overlays) == 0 {
		return false, errors.New("openapi has no overlay")
	}
	for _, overlay := range overlays {
		name := strings.TrimSuffix(filepath.Base(overlay), ".overlay.yaml")
		changes, err := compare(name,
			filepath.Join(root, "openapi", name+".yaml"), filepath.Join(root, "gen", "documents", name+".yaml"))
		if err != nil {
			return false, err
		}
		file := filepath.Join("openapi", name+".differences.yaml")
		accepted, err := differences(filepath.Join(root, file))
		if err != nil {
			return false, err
		}
		untold, stale := reconcile(changes, accepted)
		tell(out, "This breaks clients made of the vendor's document. Undo it, or name it in "+file+" with the reason:", "    - %s\n", quoted(untold))
		tell(out, file+" names what is no difference that breaks clients. Remove it or put it right:", "    - %s\n", quoted(stale))
		fmt.Fprintf(out, "%s: breaking differences from the vendor's document: %d, untold: %d\n", name, len(changes), len(untold))
		failed = failed || len(untold)+len(stale) > 0
	}
	return failed, nil
}

// tell writes a list below a heading, or nothing if the list is empty.
func tell(out io.Writer, heading, format string, all []string) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(out, "%s\n\n", heading)
	for _, one := range all {
		fmt.Fprintf(out, format, one)
	}
	fmt.Fprintln(out)
}

// documents gives the names of the documents in a folder, sorted.
func documents(dir string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, path := range paths {
		names = append(names, strings.TrimSuffix(filepath.Base(path), ".yaml"))
	}
	slices.Sort(names)
	return names, nil
}

// reconcile gives the changes that no entry names, and the entries that name no change.
func reconcile(changes, entries []string) (untold, stale []string) {
	untold = slices.DeleteFunc(slices.Clone(changes), func(change string) bool {
		return slices.ContainsFunc(entries, func(entry string) bool { return names(entry, change) })
	})
	stale = slices.DeleteFunc(slices.Clone(entries), func(entry string) bool {
		return slices.ContainsFunc(changes, func(change string) bool { return names(entry, change) })
	})
	return untold, stale
}

// names tells whether an entry begins with a change, as compare words it. A sentence of its own may follow.
func names(entry, change string) bool {
	rest, found := strings.CutPrefix(entry, change)
	return found && (rest == "" || strings.HasPrefix(rest, "."))
}
