package store

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/cases"
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

// Fold returns s without distinctions of case: two texts are equal ignoring case if and only if their folds are equal. It
// is Unicode's default case folding, the same on every engine and in every locale; it does not normalize. Folds are stored:
// what this returns for a text may never change.
func Fold(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	return strings.Map(foldCherokee, cases.Fold().String(s))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// foldCherokee completes cases.Fold of x/text 0.43 (golang/go#46101), which swaps the cases of Cherokee where Unicode folds
// small letters to capital ones.
func foldCherokee(r rune) rune {
	switch {
	case 0xAB70 <= r && r <= 0xABBF:
		return r - 0xAB70 + 0x13A0
	case 0x13F8 <= r && r <= 0x13FD:
		return r - 0x13F8 + 0x13F0
	}
	return r
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
	u.FirstNameFold, u.LastNameFold = Fold(u.FirstName), Fold(u.LastName)
	u.UsernameFold, u.EmailFold = Fold(u.Username), Fold(u.Email)
}

// validate returns everything that the model forbids about the fields of a normalized user that are looked at; nil looks at
// all.
func (c *Catalogue) validate(u *User, lookedAt func(Field) bool) FieldErrors {
	v := violations{lookedAt: lookedAt}
	v.text(FieldFirstName, u.FirstName, MaxNameLength)
	v.text(FieldLastName, u.LastName, MaxNameLength)
	if v.text(FieldUsername, u.Username, MaxUsernameLength) && !usernamePattern.MatchString(u.Username) {
		v.add(FieldUsername, "must be one or more characters without white space")
	}
	if v.text(FieldEmail, u.Email, MaxEmailLength) && !emailPattern.MatchString(u.Email) {
		v.add(FieldEmail, "must be an e-mail address")
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
