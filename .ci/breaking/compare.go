package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/oasdiff/oasdiff/checker"
	"github.com/oasdiff/oasdiff/diff"
	"github.com/oasdiff/oasdiff/load"
	"go.yaml.in/yaml/v3"
)

// compare gives what may break a client of the older document that meets the newer one, one line each:
//
//	`request-property-became-required`, worth `POST /customers/{customerID}/users`: the request property 'mobile' became required
//
// which are oasdiff's check (or base-path-removed, which is ours), the document, the operation and oasdiff's sentence. What
// only may break a client counts as much as what certainly does.
func compare(document, older, newer string) ([]string, error) {
	before, err := read(older)
	if err != nil {
		return nil, err
	}
	after, err := read(newer)
	if err != nil {
		return nil, err
	}
	difference, sources, err := diff.GetWithOperationsSourcesMap(diff.NewConfig(), before, after)
	if err != nil {
		return nil, fmt.Errorf("compare %s with %s: %w", newer, older, err)
	}
	english := checker.NewDefaultLocalizer()
	var changes []string
	for _, change := range checker.CheckBackwardCompatibility(checker.NewConfig(checker.GetAllChecks()), difference, sources) {
		where := document
		if change.GetPath() != "" {
			where += fmt.Sprintf(" `%s %s`", change.GetOperation(), change.GetPath())
		}
		changes = append(changes, oneLine(fmt.Sprintf("`%s`, %s: %s", change.GetId(), where, shorten(change.GetUncolorizedText(english)))))
	}
	for _, path := range slices.DeleteFunc(basePaths(before), func(path string) bool { return slices.Contains(basePaths(after), path) }) {
		changes = append(changes, fmt.Sprintf("`base-path-removed`, %s: no server has the base path `%s` any more", document, path))
	}
	changes = append(changes, renamedOperations(document, before, after)...)
	slices.Sort(changes)
	return slices.Compact(changes), nil
}

// renamedOperations gives the operations that have another operationId than before: generated clients call them by it. Of what
// had none, as in Worth's own document, nothing is lost. oasdiff 1.36 does not take it for breaking.
func renamedOperations(document string, before, after *load.SpecInfo) (changes []string) {
	for path, item := range before.Spec.Paths.Map() {
		now := after.Spec.Paths.Value(path)
		if now == nil {
			continue
		}
		for method, o := range item.Operations() {
			other := now.GetOperation(method)
			if o.OperationID != "" && other != nil && other.OperationID != o.OperationID {
				changes = append(changes, fmt.Sprintf("`operation-id-changed`, %s `%s %s`: the operationId `%s` became `%s`",
					document, method, path, o.OperationID, other.OperationID))
			}
		}
	}
	return changes
}

// basePaths gives the paths of a document's servers, wherever these are. oasdiff 1.36 does not look at them.
func basePaths(s *load.SpecInfo) []string {
	var paths []string
	for _, server := range s.Spec.Servers {
		path, err := server.BasePath()
		if err != nil {
			path = server.URL
		}
		paths = append(paths, path)
	}
	return paths
}

func read(path string) (*load.SpecInfo, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	document, err := load.NewSpecInfoFromData(openapi3.NewLoader(), text, path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return document, nil
}

// oneLine joins wrapped lines. White space beyond ASCII stands for itself: patterns have it.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n", r) }), " ")
}

var longQuote = regexp.MustCompile("`[^`]{48,}`")

// shorten cuts what is quoted and long, such as a pattern, and tells it from others that begin alike by a part of its hash.
func shorten(text string) string {
	return longQuote.ReplaceAllStringFunc(text, func(long string) string {
		return fmt.Sprintf("`%s...` (%.4x)", long[1:17], sha256.Sum256([]byte(long)))
	})
}

var (
	unreleased = regexp.MustCompile(`(?ms)^## \[Unreleased\]\n(.*?)(^## |\z)`)
	breaking   = regexp.MustCompile(`(?ms)^### Breaking\n(.*?)(^### |\z)`)
	item       = regexp.MustCompile(`(?m)^- `)
	// aChange is how an entry begins that names a document's change. Others, of a flag, say, are for readers alone.
	aChange = regexp.MustCompile("^`[a-z0-9-]+`, [a-z]+( `[A-Z]+ /[^`]*`)?: ")
)

// breakingEntries gives the entries of a changelog that name a breaking change of a document not released yet, each on one
// line.
func breakingEntries(changelog string) []string {
	section := unreleased.FindStringSubmatch(changelog)
	if section == nil {
		return nil
	}
	list := breaking.FindStringSubmatch(section[1])
	if list == nil {
		return nil
	}
	var entries []string
	for _, text := range item.Split(list[1], -1)[1:] {
		if entry := oneLine(text); aChange.MatchString(entry) {
			entries = append(entries, entry)
		}
	}
	return entries
}

// differences reads the accepted changes of a file that groups them by their reason. A file that is not there accepts none.
func differences(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var groups []struct {
		Reason  string   `yaml:"reason"`
		Changes []string `yaml:"changes"`
	}
	if err := yaml.Unmarshal(text, &groups); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	var all []string
	for _, group := range groups {
		if strings.TrimSpace(group.Reason) == "" {
			return nil, fmt.Errorf("%s: a group of changes has no reason", path)
		}
		for _, change := range group.Changes {
			all = append(all, oneLine(change))
		}
	}
	return all, nil
}

// quoted writes changes so that YAML takes each for one text.
func quoted(changes []string) (all []string) {
	for _, change := range changes {
		all = append(all, "'"+strings.ReplaceAll(change, "'", "''")+"'")
	}
	return all
}
