// Package difference compares the answers of two servers to the same request: statuses, headers that matter to clients, and bodies member
// by member. What is known to differ, and why, is in [Rules].
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

// Answer is an answer of a server.
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
	Type    = "type"    // its JSON type is another
	// Unreadable is of a user whom the source lists and does not have when asked for.
	Unreadable = "unreadable"
)

// Status is the field of the status of two answers.
const Status = "HTTP status"

// Difference is a field in which the target's answer is not the source's.
type Difference struct {
	// Field is a member's path such as data.first_name, [Status], "header NAME", or "body" for one that is not JSON on one side.
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

// New returns the comparison by the known rules and further paths that are to be ignored.
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

// rule returns the first rule for a path, whose elements of arrays are written [].
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

// Compare returns the fields in which the target's answer to an operation is not the source's.
func (c Comparison) Compare(operation string, source, target Answer) []Difference {
	return c.walk(operation, source, target).found
}

// CompareSome is as Compare, and reports whether anything was compared of lists whose rule is [Shared]: not if no element is in both.
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

// decode reads a body. An empty one is a value of its own.
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
	apart     bool // no element of a list is in both
}

func (d *walk) add(field, how, source, target string) {
	if field == "" {
		field = "body"
	}
	d.found = append(d.found, Difference{field, how, source, target})
}

// exact are the headers whose values clients read; of others they see whether they are there.
var exact = []string{"Content-Type", "Content-Language", "Content-Disposition", "Location", "Allow", "Www-Authenticate", "Access-Control-Allow-Origin"}

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

// sameHeader compares media types by what they mean. JSON is UTF-8, whether or not that is said.
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

// values compares two values. field is the path as it is reported, path the one that rules have.
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

// page reports a page of the target that has more records than a page can have, by what the source's list says of itself.
func (d *walk) page(field string, list map[string]any, a, b any) {
	x, okX := a.([]any)
	y, okY := b.([]any)
	pages, errPages := strconv.Atoi(fmt.Sprint(list["total_pages"]))
	items, errItems := strconv.Atoi(fmt.Sprint(list["total_items"]))
	if !okX || !okY || errPages != nil || errItems != nil || pages < 2 || items < 1 {
		return // a single page does not tell how many it could have
	}
	most := len(x)
	if len(x) < (items-1)/pages+1 { // the last one, which is shorter than the others
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

// keyed compares arrays whose elements are found by a key.
func (d *walk) keyed(rule Rule, field, path string, a, b []any) {
	if rule.Kind == Shared && len(b) < len(a) {
		d.add(field, Differs, elements(len(a)), elements(len(b)))
	}
	left, both := map[string][]any{}, 0
	known := map[string]bool{} // of elements of the target
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
		case rule.Kind == AnyOrder, known[key]: // or it has the element twice
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

// keyOf returns what an element is found by.
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

// atLeast reports whether a is a count that is not less than b. Both may be in texts.
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
