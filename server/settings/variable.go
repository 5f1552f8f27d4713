package settings

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/alecthomas/kong"
)

// fileSuffix is the suffix of a variable whose value is the path of a file with a secret.
const fileSuffix = "_FILE"

// DropEmpty removes empty variables with the prefix from the process's environment, so that they count as unset. If an image or a
// list sets a variable, emptying it may be the only way to unset it. Variables of flags with the tag notempty stay, and are rejected
// when they are read.
func DropEmpty(app *kong.Application) error {
	kept := map[string]bool{}
	keepNotEmpty(app.Node, kept)
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		if value == "" && strings.HasPrefix(name, Prefix+"_") && !kept[name] {
			if err := os.Unsetenv(name); err != nil {
				return fmt.Errorf("drop %s: %w", name, err)
			}
		}
	}
	return nil
}

// keepNotEmpty adds the variables of a command's flags, and of its subcommands', that must not be empty.
func keepNotEmpty(command *kong.Node, kept map[string]bool) {
	for _, flag := range command.Flags {
		for _, name := range flag.Envs {
			kept[name] = kept[name] || flag.Tag.Has(notEmptyTag)
		}
	}
	for _, sub := range command.Children {
		keepNotEmpty(sub, kept)
	}
}

// fromVariables returns a flag's value from its variable or from the file that NAME_FILE names, or nil if neither is set.
func fromVariables(flag *kong.Flag) (*found, error) {
	for _, name := range flag.Envs {
		text, ok := os.LookupEnv(name)
		path, inFile := "", false
		if isSecret(flag) {
			path, inFile = os.LookupEnv(name + fileSuffix)
		}
		switch {
		case ok && inFile:
			return nil, fmt.Errorf("%s and %s are both set: unset one of them", name, name+fileSuffix)
		case ok:
			return &found{text: text, from: name, called: name}, nil
		case inFile:
			text, err := readSecret(flag, path)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name+fileSuffix, err)
			}
			return &found{text: text, from: name + fileSuffix + " (" + path + ")", called: path}, nil
		}
	}
	return nil, nil
}

// maxSecret is the largest size of a secret's file in bytes.
const maxSecret = 64 << 10

// readSecret returns the content of a file without a final line break. The values of a list may be on a line each.
func readSecret(flag *kong.Flag, path string) (string, error) {
	content, err := readBounded(path, maxSecret, ", too many for a secret")
	if err != nil {
		return "", err
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	switch {
	case text == "":
		return "", fmt.Errorf("%s is empty", path)
	case flag.IsSlice():
		separates := func(r rune) bool { return r == flag.Tag.Sep || unicode.IsSpace(r) }
		text = strings.Join(strings.FieldsFunc(text, separates), string(flag.Tag.Sep))
	}
	return text, nil
}

// unknownVariables returns a problem for each variable with the prefix that belongs to no flag, and for each whose name is that of a
// flag's variable in other letters, which would have no effect.
func unknownVariables(app *kong.Application, environ []string) (problems Problems) {
	known := map[string]bool{}
	_ = kong.Visit(app, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			for _, name := range flag.Envs {
				known[name] = true
				if isSecret(flag) {
					known[name+fileSuffix] = true
				}
			}
		}
		return next(nil)
	})
	var unknown []string
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		isOurs := strings.HasPrefix(name, Prefix+"_") || known[strings.ToUpper(name)]
		if isOurs && !known[name] && !isServiceLink(name, value) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	names := slices.Collect(maps.Keys(known))
	for _, name := range slices.Compact(unknown) {
		problems = append(problems, fmt.Errorf("there is no variable %s%s", name, nearest(strings.ToUpper(name), names)))
	}
	return problems
}

// serviceLink and servicePort match the variables that Kubernetes and Docker set for a service named dragoman, or
// dragoman-something, in the same namespace.
var (
	serviceLink = regexp.MustCompile(`^DRAGOMAN(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)
	servicePort = regexp.MustCompile(`^DRAGOMAN(_[A-Z0-9_]+)?_PORT$`)
	serviceURL  = regexp.MustCompile(`^(tcp|udp|sctp)://`)
)

// isServiceLink reports whether a variable describes such a service instead of a setting.
func isServiceLink(name, value string) bool {
	return serviceLink.MatchString(name) || servicePort.MatchString(name) && serviceURL.MatchString(value)
}
