// Package settings resolves the values of a command's flags. In order of precedence they are from the command line, an
// environment variable, a file that a variable names, the configuration file in YAML, and the default. It reports all invalid
// values at once, and records the origin of each value. The configuration file may also have lists, whose items have flags of their own.
// It knows kong's model of the command line, and not what a flag means.
//
// A flag needs only its field. The tag `notempty:""` rejects an empty text wherever it comes from. The tag `secret:""` marks a secret:
// it is never shown, and it may be in a file of its own, which the variable NAME_FILE or the key name-file names. With
// `secret:"password"` the value is a URL with a password, of which the scheme, the hosts and the path are shown, as of any URL.
package settings

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v4"
)

// Prefix is the prefix of all variables.
const Prefix = "DRAGOMAN"

// configFlag is the flag that names the configuration file.
const configFlag = "config"

// found is the value of a flag, and its origin.
type found struct {
	text   string     // the value; those of a list are separated as on the command line
	items  []string   // the values of a list in YAML, as they are; text is then empty
	from   string     // the origin, for [Setting]
	called string     // the name in messages
	line   *yaml.Node // the node in the configuration file, if the value or the name of its file is there
}

// Resolver is kong's resolver for values that are not on the command line. It reads variables and files once, and is for one
// command line.
type Resolver struct {
	command string // whose flags are the configuration file's keys
	lists   []List
	read    bool
	values  map[*kong.Flag]found
	origins map[string]string // by the names of flags that have a value
	listed  []Setting         // those in lists
}

// New returns a Resolver. The keys of the configuration file are the flags of the named command. Other commands use the keys of
// flags that they share with it. A command that shares no flag reads neither the file nor variables. The file may have lists, too.
func New(command string, lists ...List) *Resolver {
	return &Resolver{command: command, lists: lists, values: map[*kong.Flag]found{}, origins: map[string]string{}}
}

// Options returns kong's options for a command line with this resolver.
func (r *Resolver) Options() []kong.Option {
	return []kong.Option{
		kong.DefaultEnvars(Prefix), kong.Resolvers(r), kong.ValueFormatter(help), kong.Bind(r),
		kong.NamedMapper("existingfile", kong.MapperFunc(existingFile)),
	}
}

// existingFile maps the path of a file that must exist. It replaces kong's mapper of this name (1.17), which leaves the target
// empty if the flag is already set: kong maps a variable's value itself, and again the resolver's value for it.
func existingFile(c *kong.DecodeContext, target reflect.Value) error {
	var path string
	if err := c.Scan.PopValueInto("file", &path); err != nil {
		return err
	}
	path = kong.ExpandPath(path)
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("%s is a directory", path)
	}
	target.SetString(path)
	return nil
}

// help adds the variable NAME_FILE to the help of a secret.
func help(v *kong.Value) string {
	text := kong.DefaultHelpValueFormatter(v)
	if v.Flag == nil || !isSecret(v.Flag) || len(v.Flag.Envs) == 0 {
		return text
	}
	variable := "$" + v.Flag.Envs[0]
	return strings.Replace(text, "("+variable+")", "("+variable+", or a file that "+variable+"_FILE names)", 1)
}

// value returns the value as kong's mappers take it: a text, or a list of texts.
func (v found) value() any {
	if v.items == nil {
		return v.text
	}
	return list(v.items)
}

// list returns the value of a list flag that consists of these texts. Joined to one text they could not have a backslash before a
// separator. The type of the flag's elements must be string or encoding.TextUnmarshaler.
func list(items []string) []any {
	values := make([]any, len(items))
	for i, item := range items {
		values[i] = item
	}
	return values
}

// Validate implements kong.Resolver.
func (r *Resolver) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver. It returns a flag's value, or nil if there is none or the command line has one.
// The error is Problems.
func (r *Resolver) Resolve(c *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if !r.read {
		r.read = true
		if problems := r.readAll(c); len(problems) > 0 {
			return nil, problems
		}
	}
	if v, ok := r.values[flag]; ok {
		return v.value(), nil
	}
	return nil, nil
}

// readAll reads the values of the flags that the command line does not set, and returns all that is wrong with them.
func (r *Resolver) readAll(c *kong.Context) Problems {
	keys := r.keys(c.Model)
	if !sharesFlags(c, keys) {
		return nil
	}
	problems := unknownVariables(c.Model, os.Environ())
	file, wrong := readFile(configPath(c), keys, r.listKeys())
	problems = append(problems, wrong...)
	problems = append(problems, r.readLists(c, file)...)
	given := map[*kong.Flag]bool{}
	for _, p := range c.Path {
		if p.Flag != nil {
			given[p.Flag] = true
			r.origins[p.Flag.Name] = "--" + p.Flag.Name
			if p.Flag.Tag.Has(notEmptyTag) && hasEmptyText(c.FlagValue(p.Flag)) {
				problems.Add(check(p.Flag, found{called: "--" + p.Flag.Name}))
			}
		}
	}
	for _, p := range c.Path {
		for _, flag := range p.Flags {
			v, err := r.find(flag, file)
			if err == nil && v != nil && !given[flag] {
				err = v.located(file, check(flag, *v))
			}
			if err != nil {
				problems = append(problems, err)
				continue
			}
			if v != nil && !given[flag] {
				r.values[flag] = *v
				r.origins[flag.Name] = v.from
			}
		}
	}
	problems.sort()
	return problems
}

// SetDefault sets a flag of the parsed command line that nothing has set, as the flag's default would. from is its origin, for
// display. A flag that the command does not have is ignored.
func (r *Resolver) SetDefault(c *kong.Context, name, text, from string) error {
	flag := findFlag(c, name)
	if flag == nil || r.origins[name] != "" {
		return nil
	}
	r.origins[name] = from
	return decode(flag, text, flag.Target)
}

// AddDefault adds those values to a flag that is a list of texts which it lacks, also if it is set. Otherwise it is like SetDefault.
func (r *Resolver) AddDefault(c *kong.Context, name, from string, values ...string) {
	flag := findFlag(c, name)
	if flag == nil {
		return
	}
	list, _ := flag.Target.Interface().([]string)
	values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return slices.Contains(list, v) })
	if len(values) == 0 {
		return
	}
	if r.origins[name] != "" {
		from = r.origins[name] + ", " + from
	}
	r.origins[name] = from
	flag.Target.Set(reflect.ValueOf(slices.Concat(list, values)))
}

// findFlag returns a flag of the command, or nil.
func findFlag(c *kong.Context, name string) *kong.Flag {
	for _, flag := range c.Flags() {
		if flag.Name == name {
			return flag
		}
	}
	return nil
}

// decode converts a flag's value, a text or what list returns.
func decode(flag *kong.Flag, value any, into reflect.Value) error {
	return flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: kong.Scan().PushTyped(value, kong.FlagValueToken)}, into)
}

// located adds the line of the configuration file to an error about the value, if the value is from there.
func (v *found) located(f *file, err error) error {
	if err == nil || v.line == nil {
		return err
	}
	return f.wrong(v.line, err)
}

// keys returns the flags that the configuration file may set.
func (r *Resolver) keys(app *kong.Application) map[string]*kong.Flag {
	keys := map[string]*kong.Flag{}
	for _, command := range app.Children {
		if command.Name != r.command {
			continue
		}
		for _, flag := range command.Flags {
			keys[flag.Name] = flag
		}
	}
	return keys
}

// sharesFlags reports whether the command has a flag that the configuration file may set.
func sharesFlags(c *kong.Context, keys map[string]*kong.Flag) bool {
	return slices.ContainsFunc(c.Path, func(p *kong.Path) bool {
		return slices.ContainsFunc(p.Flags, func(f *kong.Flag) bool { return keys[f.Name] != nil })
	})
}

// configPath returns the path of the configuration file, or "".
func configPath(c *kong.Context) string {
	for _, flag := range c.Model.Flags {
		if flag.Name == configFlag {
			path, _ := c.FlagValue(flag).(string)
			return path
		}
	}
	return ""
}

// find returns a flag's value from its variable, or else from the configuration file. It returns nil if there is none.
func (r *Resolver) find(flag *kong.Flag, file *file) (*found, error) {
	if v, err := fromVariables(flag); v != nil || err != nil {
		return v, err
	}
	return file.value(flag)
}

// isSecret reports whether a flag's value is a secret or contains one.
func isSecret(flag *kong.Flag) bool { return flag.Tag.Has(secretTag) }

// hasEmptyText reports whether a value is an empty text or a list of texts that is empty or contains one.
func hasEmptyText(value any) bool {
	texts, ok := value.([]string)
	return value == "" || ok && (len(texts) == 0 || slices.Contains(texts, ""))
}

// notEmptyTag is the tag of a flag for which an empty text is a mistake: left out, it would have a default that permits more.
const notEmptyTag = "notempty"

// secretTag is the tag of a secret's field.
const secretTag = "secret"
