package toy

import (
	"strconv"
	"sync"

	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/servertest/toy/gen/documents"
	"github.com/dragoman-id/dragoman/server/servertest/toy/gen/toyapi"
)

// Description is what is to be known of the dialect.
var Description = description.API{
	Name: "toy", Title: "Toy", Spec: sync.OnceValues(toyapi.GetSpec), Files: documents.Files,
	Parameters: map[string]func(description.Subject) string{
		"shop":   func(s description.Subject) string { return "s" + strconv.FormatInt(s.Customer, 10) },
		"person": func(s description.Subject) string { return "p" + strconv.FormatInt(s.User, 10) },
	},
	Show:    "getPerson",
	Updates: []string{"patchPerson", "putPerson"},
	Bodies: []description.Body{
		{
			Title: "The patch", Operations: []string{"patchPerson"}, Request: true,
			Members: []description.Member{
				optional("given", "FirstName"),
				optional("family", "LastName"),
				optional("handle", "Username"),
				optional("contact", "Email", "EmailVerified"),
				optional("phone", "Mobile"),
				optional("open", "Status"),
				optional("grants", "Roles"),
				role,
			},
		},
		{
			Title: "The update", Operations: []string{"putPerson"}, Request: true,
			Members: []description.Member{
				{Path: "tag", Field: "ID", Effect: description.Matches, Null: description.NullUnchanged, Absent: description.AbsentUnchanged},
				required("given", "FirstName"),
				required("family", "LastName"),
				required("handle", "Username"),
				required("contact", "Email", "EmailVerified"),
				{Path: "phone", Field: "Mobile", Effect: description.Replaces, Null: description.NullUnchanged, Absent: description.AbsentUnchanged},
				required("open", "Status"),
				required("grants", "Roles"),
				role,
				{Path: "since", Field: "CreatedAt", Effect: description.Owned, Null: description.NullUnchanged, Absent: description.AbsentUnchanged},
			},
		},
		{
			Title: "One person", Operations: []string{"getPerson", "patchPerson", "putPerson"}, User: "person.",
			Members: []description.Member{
				{Path: "person", Null: description.NullNever, Note: "the person"},
				{Path: "person.tag", Field: "ID", Null: description.NullNever, Note: "with a p before it"},
				{Path: "person.given", Field: "FirstName", Null: description.NullNever},
				{Path: "person.family", Field: "LastName", Null: description.NullNever},
				{Path: "person.handle", Field: "Username", Null: description.NullNever},
				{Path: "person.contact", Field: "Email", Null: description.NullNever},
				{Path: "person.phone", Field: "Mobile", Null: description.NullIfNone},
				{Path: "person.open", Field: "Status", Null: description.NullNever},
				{Path: "person.grants", Field: "Roles", Null: description.NullNever},
				{Path: "person.grants[].role", Field: "Role.Name", Null: description.NullNever},
				{Path: "person.since", Field: "CreatedAt", Null: description.NullNever},
			},
		},
		{
			Title: "Every error",
			Members: []description.Member{
				{Path: "trouble", Null: description.NullNever, Note: "the status's reason phrase"},
				{Path: "problems", Null: description.NullNever, Note: "each single error"},
				{Path: "problems[].where", Null: description.NullNever, Note: "the member's path, or the parameter's name"},
				{Path: "problems[].what", Null: description.NullNever, Note: "a sentence"},
				{Path: "meanwhile", Null: description.NullNever, Sometimes: true, Note: "only in a 412: what has changed since the version in If-Match"},
				{Path: "meanwhile[].where", Null: description.NullNever, Note: "the member's name"},
				{Path: "meanwhile[].wish", Null: description.NullNever, Note: "conflict, moved or same"},
				{Path: "meanwhile[].version", Null: description.NullNever, Sometimes: true, Note: "for who may read the history: the version of the last change"},
				{Path: "meanwhile[].at", Null: description.NullNever, Sometimes: true, Note: "likewise: its time"},
				{Path: "meanwhile[].actor", Null: description.NullNever, Sometimes: true, Note: "likewise: the UUID of the user who made it, if it is known"},
				{Path: "meanwhile[].dialect", Null: description.NullNever, Sometimes: true, Note: "likewise: the dialect's name, or cli"},
			},
		},
	},
	Samples: func(unique string) map[string]any {
		return map[string]any{
			"given": "Augusta", "family": "King", "handle": unique, "contact": unique + "@example.com", "phone": "+44 20 7946 0999", "open": false, "since": 1,
			"grants": []any{map[string]any{"role": "ROLE_REPORT"}, map[string]any{"role": "ROLE_USER"}},
		}
	},
	ErrorField: "problems[].where", ErrorMessage: "problems[].what",
	ChangedField: "meanwhile[].where", ChangedState: "meanwhile[].wish",
}

// role names a role in grants.
var role = description.Member{Path: "grants[].role", Field: "Role.Name", Required: true, Effect: description.Names, Null: description.NullRefused, Absent: description.AbsentRefused}

// optional is a member that is changed only where it is there.
func optional(path, field string, also ...string) description.Member {
	return description.Member{Path: path, Field: field, Also: also, Effect: description.Replaces, Null: description.NullRefused, Absent: description.AbsentUnchanged}
}

// required is a member that the update cannot do without.
func required(path, field string, also ...string) description.Member {
	return description.Member{
		Path: path, Field: field, Also: also, Required: true, Effect: description.Replaces, Null: description.NullRefused, Absent: description.AbsentRefused,
	}
}
