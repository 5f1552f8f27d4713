// Package difference compares the answers of two servers to the same request: statuses, the source's headers, and bodies member by member.
// What is known to differ, and why, is in [Rules].
//
// It sends no requests and imports nothing of the project. It knows the vendors only by the rules.
package difference

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Answer is an HTTP response.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// How two answers differ in a field.
const (
	Differs = "differs"
	Missing = "missing" // the target lacks it
	Added   = "added"   // only the target has it
	Type    = "type"    // its JSON type differs
	// Unreadable: the source lists the user, but answers that it does not exist when asked for it.
	Unreadable = "unreadable"
)

// Status is the Field of a difference in the status code.
const Status = "HTTP status"

// Difference is a field in which the target's answer differs from the source's.
type Difference struct {
	// Field is a member's path such as data.first_name, [Status], "header NAME", or "body" for the body as a whole.
	Field string `json:"field"`
	How   string `json:"how"`
	// Source and Target are the values as JSON, or the numbers of elements; empty where there is none.
	Source string `json:"source,omitempty"`
	Target string `json:"target,omitempty"`
}

// String describes the difference in one line.
func (d Difference) String() string {
	switch d.How {
	case Missing:
		return fmt.Sprintf("%s: missing, the source has %s", d.Field, d.Source)
	case Added:
		return fmt.Sprintf("%s: only the target has it, %s", d.Field, d.Target)
	case Unreadable:
		return fmt.Sprintf("%s: the source lists %s and has none when asked for it", d.Field, d.Source)
	case Type:
		return fmt.Sprintf("%s: another type, the source has %s and the target %s", d.Field, d.Source, d.Target)
	}
	return fmt.Sprintf("%s: the source has %s and the target %s", d.Field, d.Source, d.Target)
}

// Comparison compares answers of one dialect.
type Comparison struct {
	Dialect string
	Rules   []Rule
}

// New returns a comparison of a dialect's answers that follows the known [Rules] and ignores the given paths.
func New(dialect string, ignore []string) Comparison {
	c := Comparison{Dialect: dialect}
	for _, path := range ignore {
		c.Rules = append(c.Rules, Rule{Path: path, Kind: Ignored, Reason: "--ignore"})
	}
	for _, r := range Rules {
		if r.Dialect == "" || r.Dialect == dialect {
			c.Rules = append(c.Rules, r)
		}
	}
	return c
}

// rule returns the first rule for an operation and a path, in which array elements are written as []. It returns the zero Rule if there is
// none.
func (c Comparison) rule(operation, path string) Rule {
	for _, r := range c.Rules {
		if r.Operation != "" && r.Operation != operation {
			continue
		}
		if below, all := strings.CutSuffix(r.Path, ".*"); r.Path == path || all && strings.HasPrefix(path, below+".") {
			return r
		}
		if strings.HasPrefix(path, "header ") && strings.EqualFold(r.Path, path) {
			return r
		}
	}
	return Rule{}
}

// Compare returns the fields in which the target's answer to an operation differs from the source's. It does not look at headers that
// only the target has.
func (c Comparison) Compare(operation string, source, target Answer) []Difference {
	return c.walk(operation, source, target).found
}

// CompareSome is like Compare. Some is false if a list whose rule is [Shared] has elements at the source, none of which the target has.
func (c Comparison) CompareSome(operation string, source, target Answer) (found []Difference, some bool) {
	d := c.walk(operation, source, target)
	return d.found, !d.apart
}

func (c Comparison) walk(operation string, source, target Answer) *walk {
	d := &walk{c: c, operation: operation}
	if source.Status != target.Status {
		d.add(Status, Differs, fmt.Sprint(source.Status), fmt.Sprint(target.Status))
	}
	d.headers(source.Header, target.Header)
	a, errA := decode(source.Body)
	b, errB := decode(target.Body)
	switch {
	case errA == nil && errB == nil:
		d.values("", "", a, b)
	case (errA != nil) != (errB != nil), !bytes.Equal(source.Body, target.Body):
		d.add("body", Differs, excerpt(source.Body), excerpt(target.Body))
	}
	return d
}

// decode decodes a JSON body. An empty body decodes to struct{}{}, which equals no JSON value.
func decode(body []byte) (any, error) {
	if len(body) == 0 {
		return struct{}{}, nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more than one value")
	}
	return v, nil
}

func excerpt(body []byte) string {
	const most = 64
	if len(body) > most {
		return fmt.Sprintf("%q...", body[:most])
	}
	return fmt.Sprintf("%q", body)
}

type walk struct {
	c         Comparison
	operation string
	found     []Difference
	apart     bool // a list whose rule is Shared had no common element
}

func (d *walk) add(field, how, source, target string) {
	if field == "" {
		field = "body"
	}
	d.found = append(d.found, Difference{field, how, source, target})
}

// exact are the headers whose values are compared. Of other headers only the presence is compared.
var exact = []string{"Content-Type", "Content-Language", "Content-Disposition", "Location", "Allow", "Www-Authenticate", "Access-Control-Allow-Origin"}

// headers compares the headers that the source has. It ignores those that only the target has: the source's clients cannot rely on them.
func (d *walk) headers(source, target http.Header) {
	names := []string{}
	for name := range source {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		field := "header " + name
		if d.c.rule(d.operation, field).Kind == Ignored {
			continue
		}
		a, b := strings.Join(source[name], ", "), strings.Join(target[name], ", ")
		switch {
		case len(target[name]) == 0:
			d.add(field, Missing, quote(a), "")
		case slices.Contains(exact, name) && sameHeader(name, a, b):
		case slices.Contains(exact, name):
			d.add(field, Differs, quote(a), quote(b))
		}
	}
}

// sameHeader compares two values of a header. It compares media types by their meaning: JSON is UTF-8 with or without a charset.
func sameHeader(name, a, b string) bool {
	if name != "Content-Type" {
		return a == b
	}
	x, px, errX := mime.ParseMediaType(a)
	y, py, errY := mime.ParseMediaType(b)
	if errX != nil || errY != nil {
		return a == b
	}
	if strings.HasSuffix(x, "json") {
		return x == y
	}
	return x == y && strings.EqualFold(px["charset"], py["charset"])
}

func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Sprintf("%q", s)
	}
	return string(text)
}

// values compares two values. Field is the path in reports, with indexes or keys of array elements; path is the form that rules use.
func (d *walk) values(field, path string, a, b any) {
	rule := d.c.rule(d.operation, path)
	switch rule.Kind {
	case Ignored:
		return
	case Value:
		if kind(a) == kind(b) {
			return
		}
	case Withheld:
		if _, text := a.(string); kind(a) == kind(b) || text && b == nil {
			return
		}
	case Nullable:
		if isTextOrNull(a) && isTextOrNull(b) {
			return
		}
	case AtLeast:
		if kind(a) == kind(b) && atLeast(b, a) {
			return
		}
	case Instant:
		if sameInstant(a, b) {
			return
		}
	}
	switch x := a.(type) {
	case map[string]any:
		if y, ok := b.(map[string]any); ok {
			d.objects(field, path, x, y)
			return
		}
	case []any:
		if y, ok := b.([]any); ok {
			d.arrays(rule, field, path, x, y)
			return
		}
	case json.Number:
		if y, ok := b.(json.Number); ok {
			if !sameNumber(x, y) {
				d.add(field, Differs, show(a), show(b))
			}
			return
		}
	default:
		if kind(a) == kind(b) {
			if a != b {
				d.add(field, Differs, show(a), show(b))
			}
			return
		}
	}
	how := Type
	if a == nil || b == nil {
		how = Differs
	}
	d.add(field, how, show(a), show(b))
}

func kind(v any) string { return fmt.Sprintf("%T", v) }

func isTextOrNull(v any) bool {
	_, text := v.(string)
	return text || v == nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func (d *walk) objects(field, path string, a, b map[string]any) {
	names := []string{}
	for name := range a {
		names = append(names, name)
	}
	for name := range b {
		if _, both := a[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		x, inA := a[name]
		y, inB := b[name]
		to, rulePath := join(field, name), join(path, name)
		switch {
		case inA && inB:
			if d.c.rule(d.operation, rulePath).Kind == Shared {
				d.page(to, a, x, y)
			}
			d.values(to, rulePath, x, y)
		case d.c.rule(d.operation, rulePath).Kind == Ignored:
		case inA:
			d.add(to, Missing, show(x), "")
		default:
			d.add(to, Added, "", show(y))
		}
	}
}

// page reports a page of the target that is longer than the page size, which is derived from the source's total_items and total_pages.
func (d *walk) page(field string, list map[string]any, a, b any) {
	x, okX := a.([]any)
	y, okY := b.([]any)
	pages, errPages := strconv.Atoi(fmt.Sprint(list["total_pages"]))
	items, errItems := strconv.Atoi(fmt.Sprint(list["total_items"]))
	if !okX || !okY || errPages != nil || errItems != nil || pages < 2 || items < 1 {
		return // a single page does not tell how many it could have
	}
	most := len(x)
	if len(x) < (items-1)/pages+1 { // x is the last page, which is shorter than the others
		most = (items - 1) / (pages - 1)
	}
	if len(y) > most {
		d.add(field, Differs, elements(len(x)), elements(len(y)))
	}
}

func (d *walk) arrays(rule Rule, field, path string, a, b []any) {
	if rule.Key != "" {
		d.keyed(rule, field, path, a, b)
		return
	}
	for i := range max(len(a), len(b)) {
		to := fmt.Sprintf("%s[%d]", field, i)
		switch {
		case i >= len(b):
			d.add(to, Missing, show(a[i]), "")
		case i >= len(a):
			d.add(to, Added, "", show(b[i]))
		default:
			d.values(to, path+"[]", a[i], b[i])
		}
	}
}

// keyed compares arrays whose elements are matched by the member rule.Key.
func (d *walk) keyed(rule Rule, field, path string, a, b []any) {
	if rule.Kind == Shared && len(b) < len(a) {
		d.add(field, Differs, elements(len(a)), elements(len(b)))
	}
	left, both := map[string][]any{}, 0 // the target's elements that are not matched yet, and the number of matched ones
	known := map[string]bool{}          // keys of the target's elements that were matched or reported
	for _, y := range b {
		key := fmt.Sprint(keyOf(y, rule.Key))
		left[key] = append(left[key], y)
	}
	for _, x := range a {
		key := fmt.Sprint(keyOf(x, rule.Key)) // a number and the text of its digits are the same key, so that the type is reported
		to := fmt.Sprintf("%s[%s]", field, key)
		if len(left[key]) == 0 {
			if rule.Kind != Shared {
				d.add(to, Missing, show(x), "")
			}
			continue
		}
		y := left[key][0]
		left[key] = left[key][1:]
		both++
		known[key] = true
		d.values(to, path+"[]", x, y)
	}
	d.apart = d.apart || rule.Kind == Shared && both == 0 && len(a) > 0
	for _, y := range b {
		value := keyOf(y, rule.Key)
		key := fmt.Sprint(value)
		if len(left[key]) == 0 {
			continue
		}
		left[key] = left[key][1:]
		to := fmt.Sprintf("%s[%s]", field, key)
		switch {
		case rule.Kind == AnyOrder, known[key]: // known: the target has a duplicate
			d.add(to, Added, "", show(y))
		case len(a) > 0 && kind(value) != kind(keyOf(a[0], rule.Key)):
			d.values(join(to, rule.Key), join(path+"[]", rule.Key), keyOf(a[0], rule.Key), value)
		}
		known[key] = true
	}
}

func elements(n int) string {
	if n == 1 {
		return "1 element"
	}
	return fmt.Sprintf("%d elements", n)
}

// keyOf returns the member by which an element is matched, or nil if it has none.
func keyOf(element any, name string) any {
	object, _ := element.(map[string]any)
	return object[name]
}

func sameNumber(a, b json.Number) bool {
	if a == b {
		return true
	}
	x, _, errX := big.ParseFloat(a.String(), 10, 256, big.ToNearestEven)
	y, _, errY := big.ParseFloat(b.String(), 10, 256, big.ToNearestEven)
	return errX == nil && errY == nil && x.Cmp(y) == 0
}

// atLeast reports whether a is a count that is not less than b. Both may be numbers or strings.
func atLeast(a, b any) bool {
	x, errX := strconv.ParseUint(fmt.Sprint(a), 10, 64)
	y, errY := strconv.ParseUint(fmt.Sprint(b), 10, 64)
	return errX == nil && errY == nil && x >= y
}

// Time parses a time as a vendor writes it; without a zone it is in UTC.
func Time(v any) (time.Time, bool) {
	text, ok := v.(string)
	if !ok {
		return time.Time{}, false
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.Truncate(time.Millisecond), true
		}
	}
	return time.Time{}, false
}

func sameInstant(a, b any) bool {
	x, okX := Time(a)
	y, okY := Time(b)
	return okX && okY && x.Equal(y)
}

func show(v any) string {
	if _, empty := v.(struct{}); empty {
		return "nothing"
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Sprintf("%q", fmt.Sprint(v))
	}
	const most = 256
	text := strings.TrimSuffix(b.String(), "\n")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}
