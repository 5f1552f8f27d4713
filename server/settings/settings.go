// Package settings gives a command's flags their values: from the command line; else from a variable; else from the file
// that a variable names; else from the configuration file, which is YAML; else their defaults. It finds all that is wrong
// with these at once, and remembers where each value came from. It knows kong's model of the command line, and nothing of
// what a flag means.
//
// A flag needs nothing for that but its field. The tag `secret:""` says that its value is a secret: it is never shown, and
// may be kept in a file of its own, which NAME_FILE or the file's key name-file names. With `secret:"password"` the value is
// a URL, of which only the scheme, the hosts and the path are shown, as of any URL.
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

// Prefix begins the names of all variables.
const Prefix = "DRAGOMAN"

// configFlag is the flag that names the configuration file.
const configFlag = "config"

// found is a flag's value, as text, and where it came from.
type found struct {
	text   string
	from   string
	called string     // what a message calls it
	line   *yaml.Node // where it stands in the configuration file, or where that names its file; nil if it does not
}

// Resolver is what kong asks for the values that are not on the command line. It reads variables and files once, for one
// command line.
type Resolver struct {
	command string // whose flags are the configuration file's keys
	read    bool
	values  map[*kong.Flag]found
	origins map[string]string // by the names of the flags that were given a value
}

// New returns a Resolver. The configuration file's keys are the flags of the command of that name. Other commands take from
// the file what they have in common with it. A command that has nothing in common with it reads neither file nor variables.
func New(command string) *Resolver {
	return &Resolver{command: command, values: map[*kong.Flag]found{}, origins: map[string]string{}}
}

// Options are kong's options for a command line with this resolver.
func (r *Resolver) Options() []kong.Option {
	return []kong.Option{
		kong.DefaultEnvars(Prefix), kong.Resolvers(r), kong.ValueFormatter(help), kong.Bind(r),
		kong.NamedMapper("existingfile", kong.MapperFunc(existingFile)),
	}
}

// existingFile reads the path of a file that must exist. It replaces kong's mapper of that name (1.17), which leaves its target
// empty when the flag was set before: kong itself reads a variable once, and then maps what the resolver says of it. A mapper must
// depend on nothing but its input.
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

// help adds to a flag's help the variables that it can be given by.
func help(v *kong.Value) string {
	text := kong.DefaultHelpValueFormatter(v)
	if v.Flag == nil || !isSecret(v.Flag) || len(v.Flag.Envs) == 0 {
		return text
	}
	variable := "$" + v.Flag.Envs[0]
	return strings.Replace(text, "("+variable+")", "("+variable+", or a file that "+variable+"_FILE names)", 1)
}

// Validate is part of kong's interface.
func (r *Resolver) Validate(*kong.Application) error { return nil }

// Resolve returns the text of a flag's value, and nil if it was given none, or one that kong finds by itself. The error is
// Problems.
func (r *Resolver) Resolve(c *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if !r.read {
		r.read = true
		if problems := r.readAll(c); len(problems) > 0 {
			return nil, problems
		}
	}
	if v, ok := r.values[flag]; ok {
		return v.text, nil
	}
	return nil, nil
}

// readAll finds the values of the flags that the command line gives none, and all that is wrong with them.
func (r *Resolver) readAll(c *kong.Context) Problems {
	keys := r.keys(c.Model)
	if !concerned(c, keys) {
		return nil
	}
	problems := unknownVariables(c.Model, os.Environ())
	file, wrong := readFile(configPath(c), keys)
	problems = append(problems, wrong...)
	given := map[*kong.Flag]bool{}
	for _, p := range c.Path {
		if p.Flag != nil {
			given[p.Flag] = true
			r.origins[p.Flag.Name] = "--" + p.Flag.Name
		}
	}
	for _, p := range c.Path {
		for _, flag := range p.Flags {
			v, err := r.find(flag, file)
			if err == nil && v != nil && !given[flag] {
				err = v.blame(file, check(flag, *v))
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

// blame says of an error where in the configuration file the value stands, if it does.
func (v *found) blame(f *file, err error) error {
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

// concerned reports whether the command has a flag in common with the one whose configuration it is.
func concerned(c *kong.Context, keys map[string]*kong.Flag) bool {
	return slices.ContainsFunc(c.Path, func(p *kong.Path) bool {
		return slices.ContainsFunc(p.Flags, func(f *kong.Flag) bool { return keys[f.Name] != nil })
	})
}

// configPath is the configuration file's path, "" if there is none.
func configPath(c *kong.Context) string {
	for _, flag := range c.Model.Flags {
		if flag.Name == configFlag {
			path, _ := c.FlagValue(flag).(string)
			return path
		}
	}
	return ""
}

// find looks for a flag's value in the variables, then in the configuration file. It returns nil if there is none.
func (r *Resolver) find(flag *kong.Flag, file *file) (*found, error) {
	if v, err := fromVariables(flag); v != nil || err != nil {
		return v, err
	}
	return file.value(flag)
}

// isSecret reports whether a flag's value is a secret, or holds one.
func isSecret(flag *kong.Flag) bool { return flag.Tag.Has(secretTag) }

// secretTag is the tag of a secret's field.
const secretTag = "secret"
