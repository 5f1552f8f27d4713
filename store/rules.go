package store

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of a user's text, in code points. Names may be empty, a username and an e-mail may not.
const (
	MaxNameLength     = 255
	MaxUsernameLength = 254
	MaxEmailLength    = 254
	MaxMobileLength   = 64
)

// maxID is the highest id of a row: JavaScript's numbers hold no greater integer exactly.
const maxID = 1<<53 - 1

// maxGivenID is the highest id that a new row may bring along. Generated ids go on above the highest given one, and need
// room below maxID.
const maxGivenID = 1 << 52

// EmailPattern and UsernamePattern say what an e-mail and a username look like. The documents repeat them, so they are in
// ECMAScript's syntax, which [CompilePattern] reads, and mean the same with and without its u flag: every class that reaches
// beyond ASCII is negated, since without the flag a character above U+FFFF counts as two, and nothing is counted. They are ASCII:
// U+2028 and U+2029 as themselves would end the line that a code generator writes a pattern into.
const (
	// EmailPattern is the syntax that HTML gives to e-mail addresses, local@domain, widened to characters beyond ASCII
	// in both parts other than controls and white space. Unlike there, the length of a domain's label is not bounded.
	EmailPattern = `^[^\x00-\x20"(),:;<>@\[\\\]\x7F-\xA0` + wideSpaces + `]+@` + emailLabel + `(?:\.` + emailLabel + `)*$`
	// UsernamePattern is one or more characters that are neither Unicode white space nor U+0000.
	UsernamePattern = `^[^\x00\x09-\x0D\x20\x85\xA0` + wideSpaces + `]+$`

	// wideSpaces are the characters above U+00FF that have Unicode's property White_Space.
	wideSpaces = `\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000`
	// A label is made of ASCII letters and digits, characters beyond ASCII and, inside, hyphens.
	emailLabelChar = `[^\x00-\x2F\x3A-\x40\x5B-\x60\x7B-\xA0` + wideSpaces + `]`
	emailLabel     = emailLabelChar + `+(?:-+` + emailLabelChar + `+)*`
)

var (
	emailPattern       = mustCompilePattern(EmailPattern)
	usernamePattern    = mustCompilePattern(UsernamePattern)
	accessTokenPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

var unicodeEscape = regexp.MustCompile(`\\u([0-9A-F]{4})`)

// CompilePattern compiles a regular expression of a document, which has \uXXXX, with capital digits, where RE2 has \x{XXXX}.
func CompilePattern(pattern string) (*regexp.Regexp, error) {
	return regexp.Compile(unicodeEscape.ReplaceAllString(pattern, `\x{$1}`))
}

func mustCompilePattern(pattern string) *regexp.Regexp {
	compiled, err := CompilePattern(pattern)
	if err != nil {
		panic(err) // it is a constant of this package
	}
	return compiled
}

// normalize brings a user into the one form that the model has for it.
func normalize(u *User) {
	if u.Mobile != nil && *u.Mobile == "" {
		u.Mobile = nil
	}
	if u.VCSPassword != nil && *u.VCSPassword == "" {
		u.VCSPassword = nil
	}
	if u.LastPasswordResetAt != nil {
		at := inMillis(*u.LastPasswordResetAt)
		u.LastPasswordResetAt = &at
	}
	u.CreatedAt, u.UpdatedAt = inMillis(u.CreatedAt), inMillis(u.UpdatedAt)
}

// ComputeFolds sets the folded columns, as they are stored of a new user.
func (u *User) ComputeFolds() {
	u.FirstNameFold, u.LastNameFold, u.UsernameFold = Fold(u.FirstName), Fold(u.LastName), Fold(u.Username)
	u.EmailFold = FoldEmail(u.Email)
	u.EmailSearch = searchableEmail(u.EmailFold)
}

// fold computes the folded columns of those texts in which u is not as before. The others keep what is stored: it may be the
// fold of older rules, where that of the present ones is another user's.
func (u *User) fold(before *User) {
	u.FirstNameFold, u.LastNameFold = before.FirstNameFold, before.LastNameFold
	u.UsernameFold, u.EmailFold, u.EmailSearch = before.UsernameFold, before.EmailFold, before.EmailSearch
	if u.FirstName != before.FirstName {
		u.FirstNameFold = Fold(u.FirstName)
	}
	if u.LastName != before.LastName {
		u.LastNameFold = Fold(u.LastName)
	}
	if u.Username != before.Username {
		u.UsernameFold = Fold(u.Username)
	}
	if u.Email != before.Email {
		u.EmailFold = FoldEmail(u.Email)
		u.EmailSearch = searchableEmail(u.EmailFold)
	}
}

// validate returns everything that the model forbids about the fields of a normalized user that are looked at; nil looks at
// all.
func (c *Catalogue) validate(u *User, lookedAt func(Field) bool) FieldErrors {
	v := violations{lookedAt: lookedAt}
	v.text(FieldFirstName, u.FirstName, MaxNameLength)
	v.text(FieldLastName, u.LastName, MaxNameLength)
	v.name(FieldUsername, u.Username, MaxUsernameLength, usernamePattern, "must be one or more characters without white space")
	if v.name(FieldEmail, u.Email, MaxEmailLength, emailPattern, "must be an e-mail address") {
		if reason := checkEncodedLabels(u.Email); reason != "" {
			v.add(FieldEmail, reason)
		}
	}
	if u.Mobile != nil {
		v.text(FieldMobile, *u.Mobile, MaxMobileLength)
	}
	if u.Roles.Minus(c.known) != 0 {
		v.add(FieldRoles, "must be roles of the catalogue")
	}
	switch u.Status {
	case StatusInvited, StatusActive, StatusInactive:
	default:
		v.add(FieldStatus, "must be INVITED, ACTIVE or INACTIVE")
	}
	if u.PasswordHash != nil {
		v.text(FieldPasswordHash, *u.PasswordHash, noMaxLength)
	}
	if v.looksAt(FieldAccessToken) && !accessTokenPattern.MatchString(u.AccessToken) {
		v.add(FieldAccessToken, "must be 32 lower-case hexadecimal digits")
	}
	if u.VCSPassword != nil {
		v.text(FieldVCSPassword, *u.VCSPassword, noMaxLength)
	}
	return v.found
}

const noMaxLength = -1

// violations collects what is wrong with the fields of a row that are looked at.
type violations struct {
	lookedAt func(Field) bool // nil: all
	found    FieldErrors
}

func (v *violations) looksAt(f Field) bool { return v.lookedAt == nil || v.lookedAt(f) }

func (v *violations) add(f Field, reason string) {
	if v.looksAt(f) {
		v.found = append(v.found, FieldError{f, reason})
	}
}

// text checks what holds for all text, and reports whether it looked and found nothing.
func (v *violations) text(f Field, s string, maxLength int) bool {
	switch {
	case !v.looksAt(f):
		return false
	case !utf8.ValidString(s):
		v.add(f, "must be valid UTF-8")
	case strings.ContainsRune(s, 0):
		// Postgres cannot store it; SQLite could, and must not differ.
		v.add(f, "must not contain U+0000")
	case maxLength != noMaxLength && utf8.RuneCountInString(s) > maxLength:
		v.add(f, fmt.Sprintf("must have at most %d characters", maxLength))
	default:
		return true
	}
	return false
}

// The reasons for which names and e-mails that match their patterns are refused.
const (
	reasonInvisible = "must not contain invisible characters or bidirectional controls"
	reasonEncoded   = "must not have a domain with a label that begins with xn-- and is not encoded as IDNA does"
)

// name checks what holds for the texts that users are known by, and reports whether it looked and found nothing. Syntax is what
// else is wrong where pattern does not match.
//
// Invisible characters are refused here and not by the pattern: the documents repeat that, and a stored text that has some
// must be accepted as long as it stays.
func (v *violations) name(f Field, s string, maxLength int, pattern *regexp.Regexp, syntax string) bool {
	switch {
	case !v.text(f, s, maxLength):
	case !pattern.MatchString(s):
		v.add(f, syntax)
	case strings.ContainsFunc(s, Invisible):
		v.add(f, reasonInvisible)
	default:
		return true
	}
	return false
}

// id checks an id that was given; 0 stands for one to be generated.
func (v *violations) id(id int64) {
	if id < 0 || id > maxGivenID {
		v.add(FieldID, fmt.Sprintf("must be between 1 and %d", int64(maxGivenID)))
	}
}

// err returns the violations as an error, nil if there are none.
func (v *violations) err() error {
	if len(v.found) == 0 {
		return nil
	}
	return &v.found
}

// created fills in the times of a new row.
func created(now time.Time, createdAt, updatedAt *time.Time) {
	if createdAt.IsZero() {
		*createdAt = now
	}
	if updatedAt.IsZero() {
		*updatedAt = *createdAt
	}
	*createdAt, *updatedAt = inMillis(*createdAt), inMillis(*updatedAt)
}
