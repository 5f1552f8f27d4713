// Package members is one table of every member of every request's and answer's body, in each dialect: what a value does,
// what null and absence mean, and which field of the model it is. It is data, and says nothing that the server would look
// up: tests hold it against the documents and against what the server does, and FIELDS.md is made of it.
package members

import (
	"slices"
	"strings"
)

// Bodies are those of all dialects, in the order in which they are read.
var Bodies = slices.Concat(worth, testinium)

// Body is the JSON that one or several operations of a dialect take, or answer with.
type Body struct {
	Dialect    string
	Title      string
	Operations []string // operationIds; empty: every operation, where it answers with an error
	Request    bool     // else it is an answer
	User       string   // what the paths of the members that show a user begin with, such as "data."
	Members    []Member
}

// Member is one member of a body.
type Member struct {
	// Path is the member's name, behind those of the objects that it is in. The items of an array are "[]":
	// "authorities[].name".
	Path string
	// Field is what it is in the model: a field of store.User, or one of another of the store's types such as
	// "Customer.Name". Empty: nothing.
	Field string
	// Also are further fields that a value may change.
	Also []string
	// Always is the value that an answer always has here, as JSON; empty if it has more than one.
	Always string
	// Note says what there is to say beyond the columns; often what a member without a field is.
	Note string

	// The rest of an answer's member.

	Null Null // of a request's: what null does

	// The rest of a request's member.

	Required bool
	Effect   Effect
	Absent   Absent
	Secret   bool // no answer ever shows it
}

// Effect is what a value does in a request.
type Effect string

// The effects.
const (
	Replaces Effect = "replaces the field"
	Names    Effect = "names a role, which there must be"
	Ignored  Effect = "is ignored"
	Owned    Effect = "is ignored, and told if it is not what a GET shows"
	Matches  Effect = "must be what the path says"
	Proves   Effect = "proves that the caller knows the user's password, for newPassword"
)

// Null is what null does in a request, and when an answer has it.
type Null string

// In a request.
const (
	NullRefused   Null = "refused"
	NullUnchanged Null = "unchanged"
)

// In an answer.
const (
	NullNever     Null = "never"
	NullIfNone    Null = "if there is none"
	NullBelowRank Null = "to a caller below the user's rank"
	NullAlways    Null = "always"
)

// Absent is what the absence of a member does in a request. The members of an answer are always there.
type Absent string

// What absence does.
const (
	AbsentRefused   Absent = "refused"
	AbsentUnchanged Absent = "unchanged"
	AbsentNone      Absent = "none" // the new user has none
	AbsentOneOf     Absent = "allowed if the other of id and code is there"
)

// Dialects are the names of the dialects, in the order of Bodies.
func Dialects() []string {
	var all []string
	for _, b := range Bodies {
		if !slices.Contains(all, b.Dialect) {
			all = append(all, b.Dialect)
		}
	}
	return all
}

// NamesOf gives what a dialect calls a field of the model, in its requests and its answers, each name once, without what a
// body puts around a user. It is empty where the dialect has no word for it.
func NamesOf(dialect, field string) []string {
	var all []string
	for _, b := range Bodies {
		if b.Dialect != dialect {
			continue
		}
		for _, m := range b.Members {
			name := strings.TrimPrefix(m.Path, b.User)
			if m.Field == field && !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// Stamped are the fields of store.User that every write sets which changes another.
var Stamped = []string{"UpdatedAt", "UpdatedBy", "Version"}

// KeptBy tells whether every update through a dialect leaves a field of store.User as it is.
func KeptBy(dialect, field string) bool {
	if slices.Contains(Stamped, field) {
		return false
	}
	for _, b := range Bodies {
		if b.Dialect != dialect || !b.Request {
			continue
		}
		for _, m := range b.Members {
			if m.Effect == Replaces && m.Field == field || slices.Contains(m.Also, field) {
				return false
			}
		}
	}
	return true
}

// prefixed gives members with something before their paths.
func prefixed(prefix string, all []Member) []Member {
	prefixed := slices.Clone(all)
	for i := range prefixed {
		prefixed[i].Path = prefix + prefixed[i].Path
	}
	return prefixed
}

// Unnamed are the fields of store.User that no body of any dialect has, and why.
var Unnamed = map[string]string{
	"FirstNameFold":     "computed from FirstName",
	"LastNameFold":      "computed from LastName",
	"UsernameFold":      "computed from Username",
	"EmailFold":         "computed from Email",
	"EmailSearch":       "computed from Email",
	"AccessTokenSealed": "AccessToken as it is stored",
	"VCSPasswordSealed": "VCSPassword as it is stored",
	"Version":           "the header ETag of every dialect",
}
