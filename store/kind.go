package store

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Kind is the kind of a field's values.
type Kind int

// The kinds of values.
const (
	KindText   Kind = iota
	KindNumber      // an integer from 1 to 2^53 - 1
	KindBool
	KindUUID
	KindTime // RFC 3339
	KindRoles
)

// kind is how values of a type are stored, compared, and represented in JSON.
type kind[T comparable] struct {
	name          Kind
	scan          func(*T) any
	scanOptional  func(**T) any
	value         func(T) any
	valueOptional func(*T) any
	same          func(a, b T) bool
	show          func(T, *Catalogue) any
	read          func(any, *Catalogue) (T, string)
}

// plain makes the kind of values that database/sql reads and writes as they are.
func plain[T comparable](name Kind, show func(T) any, read func(any) (T, string)) kind[T] {
	return kind[T]{
		name:          name,
		scan:          func(p *T) any { return p },
		scanOptional:  func(p **T) any { return p },
		value:         func(v T) any { return v },
		valueOptional: func(p *T) any { return p },
		same:          func(a, b T) bool { return a == b },
		show:          func(v T, _ *Catalogue) any { return show(v) },
		read:          func(v any, _ *Catalogue) (T, string) { return read(v) },
	}
}

var (
	text = plain(KindText, func(s string) any { return s }, func(v any) (string, string) {
		s, ok := v.(string)
		return s, unless(ok, "must be a string")
	})
	boolean = plain(KindBool, func(b bool) any { return b }, func(v any) (bool, string) {
		b, ok := v.(bool)
		return b, unless(ok, "must be true or false")
	})
	positive   = plain(KindNumber, func(n int64) any { return n }, readPositive)
	identifier = plain(KindUUID, func(id uuid.UUID) any { return id.String() }, readUUID)
	moment     = func() kind[time.Time] {
		k := plain(KindTime, func(t time.Time) any { return t.UTC().Format(TimeLayout) }, readTime)
		k.scan = func(p *time.Time) any { return (*millis)(p) }
		k.scanOptional = func(p **time.Time) any { return nullMillis{p} }
		k.value = func(t time.Time) any { return t.UnixMilli() }
		k.valueOptional = func(p *time.Time) any { return epochMillis(p) }
		k.same = func(a, b time.Time) bool { return a.UnixMilli() == b.UnixMilli() }
		return k
	}()
	roleSet = func() kind[RoleSet] {
		k := plain(KindRoles, func(RoleSet) any { return nil }, nil)
		k.scan = func(p *RoleSet) any { return (*int64)(p) }
		k.value = func(s RoleSet) any { return int64(s) }
		k.show = func(s RoleSet, c *Catalogue) any { return c.names(s) }
		k.read = readRoles
		return k
	}()
)

// unless returns what is wrong if something is.
func unless(ok bool, wrong string) string {
	if ok {
		return ""
	}
	return wrong
}

func readPositive(v any) (int64, string) {
	number, _ := v.(json.Number)
	n, err := strconv.ParseInt(string(number), 10, 64)
	// Neither a sign nor a leading zero: a number is written in one way.
	return n, unless(err == nil && number[0] >= '1' && n <= maxID, fmt.Sprintf("must be an integer from 1 to %d", int64(maxID)))
}

// readUUID reads the form with hyphens only; uuid.Parse knows others. The UUID of zeros is no user's and no customer's.
func readUUID(v any) (uuid.UUID, string) {
	s, _ := v.(string)
	id, err := uuid.Parse(s)
	return id, unless(err == nil && len(s) == 36 && id != uuid.Nil, "must be a UUID")
}

// TimeLayout is RFC 3339 with the model's milliseconds, zeros included. Times are in UTC before they are formatted with it.
const TimeLayout = "2006-01-02T15:04:05.000Z07:00"

// timePattern is the form of RFC 3339, section 5.6, from which time.Parse (1.26) allows departures: offsets of 24 hours or 60 minutes, a
// comma, and hours of one digit (golang/go#54580). T and Z may be in lower case.
var timePattern = regexp.MustCompile(`^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

func readTime(v any) (time.Time, string) {
	const notTime = "must be an RFC 3339 time from 1970 to 9999, such as 2024-02-29T18:59:59.000Z"
	s, _ := v.(string)
	if !timePattern.MatchString(s) {
		return time.Time{}, notTime
	}
	const seconds = len("2006-01-02T15:04:")
	leap := s[seconds:seconds+2] == "60"
	if leap {
		s = s[:seconds] + "59" + s[seconds+2:]
	}
	t, err := time.Parse(time.RFC3339, strings.ToUpper(s))
	if err != nil || leap && !mayPrecedeLeapSecond(t.UTC()) {
		return time.Time{}, notTime
	}
	if leap {
		t = t.Add(time.Second)
	}
	t = inMillis(t)
	return t, unless(t.Year() >= 1970 && t.Year() <= 9999, notTime)
}

// mayPrecedeLeapSecond reports whether t is in the second before a leap second as RFC 3339, section 5.7, has them: at the end of June or
// December in UTC. Time itself knows no leap seconds, as POSIX has none: 23:59:60 is the same moment as the 00:00:00 that follows.
func mayPrecedeLeapSecond(t time.Time) bool {
	hour, minute, second := t.Clock()
	_, month, day := t.Date()
	return hour == 23 && minute == 59 && second == 59 && (month == time.June && day == 30 || month == time.December && day == 31)
}

// readRoles reads a []string, or what encoding/json makes of an array of them.
func readRoles(v any, c *Catalogue) (set RoleSet, wrong string) {
	names, ok := v.([]string)
	if elements, isArray := v.([]any); isArray {
		ok = true
		for _, e := range elements {
			name, isText := e.(string)
			names, ok = append(names, name), ok && isText
		}
	}
	if !ok {
		return 0, "must be an array of the names of roles"
	}
	for _, name := range names {
		role, ok := c.ByName(name)
		if !ok {
			return 0, fmt.Sprintf("must be names of roles, and %s is none", Excerpt(name))
		}
		set = set.Union(Roles(role.ID))
	}
	return set, ""
}

func (c *Catalogue) names(s RoleSet) []string {
	names := []string{}
	for _, r := range c.In(s) {
		names = append(names, r.Name)
	}
	return names
}

// Excerpt quotes the beginning of a text, 64 characters at most, for a message.
func Excerpt(s string) string {
	const most = 64
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + "..."
	}
	return strconv.QuoteToGraphic(s)
}

// millis reads a time from its column.
type millis time.Time

// Scan takes the milliseconds since the epoch.
func (m *millis) Scan(value any) error {
	ms, ok := value.(int64)
	if !ok {
		return fmt.Errorf("%T is no integer", value)
	}
	*m = millis(time.UnixMilli(ms).UTC())
	return nil
}

// nullMillis reads a time that may be absent from its column.
type nullMillis struct{ into **time.Time }

// Scan takes the milliseconds since the epoch, or nil.
func (m nullMillis) Scan(value any) error {
	if value == nil {
		*m.into = nil
		return nil
	}
	var at millis
	if err := at.Scan(value); err != nil {
		return err
	}
	*m.into = (*time.Time)(&at)
	return nil
}
