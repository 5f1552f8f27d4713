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

// Setting is a setting of the configuration, for display to people and programs.
type Setting struct {
	Name string `json:"-" yaml:"-"`
	// Value is a string, a number, a bool or a slice of strings, or nil if the setting has no value. Secrets are masked.
	Value any `json:"value" yaml:"value"`
	// From is the value's origin: a flag, a variable, a line of a file, [FromDefault] or [FromNowhere].
	From string `json:"from" yaml:"from"`
}

// mask replaces what is not shown.
const mask = "***"

// The origins of values that are not set.
const (
	FromDefault = "default"
	FromNowhere = "not set"
)

// Settings returns the settings that a parsed command line has, in the order of its flags, and then those of lists that have a value,
// named as in issuers[0].audience.
func (r *Resolver) Settings(c *kong.Context) []Setting {
	keys := r.keys(c.Model)
	var settings []Setting
	for _, p := range c.Path {
		for _, flag := range p.Flags {
			if keys[flag.Name] != nil {
				settings = append(settings, newSetting(flag, r.origins[flag.Name]))
			}
		}
	}
	return append(settings, r.listed...)
}

// newSetting returns the setting of a flag. from is its origin, or "" if it is not set.
func newSetting(flag *kong.Flag, from string) Setting {
	s := Setting{Name: flag.Name, Value: shown(flag), From: from}
	switch {
	case s.From != "":
	case flag.HasDefault && flag.Default != "":
		s.From = FromDefault
	default:
		s.From = FromNowhere
		if _, ok := s.Value.(bool); ok {
			s.From = FromDefault
		}
	}
	return s
}

// shown returns a flag's value for display.
func shown(flag *kong.Flag) any {
	v := flag.Target
	switch {
	case isSecret(flag) && flag.Tag.Get(secretTag) == "" && !v.IsZero():
		return mask
	case isSecret(flag) && !v.IsZero() && !strings.Contains(v.String(), "://") && !strings.HasPrefix(v.String(), "sqlite:"):
		return mask // possibly a malformed URL with a password, or host=... password=...
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
	}
	if value := plain(v); value != "" {
		return value
	}
	return nil
}

// plain returns a single value as a string, a number or a bool.
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

// short formats a duration without trailing zero units: 2m instead of 2m0s.
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

// shownURL matches a URL that can be split unambiguously, into scheme, user and password, hosts, path, parameters and fragment.
var shownURL = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*://)([^@/?#\s]*@)?((?:[\p{L}\p{M}\p{N}._-]*|\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*%2[Ff][A-Za-z0-9._%-]*)(?::[0-9]*)?(?:,[A-Za-z0-9._-]*(?::[0-9]*)?)*)` +
	`(/(?:[A-Za-z0-9._~!$&'()*+,;=:/-]|%[0-9A-Fa-f]{2})*)?(\?[^@?#\s]*)?(#[^@?#\s]*)?$`)

// urlScheme matches text that may be a malformed URL with a host.
var urlScheme = regexp.MustCompile(`(?i)^(https?|postgres(ql)?):`)

// maskURL masks a URL but for its scheme, hosts, ports and path. It masks all of a URL that is ambiguous, such as one with a slash
// in its password. It returns other text unchanged.
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
