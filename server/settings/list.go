package settings

import (
	"fmt"
	"slices"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v4"
)

// List is a list in the configuration file. Each item is a mapping whose keys are the flags of a struct, without their dashes. Values of
// items come from the file alone, or from files of secrets that it names. A hook AfterApply of the struct gets a Resolver of the item.
type List struct {
	Key      string
	Commands []string   // those that read the list; others ignore it
	New      func() any // returns a pointer to the struct of a new item
	Add      func(any)  // gets what New has returned, with the values of an item
}

func (r *Resolver) listKeys() (keys []string) {
	for _, l := range r.lists {
		keys = append(keys, l.Key)
	}
	return keys
}

// readLists reads the lists of the file that the command reads.
func (r *Resolver) readLists(c *kong.Context, f *file) (problems Problems) {
	if f == nil || c.Selected() == nil {
		return nil
	}
	for _, l := range r.lists {
		node, ok := f.values[l.Key]
		if !ok || !slices.Contains(l.Commands, c.Selected().Name) {
			continue
		}
		if node.Kind != yaml.SequenceNode || len(node.Content) == 0 {
			problems = append(problems, f.wrong(node, fmt.Errorf("%s must be a list, each item of which has keys with values", l.Key)))
			continue
		}
		for n, item := range node.Content {
			read, wrong := l.read(f, item, fmt.Sprintf("%s[%d].", l.Key, n))
			problems = append(problems, wrong...)
			r.listed = append(r.listed, read...)
		}
	}
	return problems
}

// read reads an item, and returns its settings that have a value.
func (l List) read(f *file, item *yaml.Node, prefix string) ([]Setting, Problems) {
	if item.Kind != yaml.MappingNode {
		return nil, Problems{f.wrong(item, fmt.Errorf("each item of %s must have keys with values, such as issuer: https://login.example.com", l.Key))}
	}
	target := l.New()
	own := New("")
	own.read = true // its values are those of the item
	parser, err := kong.New(target, kong.NoDefaultHelp(), kong.Resolvers(own), kong.Bind(own), kong.NamedMapper("existingfile", kong.MapperFunc(existingFile)))
	if err != nil {
		return nil, Problems{fmt.Errorf("%s: %w", l.Key, err)}
	}
	keys := map[string]*kong.Flag{}
	for _, flag := range parser.Model.Flags {
		keys[flag.Name] = flag
	}
	part, problems := newFile(f.path, item.Content, keys, nil)
	for _, flag := range parser.Model.Flags {
		v, err := part.value(flag)
		if err == nil && v != nil {
			err = v.located(part, check(flag, *v))
		}
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if v != nil {
			own.values[flag] = *v
			own.origins[flag.Name] = v.from
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	if _, err := parser.Parse(nil); err != nil {
		// The texts of kong's errors may repeat a secret.
		return nil, Problems{f.wrong(item, fmt.Errorf("this item of %s cannot be read", l.Key))}
	}
	var settings []Setting
	for _, flag := range parser.Model.Flags {
		if s := newSetting(flag, own.origins[flag.Name]); s.Value != nil && (s.Value != false || own.origins[flag.Name] != "") {
			s.Name = prefix + s.Name
			settings = append(settings, s)
		}
	}
	l.Add(target)
	return settings, nil
}
