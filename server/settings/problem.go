package settings

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
	"github.com/alecthomas/kong"
)

// Problems are all that is wrong with a configuration, one sentence each.
type Problems []error

// Add adds an error, or each of its errors if it is Problems. It ignores nil.
func (p *Problems) Add(err error) {
	var several Problems
	switch {
	case err == nil:
	case errors.As(err, &several):
		*p = append(*p, several...)
	default:
		*p = append(*p, err)
	}
}

// Err returns the problems as an error, or nil if there are none.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// Error returns the problems, one on each line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

// sort moves problems of the configuration file after the others, in the order of its lines.
func (p Problems) sort() {
	line := func(err error) int {
		if at := (*lineError)(nil); errors.As(err, &at) {
			return at.line
		}
		return 0
	}
	slices.SortStableFunc(p, func(a, b error) int { return cmp.Compare(line(a), line(b)) })
}

// lineError is an error in a line of the configuration file.
type lineError struct {
	path string
	line int
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("%s:%d: %s", e.path, e.line, e.err) }

func (e *lineError) Unwrap() error { return e.err }

// Unwrap returns the problems.
func (p Problems) Unwrap() []error { return p }

// ExitCode returns the exit status of a program with this configuration, which is kong's for a bad command line.
func (Problems) ExitCode() int { return 80 }

// nearest suggests the one of names that is most like name, or returns "" if none is close.
func nearest(name string, names []string) string {
	plain := func(s string) string {
		return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(strings.TrimPrefix(s, Prefix+"_")))
	}
	distance := func(other string) int { return levenshtein.ComputeDistance(plain(name), plain(other)) }
	if len(names) == 0 || len(name) > 100 { // long names take long to compare
		return ""
	}
	best := slices.MinFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(distance(a), distance(b)), cmp.Compare(a, b)) })
	if distance(best) > max(2, len(plain(best))/4) {
		return ""
	}
	return fmt.Sprintf(", did you mean %s?", best)
}

// check refuses an invalid value. Its error never quotes a secret.
func check(flag *kong.Flag, v found) error {
	texts := v.items
	switch {
	case texts != nil:
	case flag.IsSlice():
		texts = kong.SplitEscaped(v.text, flag.Tag.Sep)
	default:
		texts = []string{v.text}
	}
	if len(texts) == 0 {
		texts = []string{""}
	}
	for _, text := range texts {
		value := any(text)
		if v.items != nil {
			value = list([]string{text})
		}
		err := checkValue(flag, value, text)
		if text == "" && (len(v.items) > 0 || flag.Tag.Has(notEmptyTag)) {
			err = errors.New("is empty: give it a value, or leave it out")
		}
		if err != nil {
			return fmt.Errorf("%s %w", v.called, err)
		}
	}
	return nil
}

// checkValue refuses an invalid value, which text is in messages.
func checkValue(flag *kong.Flag, value any, text string) error {
	scratch := reflect.New(flag.Target.Type()).Elem()
	err := decode(flag, value, scratch)
	must, kind := "", kindOf(flag)
	switch {
	case err == nil && (flag.Enum == "" || slices.Contains(flag.EnumSlice(), text)):
		return nil
	case err == nil:
		must = "one of " + strings.TrimRight(strings.Join(flag.EnumSlice(), ", "), ", ")
	case kind != "":
		must = kind
	case isSecret(flag):
		return errors.New("cannot be read")
	default:
		return fmt.Errorf("cannot be used: %w", err)
	}
	if isSecret(flag) {
		return fmt.Errorf("must be %s", must)
	}
	return fmt.Errorf("must be %s, not %q", must, text)
}

// kindOf describes what a flag's value, or each value of a list, must be. It returns "" for text.
func kindOf(flag *kong.Flag) string {
	t := flag.Target.Type()
	if flag.IsSlice() {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "a duration with its unit, such as 15s"
	case reflect.TypeFor[netip.Prefix]():
		return "a network, such as 10.0.0.0/8"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return ""
}
