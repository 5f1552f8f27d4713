package members

import "slices"

const worthName = "Worth"

var worth = []Body{
	{
		Dialect: worthName, Title: "The update", Operations: []string{"updateCustomerUser"}, Request: true,
		Members: []Member{
			{Path: "first_name", Field: "FirstName", Effect: Replaces, Null: NullRefused, Absent: AbsentUnchanged},
			{Path: "last_name", Field: "LastName", Effect: Replaces, Null: NullRefused, Absent: AbsentUnchanged},
			{Path: "email", Field: "Email", Also: []string{"EmailVerified", "Username"}, Effect: Replaces, Null: NullRefused, Absent: AbsentUnchanged,
				Note: "beyond the case of ASCII letters, it is then unverified; a username that was the e-mail follows it"},
			{Path: "mobile", Field: "Mobile", Effect: Replaces, Null: NullRefused, Absent: AbsentUnchanged, Note: "`\"\"` is none"},
			{Path: "subrole", Field: "Roles", Effect: Replaces, Null: NullRefused, Absent: AbsentUnchanged,
				Note: "the present one changes nothing; another replaces all roles that have a subrole"},
			{Path: "subrole.id", Field: "Role.SubroleUUID", Effect: Names, Null: NullRefused, Absent: AbsentOneOf},
			{Path: "subrole.code", Field: "Role.SubroleCode", Effect: Names, Null: NullRefused, Absent: AbsentOneOf},
			{Path: "subrole.label", Field: "Role.SubroleLabel", Effect: Ignored, Null: NullRefused, Absent: AbsentUnchanged},
			{Path: "status", Field: "Status", Effect: Replaces, Null: NullRefused, Absent: AbsentUnchanged, Note: "ACTIVE or INACTIVE"},
		},
	},
	{
		Dialect: worthName, Title: "A new user", Operations: []string{"createCustomerUser"}, Request: true,
		Members: []Member{
			{Path: "first_name", Field: "FirstName", Required: true, Effect: Replaces, Null: NullRefused, Absent: AbsentRefused},
			{Path: "last_name", Field: "LastName", Required: true, Effect: Replaces, Null: NullRefused, Absent: AbsentRefused},
			{Path: "email", Field: "Email", Also: []string{"Username"}, Required: true, Effect: Replaces, Null: NullRefused, Absent: AbsentRefused,
				Note: "the username too, unless it is taken"},
			{Path: "mobile", Field: "Mobile", Effect: Replaces, Null: NullRefused, Absent: AbsentNone, Note: "`\"\"` is none"},
			{Path: "subrole", Field: "Roles", Required: true, Effect: Replaces, Null: NullRefused, Absent: AbsentRefused},
			{Path: "subrole.id", Field: "Role.SubroleUUID", Required: true, Effect: Names, Null: NullRefused, Absent: AbsentRefused},
			{Path: "subrole.code", Field: "Role.SubroleCode", Required: true, Effect: Names, Null: NullRefused, Absent: AbsentRefused},
			{Path: "subrole.label", Field: "Role.SubroleLabel", Required: true, Effect: Ignored, Null: NullRefused, Absent: AbsentRefused},
		},
	},
	{
		Dialect: worthName, Title: "The update's answer", Operations: []string{"updateCustomerUser"},
		Members: worthEnvelope("User details updated successfully"),
	},
	{
		Dialect: worthName, Title: "One user", Operations: []string{"getCustomerUser"}, User: "data.",
		Members: slices.Concat(
			worthEnvelope("Success"),
			[]Member{{Path: "data", Null: NullNever, Note: "the user"}},
			prefixed("data.", worthUser),
			prefixed("data.", []Member{
				{Path: "company_details", Null: NullNever, Note: "the user's customer"},
				{Path: "company_details.id", Field: "Customer.UUID", Null: NullNever},
				{Path: "company_details.name", Field: "Customer.Name", Null: NullNever},
				{Path: "company_details.contact_number", Always: "null", Null: NullAlways},
				{Path: "company_details.is_active", Always: "true", Null: NullNever},
				{Path: "company_details.created_at", Field: "Customer.CreatedAt", Null: NullNever},
				{Path: "company_details.created_by", Field: "Customer.CreatedBy", Null: NullIfNone},
				{Path: "company_details.updated_at", Field: "Customer.UpdatedAt", Null: NullNever},
				{Path: "company_details.updated_by", Field: "Customer.UpdatedBy", Null: NullIfNone},
				{Path: "subrole.role_id", Always: "2", Null: NullNever},
			}),
		),
	},
	{
		Dialect: worthName, Title: "The list of users", Operations: []string{"listCustomerUsers"}, User: "data.records[].",
		Members: slices.Concat(
			worthEnvelope("Success"),
			[]Member{
				{Path: "data", Null: NullNever, Note: "the page"},
				{Path: "data.records", Null: NullNever, Note: "the users on it"},
			},
			prefixed("data.records[].", worthUser),
			prefixed("data.records[].", []Member{
				{Path: "ext_auth_ref_id", Field: "ExternalAuthID", Null: NullIfNone},
				{Path: "subrole.description", Field: "Role.SubroleLabel", Null: NullNever, Note: "the same as the label"},
			}),
			[]Member{
				{Path: "data.total_pages", Null: NullNever, Note: "how many pages there are"},
				{Path: "data.total_items", Null: NullNever, Note: "how many users the filters find, on all pages, as a string of digits"},
			},
		),
	},
	{
		Dialect: worthName, Title: "A new user's answer", Operations: []string{"createCustomerUser"}, User: "data.",
		Members: append(worthEnvelope("Customer user created."),
			Member{Path: "data", Null: NullNever, Note: "the answer itself"},
			Member{Path: "data.user_id", Field: "UUID", Null: NullNever},
		),
	},
	{
		Dialect: worthName, Title: "The subroles", Operations: []string{"listCustomerSubroles"},
		Members: append(worthEnvelope("Customer subroles fetched successfully."),
			Member{Path: "data", Null: NullNever, Note: "all subroles but the owner's"},
			Member{Path: "data[].code", Field: "Role.SubroleCode", Null: NullNever},
			Member{Path: "data[].label", Field: "Role.SubroleLabel", Null: NullNever},
			Member{Path: "data[].id", Field: "Role.SubroleUUID", Null: NullNever},
			Member{Path: "data[].display_name", Field: "Role.SubroleLabel", Null: NullNever, Note: "the same as the label"},
		),
	},
	{
		Dialect: worthName, Title: "Every error",
		Members: []Member{
			{Path: "status", Null: NullNever, Note: "fail below 500, error from 500 on"},
			{Path: "message", Null: NullNever, Note: `the messages of data.errors joined with ", ", or one of its own`},
			{Path: "errorCode", Null: NullNever, Note: "the documented code"},
			{Path: "data", Null: NullNever, Note: "what there is beyond the message"},
			{Path: "data.errorName", Null: NullNever, Note: "which kind of error this is"},
			{Path: "data.errors", Null: NullNever, Note: "each single error; empty where it is about no member"},
			{Path: "data.errors[].field", Null: NullNever, Note: "the member's path, or the parameter's name"},
			{Path: "data.errors[].message", Null: NullNever, Note: "a sentence"},
		},
	},
}

func worthEnvelope(message string) []Member {
	return []Member{
		{Path: "status", Always: `"success"`, Null: NullNever},
		{Path: "message", Always: `"` + message + `"`, Null: NullNever},
	}
}

// worthUser is what get-one and the list have in common.
var worthUser = []Member{
	{Path: "id", Field: "UUID", Null: NullNever},
	{Path: "first_name", Field: "FirstName", Null: NullNever},
	{Path: "last_name", Field: "LastName", Null: NullNever},
	{Path: "email", Field: "Email", Null: NullNever},
	{Path: "mobile", Field: "Mobile", Null: NullIfNone},
	{Path: "is_email_verified", Field: "EmailVerified", Null: NullNever},
	{Path: "is_first_login", Field: "FirstLogin", Null: NullNever},
	{Path: "created_at", Field: "CreatedAt", Null: NullNever},
	{Path: "created_by", Field: "CreatedBy", Null: NullIfNone},
	{Path: "updated_at", Field: "UpdatedAt", Null: NullNever},
	{Path: "updated_by", Field: "UpdatedBy", Null: NullIfNone},
	{Path: "status", Field: "Status", Null: NullNever, Note: "ACTIVE, INACTIVE or INVITED"},
	{Path: "subrole", Field: "Roles", Null: NullIfNone, Note: "of the highest-ranked role that has one"},
	{Path: "subrole.id", Field: "Role.SubroleUUID", Null: NullNever},
	{Path: "subrole.code", Field: "Role.SubroleCode", Null: NullNever},
	{Path: "subrole.label", Field: "Role.SubroleLabel", Null: NullNever},
	{Path: "subrole.display_name", Field: "Role.SubroleLabel", Null: NullNever, Note: "the same as the label"},
}
