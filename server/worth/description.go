package worth

import (
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/dragoman-id/dragoman/gen/documents"
	"github.com/dragoman-id/dragoman/gen/worthapi"
	"github.com/dragoman-id/dragoman/server/description"
)

// Description describes the dialect to tests and tools.
var Description = description.API{
	Name: "worth", Title: "Worth", Spec: sync.OnceValues(worthapi.GetSpec), Files: documents.Files,
	Parameters: map[string]func(description.Subject) string{
		"customerID": func(s description.Subject) string { return s.CustomerUUID },
		"userID":     func(s description.Subject) string { return s.UserUUID },
	},
	Show: "getCustomerUser", List: "listCustomerUsers", Create: "createCustomerUser",
	Updates: []string{"updateCustomerUser"},
	Bodies:  bodies,
	Samples: func(unique string) map[string]any {
		return map[string]any{
			"first_name": "Augusta", "last_name": "King", "email": unique + "@example.com", "mobile": "+44 20 7946 0999", "status": "INACTIVE",
			"subrole": map[string]any{"id": "e0d4970f-0f4d-4a0d-aaa6-681a048cb656", "code": "cro", "label": "CRO"},
		}
	},
	ErrorField: "data.errors[].field", ErrorMessage: "data.errors[].message",
	ChangedField: "data.changes[].field", ChangedState: "data.changes[].state",
	Vendor: description.Vendor{
		Laws: laws, ErrorTexts: []string{"message", "errorCode"}, ErrorCode: "errorCode",
		// For some statuses the update's page and the error guide document different codes.
		ErrorCodes: map[int][]string{
			http.StatusBadRequest:          {"INVALID", "ERR_INTERNAL_SERVER"},
			http.StatusUnauthorized:        {"ERR_UNAUTHORIZED", "UNAUTHENTICATED"},
			http.StatusForbidden:           {"ERR_FORBIDDEN", "UNAUTHORIZED"},
			http.StatusNotFound:            {"INVALID", "NOT_FOUND"},
			http.StatusMethodNotAllowed:    {"NOT_ALLOWED"},
			http.StatusInternalServerError: {"ERR_INTERNAL_SERVER", "UNKNOWN_ERROR"},
		},
	},
	Page: func(number, size int) string { return fmt.Sprintf("page=%d&itemsPerPage=%d", number, size) },
}

var bodies = []description.Body{
	{
		Title: "The update", Operations: []string{"updateCustomerUser"}, Request: true,
		Members: []description.Member{
			{Path: "first_name", Field: "FirstName", Effect: description.Replaces, Null: description.NullRefused, Absent: description.AbsentUnchanged},
			{Path: "last_name", Field: "LastName", Effect: description.Replaces, Null: description.NullRefused, Absent: description.AbsentUnchanged},
			{Path: "email", Field: "Email", Also: []string{"EmailVerified", "Username"}, Effect: description.Replaces, Null: description.NullRefused, Absent: description.AbsentUnchanged,
				Note: "a change other than in the case of ASCII letters makes it unverified; a username equal to the e-mail changes with it"},
			{Path: "mobile", Field: "Mobile", Effect: description.Replaces, Null: description.NullRefused, Absent: description.AbsentUnchanged, Note: "`\"\"` means none"},
			{Path: "subrole", Field: "Roles", Effect: description.Replaces, Null: description.NullRefused, Absent: description.AbsentUnchanged,
				Note: "the current one changes nothing; another replaces all roles that have a subrole"},
			{Path: "subrole.id", Field: "Role.SubroleUUID", Effect: description.Names, Null: description.NullRefused, Absent: description.AbsentOneOf},
			{Path: "subrole.code", Field: "Role.SubroleCode", Effect: description.Names, Null: description.NullRefused, Absent: description.AbsentOneOf},
			{Path: "subrole.label", Field: "Role.SubroleLabel", Effect: description.Ignored, Null: description.NullRefused, Absent: description.AbsentUnchanged},
			{Path: "status", Field: "Status", Effect: description.Replaces, Null: description.NullRefused, Absent: description.AbsentUnchanged, Note: "ACTIVE or INACTIVE"},
		},
	},
	{
		Title: "A new user", Operations: []string{"createCustomerUser"}, Request: true,
		Members: []description.Member{
			{Path: "first_name", Field: "FirstName", Required: true, Effect: description.Replaces, Null: description.NullRefused, Absent: description.AbsentRefused},
			{Path: "last_name", Field: "LastName", Required: true, Effect: description.Replaces, Null: description.NullRefused, Absent: description.AbsentRefused},
			{Path: "email", Field: "Email", Also: []string{"Username"}, Required: true, Effect: description.Replaces, Null: description.NullRefused, Absent: description.AbsentRefused,
				Note: "the username too, unless it is taken"},
			{Path: "mobile", Field: "Mobile", Effect: description.Replaces, Null: description.NullRefused, Absent: description.AbsentNone, Note: "`\"\"` means none"},
			{Path: "subrole", Field: "Roles", Required: true, Effect: description.Replaces, Null: description.NullRefused, Absent: description.AbsentRefused},
			{Path: "subrole.id", Field: "Role.SubroleUUID", Required: true, Effect: description.Names, Null: description.NullRefused, Absent: description.AbsentRefused},
			{Path: "subrole.code", Field: "Role.SubroleCode", Required: true, Effect: description.Names, Null: description.NullRefused, Absent: description.AbsentRefused},
			{Path: "subrole.label", Field: "Role.SubroleLabel", Required: true, Effect: description.Ignored, Null: description.NullRefused, Absent: description.AbsentRefused},
		},
	},
	{
		Title: "The update's answer", Operations: []string{"updateCustomerUser"},
		Members: envelope("User details updated successfully"),
	},
	{
		Title: "One user", Operations: []string{"getCustomerUser"}, User: "data.",
		Members: slices.Concat(
			envelope("Success"),
			[]description.Member{{Path: "data", Null: description.NullNever, Note: "the user"}},
			description.Prefixed("data.", shownUser),
			description.Prefixed("data.", []description.Member{
				{Path: "company_details", Null: description.NullNever, Note: "the user's customer"},
				{Path: "company_details.id", Field: "Customer.UUID", Null: description.NullNever},
				{Path: "company_details.name", Field: "Customer.Name", Null: description.NullNever},
				{Path: "company_details.contact_number", Always: "null", Null: description.NullAlways},
				{Path: "company_details.is_active", Always: "true", Null: description.NullNever},
				{Path: "company_details.created_at", Field: "Customer.CreatedAt", Null: description.NullNever},
				{Path: "company_details.created_by", Field: "Customer.CreatedBy", Null: description.NullIfNone},
				{Path: "company_details.updated_at", Field: "Customer.UpdatedAt", Null: description.NullNever},
				{Path: "company_details.updated_by", Field: "Customer.UpdatedBy", Null: description.NullIfNone},
				{Path: "subrole.role_id", Always: "2", Null: description.NullNever},
			}),
		),
	},
	{
		Title: "The list of users", Operations: []string{"listCustomerUsers"}, User: "data.records[].",
		Members: slices.Concat(
			envelope("Success"),
			[]description.Member{
				{Path: "data", Null: description.NullNever, Note: "the page"},
				{Path: "data.records", Null: description.NullNever, Note: "the users on it"},
			},
			description.Prefixed("data.records[].", shownUser),
			description.Prefixed("data.records[].", []description.Member{
				{Path: "ext_auth_ref_id", Field: "ExternalAuthID", Null: description.NullIfNone},
				{Path: "subrole.description", Field: "Role.SubroleLabel", Null: description.NullNever, Note: "the same as the label"},
			}),
			[]description.Member{
				{Path: "data.total_pages", Null: description.NullNever, Note: "the number of pages"},
				{Path: "data.total_items", Null: description.NullNever, Note: "the number of users that match the filters, on all pages, as a string of digits"},
			},
		),
	},
	{
		Title: "A new user's answer", Operations: []string{"createCustomerUser"}, User: "data.",
		Members: append(envelope("Customer user created."),
			description.Member{Path: "data", Null: description.NullNever, Note: "the answer itself"},
			description.Member{Path: "data.user_id", Field: "UUID", Null: description.NullNever},
		),
	},
	{
		Title: "The subroles", Operations: []string{"listCustomerSubroles"},
		Members: append(envelope("Customer subroles fetched successfully."),
			description.Member{Path: "data", Null: description.NullNever, Note: "all subroles but the owner's"},
			description.Member{Path: "data[].code", Field: "Role.SubroleCode", Null: description.NullNever},
			description.Member{Path: "data[].label", Field: "Role.SubroleLabel", Null: description.NullNever},
			description.Member{Path: "data[].id", Field: "Role.SubroleUUID", Null: description.NullNever},
			description.Member{Path: "data[].display_name", Field: "Role.SubroleLabel", Null: description.NullNever, Note: "the same as the label"},
		),
	},
	{
		Title: "Every error",
		Members: []description.Member{
			{Path: "status", Null: description.NullNever, Note: "fail below 500, error from 500 on"},
			{Path: "message", Null: description.NullNever, Note: `the messages of data.errors joined with ", ", or one of its own`},
			{Path: "errorCode", Null: description.NullNever, Note: "the documented code"},
			{Path: "data", Null: description.NullNever, Note: "details of the error"},
			{Path: "data.errorName", Null: description.NullNever, Note: "the kind of error"},
			{Path: "data.errors", Null: description.NullNever, Note: "the individual errors; empty if the error is not about a member"},
			{Path: "data.errors[].field", Null: description.NullNever, Note: "the member's path, or the parameter's name"},
			{Path: "data.errors[].message", Null: description.NullNever, Note: "a sentence"},
			{Path: "data.changes", Null: description.NullNever, Sometimes: true, Note: "only in a 412: what has changed since the version in If-Match"},
			{Path: "data.changes[].field", Null: description.NullNever, Note: "the member's name"},
			{Path: "data.changes[].state", Null: description.NullNever, Note: "conflict, moved or same"},
			{Path: "data.changes[].version", Null: description.NullNever, Sometimes: true, Note: "for who may read the history: the version of the last change"},
			{Path: "data.changes[].at", Null: description.NullNever, Sometimes: true, Note: "likewise: its time"},
			{Path: "data.changes[].actor", Null: description.NullNever, Sometimes: true, Note: "likewise: the UUID of the user who made it, if it is known"},
			{Path: "data.changes[].dialect", Null: description.NullNever, Sometimes: true, Note: "likewise: the dialect's name, or cli"},
		},
	},
}

// envelope returns the members that every successful response has.
func envelope(message string) []description.Member {
	return []description.Member{
		{Path: "status", Always: `"success"`, Null: description.NullNever},
		{Path: "message", Always: `"` + message + `"`, Null: description.NullNever},
	}
}

// shownUser are the members of a user that get-one and the list have in common.
var shownUser = []description.Member{
	{Path: "id", Field: "UUID", Null: description.NullNever},
	{Path: "first_name", Field: "FirstName", Null: description.NullNever},
	{Path: "last_name", Field: "LastName", Null: description.NullNever},
	{Path: "email", Field: "Email", Null: description.NullNever},
	{Path: "mobile", Field: "Mobile", Null: description.NullIfNone},
	{Path: "is_email_verified", Field: "EmailVerified", Null: description.NullNever},
	{Path: "is_first_login", Field: "FirstLogin", Null: description.NullNever},
	{Path: "created_at", Field: "CreatedAt", Null: description.NullNever},
	{Path: "created_by", Field: "CreatedBy", Null: description.NullIfNone},
	{Path: "updated_at", Field: "UpdatedAt", Null: description.NullNever},
	{Path: "updated_by", Field: "UpdatedBy", Null: description.NullIfNone},
	{Path: "status", Field: "Status", Null: description.NullNever, Note: "ACTIVE, INACTIVE or INVITED"},
	{Path: "subrole", Field: "Roles", Null: description.NullIfNone, Note: "of the highest-ranked role that has one"},
	{Path: "subrole.id", Field: "Role.SubroleUUID", Null: description.NullNever},
	{Path: "subrole.code", Field: "Role.SubroleCode", Null: description.NullNever},
	{Path: "subrole.label", Field: "Role.SubroleLabel", Null: description.NullNever},
	{Path: "subrole.display_name", Field: "Role.SubroleLabel", Null: description.NullNever, Note: "the same as the label"},
}

// laws has, for each law that the kit checks, the source that requires it.
var laws = map[string]description.Citation{
	"answers-are-json":                        {Source: "openapi/worth.yaml"},
	"bodies-match-the-document":               {Source: "openapi/worth.yaml"},
	"body-must-be-an-object":                  {Source: "Worth, Update Customer User By ID: type object"},
	"content-type-may-be-absent":              {Source: "SEMANTICS.md, Worth's update: PATCH"},
	"email-must-be-valid":                     {Source: "Worth, Update Customer User By ID: format email", Vendor: true},
	"email-of-another-user-is-refused":        {Source: "Worth, Create Customer User: duplicate e-mail", Vendor: true},
	"empty-mobile-is-null":                    {Source: "SEMANTICS.md, Worth's update: PATCH"},
	"empty-names-are-legal":                   {Source: "Worth, Update Customer User By ID: string without a least length"},
	"empty-object-is-refused":                 {Source: "Worth, Update Customer User By ID: minProperties 1", Vendor: true},
	"error-bodies-match-the-document":         {Source: "openapi/worth.overlay.yaml"},
	"errors-are-the-documented":               {Source: "Worth, Update Customer User By ID and error guides"},
	"flags-change-both-ways":                  {Source: "Worth, Update Customer User By ID: status"},
	"foreign-customer-is-refused":             {Source: "Worth, error guide: other customer's data"},
	"get-shows-the-user":                      {Source: "Worth, Get Customer User By ID"},
	"headers-match-the-document":              {Source: "openapi/worth.overlay.yaml"},
	"malformed-ids-are-refused":               {Source: "SEMANTICS.md, Worth's update: PATCH"},
	"list-filters-hold":                       {Source: "SEMANTICS.md, Worth's other operations"},
	"list-page-bounds-are-enforced":           {Source: "SEMANTICS.md, Worth's other operations"},
	"list-pages-have-the-size-asked-for":      {Source: "SEMANTICS.md, Worth's other operations"},
	"list-shows-what-get-shows":               {Source: "Worth, Get Customer Users"},
	"list-unknown-parameters-are-refused":     {Source: "SEMANTICS.md, Worth's other operations"},
	"long-texts-are-kept-whole-or-refused":    {Source: "Worth, Update Customer User By ID: string"},
	"malformed-token-is-401":                  {Source: "Worth, Update Customer User By ID: 401"},
	"member-names-are-exact":                  {Source: "Worth, Update Customer User By ID: names; RFC 8259, section 8.3"},
	"missing-body-is-refused":                 {Source: "Worth, Update Customer User By ID: requestBody required"},
	"missing-token-is-401":                    {Source: "Worth, Update Customer User By ID: 401"},
	"nil-uuid-is-unknown":                     {Source: "Worth, Update Customer User By ID: 404"},
	"null-is-refused":                         {Source: "Worth, Update Customer User By ID: no member is nullable", Vendor: true},
	"numbers-and-booleans-are-no-text":        {Source: "Worth, Update Customer User By ID: types", Vendor: true},
	"only-unknown-members-are-refused":        {Source: "SEMANTICS.md, Worth's update: PATCH"},
	"other-caller-is-403":                     {Source: "Worth, error guide: other customer's data"},
	"other-content-types-are-415":             {Source: "SEMANTICS.md, Worth's update: PATCH; RFC 9110, section 15.5.16"},
	"patch-keeps-absent-members":              {Source: "Worth, Update Customer User By ID: no member is required"},
	"read-only-members-cannot-be-set":         {Source: "Worth, Update Customer User By ID: members"},
	"status-is-one-of-the-documented":         {Source: "Worth, Update Customer User By ID: enum"},
	"statuses-are-in-the-document":            {Source: "openapi/worth.yaml"},
	"subrole-id-and-code-must-agree":          {Source: "SEMANTICS.md, Worth's update: PATCH"},
	"subroles-are-a-bare-array-without-owner": {Source: "Worth, Get Customer Subroles"},
	"text-comes-back-as-it-was-sent":          {Source: "Worth, Update Customer User By ID: string"},
	"times-are-in-the-documented-format":      {Source: "Worth, Get Customer User By ID: date-time with a zone; its example, in UTC without one"},
	"unknown-roles-are-refused":               {Source: "SEMANTICS.md, Worth's update: PATCH"},
	"unknown-user-is-404":                     {Source: "Worth, Update Customer User By ID: 404"},
	"unsigned-token-is-401":                   {Source: "Worth, Update Customer User By ID: 401; RFC 8725, section 3.2"},
	"update-answers-as-documented":            {Source: "Worth, Update Customer User By ID: 200"},
	"update-sets-each-member":                 {Source: "Worth, Update Customer User By ID"},
	"wrong-method-is-405-with-allow":          {Source: "Worth, error guide: wrong method; RFC 9110, section 15.5.6"},
	"wrong-types-are-refused":                 {Source: "Worth, Update Customer User By ID: types"},
	"wrongly-signed-token-is-401":             {Source: "Worth, Update Customer User By ID: 401; RFC 7515, section 5.2"},
}
