package settings

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
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
	case isSecret(flag) && !v.IsZero() && !strings.Contains(v.String(), "://") && !strings.HasPrefix(v.String(), "sqlite:"):
		return mask // meant for a URL with a password, perhaps, or for host=... password=...
	case flag.PlaceHolder == "URL" && !strings.Contains(v.String(), "://") && !isSecret(flag) && strings.ContainsAny(v.String(), "@?"):
		return mask // a URL without its scheme
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

// shownURL has the parts of a URL that is certain to be meant as it is read: its scheme, its user and password, its hosts, its path, and
// its parameters.
var shownURL = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*://)([^@/?#\s]*@)?((?:[\p{L}\p{M}\p{N}._-]*|\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*%2[Ff][A-Za-z0-9._%-]*)(?::[0-9]*)?(?:,[A-Za-z0-9._-]*(?::[0-9]*)?)*)` +
	`(/(?:[A-Za-z0-9._~!$&'()*+,;=:/-]|%[0-9A-Fa-f]{2})*)?(\?[^@?#\s]*)?(#[^@?#\s]*)?$`)

// urlScheme begins a text that may be meant for a URL with a host.
var urlScheme = regexp.MustCompile(`(?i)^(https?|postgres(ql)?):`)

// maskURL shows nothing of a URL but its scheme, hosts, ports and path. Where it cannot be told which part is which, as with a
// password that has a slash in it, nothing is shown. Other text stays as it is.
func maskURL(text string) string {
	if path, isFile := strings.CutPrefix(text, "sqlite:"); isFile {
		if strings.HasPrefix(path, "//") && !strings.HasPrefix(path, "///") {
			return mask
		}
		if i := strings.Index(path, "?"); i >= 0 && strings.Contains(path[i:], "=") {
			return "sqlite:" + path[:i] + "?" + mask
		}
		return text
	}
	if !strings.Contains(text, "://") {
		if urlScheme.MatchString(text) {
			return mask
		}
		return text
	}
	parts := shownURL.FindStringSubmatch(text)
	if parts == nil || strings.HasPrefix(parts[1], "postgres") && strings.Contains(strings.TrimPrefix(parts[4], "/"), "/") {
		return mask
	}
	shown := parts[1]
	if parts[2] != "" {
		shown += mask + "@"
	}
	shown += parts[3] + parts[4]
	if parts[5] != "" {
		shown += "?" + mask
	}
	if parts[6] != "" {
		shown += "#" + mask
	}
	return shown
}
