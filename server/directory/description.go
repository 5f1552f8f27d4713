package directory

import (
	"slices"
	"strconv"
	"sync"

	"github.com/dragoman-id/dragoman/gen/directoryapi"
	"github.com/dragoman-id/dragoman/gen/documents"
	"github.com/dragoman-id/dragoman/server/description"
)

// Description describes the dialect to tests and tools.
var Description = description.API{
	Name: "directory", Title: "Directory", Spec: sync.OnceValues(directoryapi.GetSpec), Files: documents.Files,
	Parameters: map[string]func(description.Subject) string{
		"id":        func(s description.Subject) string { return strconv.FormatInt(s.Customer, 10) },
		"userId":    func(s description.Subject) string { return strconv.FormatInt(s.User, 10) },
		"tokenId":   func(s description.Subject) string { return s.Token },
		"webhookId": func(s description.Subject) string { return strconv.FormatInt(s.Webhook, 10) },
	},
	OtherWrites: []string{
		"createProvisioningToken", "createWebhook", "deleteWebhook", "disableWebhook", "replayWebhook", "revokeProvisioningToken", "rotateWebhookSecret",
	},
	Removals: []string{"eraseUser"},
	Example:  example,
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
			Title: "A new provisioning token", Operations: []string{"createProvisioningToken"}, Request: true, Own: true,
			Members: []description.Member{
				{Path: "role", Field: "ProvisioningToken.Role", Effect: description.Names, Null: description.NullRefused, Absent: description.AbsentDefault, Note: "ROLE_USER by default; at most of the caller's rank"},
				{Path: "note", Field: "ProvisioningToken.Note", Effect: description.Replaces, Null: description.NullRefused, Absent: description.AbsentDefault, Note: "empty by default"},
				{Path: "expiresAt", Field: "ProvisioningToken.ExpiresAt", Effect: description.Replaces, Null: description.NullRefused, Absent: description.AbsentDefault, Note: "365 days from now by default, at most 730"},
			},
		},
		{
			Title: "An issued provisioning token", Operations: []string{"createProvisioningToken"}, Own: true,
			Members: slices.Concat([]description.Member{{Path: "token", Null: description.NullNever, Note: "the token, which no other answer shows"}}, token),
		},
		{
			Title: "The provisioning tokens of a customer", Operations: []string{"listProvisioningTokens"}, Own: true,
			Members: append(description.Prefixed("tokens[].", slices.Concat(token, []description.Member{
				{Path: "createdBy", Field: "ProvisioningToken.CreatedBy", Null: description.NullNever, Note: "the token's `sub`, or the program that issued it"},
				{Path: "revokedAt", Field: "ProvisioningToken.RevokedAt", Null: description.NullIfNone},
				{Path: "lastUsedAt", Field: "ProvisioningToken.LastUsedAt", Null: description.NullIfNone, Note: "at most an hour before the last use"},
			})),
				description.Member{Path: "tokens", Null: description.NullNever, Note: "oldest first"},
				description.Member{Path: "next", Null: description.NullIfNone, Note: "the `after` for the next page"}),
		},
		{
			Title: "What an erasure erased", Operations: []string{"eraseUser"},
			Members: []description.Member{
				{Path: "customer", Field: "CustomerID", Null: description.NullNever},
				{Path: "user", Field: "ID", Null: description.NullNever},
				{Path: "uuid", Field: "UUID", Null: description.NullNever},
				{Path: "version", Null: description.NullNever, Note: "the user's version after the erasure, the last one"},
				{Path: "fields", Null: description.NullNever, Note: "the fields that have another value now"},
				{Path: "entries", Null: description.NullNever, Note: "the number of entries of the user's history with values that are erased now"},
				{Path: "subjects", Null: description.NullNever, Note: "the number of other users' changes whose subject is erased now"},
				{Path: "answers", Null: description.NullNever, Note: "the number of kept answers that are deleted now"},
			},
		},
		{
			Title: "A new endpoint of webhooks", Operations: []string{"createWebhook"}, Request: true, Own: true,
			Members: []description.Member{
				{Path: "url", Field: "Webhook.URL", Required: true, Effect: description.Replaces, Null: description.NullRefused, Absent: description.AbsentRefused},
				{Path: "customer", Field: "Webhook.CustomerID", Effect: description.Replaces, Null: description.NullCleared, Absent: description.AbsentNone, Note: "none: the changes of all customers"},
				{Path: "from", Effect: description.Reads, Null: description.NullUnchanged, Absent: description.AbsentUnchanged, Note: "the number of the first change to deliver"},
			},
		},
		{
			Title: "Where an endpoint continues", Operations: []string{"replayWebhook"}, Request: true, Own: true,
			Members: []description.Member{
				{Path: "from", Effect: description.Reads, Null: description.NullUnchanged, Absent: description.AbsentUnchanged, Note: "the number of the first change to deliver"},
			},
		},
		{
			Title: "The rotation of an endpoint's secret", Operations: []string{"rotateWebhookSecret"}, Request: true, Own: true,
			Members: []description.Member{
				{Path: "overlapSeconds", Effect: description.Reads, Null: description.NullUnchanged, Absent: description.AbsentUnchanged, Note: "how long the present secret is used, too"},
			},
		},
		{Title: "An endpoint of webhooks", Operations: []string{"getWebhook", "disableWebhook", "replayWebhook"}, Members: webhook},
		{
			Title: "An endpoint of webhooks, and its secret", Operations: []string{"createWebhook", "rotateWebhookSecret"},
			Members: append(description.Prefixed("webhook.", webhook),
				description.Member{Path: "webhook", Null: description.NullNever, Note: "the endpoint"},
				description.Member{Path: "secret", Null: description.NullNever, Note: "what signs its deliveries; shown this once"}),
		},
		{
			Title: "A page of endpoints of webhooks", Operations: []string{"listWebhooks"},
			Members: append(description.Prefixed("webhooks[].", webhook),
				description.Member{Path: "webhooks", Null: description.NullNever, Note: "by ascending id"},
				description.Member{Path: "next", Null: description.NullNever, Note: "the `after` for the next page"}),
		},
		{
			Title: "Every error",
			Members: []description.Member{
				{Path: "type", Always: `"about:blank"`, Null: description.NullNever},
				{Path: "title", Null: description.NullNever, Note: "the status's reason phrase"},
				{Path: "status", Null: description.NullNever, Note: "the HTTP status"},
				{Path: "detail", Null: description.NullNever, Note: "a sentence about the kind of error"},
				{Path: "errors", Null: description.NullNever, Note: "the individual errors; empty if the error is not about a parameter"},
				{Path: "errors[].field", Null: description.NullNever, Note: "the parameter's name"},
				{Path: "errors[].message", Null: description.NullNever, Note: "a sentence"},
			},
		},
	},
	ErrorField: "errors[].field", ErrorMessage: "errors[].message",
}

// example returns a body that an operation accepts.
func example(operation, unique string) map[string]any {
	switch operation {
	case "createProvisioningToken":
		return map[string]any{"role": "ROLE_USER", "note": unique}
	case "createWebhook":
		return map[string]any{"url": "https://hooks.example.com/" + unique, "customer": 3393}
	}
	return map[string]any{}
}

// webhook are the members of an endpoint.
var webhook = []description.Member{
	{Path: "id", Field: "Webhook.ID", Null: description.NullNever},
	{Path: "customer", Field: "Webhook.CustomerID", Null: description.NullIfNone, Note: "null: the changes of all customers"},
	{Path: "url", Field: "Webhook.URL", Null: description.NullNever},
	{Path: "createdAt", Field: "Webhook.CreatedAt", Null: description.NullNever},
	{Path: "disabledAt", Field: "Webhook.DisabledAt", Null: description.NullIfNone, Note: "null while it is enabled"},
	{Path: "disabledFor", Field: "Webhook.DisabledFor", Null: description.NullIfNone, Note: "why"},
	{Path: "delivered", Field: "Webhook.Position", Null: description.NullNever, Note: "the number of the last change"},
	{Path: "behind", Null: description.NullNever, Note: "how many changes are not delivered"},
	{Path: "behindSince", Null: description.NullIfNone, Note: "the time of the first of them"},
	{Path: "attempts", Field: "Webhook.Attempts", Null: description.NullNever, Note: "that failed to deliver it"},
	{Path: "nextAttemptAt", Field: "Webhook.NextAt", Null: description.NullIfNone, Note: "null if none failed"},
	{Path: "attemptedAt", Field: "Webhook.AttemptedAt", Null: description.NullIfNone, Note: "the last attempt"},
	{Path: "deliveredAt", Field: "Webhook.DeliveredAt", Null: description.NullIfNone, Note: "the last success"},
	{Path: "answer", Field: "Webhook.Answer", Null: description.NullIfNone, Note: "to the last attempt"},
}

// page are the members around the changes in both bodies.
var page = []description.Member{
	{Path: "changes", Null: description.NullNever, Note: "oldest first"},
	{Path: "next", Null: description.NullNever, Note: "the `after` for the next page"},
}

// token are the members of a provisioning token in both bodies.
var token = []description.Member{
	{Path: "id", Field: "ProvisioningToken.ID", Null: description.NullNever},
	{Path: "role", Field: "ProvisioningToken.Role", Null: description.NullNever},
	{Path: "note", Field: "ProvisioningToken.Note", Null: description.NullNever},
	{Path: "createdAt", Field: "ProvisioningToken.CreatedAt", Null: description.NullNever},
	{Path: "expiresAt", Field: "ProvisioningToken.ExpiresAt", Null: description.NullNever},
}

// change are the members of a change.
var change = []description.Member{
	{Path: "customer", Field: "CustomerID", Null: description.NullNever},
	{Path: "user", Field: "ID", Null: description.NullNever},
	{Path: "version", Null: description.NullNever, Note: "the user's version after the change"},
	{Path: "at", Null: description.NullNever, Note: "the time of the change"},
	{Path: "actor", Null: description.NullIfNone, Note: "the UUID of the user who made the change"},
	{Path: "subject", Null: description.NullNever, Note: "the token's `sub`, or the program that wrote"},
	{Path: "dialect", Null: description.NullNever, Note: "the dialect's name, or cli"},
	{Path: "operation", Null: description.NullNever, Note: "the operationId, or the command"},
	{Path: "requestId", Null: description.NullNever, Note: "the request's X-Request-Id; empty for a command"},
	{Path: "fields", Null: description.NullNever, Note: "the fields that changed"},
	{Path: "fields[].field", Null: description.NullNever, Note: "the field's name in the model"},
	{Path: "fields[].old", Null: description.NullIfNone, Note: "the old value; always null for a secret"},
	{Path: "fields[].new", Null: description.NullIfNone, Note: "the new value; for a secret, set or cleared"},
}
