package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v4"
)

// maxFile is the largest size of a configuration file in bytes.
const maxFile = 1 << 20

// fileKeySuffix is the suffix of a key whose value is the path of a secret's file.
const fileKeySuffix = "-file"

// file is a parsed configuration file: one YAML mapping whose keys are names of flags. A nil file has no keys.
type file struct {
	path   string
	values map[string]*yaml.Node // by key
}

// readFile parses the configuration file at path, or returns nil if path is empty. It refuses unknown and repeated keys. others are keys
// that are not flags.
func readFile(path string, keys map[string]*kong.Flag, others []string) (*file, Problems) {
	if path == "" {
		return nil, nil
	}
	content, err := readBounded(path, maxFile, "")
	if err != nil {
		return nil, Problems{fmt.Errorf("configuration file of --config (DRAGOMAN_CONFIG): %w", err)}
	}
	mapping, err := parseMapping(path, content)
	if err != nil {
		return nil, Problems{err}
	}
	return newFile(path, mapping, keys, others)
}

// newFile returns the file, or a part of it, with the keys and values of a mapping, alternating.
func newFile(path string, mapping []*yaml.Node, keys map[string]*kong.Flag, others []string) (*file, Problems) {
	f := &file{path: path, values: map[string]*yaml.Node{}}
	names := append(f.names(keys), others...)
	var problems Problems
	for i := 0; i < len(mapping); i += 2 {
		key, value := mapping[i], mapping[i+1]
		if key.Kind != yaml.ScalarNode {
			problems = append(problems, f.wrong(key, errors.New("a key must be a name")))
			continue
		}
		first, repeated := f.values[key.Value]
		switch {
		case !slices.Contains(names, key.Value):
			problems = append(problems, f.wrong(key, fmt.Errorf("there is no key %s%s", key.Value, nearest(key.Value, names))))
		case repeated:
			problems = append(problems, f.wrong(key, fmt.Errorf("%s is set a second time, after line %d", key.Value, first.Line)))
		default:
			f.values[key.Value] = value
		}
	}
	return f, problems
}

// readBounded reads a file of at most so many bytes. The hint is added to the error about a larger one.
func readBounded(path string, most int64, hint string) ([]byte, error) {
	f, err := os.Open(path) // #nosec G304 G703 -- the operator names the file
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(f, most+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if int64(len(content)) > most {
		return nil, fmt.Errorf("%s has more than %d bytes%s", path, most, hint)
	}
	return content, nil
}

// quoted matches what an error of the YAML package quotes of the file, such as a value that it takes for the name of an anchor.
var quoted = regexp.MustCompile(`'.*'`)

// parseMapping returns the keys and values of the file's mapping, alternating, or nil if the file is empty.
func parseMapping(path string, content []byte) ([]*yaml.Node, error) {
	var document, more yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(content))
	if err := d.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("%s: %s", path, quoted.ReplaceAllString(err.Error(), "'***'"))
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: there is more than one document", path)
	}
	root := document.Content[0]
	switch {
	case root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null":
		return nil, nil
	case root.Kind != yaml.MappingNode:
		return nil, fmt.Errorf("%s:%d: the file must have keys with values, such as listen: 127.0.0.1:8080", path, root.Line)
	}
	return root.Content, nil
}

// names returns all keys that the file may have.
func (f *file) names(keys map[string]*kong.Flag) []string {
	names := slices.Collect(maps.Keys(keys))
	for name, flag := range keys {
		if isSecret(flag) {
			names = append(names, name+fileKeySuffix)
		}
	}
	return names
}

func (f *file) wrong(n *yaml.Node, err error) error { return &lineError{f.path, n.Line, err} }

func (f *file) at(n *yaml.Node) string { return fmt.Sprintf("%s:%d", f.path, n.Line) }

// value returns a flag's value from the file, or nil if it is not set there.
func (f *file) value(flag *kong.Flag) (*found, error) {
	if f == nil {
		return nil, nil
	}
	node, ok := f.values[flag.Name]
	path, inFile := (*yaml.Node)(nil), false
	if isSecret(flag) {
		path, inFile = f.values[flag.Name+fileKeySuffix]
	}
	switch {
	case ok && inFile:
		return nil, f.wrong(path, fmt.Errorf("%s and %s are both set: leave one of them out", flag.Name, flag.Name+fileKeySuffix))
	case ok:
		return f.inline(flag, node)
	case inFile:
		return f.named(flag, path)
	}
	return nil, nil
}

// inline returns a value that is in the configuration file itself.
func (f *file) inline(flag *kong.Flag, node *yaml.Node) (*found, error) {
	items := []*yaml.Node{node}
	if node.Kind == yaml.SequenceNode && flag.IsSlice() {
		items = node.Content
	}
	texts := make([]string, len(items))
	for i, item := range items {
		text, problem := scalar(flag, item)
		if problem != "" {
			return nil, f.wrong(item, fmt.Errorf("%s %s", flag.Name, problem))
		}
		texts[i] = text
	}
	v := &found{from: f.at(node), called: flag.Name, line: node}
	switch {
	case node.Kind != yaml.SequenceNode:
		v.text = texts[0]
	case len(texts) == 0 && !flag.Tag.Has(notEmptyTag):
		return nil, nil
	default:
		v.items = texts
	}
	return v, nil
}

// named returns a value from the file that the configuration file names.
func (f *file) named(flag *kong.Flag, path *yaml.Node) (*found, error) {
	key := flag.Name + fileKeySuffix
	if path.Kind != yaml.ScalarNode || path.ShortTag() != "!!str" || path.Value == "" {
		return nil, f.wrong(path, fmt.Errorf("%s must be the path of a file", key))
	}
	text, err := readSecret(flag, path.Value)
	if err != nil {
		return nil, f.wrong(path, fmt.Errorf("%s: %w", key, err))
	}
	return &found{text: text, from: f.at(path) + " (" + path.Value + ")", called: path.Value, line: path}, nil
}

// scalar returns the text of a single value of a flag, or what is wrong with it. Text that YAML interprets as a number, a date or
// a truth value must be in quotes: otherwise a secret or a name that looks like one would change.
func scalar(flag *kong.Flag, node *yaml.Node) (text, problem string) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	kind, tag := kindOf(flag), node.ShortTag()
	switch {
	case node.Kind != yaml.ScalarNode:
		if flag.IsSlice() {
			return "", "must be a list of single values"
		}
		return "", "must be a single value"
	case tag == "!!null":
		return "", "has no value"
	case strings.ContainsAny(node.Value, "\r\n"):
		return "", "must be on one line"
	case kind == "" && tag != "!!str":
		return "", "must be text: put it in quotes"
	case kind == "true or false" && tag != "!!bool",
		kind == "a whole number" && tag != "!!int",
		kind == "a number" && tag != "!!int" && tag != "!!float":
		return "", "must be " + kind
	}
	return node.Value, ""
}
