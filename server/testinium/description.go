package testinium

import (
	"net/http"
	"strconv"
	"sync"

	"github.com/dragoman-id/dragoman/gen/documents"
	"github.com/dragoman-id/dragoman/gen/testiniumapi"
	"github.com/dragoman-id/dragoman/server/description"
)

// Description describes the dialect to tests and tools.
var Description = description.API{
	Name: "testinium", Title: "Testinium", Spec: sync.OnceValues(testiniumapi.GetSpec), Files: documents.Files,
	Parameters: map[string]func(description.Subject) string{
		"id":                 func(s description.Subject) string { return strconv.FormatInt(s.Customer, 10) },
		"userId":             func(s description.Subject) string { return strconv.FormatInt(s.User, 10) },
		"current-company-id": func(s description.Subject) string { return strconv.FormatInt(s.Company, 10) },
	},
	Show: "getUser", List: "listUsers",
	Updates: []string{"updateUser"},
	Bodies:  bodies,
	Samples: func(unique string) map[string]any {
		return map[string]any{
			"name": "Augusta", "surname": "King", "username": unique, "email": unique + "@example.com", "enabled": false,
			"accountNonExpired": false, "accountNonLocked": false, "credentialNonExpired": false,
			"authorities": []any{map[string]any{"name": "ROLE_REPORT"}, map[string]any{"name": "ROLE_USER"}},
			"newPassword": "Another-Password", "vcsPassword": "another VCS password",
			"createdDate": 1, "lastPasswordResetDate": 1,
			"authorities[].entityId": 99, "authorities[].checked": true, "authorities[].disabled": true,
		}
	},
	ErrorField: "errors[].field", ErrorMessage: "errors[].message",
	ChangedField: "changes[].field", ChangedState: "changes[].state",
	Vendor: description.Vendor{
		Laws: laws, ListSuffix: "/", // linters refuse it in the document
		// The vendor does not document which member contains the code.
		ErrorCodes: map[int][]string{
			http.StatusBadRequest:          {"INVALID_REQUEST"},
			http.StatusUnauthorized:        {"UNAUTHORIZED"},
			http.StatusForbidden:           {"ACCESS_DENIED", "UNAUTHORIZED_ACCESS"},
			http.StatusNotFound:            {"USER_NOT_FOUND", "CUSTOMER_NOT_FOUND"},
			http.StatusInternalServerError: {"INTERNAL_SERVER_ERROR"},
		},
	},
}

var bodies = []description.Body{
	{
		Title: "The update", Operations: []string{"updateUser"}, Request: true,
		Members: []description.Member{
			owned("userType", ""),
			owned("verificationToken", ""),
			owned("resetPasswordToken", ""),
			{Path: "entityId", Field: "ID", Effect: description.Matches, Null: description.NullUnchanged, Absent: description.AbsentUnchanged},
			required("name", "FirstName"),
			required("surname", "LastName"),
			required("username", "Username"),
			{Path: "email", Field: "Email", Also: []string{"EmailVerified"}, Required: true, Effect: description.Replaces, Null: description.NullRefused, Absent: description.AbsentRefused,
				Note: "a change other than in the case of ASCII letters makes it unverified"},
			{Path: "password", Field: "PasswordHash", Effect: description.Proves, Null: description.NullUnchanged, Absent: description.AbsentUnchanged, Secret: true,
				Note: "needed with newPassword below rank 2, refused without newPassword"},
			{Path: "newPassword", Field: "PasswordHash", Also: []string{"LastPasswordResetAt"}, Effect: description.Replaces, Null: description.NullUnchanged, Absent: description.AbsentUnchanged, Secret: true,
				Note: "always counts as a change"},
			owned("accessToken", "AccessToken"),
			{Path: "companyName", Field: "Company.Name", Effect: description.Owned, Null: description.NullUnchanged, Absent: description.AbsentUnchanged,
				Note: "the name of the header's company, which the list shows, is accepted, too"},
			{Path: "enabled", Field: "Status", Required: true, Effect: description.Replaces, Null: description.NullRefused, Absent: description.AbsentRefused,
				Note: "true is ACTIVE, false INACTIVE, but an INVITED user stays INVITED"},
			required("accountNonExpired", "AccountNonExpired"),
			required("accountNonLocked", "AccountNonLocked"),
			required("credentialNonExpired", "CredentialNonExpired"),
			owned("createdDate", "CreatedAt"),
			{Path: "customer", Field: "CustomerID", Effect: description.Matches, Null: description.NullUnchanged, Absent: description.AbsentUnchanged},
			owned("lastPasswordResetDate", "LastPasswordResetAt"),
			{Path: "authorities", Field: "Roles", Required: true, Effect: description.Replaces, Null: description.NullRefused, Absent: description.AbsentRefused, Note: "all of them, in any order"},
			{Path: "authorities[].entityId", Field: "Role.ID", Effect: description.Ignored, Null: description.NullUnchanged, Absent: description.AbsentUnchanged},
			{Path: "authorities[].name", Field: "Role.Name", Required: true, Effect: description.Names, Null: description.NullRefused, Absent: description.AbsentRefused},
			{Path: "authorities[].cleanName", Effect: description.Ignored, Null: description.NullUnchanged, Absent: description.AbsentUnchanged},
			{Path: "authorities[].checked", Effect: description.Ignored, Null: description.NullUnchanged, Absent: description.AbsentUnchanged},
			{Path: "authorities[].disabled", Effect: description.Ignored, Null: description.NullUnchanged, Absent: description.AbsentUnchanged},
			{Path: "vcsPassword", Field: "VCSPassword", Effect: description.Replaces, Null: description.NullUnchanged, Absent: description.AbsentUnchanged, Secret: true, Note: "`\"\"` means none"},
		},
	},
	{
		Title: "One user, and the update's answer", Operations: []string{"getUser", "updateUser"},
		Members: shownUser(description.Member{Path: "companyName", Always: "null", Null: description.NullAlways}),
	},
	{
		Title: "The list of users", Operations: []string{"listUsers"}, User: "[].",
		Members: description.Prefixed("[].", shownUser(description.Member{Path: "companyName", Field: "Company.Name", Null: description.NullNever, Note: "the header's company"})),
	},
	{
		Title: "Every error",
		Members: []description.Member{
			{Path: "timestamp", Null: description.NullNever, Note: "in milliseconds since 1970"},
			{Path: "status", Null: description.NullNever, Note: "the HTTP status"},
			{Path: "error", Null: description.NullNever, Note: "the status's reason phrase"},
			{Path: "message", Null: description.NullNever, Note: "the documented code"},
			{Path: "description", Null: description.NullNever, Note: "the documented sentence"},
			{Path: "path", Null: description.NullNever, Note: "the path of the request"},
			{Path: "errors", Null: description.NullNever, Note: "the individual errors; empty if the error is not about a member"},
			{Path: "errors[].field", Null: description.NullNever, Note: "the member's path, or the parameter's name"},
			{Path: "errors[].message", Null: description.NullNever, Note: "a sentence"},
			{Path: "changes", Null: description.NullNever, Sometimes: true, Note: "only in a 412: what has changed since the version in If-Match"},
			{Path: "changes[].field", Null: description.NullNever, Note: "the member's name"},
			{Path: "changes[].state", Null: description.NullNever, Note: "conflict, moved or same"},
			{Path: "changes[].version", Null: description.NullNever, Sometimes: true, Note: "for who may read the history: the version of the last change"},
			{Path: "changes[].at", Null: description.NullNever, Sometimes: true, Note: "likewise: its time"},
			{Path: "changes[].actor", Null: description.NullNever, Sometimes: true, Note: "likewise: the UUID of the user who made it, if it is known"},
			{Path: "changes[].dialect", Null: description.NullNever, Sometimes: true, Note: "likewise: the dialect's name, or cli"},
		},
	},
}

// required returns a member that an update must have.
func required(path, field string) description.Member {
	return description.Member{Path: path, Field: field, Required: true, Effect: description.Replaces, Null: description.NullRefused, Absent: description.AbsentRefused}
}

// owned returns a member of an update that is owned by the server.
func owned(path, field string) description.Member {
	return description.Member{Path: path, Field: field, Effect: description.Owned, Null: description.NullUnchanged, Absent: description.AbsentUnchanged}
}

// shownUser returns the members of a user in a response. Responses differ only in companyName.
func shownUser(companyName description.Member) []description.Member {
	return []description.Member{
		{Path: "userType", Always: "null", Null: description.NullAlways},
		{Path: "verificationToken", Always: "null", Null: description.NullAlways},
		{Path: "resetPasswordToken", Always: "null", Null: description.NullAlways},
		{Path: "entityId", Field: "ID", Null: description.NullNever},
		{Path: "name", Field: "FirstName", Null: description.NullNever},
		{Path: "surname", Field: "LastName", Null: description.NullNever},
		{Path: "username", Field: "Username", Null: description.NullNever},
		{Path: "email", Field: "Email", Null: description.NullNever},
		{Path: "password", Always: "null", Null: description.NullAlways},
		{Path: "newPassword", Always: "null", Null: description.NullAlways},
		{Path: "accessToken", Field: "AccessToken", Null: description.NullBelowRank},
		companyName,
		{Path: "enabled", Field: "Status", Null: description.NullNever, Note: "whether it is ACTIVE"},
		{Path: "accountNonExpired", Field: "AccountNonExpired", Null: description.NullNever},
		{Path: "accountNonLocked", Field: "AccountNonLocked", Null: description.NullNever},
		{Path: "credentialNonExpired", Field: "CredentialNonExpired", Null: description.NullNever},
		{Path: "createdDate", Field: "CreatedAt", Null: description.NullNever, Note: "in milliseconds since 1970"},
		{Path: "customer", Field: "CustomerID", Null: description.NullNever},
		{Path: "lastPasswordResetDate", Field: "LastPasswordResetAt", Null: description.NullIfNone, Note: "in milliseconds since 1970"},
		{Path: "authorities", Field: "Roles", Null: description.NullNever, Note: "all of them, by ascending entityId"},
		{Path: "authorities[].entityId", Field: "Role.ID", Null: description.NullNever},
		{Path: "authorities[].name", Field: "Role.Name", Null: description.NullNever},
		{Path: "authorities[].cleanName", Always: "null", Null: description.NullAlways},
		{Path: "vcsPassword", Always: "null", Null: description.NullAlways},
	}
}

// laws has, for each law that the kit checks, the source that requires it.
var laws = map[string]description.Citation{
	"answers-are-json":                               {Source: "openapi/testinium.yaml"},
	"authorities-are-replaced":                       {Source: "Testinium, Update User: authorities"},
	"authorities-are-resolved-by-name":               {Source: "Testinium, Update User: request and response"},
	"authorities-may-be-empty":                       {Source: "SEMANTICS.md, Testinium's update: PUT"},
	"authorities-order-and-repetition-do-not-matter": {Source: "SEMANTICS.md, Testinium's update: PUT"},
	"bodies-match-the-document":                      {Source: "openapi/testinium.yaml"},
	"body-must-be-an-object":                         {Source: "Testinium, Update User: request body"},
	"company-header-is-required":                     {Source: "Testinium, Update User: header"},
	"content-type-may-be-absent":                     {Source: "SEMANTICS.md, Testinium's update: PUT"},
	"curls-form-type-is-read-as-json":                {Source: "Testinium, Update User: example call"},
	"empty-names-are-legal":                          {Source: "Testinium, Get User: name and surname may be empty"},
	"empty-object-is-refused":                        {Source: "SEMANTICS.md, Testinium's update: PUT"},
	"error-bodies-match-the-document":                {Source: "openapi/testinium.yaml"},
	"errors-are-the-documented":                      {Source: "Testinium, Update User: error codes"},
	"flags-change-both-ways":                         {Source: "Testinium, Update User"},
	"foreign-customer-is-refused":                    {Source: "Testinium, Update User: 403 ACCESS_DENIED, List Users: 404 CUSTOMER_NOT_FOUND"},
	"get-shows-the-user":                             {Source: "Testinium, Get User"},
	"headers-match-the-document":                     {Source: "openapi/testinium.yaml"},
	"ids-in-the-body-must-be-the-paths":              {Source: "SEMANTICS.md, Testinium's update: PUT"},
	"integers-may-have-an-empty-fraction":            {Source: "SEMANTICS.md, Testinium's update: PUT"},
	"list-answers-without-the-last-slash":            {Source: "SEMANTICS.md, Testinium's other operations"},
	"list-shows-what-get-shows":                      {Source: "Testinium, List Users"},
	"long-texts-are-kept-whole-or-refused":           {Source: "Testinium, Update User: String"},
	"malformed-token-is-401":                         {Source: "Testinium: Missing or invalid authentication token"},
	"member-names-are-exact":                         {Source: "Testinium, Update User: names; RFC 8259, section 8.3"},
	"members-come-in-the-documented-order":           {Source: "SEMANTICS.md, Testinium's update: PUT"},
	"missing-body-is-refused":                        {Source: "Testinium, Update User: request body"},
	"missing-token-is-401":                           {Source: "Testinium: Missing or invalid authentication token"},
	"passwords-are-never-shown":                      {Source: "Testinium, Get User: example"},
	"null-is-refused":                                {Source: "SEMANTICS.md, Testinium's update: PUT"},
	"other-caller-is-403":                            {Source: "Testinium, Update User: 403 ACCESS_DENIED"},
	"other-content-types-are-415":                    {Source: "SEMANTICS.md, Testinium's update: PUT; RFC 9110, section 15.5.16"},
	"put-without-a-member-is-refused":                {Source: "SEMANTICS.md, Testinium's update: PUT"},
	"read-only-members-are-ignored":                  {Source: "SEMANTICS.md, Testinium's update: PUT"},
	"statuses-are-in-the-document":                   {Source: "openapi/testinium.yaml"},
	"text-comes-back-as-it-was-sent":                 {Source: "Testinium, Update User: String"},
	"times-are-in-the-documented-format":             {Source: "Testinium, Update User: createdDate"},
	"unknown-roles-are-refused":                      {Source: "SEMANTICS.md, Testinium's update: PUT"},
	"unknown-user-is-404":                            {Source: "Testinium, Update User: 404 USER_NOT_FOUND"},
	"unsigned-token-is-401":                          {Source: "Testinium: Missing or invalid authentication token; RFC 8725, section 3.2"},
	"update-answers-as-documented":                   {Source: "Testinium, Update User: response"},
	"update-sets-each-member":                        {Source: "Testinium, Update User"},
	"wrong-types-are-refused":                        {Source: "Testinium, Update User: request body, 400 INVALID_REQUEST"},
	"wrongly-signed-token-is-401":                    {Source: "Testinium: Missing or invalid authentication token; RFC 7515, section 5.2"},
}
