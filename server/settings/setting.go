package settings

import (
	"encoding"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// Setting is one setting of the configuration, to be shown to people and programs.
type Setting struct {
	Name string `json:"-" yaml:"-"`
	// Value is a text, a number, a truth value or a list of texts; nil if the setting has none. A secret is masked.
	Value any `json:"value" yaml:"value"`
	// From is where the value came from: a flag, a variable, a line of a file, or "default".
	From string `json:"from" yaml:"from"`
}

// mask stands for what is not shown.
const mask = "***"

// The origins of values that nobody has given.
const (
	FromDefault = "default"
	FromNowhere = "not set"
)

// Settings returns what a parsed command line has of the settings, in the order of its flags.
func (r *Resolver) Settings(c *kong.Context) []Setting {
	keys := r.keys(c.Model)
	var settings []Setting
	for _, p := range c.Path {
		for _, flag := range p.Flags {
			if keys[flag.Name] != nil {
				settings = append(settings, r.setting(flag))
			}
		}
	}
	return settings
}

func (r *Resolver) setting(flag *kong.Flag) Setting {
	s := Setting{Name: flag.Name, Value: shown(flag), From: r.origins[flag.Name]}
	switch {
	case s.From != "":
	case flag.HasDefault:
		s.From = FromDefault
	default:
		s.From = FromNowhere
		if _, ok := s.Value.(bool); ok {
			s.From = FromDefault
		}
	}
	return s
}

// shown is a flag's value as it may be shown.
func shown(flag *kong.Flag) any {
	v := flag.Target
	switch {
	case isSecret(flag) && flag.Tag.Get(secretTag) == "" && !v.IsZero():
		return mask
	case isSecret(flag) && !strings.Contains(v.String(), "://") && (strings.Contains(v.String(), "@") || namesPassword(v.String())):
		return mask // meant for a URL with a password, perhaps, or for host=... password=...
	case v.Kind() == reflect.Slice:
		if v.Len() == 0 {
			return nil
		}
		texts := make([]string, v.Len())
		for i := range texts {
			texts[i] = fmt.Sprint(plain(v.Index(i)))
		}
		return texts
	case v.Kind() == reflect.String && v.Len() == 0:
		return nil
	}
	return plain(v)
}

// plain gives a single value as a text, a number or a truth value.
func plain(v reflect.Value) any {
	switch v := v.Interface().(type) {
	case time.Duration:
		return short(v)
	case encoding.TextMarshaler:
		text, err := v.MarshalText()
		if err != nil {
			return mask
		}
		return string(text)
	case string:
		return maskURL(v)
	}
	return v.Interface()
}

// short writes a duration without the units that are zero: 2m rather than 2m0s.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// maskURL masks what is secret in a URL: the password before the host and those among the parameters, and all of a URL
// whose password may reach further than that, as one does that has a slash in it. Other text stays as it is.
func maskURL(text string) string {
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		return text
	}
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	if strings.Contains(tail, "@") {
		return mask
	}
	if i := strings.LastIndex(authority, "@"); i >= 0 {
		if user, _, found := strings.Cut(authority[:i], ":"); found {
			authority = user + ":" + mask + authority[i:]
		}
	}
	path, query, found := strings.Cut(tail, "?")
	if found {
		parameters := strings.Split(query, "&")
		for i, p := range parameters {
			name, _, _ := strings.Cut(p, "=")
			if meant, err := url.QueryUnescape(name); err != nil || namesPassword(meant) {
				parameters[i] = name + "=" + mask
			}
		}
		path += "?" + strings.Join(parameters, "&")
	}
	return scheme + "://" + authority + path
}

// namesPassword reports whether a parameter's name is one of a password, such as sslpassword.
func namesPassword(name string) bool { return strings.Contains(strings.ToLower(name), "password") }
