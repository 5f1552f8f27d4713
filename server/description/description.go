// Package description says what is to be known of a dialect beside its code: its document, which of its operations does what to
// users, how it writes ids, and what becomes of every member of every body. It is data that a server never looks up: tests
// check it against the document and against what the server does, and what goes over all dialects (the laws, the
// conformance kit, FIELDS.md) asks it. It knows no dialect; each dialect's package has the description of its own.
package description

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// API describes one dialect.
type API struct {
	Name  string // as logs and addresses have it, such as worth
	Title string // as people read it, such as Worth
	// Spec returns the document as oapi-codegen's GetSpec does, with overlays applied and operationIds as they were written. It is
	// called often, and may return the same document each time; callers do not change it.
	Spec func() (*openapi3.T, error)
	// Files has the document as it is served, Name.yaml and Name.json.
	Files fs.FS

	// Parameters write whom a request is about, for each parameter of a path or of a header that an operation requires, by its
	// name.
	Parameters map[string]func(Subject) string
	// Show is the operationId of reading one user, List of reading a customer's users, Create of adding one. Empty: there is none.
	Show, List, Create string
	// Updates are the operationIds of changing a user by a body that has the user's members: each operation that writes and is in no
	// other list.
	Updates []string
	// Removals are the operationIds of removing a user.
	Removals []string
	// OtherWrites are the operationIds of other writes: of users, by a body that has not the user's members, or of something else.
	OtherWrites []string
	// Reads are the operationIds that change nothing although their method is not safe, such as a search by POST.
	Reads []string
	// Bodies are what requests and answers have in them, in the order in which FIELDS.md has them.
	Bodies []Body
	// Samples returns a value for every member that a request can set, and for required members without a field, by the member's path. The
	// values differ from those of the sandbox's users. A value that no two users may share, such as an e-mail, contains unique.
	Samples func(unique string) map[string]any
	// Example returns a body that an operation accepts, or nil where it is made of Samples. A value that no two users may share contains
	// unique.
	Example func(operation, unique string) map[string]any
	// Page returns the query that requests a page of the list, counted from 1; nil if the list has no pages.
	Page func(number, size int) string
	// ErrorField and ErrorMessage are the paths by which an error says which member or parameter is wrong, and how. Where they are the
	// same, each sentence of a text begins with the member's path, and a semicolon ends all but the last.
	ErrorField, ErrorMessage string
	// ChangedField and ChangedState are the paths by which the answer 412 to an update says which member has changed since the version in
	// If-Match, and whether that is in conflict with the body. Empty where there are no updates.
	ChangedField, ChangedState string
	// Vendor is what only the vendor's documentation says. Its zero value is a dialect without a vendor.
	Vendor Vendor
}

// Vendor is what only a vendor's documentation says of its dialect, for the conformance kit.
type Vendor struct {
	// Laws say where a law of the kit is written, by the law's name, where that is another place than for every dialect. Some laws
	// are only those of dialects that cite something for them.
	Laws map[string]Citation
	// ErrorCodes are the codes that are documented for a status, and ErrorCode the path of the member that has one of them; empty:
	// any member. ErrorTexts are the paths of members of an error that are text and not empty.
	ErrorCodes map[int][]string
	ErrorCode  string
	ErrorTexts []string
	// ListSuffix follows the document's path of the list where the vendor's own page has more.
	ListSuffix string
}

// Citation is where a law is written.
type Citation struct {
	Source string
	Vendor bool // the law is the vendor's here, though it is Dragoman's elsewhere
}

// Subject is what a request is about: a user, the customer, the company that the caller acts in, a provisioning token, and an endpoint of
// webhooks. Each dialect writes some of these ids.
type Subject struct {
	Customer, User, Company int64
	CustomerUUID, UserUUID  string
	Token                   string
	Webhook                 int64 // the id of a webhook of the customer
}

// Body is the JSON that one or several operations take, or answer with.
type Body struct {
	Title      string
	Operations []string // operationIds; empty: every operation, where it answers with an error
	Request    bool     // else it is an answer
	User       string   // what the paths of the members that show a user begin with, such as "data."
	// Within is the path of the object that has the members, if that is not the body itself but an object in it. Wrap then returns the
	// JSON of the body, given that of the object. Another table, after this one, has the members around it.
	Within string
	Wrap   func(members string) string
	// Own says that the dialect's own tests compare the table with the server's answers, since the body shows no user or shows it
	// differently from other dialects. The tests of all dialects then compare the table with the document alone.
	Own bool
	// Exempt maps the names of laws of the conformance kit that do not hold for requests with this body to the reason, namely what the
	// dialect's standard says instead. The dialect's own tests check that.
	Exempt  map[string]string
	Members []Member
}

// Around makes of the JSON of the members that of the body.
func (b Body) Around(members string) string {
	if b.Wrap == nil {
		return members
	}
	return b.Wrap(members)
}

// In gives the members in a body.
func (b Body) In(body map[string]any) map[string]any {
	if b.Within == "" {
		return body
	}
	for _, found := range At(body, b.Within) {
		if members, ok := found.(map[string]any); ok {
			return members
		}
	}
	return nil
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
	// Values maps the model's values of Field Status to the dialect's, such as "ACTIVE" to "active". It is nil if they are the same text,
	// or if the dialect has true for ACTIVE and false for the others.
	Values map[string]any
	// Always is the value that an answer always has here, as JSON; empty if it has more than one.
	Always string
	// Note is a remark beyond the columns, often on the meaning of a member without a field.
	Note string

	// The rest of an answer's member.

	Null Null // what null does in a request
	// Sometimes says that answers may lack it; the note says which have it.
	Sometimes bool

	// The rest of a request's member.

	Required bool
	Effect   Effect
	Absent   Absent
	Secret   bool // no answer ever shows it
}

// Name is what headers call the member: an array as a whole.
func (m Member) Name() string {
	name, _, _ := strings.Cut(m.Path, "[]")
	return name
}

// Effect is what a value does in a request.
type Effect string

// The effects.
const (
	Replaces Effect = "replaces the field"
	Names    Effect = "names a role, which there must be"
	Ignored  Effect = "is ignored"
	Owned    Effect = "is ignored, and reported if it is not what a GET shows"
	Matches  Effect = "must be what the path says"
	Reads    Effect = "says what to do"
	Proves   Effect = "proves that the caller knows the user's password, for newPassword"
)

// Null is what null does in a request, and when an answer has it.
type Null string

// In a request.
const (
	NullRefused   Null = "refused"
	NullUnchanged Null = "unchanged"
	NullCleared   Null = "cleared"
)

// In an answer.
const (
	NullNever     Null = "never"
	NullIfNone    Null = "if there is none"
	NullBelowRank Null = "to a caller below the user's rank"
	NullAlways    Null = "always"
)

// Absent is what the absence of a member does in a request.
type Absent string

// What absence does.
const (
	AbsentRefused   Absent = "refused"
	AbsentUnchanged Absent = "unchanged"
	AbsentNone      Absent = "none" // the new user has none
	AbsentDefault   Absent = "the default, which the note says"
	AbsentOneOf     Absent = "allowed if the other of id and code is there"
)

// Request gives the body that an operation takes, and whether the description has one.
func (a API) Request(operation string) (Body, bool) { return a.find(operation, true) }

// Answer gives the body of an operation's success, and whether the description has one. That of every error is operation "".
func (a API) Answer(operation string) (Body, bool) { return a.find(operation, false) }

func (a API) find(operation string, request bool) (Body, bool) {
	for _, b := range a.Bodies {
		if b.Request == request && (slices.Contains(b.Operations, operation) || operation == "" && len(b.Operations) == 0) {
			return b, true
		}
	}
	return Body{}, false
}

// Member gives the first member of b that is a field of the model, or one of its elements, and whether there is one.
func (b Body) Member(field string) (Member, bool) {
	i := slices.IndexFunc(b.Members, func(m Member) bool { return m.Field == field })
	if i < 0 {
		return Member{}, false
	}
	return b.Members[i], true
}

// Whole tells whether a request must name members: then it replaces the whole of what it can name.
func (b Body) Whole() bool {
	return slices.ContainsFunc(b.Members, func(m Member) bool { return m.Required && !strings.Contains(m.Path, ".") })
}

// Everything is a body that sets all that an operation can set and that needs no proof, good for a user who is there for tests.
func (a API) Everything(operation, unique string) map[string]any {
	if a.Example != nil {
		if body := a.Example(operation, unique); body != nil {
			return body
		}
	}
	members := map[string]any{}
	b, _ := a.Request(operation)
	samples := a.Samples(unique)
	for _, m := range b.Members {
		if sample, ok := samples[m.Path]; ok && (m.Effect == Replaces || m.Effect == Reads) {
			Set(members, m.Path, sample)
		}
	}
	if b.Wrap == nil {
		return members
	}
	var body map[string]any
	text, err := json.Marshal(members)
	if err == nil {
		err = json.Unmarshal([]byte(b.Around(string(text))), &body)
	}
	if err != nil {
		panic(fmt.Sprintf("%s: the samples of %s are no JSON: %v", a.Name, operation, err))
	}
	return body
}

// ErrorsIn gives the paths of the members that an error is about, and its messages.
func (a API) ErrorsIn(body any) (fields, messages []any) {
	if a.ErrorField != a.ErrorMessage {
		return At(body, a.ErrorField), At(body, a.ErrorMessage)
	}
	for _, found := range At(body, a.ErrorMessage) {
		text, _ := found.(string)
		for sentence := range strings.SplitSeq(text, "; ") {
			field, _, _ := strings.Cut(sentence, " ")
			fields, messages = append(fields, strings.TrimSuffix(field, ":")), append(messages, sentence)
		}
	}
	return fields, messages
}

// Shows tells whether the members are those of users.
func (b Body) Shows() bool {
	_, id := b.Member("ID")
	_, uuid := b.Member("UUID")
	_, name := b.Member("FirstName")
	return !b.Request && name && (id || uuid)
}

// NamesOf gives what the dialect calls a field of the model, in its requests and its answers, each name once, without what a
// body puts around a user. It is empty where the dialect has no word for it.
func (a API) NamesOf(field string) []string {
	var all []string
	for _, b := range a.Bodies {
		for _, m := range b.Members {
			name := strings.TrimPrefix(m.Path, b.User)
			if m.Field == field && !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// Prefixed gives members with something before their paths.
func Prefixed(prefix string, all []Member) []Member {
	prefixed := slices.Clone(all)
	for i := range prefixed {
		prefixed[i].Path = prefix + prefixed[i].Path
	}
	return prefixed
}
