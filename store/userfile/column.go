package userfile

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/store"
)

// column is a column of a CSV file and a member of an NDJSON object.
type column struct {
	name  string
	kind  kind
	field store.Field // as the store's errors name it
	need  need
	// get returns the user's value as JSON has it: a string, an int64, a bool, a []string, or nil for none.
	get func(*store.User, *store.Catalogue) any
	// set stores what kind has read.
	set func(*store.ImportRow, any)
}

// need says what a file must tell about a column.
type need int

const (
	optional need = iota
	present       // the column must be there
	filled        // and it must not be empty
)

// columns are all there are, in the order in which they are written.
var columns = []column{
	{"id", positive, store.FieldID, optional,
		func(u *store.User, _ *store.Catalogue) any { return u.ID },
		func(r *store.ImportRow, v any) { r.User.ID = v.(int64) }},
	{"uuid", identifier, store.FieldUUID, optional,
		func(u *store.User, _ *store.Catalogue) any { return u.UUID.String() },
		func(r *store.ImportRow, v any) { r.User.UUID = v.(uuid.UUID) }},
	{"customer", customer, store.FieldCustomer, filled,
		func(u *store.User, _ *store.Catalogue) any { return u.CustomerID },
		func(r *store.ImportRow, v any) { r.Customer = v.(store.CustomerKey) }},
	{"first_name", text, store.FieldFirstName, present,
		func(u *store.User, _ *store.Catalogue) any { return u.FirstName },
		func(r *store.ImportRow, v any) { r.User.FirstName = v.(string) }},
	{"last_name", text, store.FieldLastName, present,
		func(u *store.User, _ *store.Catalogue) any { return u.LastName },
		func(r *store.ImportRow, v any) { r.User.LastName = v.(string) }},
	{"username", text, store.FieldUsername, optional,
		func(u *store.User, _ *store.Catalogue) any { return u.Username },
		func(r *store.ImportRow, v any) { r.User.Username = v.(string) }},
	{"email", text, store.FieldEmail, filled,
		func(u *store.User, _ *store.Catalogue) any { return u.Email },
		func(r *store.ImportRow, v any) { r.User.Email = v.(string) }},
	{"mobile", text, store.FieldMobile, optional,
		func(u *store.User, _ *store.Catalogue) any {
			return maybe(u.Mobile, func(s string) string { return s })
		},
		func(r *store.ImportRow, v any) { r.User.Mobile = pointer[string](v) }},
	{"roles", roles, store.FieldRoles, optional,
		func(u *store.User, c *store.Catalogue) any { return roleNames(u.Roles, c) },
		func(r *store.ImportRow, v any) { r.User.Roles = v.(store.RoleSet) }},
	{"status", text, store.FieldStatus, optional,
		func(u *store.User, _ *store.Catalogue) any { return string(u.Status) },
		func(r *store.ImportRow, v any) { r.User.Status = store.Status(v.(string)) }},
	{"account_non_expired", boolean, store.FieldAccountNonExpired, optional,
		func(u *store.User, _ *store.Catalogue) any { return u.AccountNonExpired },
		func(r *store.ImportRow, v any) { r.User.AccountNonExpired = v.(bool) }},
	{"account_non_locked", boolean, store.FieldAccountNonLocked, optional,
		func(u *store.User, _ *store.Catalogue) any { return u.AccountNonLocked },
		func(r *store.ImportRow, v any) { r.User.AccountNonLocked = v.(bool) }},
	{"credential_non_expired", boolean, store.FieldCredentialNonExpired, optional,
		func(u *store.User, _ *store.Catalogue) any { return u.CredentialNonExpired },
		func(r *store.ImportRow, v any) { r.User.CredentialNonExpired = v.(bool) }},
	{"email_verified", boolean, store.FieldEmailVerified, optional,
		func(u *store.User, _ *store.Catalogue) any { return u.EmailVerified },
		func(r *store.ImportRow, v any) { r.User.EmailVerified = v.(bool) }},
	{"first_login", boolean, store.FieldFirstLogin, optional,
		func(u *store.User, _ *store.Catalogue) any { return u.FirstLogin },
		func(r *store.ImportRow, v any) { r.User.FirstLogin = v.(bool) }},
	{"external_auth_id", identifier, store.FieldExternalAuthID, optional,
		func(u *store.User, _ *store.Catalogue) any { return maybe(u.ExternalAuthID, uuid.UUID.String) },
		func(r *store.ImportRow, v any) { r.User.ExternalAuthID = pointer[uuid.UUID](v) }},
	{"last_password_reset_at", moment, store.FieldLastPasswordResetAt, optional,
		func(u *store.User, _ *store.Catalogue) any { return maybe(u.LastPasswordResetAt, formatTime) },
		func(r *store.ImportRow, v any) { r.User.LastPasswordResetAt = pointer[time.Time](v) }},
	{"created_at", moment, "", optional,
		func(u *store.User, _ *store.Catalogue) any { return formatTime(u.CreatedAt) },
		func(r *store.ImportRow, v any) { r.User.CreatedAt = v.(time.Time) }},
	{"created_by", identifier, "", optional,
		func(u *store.User, _ *store.Catalogue) any { return maybe(u.CreatedBy, uuid.UUID.String) },
		func(r *store.ImportRow, v any) { r.User.CreatedBy = pointer[uuid.UUID](v) }},
	{"updated_at", moment, "", optional,
		func(u *store.User, _ *store.Catalogue) any { return formatTime(u.UpdatedAt) },
		func(r *store.ImportRow, v any) { r.User.UpdatedAt = v.(time.Time) }},
	{"updated_by", identifier, "", optional,
		func(u *store.User, _ *store.Catalogue) any { return maybe(u.UpdatedBy, uuid.UUID.String) },
		func(r *store.ImportRow, v any) { r.User.UpdatedBy = pointer[uuid.UUID](v) }},
	{"version", positive, store.FieldVersion, optional,
		func(u *store.User, _ *store.Catalogue) any { return u.Version },
		func(r *store.ImportRow, v any) { r.User.Version = v.(int64) }},
}

// findColumn returns the index of the column with this name, or -1.
func findColumn(name string) int {
	return slices.IndexFunc(columns, func(c column) bool { return c.name == name })
}

// columnOf returns the name of the column for a field, or the field's own.
func columnOf(f store.Field) string {
	for _, c := range columns {
		if c.field == f {
			return c.name
		}
	}
	return string(f)
}

// newRow is a row of which a file says nothing.
func newRow(line int64) store.ImportRow {
	return store.ImportRow{Line: line, User: store.User{
		Status:               store.StatusInvited,
		AccountNonExpired:    true,
		AccountNonLocked:     true,
		CredentialNonExpired: true,
		FirstLogin:           true,
	}}
}

// finish sets what depends on other columns.
func finish(r *store.ImportRow) {
	if r.User.Username == "" {
		r.User.Username = r.User.Email
	}
}

// kind is how the values of a column are read, from a CSV field that is not empty or a JSON value that is not null. Each
// returns the value, or else a reason.
type kind struct {
	fromText func(text string, roles *store.Catalogue) (any, string)
	fromJSON func(v jsontext.Value, roles *store.Catalogue) (any, string)
}

const (
	maxInteger = 1<<53 - 1

	isRequired    = "is required"
	notText       = "must be a string"
	notPositive   = "must be an integer from 1 to 9007199254740991"
	notBoolean    = "must be true or false"
	notIdentifier = "must be a UUID"
	notMoment     = "must be an RFC 3339 time from 1970 to 9999, such as 2024-02-29T18:59:59.000Z"
	notCustomer   = "must be the id or the UUID of a customer"
	notRoles      = "must be an array of the names of roles"
)

var (
	text = kind{
		func(s string, _ *store.Catalogue) (any, string) { return s, "" },
		func(v jsontext.Value, _ *store.Catalogue) (any, string) {
			if s, ok := unquote(v); ok {
				return s, ""
			}
			return nil, notText
		},
	}
	positive = kind{
		func(s string, _ *store.Catalogue) (any, string) { return parsePositive(s) },
		func(v jsontext.Value, _ *store.Catalogue) (any, string) { return parsePositive(string(v)) },
	}
	boolean = kind{
		func(s string, _ *store.Catalogue) (any, string) {
			// Spreadsheets write them in capitals.
			switch strings.ToLower(s) {
			case "true":
				return true, ""
			case "false":
				return false, ""
			}
			return nil, notBoolean
		},
		func(v jsontext.Value, _ *store.Catalogue) (any, string) {
			if k := v.Kind(); k == 't' || k == 'f' {
				return k == 't', ""
			}
			return nil, notBoolean
		},
	}
	identifier = quoted(parseUUID, notIdentifier)
	moment     = quoted(parseTime, notMoment)
	customer   = kind{
		func(s string, _ *store.Catalogue) (any, string) {
			if id, wrong := parseUUID(s); wrong == "" {
				return store.CustomerByUUID(id.(uuid.UUID)), ""
			}
			id, wrong := parsePositive(s)
			if wrong != "" {
				return nil, notCustomer
			}
			return store.CustomerByID(id.(int64)), ""
		},
		func(v jsontext.Value, _ *store.Catalogue) (any, string) {
			if s, ok := unquote(v); ok {
				if id, wrong := parseUUID(s); wrong == "" {
					return store.CustomerByUUID(id.(uuid.UUID)), ""
				}
			} else if id, wrong := parsePositive(string(v)); wrong == "" {
				return store.CustomerByID(id.(int64)), ""
			}
			return nil, notCustomer
		},
	}
	roles = kind{
		func(s string, c *store.Catalogue) (any, string) { return parseRoles(strings.Fields(s), c) },
		func(v jsontext.Value, c *store.Catalogue) (any, string) {
			// To json a null in the array is "", which is no role's name.
			var names []string
			if v.Kind() != '[' || json.Unmarshal(v, &names) != nil {
				return nil, notRoles
			}
			return parseRoles(names, c)
		},
	}
)

// quoted is the kind of values that are a string in JSON.
func quoted(parse func(string) (any, string), reason string) kind {
	return kind{
		func(s string, _ *store.Catalogue) (any, string) { return parse(s) },
		func(v jsontext.Value, _ *store.Catalogue) (any, string) {
			if s, ok := unquote(v); ok {
				return parse(s)
			}
			return nil, reason
		},
	}
}

// unquote returns the text of a JSON string, and whether it is one.
func unquote(v jsontext.Value) (string, bool) {
	if v.Kind() != '"' {
		return "", false
	}
	s, err := jsontext.AppendUnquote(nil, v)
	return string(s), err == nil
}

func parsePositive(s string) (any, string) {
	n, err := strconv.ParseInt(s, 10, 64)
	// Neither a sign nor a leading zero: a number has one way to be written.
	if err != nil || s[0] < '1' || n > maxInteger {
		return nil, notPositive
	}
	return n, ""
}

// parseUUID reads the form with hyphens only; uuid.Parse knows others. The UUID of zeros alone is nobody's.
func parseUUID(s string) (any, string) {
	id, err := uuid.Parse(s)
	if err != nil || len(s) != 36 || id == uuid.Nil {
		return nil, notIdentifier
	}
	return id, ""
}

// timePattern is the form of RFC 3339, section 5.6, from which time.Parse (1.26) allows departures: offsets of 24 hours or 60 minutes, a
// comma, and hours of one digit (golang/go#54580). T and Z may be in lower case.
var timePattern = regexp.MustCompile(`^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

func formatTime(t time.Time) string { return t.UTC().Format(store.TimeLayout) }

func parseTime(s string) (any, string) {
	if !timePattern.MatchString(s) {
		return nil, notMoment
	}
	const seconds = len("2006-01-02T15:04:")
	leap := s[seconds:seconds+2] == "60"
	if leap {
		s = s[:seconds] + "59" + s[seconds+2:]
	}
	t, err := time.Parse(time.RFC3339, strings.ToUpper(s))
	if err != nil {
		return nil, notMoment
	}
	if leap {
		if !mayPrecedeLeapSecond(t.UTC()) {
			return nil, notMoment
		}
		t = t.Add(time.Second)
	}
	if t = t.UTC().Truncate(time.Millisecond); t.Year() < 1970 || t.Year() > 9999 {
		return nil, notMoment
	}
	return t, ""
}

// mayPrecedeLeapSecond reports whether t is in the second before a leap second as RFC 3339, section 5.7, has them: at the end of June or
// December in UTC. Time itself knows no leap seconds, as POSIX has none: 23:59:60 is the same moment as the 00:00:00 that follows.
func mayPrecedeLeapSecond(t time.Time) bool {
	hour, minute, second := t.Clock()
	_, month, day := t.Date()
	return hour == 23 && minute == 59 && second == 59 && (month == time.June && day == 30 || month == time.December && day == 31)
}

func parseRoles(names []string, c *store.Catalogue) (any, string) {
	var set store.RoleSet
	for _, name := range names {
		role, ok := c.ByName(name)
		if !ok {
			return nil, fmt.Sprintf("must be names of roles, and %s is none", shown(name))
		}
		set = set.Union(store.Roles(role.ID))
	}
	return set, ""
}

func roleNames(s store.RoleSet, c *store.Catalogue) []string {
	names := []string{}
	for _, r := range c.In(s) {
		names = append(names, r.Name)
	}
	return names
}

// shown quotes a piece of the file for a message.
func shown(s string) string {
	const most = 64
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + "..."
	}
	return strconv.QuoteToGraphic(s)
}

func maybe[T any](p *T, format func(T) string) any {
	if p == nil {
		return nil
	}
	return format(*p)
}

func pointer[T any](v any) *T {
	value := v.(T)
	return &value
}
