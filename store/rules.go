package store

import (
	"cmp"
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

	MaxExternalIDLength  = 256
	MaxDisplayNameLength = 256
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
	for i := range editable {
		if normalize := editable[i].normalize; normalize != nil {
			normalize(u)
		}
	}
	u.CreatedAt, u.UpdatedAt = inMillis(u.CreatedAt), inMillis(u.UpdatedAt)
}

// ComputeFolds sets the folded columns, as they are stored of a new user.
func (u *User) ComputeFolds() {
	u.FirstNameFold, u.LastNameFold, u.UsernameFold = Fold(u.FirstName), Fold(u.LastName), Fold(u.Username)
	u.EmailFold = FoldEmail(u.Email)
	u.EmailSearch = searchableEmail(u.EmailFold)
}

// fold computes the folded columns of the texts in which u differs from before. The others keep the stored fold. It may have been computed
// by older rules, and another user may have the fold that the present rules would give.
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

// validate returns everything that the model forbids about those of a normalized user's fields for which lookAt is true; nil stands
// for all fields.
func (c *Catalogue) validate(u *User, lookAt func(Field) bool) (wrong FieldErrors) {
	for i := range editable {
		if f := &editable[i]; f.check != nil && (lookAt == nil || lookAt(f.name)) {
			wrong.add(f.name, f.check(u, c))
		}
	}
	return wrong
}

// add adds what is wrong with a field, if anything is.
func (e *FieldErrors) add(f Field, wrong string) {
	if wrong != "" {
		*e = append(*e, FieldError{f, wrong})
	}
}

// errorOrNil returns the errors as an error, or nil if there are none.
func (e *FieldErrors) errorOrNil() error {
	if len(*e) == 0 {
		return nil
	}
	return e
}

const noMaxLength = -1

// checkText returns what is wrong with any text, if anything is.
func checkText(s string, maxLength int) string {
	switch {
	case !utf8.ValidString(s):
		return "must be valid UTF-8"
	case strings.ContainsRune(s, 0):
		// Postgres cannot store it; SQLite could, and must not differ.
		return "must not contain U+0000"
	case maxLength != noMaxLength && utf8.RuneCountInString(s) > maxLength:
		return fmt.Sprintf("must have at most %d characters", maxLength)
	}
	return ""
}

// The reasons for which names and e-mails that match their patterns are refused.
const (
	reasonInvisible    = "must not contain invisible characters or bidirectional controls"
	reasonEncoded      = "must not have a domain with a label that begins with xn-- and is not encoded as IDNA does"
	reasonErasedDomain = "must not be at " + erasedDomain + ", which is for users whose personal data were erased"
	reasonLongLabel    = "must not have a domain with a label that has more than 63 characters when it is encoded"
)

// checkName returns what is wrong with a text that users are known by. Syntax is what is wrong where the pattern does not match.
//
// Invisible characters are refused here and not by the pattern: the documents repeat that, and a stored text that has some
// must be accepted as long as it stays.
func checkName(s string, maxLength int, pattern *regexp.Regexp, syntax string) string {
	switch wrong := checkText(s, maxLength); {
	case wrong != "":
		return wrong
	case !pattern.MatchString(s):
		return syntax
	case strings.ContainsFunc(s, Invisible):
		return reasonInvisible
	case strings.HasSuffix(FoldEmail(s), "@"+erasedDomain):
		return reasonErasedDomain
	}
	return ""
}

func checkUsername(u *User, _ *Catalogue) string {
	return checkName(u.Username, MaxUsernameLength, usernamePattern, "must be one or more characters without white space")
}

func checkEmail(u *User, _ *Catalogue) string {
	return cmp.Or(checkName(u.Email, MaxEmailLength, emailPattern, "must be an e-mail address"), checkEncodedLabels(u.Email))
}

func checkRoles(u *User, c *Catalogue) string {
	return unless(u.Roles.Minus(c.known) == 0, "must be roles of the catalogue")
}

func checkStatus(u *User, _ *Catalogue) string {
	switch u.Status {
	case StatusInvited, StatusActive, StatusInactive:
		return ""
	}
	return "must be INVITED, ACTIVE or INACTIVE"
}

func checkAccessToken(u *User, _ *Catalogue) string {
	return unless(accessTokenPattern.MatchString(u.AccessToken), "must be 32 lower-case hexadecimal digits")
}

// checkID returns what is wrong with an id that was given; 0 stands for one to be generated.
func checkID(id int64) string {
	return unless(id >= 0 && id <= maxGivenID, fmt.Sprintf("must be between 1 and %d", int64(maxGivenID)))
}

// created sets the times of a new row that are not given.
func created(now time.Time, createdAt, updatedAt *time.Time) {
	if createdAt.IsZero() {
		*createdAt = now
	}
	if updatedAt.IsZero() {
		*updatedAt = *createdAt
	}
	*createdAt, *updatedAt = inMillis(*createdAt), inMillis(*updatedAt)
}
