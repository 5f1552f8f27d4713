package members

const testiniumName = "Testinium"

var testinium = []Body{
	{
		Dialect: testiniumName, Title: "The update", Operations: []string{"updateUser"}, Request: true,
		Members: []Member{
			owned("userType", ""),
			owned("verificationToken", ""),
			owned("resetPasswordToken", ""),
			{Path: "entityId", Field: "ID", Effect: Matches, Null: NullUnchanged, Absent: AbsentUnchanged},
			required("name", "FirstName"),
			required("surname", "LastName"),
			required("username", "Username"),
			{Path: "email", Field: "Email", Also: []string{"EmailVerified"}, Required: true, Effect: Replaces, Null: NullRefused, Absent: AbsentRefused,
				Note: "beyond its case, it is then unverified"},
			{Path: "password", Field: "PasswordHash", Effect: Proves, Null: NullUnchanged, Absent: AbsentUnchanged, Secret: true,
				Note: "needed with newPassword below rank 2, refused without newPassword"},
			{Path: "newPassword", Field: "PasswordHash", Also: []string{"LastPasswordResetAt"}, Effect: Replaces, Null: NullUnchanged, Absent: AbsentUnchanged, Secret: true,
				Note: "always counts as a change"},
			owned("accessToken", "AccessToken"),
			{Path: "companyName", Field: "Company.Name", Effect: Owned, Null: NullUnchanged, Absent: AbsentUnchanged,
				Note: "not told either if it is the name of the header's company, as the list shows it"},
			{Path: "enabled", Field: "Status", Required: true, Effect: Replaces, Null: NullRefused, Absent: AbsentRefused,
				Note: "true is ACTIVE, false INACTIVE, but an INVITED user stays INVITED"},
			required("accountNonExpired", "AccountNonExpired"),
			required("accountNonLocked", "AccountNonLocked"),
			required("credentialNonExpired", "CredentialNonExpired"),
			owned("createdDate", "CreatedAt"),
			{Path: "customer", Field: "CustomerID", Effect: Matches, Null: NullUnchanged, Absent: AbsentUnchanged},
			owned("lastPasswordResetDate", "LastPasswordResetAt"),
			{Path: "authorities", Field: "Roles", Required: true, Effect: Replaces, Null: NullRefused, Absent: AbsentRefused, Note: "all of them, in any order"},
			{Path: "authorities[].entityId", Field: "Role.ID", Effect: Ignored, Null: NullUnchanged, Absent: AbsentUnchanged},
			{Path: "authorities[].name", Field: "Role.Name", Required: true, Effect: Names, Null: NullRefused, Absent: AbsentRefused},
			{Path: "authorities[].cleanName", Effect: Ignored, Null: NullUnchanged, Absent: AbsentUnchanged},
			{Path: "authorities[].checked", Effect: Ignored, Null: NullUnchanged, Absent: AbsentUnchanged},
			{Path: "authorities[].disabled", Effect: Ignored, Null: NullUnchanged, Absent: AbsentUnchanged},
			{Path: "vcsPassword", Field: "VCSPassword", Effect: Replaces, Null: NullUnchanged, Absent: AbsentUnchanged, Secret: true, Note: "`\"\"` is none"},
		},
	},
	{
		Dialect: testiniumName, Title: "One user, and the update's answer", Operations: []string{"getUser", "updateUser"},
		Members: testiniumUser(Member{Path: "companyName", Always: "null", Null: NullAlways}),
	},
	{
		Dialect: testiniumName, Title: "The list of users", Operations: []string{"listUsers"}, User: "[].",
		Members: prefixed("[].", testiniumUser(Member{Path: "companyName", Field: "Company.Name", Null: NullNever, Note: "the header's company"})),
	},
	{
		Dialect: testiniumName, Title: "Every error",
		Members: []Member{
			{Path: "timestamp", Null: NullNever, Note: "in milliseconds since 1970"},
			{Path: "status", Null: NullNever, Note: "the HTTP status"},
			{Path: "error", Null: NullNever, Note: "the status's reason phrase"},
			{Path: "message", Null: NullNever, Note: "the documented code"},
			{Path: "description", Null: NullNever, Note: "the documented sentence"},
			{Path: "path", Null: NullNever, Note: "the request's"},
			{Path: "errors", Null: NullNever, Note: "each single error; empty where it is about no member"},
			{Path: "errors[].field", Null: NullNever, Note: "the member's path, or the parameter's name"},
			{Path: "errors[].message", Null: NullNever, Note: "a sentence"},
		},
	},
}

// required is a member that an update cannot do without.
func required(path, field string) Member {
	return Member{Path: path, Field: field, Required: true, Effect: Replaces, Null: NullRefused, Absent: AbsentRefused}
}

// owned is a member of an update that is the server's.
func owned(path, field string) Member {
	return Member{Path: path, Field: field, Effect: Owned, Null: NullUnchanged, Absent: AbsentUnchanged}
}

// testiniumUser is a user in an answer. The company's name is not the same in all.
func testiniumUser(companyName Member) []Member {
	return []Member{
		{Path: "userType", Always: "null", Null: NullAlways},
		{Path: "verificationToken", Always: "null", Null: NullAlways},
		{Path: "resetPasswordToken", Always: "null", Null: NullAlways},
		{Path: "entityId", Field: "ID", Null: NullNever},
		{Path: "name", Field: "FirstName", Null: NullNever},
		{Path: "surname", Field: "LastName", Null: NullNever},
		{Path: "username", Field: "Username", Null: NullNever},
		{Path: "email", Field: "Email", Null: NullNever},
		{Path: "password", Always: "null", Null: NullAlways},
		{Path: "newPassword", Always: "null", Null: NullAlways},
		{Path: "accessToken", Field: "AccessToken", Null: NullBelowRank},
		companyName,
		{Path: "enabled", Field: "Status", Null: NullNever, Note: "whether it is ACTIVE"},
		{Path: "accountNonExpired", Field: "AccountNonExpired", Null: NullNever},
		{Path: "accountNonLocked", Field: "AccountNonLocked", Null: NullNever},
		{Path: "credentialNonExpired", Field: "CredentialNonExpired", Null: NullNever},
		{Path: "createdDate", Field: "CreatedAt", Null: NullNever, Note: "in milliseconds since 1970"},
		{Path: "customer", Field: "CustomerID", Null: NullNever},
		{Path: "lastPasswordResetDate", Field: "LastPasswordResetAt", Null: NullIfNone, Note: "in milliseconds since 1970"},
		{Path: "authorities", Field: "Roles", Null: NullNever, Note: "all of them, by ascending entityId"},
		{Path: "authorities[].entityId", Field: "Role.ID", Null: NullNever},
		{Path: "authorities[].name", Field: "Role.Name", Null: NullNever},
		{Path: "authorities[].cleanName", Always: "null", Null: NullAlways},
		{Path: "vcsPassword", Always: "null", Null: NullAlways},
	}
}
