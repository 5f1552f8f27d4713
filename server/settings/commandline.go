package settings

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Explain translates an error of parsing a command line to Problems: for each cause a sentence that says what to write instead, and
// where the help is. The sentences never repeat a secret or an unknown argument, which may be a part of a password that a shell
// split off. Explain returns other errors unchanged.
func Explain(err error) error {
	var parse *kong.ParseError
	if problems := Problems(nil); errors.As(err, &problems) {
		return problems // about other settings than flags
	}
	if !errors.As(err, &parse) || parse.Context == nil {
		return err
	}
	c := commandLine{parse.Context}
	problems := c.problems()
	if len(problems) == 0 {
		problems.Add(parse.Unwrap())
	}
	problems.Add(fmt.Errorf("run `%s --help` for more information", c.node().FullPath()))
	return problems
}

// commandLine is a command line that kong has refused. It finds the causes again, because the texts of kong's errors repeat values.
type commandLine struct{ *kong.Context }

// node returns the last command of the command line, or the application.
func (c commandLine) node() *kong.Node {
	if node := c.Selected(); node != nil {
		return node
	}
	return c.Model.Node
}

// flags returns the flags of the command line's commands, and of the command that is the default of the last of them.
func (c commandLine) flags() []*kong.Flag {
	flags := c.Flags()
	if standard := c.node().DefaultCmd; standard != nil {
		flags = append(flags, standard.Flags...)
	}
	return flags
}

func (c commandLine) problems() (problems Problems) {
	if c.Error != nil {
		problems.Add(c.stopped(c.Path[len(c.Path)-1].Remainder()))
		return problems
	}
	for _, flag := range c.Flags() {
		if err := c.checkVariable(flag); err != nil {
			problems.Add(err)
			continue
		}
		problems.Add(c.checkEnum(flag))
	}
	if len(problems) == 0 {
		problems.Add(c.missing())
	}
	return problems
}

// option and command match what flags and commands look like. Other text may be a part of a password and is not repeated.
var (
	option  = regexp.MustCompile(`^-[a-zA-Z]$|^--[a-z][a-z0-9-]{0,39}$`)
	command = regexp.MustCompile(`^[a-z][a-z-]{0,19}$`)
)

// stopped returns what is wrong with args, the arguments that kong did not read, or nil if it cannot tell.
func (c commandLine) stopped(args []string) error {
	if len(args) == 0 {
		return nil
	}
	name, value, hasValue := strings.Cut(args[0], "=")
	switch {
	case len(name) < 2 || !strings.HasPrefix(name, "-"):
		return c.unexpected(args[0])
	case name == "--":
		return c.unexpected("")
	}
	var names []string
	for _, flag := range c.flags() {
		long := "--" + flag.Name
		names = append(names, long)
		if name == long || name == "--no-"+flag.Name && flag.Tag.Negatable != "" || flag.Short != 0 && name == "-"+string(flag.Short) {
			if !hasValue && len(args) > 1 {
				value, hasValue = args[1], !strings.HasPrefix(args[1], "-")
			}
			return badValue(flag, name, value, hasValue)
		}
	}
	near := nearest(name, names)
	switch isCommand := len(commands(c.node())) == 0; {
	case !isCommand && c.isCommandFlag(name):
		return fmt.Errorf("unknown flag %s: write the flags of a command after its name", name)
	case option.MatchString(name):
		return fmt.Errorf("unknown flag %s%s", name, near)
	case near != "":
		return fmt.Errorf("unknown flag%s", near)
	}
	return errors.New("there is an unknown flag: put a value with spaces in quotes, and write one that begins with a dash as --NAME=VALUE")
}

// isCommandFlag reports whether a command has a flag of this name.
func (c commandLine) isCommandFlag(name string) bool {
	return slices.ContainsFunc(c.Model.Leaves(true), func(command *kong.Node) bool {
		return slices.ContainsFunc(command.Flags, func(f *kong.Flag) bool { return "--"+f.Name == name })
	})
}

// unexpected returns an error about an argument that is neither a flag nor a flag's value.
func (c commandLine) unexpected(arg string) error {
	names := commands(c.node())
	switch {
	case len(names) == 0:
		return errors.New("there is an argument too many: put a value with spaces or special characters in quotes, and write a flag's value right behind it, as in --NAME='VALUE'")
	case !command.MatchString(arg):
		return fmt.Errorf("there is an argument where the command should be, which is one of: %s", strings.Join(names, ", "))
	}
	if near := nearest(arg, names); near != "" {
		return fmt.Errorf("unknown command %s%s", arg, near)
	}
	return fmt.Errorf("unknown command %s: it is one of %s", arg, strings.Join(names, ", "))
}

// commands returns the names of a node's commands.
func commands(node *kong.Node) (names []string) {
	for _, child := range node.Children {
		if !child.Hidden {
			names = append(names, child.Name)
		}
	}
	return names
}

// badValue returns an error that says what a flag's value must be.
func badValue(flag *kong.Flag, name, value string, hasValue bool) error {
	if !hasValue {
		return fmt.Errorf("%s needs a value, as in %s=%s", name, name, strings.Trim(flag.FormatPlaceHolder(), `"`))
	}
	return check(flag, found{text: value, called: name})
}

// checkVariable returns what is wrong with a variable that kong reads itself.
func (c commandLine) checkVariable(flag *kong.Flag) error {
	for _, name := range flag.Tag.Envs {
		if text, ok := os.LookupEnv(name); ok {
			return check(flag, found{text: text, called: name})
		}
	}
	return nil
}

// checkEnum refuses a value that is not among those of the flag. Flags that are not set have their default here.
func (c commandLine) checkEnum(flag *kong.Flag) error {
	value := c.FlagValue(flag)
	if text, ok := value.(string); ok && flag.Enum != "" && text != "" && !slices.Contains(flag.EnumSlice(), text) {
		return badValue(flag, "--"+flag.Name, text, true)
	}
	return nil
}

// missing returns an error that names the missing command, flags or arguments, or nil if none is missing.
func (c commandLine) missing() error {
	node := c.node()
	if names := commands(node); len(names) > 0 {
		return fmt.Errorf("name a command: %s %s", node.FullPath(), strings.Join(names, "|"))
	}
	var parts []string
	for _, flag := range node.Flags {
		if flag.Required && isZero(c.FlagValue(flag)) {
			parts = append(parts, flag.Summary())
		}
	}
	for i, argument := range node.Positional {
		if argument.Required && i >= c.positionals() {
			parts = append(parts, strings.ToUpper(argument.Name))
		}
	}
	if len(parts) == 0 {
		return nil
	}
	return fmt.Errorf("the command needs more: add %s", strings.Join(parts, " "))
}

// positionals returns how many arguments kong has read that are neither flags nor commands.
func (c commandLine) positionals() (n int) {
	for _, p := range c.Path {
		if p.Positional != nil {
			n++
		}
	}
	return n
}

func isZero(value any) bool { return value == nil || reflect.ValueOf(value).IsZero() }
