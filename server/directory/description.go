package directory

import (
	"strconv"

	"github.com/dragoman-id/dragoman/gen/directoryapi"
	"github.com/dragoman-id/dragoman/gen/documents"
	"github.com/dragoman-id/dragoman/server/description"
)

// Description is what is to be known of the dialect.
var Description = description.API{
	Name: "directory", Title: "Directory", Spec: directoryapi.GetSpec, Files: documents.Files,
	Parameters: map[string]func(description.Subject) string{
		"id":     func(s description.Subject) string { return strconv.FormatInt(s.Customer, 10) },
		"userId": func(s description.Subject) string { return strconv.FormatInt(s.User, 10) },
	},
	Bodies: []description.Body{
		{
			Title: "The history of a user", Operations: []string{"listUserHistory"},
			Members: append(description.Prefixed("changes[].", change), page...),
		},
		{
			Title: "The feed of all changes", Operations: []string{"listChanges"},
			Members: append(append(description.Prefixed("changes[].", change),
				description.Member{Path: "changes[].id", Null: description.NullNever, Note: "the change's number in the feed"}), page...),
		},
		{
			Title: "Every error",
			Members: []description.Member{
				{Path: "type", Always: `"about:blank"`, Null: description.NullNever},
				{Path: "title", Null: description.NullNever, Note: "the status's reason phrase"},
				{Path: "status", Null: description.NullNever, Note: "the HTTP status"},
				{Path: "detail", Null: description.NullNever, Note: "a sentence about the kind of error"},
				{Path: "errors", Null: description.NullNever, Note: "each single error; empty where it is about no parameter"},
				{Path: "errors[].field", Null: description.NullNever, Note: "the parameter's name"},
				{Path: "errors[].message", Null: description.NullNever, Note: "a sentence"},
			},
		},
	},
	ErrorField: "errors[].field", ErrorMessage: "errors[].message",
}

// page is what stands around the changes of either.
var page = []description.Member{
	{Path: "changes", Null: description.NullNever, Note: "from the oldest on"},
	{Path: "next", Null: description.NullNever, Note: "what to give as `after` to read on"},
}

var change = []description.Member{
	{Path: "customer", Field: "CustomerID", Null: description.NullNever},
	{Path: "user", Field: "ID", Null: description.NullNever},
	{Path: "version", Null: description.NullNever, Note: "which the change made of the user"},
	{Path: "at", Null: description.NullNever, Note: "when"},
	{Path: "actor", Null: description.NullIfNone, Note: "the UUID of the user who made the change"},
	{Path: "subject", Null: description.NullNever, Note: "the token's `sub`, or the program that wrote"},
	{Path: "dialect", Null: description.NullNever, Note: "the dialect's name, or cli"},
	{Path: "operation", Null: description.NullNever, Note: "the operationId, or the command"},
	{Path: "requestId", Null: description.NullNever, Note: "the request's X-Request-Id; empty of a command"},
	{Path: "fields", Null: description.NullNever, Note: "the fields that changed"},
	{Path: "fields[].field", Null: description.NullNever, Note: "the field's name in the model"},
	{Path: "fields[].old", Null: description.NullIfNone, Note: "what it was; always null of a secret"},
	{Path: "fields[].new", Null: description.NullIfNone, Note: "what it became; of a secret, set or cleared"},
}
