package scim

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/dragoman-id/dragoman/gen/documents"
	"github.com/dragoman-id/dragoman/gen/scimapi"
	"github.com/dragoman-id/dragoman/server/description"
)

// Description describes the dialect to tests and tools.
var Description = description.API{
	Name: "scim", Title: "SCIM", Spec: sync.OnceValues(scimapi.GetSpec), Files: documents.Files,
	Parameters: map[string]func(description.Subject) string{
		"customerID":   func(s description.Subject) string { return s.CustomerUUID },
		"userID":       func(s description.Subject) string { return s.UserUUID },
		"group":        func(description.Subject) string { return "ROLE_USER" },
		"schema":       func(description.Subject) string { return userURN },
		"resourceType": func(description.Subject) string { return "User" },
	},
	Show: "getUser", List: "listUsers", Create: "createUser",
	Updates:     []string{"replaceUser", "patchUser"},
	Removals:    []string{"deleteUser"},
	OtherWrites: []string{"createGroup", "replaceGroup", "patchGroup", "deleteGroup"},
	Reads:       []string{"searchUsers", "searchAll"},
	Samples:     samples,
	Page:        func(number, size int) string { return fmt.Sprintf("startIndex=%d&count=%d", (number-1)*size+1, size) },
	Example:     example,
	Bodies:      bodies,
	ErrorField:  "detail", ErrorMessage: "detail",
	ChangedField: conflictURN + ".changes[].attribute", ChangedState: conflictURN + ".changes[].state",
}

func samples(unique string) map[string]any {
	const given, family, number = "Augusta", "King", "+44 20 7946 0999"
	email := unique + "@example.com"
	return map[string]any{
		"schemas": []any{userURN}, "userName": unique, "externalId": "external-" + unique, "displayName": "Augusta King",
		"name": map[string]any{"givenName": given, "familyName": family}, "name.givenName": given, "name.familyName": family,
		"emails": []any{map[string]any{"value": email, "type": typeWork, "primary": true}}, "emails[].value": email,
		"phoneNumbers": []any{map[string]any{"value": number, "type": typeMobile}}, "phoneNumbers[].value": number,
		// What is read or ignored and may not be just any text.
		"meta": map[string]any{"version": `"999999"`}, "emails[].primary": true, "phoneNumbers[].primary": true, "roles[].primary": true,
		"active": false, "roles": []any{map[string]any{"value": "ROLE_REPORT"}, map[string]any{"value": "ROLE_USER"}},
	}
}

// example returns a body that an operation on groups or a search accepts.
func example(operation, _ string) map[string]any {
	switch operation {
	case "createUser", "replaceUser", "patchUser":
		return nil
	case "patchGroup":
		return map[string]any{"schemas": []any{patchURN}, "Operations": []any{map[string]any{
			"op": "add", "path": "members", "value": []any{map[string]any{"value": "94520740-d63c-4e02-85ca-c4e138801e73"}},
		}}}
	case "createGroup":
		return map[string]any{"schemas": []any{groupURN}, "displayName": "ROLE_USER"}
	case "replaceGroup":
		return map[string]any{"schemas": []any{groupURN}, "displayName": "ROLE_USER", "members": []any{map[string]any{"value": "94520740-d63c-4e02-85ca-c4e138801e73"}}}
	default:
		return map[string]any{"schemas": []any{searchURN}}
	}
}

// optionalMember is a member of a request's body that may be absent or null, without a field of the model.
func optionalMember(path, note string) description.Member {
	return description.Member{Path: path, Effect: description.Ignored, Null: description.NullUnchanged, Absent: description.AbsentUnchanged, Note: note}
}

// requiredMember is a member of a request's body that must be there, without a field of the model.
func requiredMember(path, note string) description.Member {
	return description.Member{Path: path, Required: true, Effect: description.Reads, Null: description.NullRefused, Absent: description.AbsentRefused, Note: note}
}

// readMember is a member of a request's body that says what is to be done, and may be absent.
func readMember(path, note string) description.Member {
	return description.Member{Path: path, Effect: description.Reads, Null: description.NullUnchanged, Absent: description.AbsentUnchanged, Note: note}
}

// written are the members of a new user and of a replacement. cleared is what null does, absent what absence does.
func written(cleared description.Null, absent description.Absent) []description.Member {
	set := func(path, field string) description.Member {
		return description.Member{Path: path, Field: field, Effect: description.Replaces, Null: cleared, Absent: absent}
	}
	owned := func(path, field, note string) description.Member {
		return description.Member{Path: path, Field: field, Effect: description.Owned, Null: description.NullUnchanged, Absent: description.AbsentUnchanged, Note: note}
	}
	required := func(path, field, note string) description.Member {
		return description.Member{Path: path, Field: field, Required: true, Effect: description.Replaces, Null: description.NullRefused, Absent: description.AbsentRefused, Note: note}
	}
	email := required("emails[].value", "Email", "the primary address, else the first of the type work, else the first; a change other than in the case of ASCII letters makes it unverified")
	email.Also = []string{"EmailVerified"}
	active := set("active", "Status")
	active.Null, active.Absent, active.Note = description.NullUnchanged, description.AbsentUnchanged, "true, false, or such a text; false leaves an invited user invited; a new user without it is active"
	phone := required("phoneNumbers[].value", "Mobile", "the first of the type mobile, else the first")
	role := description.Member{Path: "roles[].value", Field: "Role.Name", Required: true, Effect: description.Names, Null: description.NullRefused, Absent: description.AbsentRefused}
	return []description.Member{
		requiredMember("schemas", "has the URN of users"),
		owned("id", "UUID", ""),
		set("externalId", "ExternalID"),
		owned("meta", "", "the server's"),
		required("userName", "Username", ""),
		{Path: "name", Effect: description.Replaces, Null: cleared, Absent: absent, Note: "an object of the next ones"},
		owned("name.formatted", "", "derived of the next ones"),
		set("name.familyName", "LastName"),
		set("name.givenName", "FirstName"),
		set("displayName", "DisplayName"),
		required("emails", "", "one of them is stored"),
		email,
		optionalMember("emails[].type", "to choose by"),
		optionalMember("emails[].primary", "to choose by"),
		optionalMember("emails[].display", ""),
		{Path: "phoneNumbers", Effect: description.Replaces, Null: cleared, Absent: absent, Note: "one of them is stored; an empty array means none"},
		phone,
		optionalMember("phoneNumbers[].type", "to choose by"),
		optionalMember("phoneNumbers[].primary", ""),
		optionalMember("phoneNumbers[].display", ""),
		active,
		{Path: "roles", Field: "Roles", Effect: description.Replaces, Null: cleared, Absent: absent, Note: "all roles of the user; an empty array means none"},
		role,
		optionalMember("roles[].type", ""),
		optionalMember("roles[].primary", ""),
		optionalMember("roles[].display", ""),
		owned("groups", "", "the roles; an empty array is not reported"),
		owned("password", "", "passwords are not changed by SCIM"),
	}
}

// schemas is the member that every answer begins with.
var schemas = description.Member{Path: "schemas", Null: description.NullNever, Note: "the URN of what this is"}

// always is a member of an answer that is always there, sometimes one that may be absent.
func always(path, note string) description.Member {
	return description.Member{Path: path, Null: description.NullNever, Note: note}
}

func sometimes(path, field, note string) description.Member {
	return description.Member{Path: path, Field: field, Null: description.NullNever, Sometimes: true, Note: note}
}

// meta are the members of a resource's meta.
var meta = []description.Member{
	sometimes("meta", "", "what is known of the resource"),
	sometimes("meta.resourceType", "", "the name of the resource's type"),
	sometimes("meta.created", "CreatedAt", ""),
	sometimes("meta.lastModified", "UpdatedAt", ""),
	sometimes("meta.location", "", "the resource's URI"),
	sometimes("meta.version", "Version", "as the header ETag has it"),
}

// metaOfDescription is the meta of what is no user.
var metaOfDescription = func() []description.Member {
	all := slices.Clone(meta)
	all[0].Sometimes = false
	for i := range all {
		all[i].Field, all[i].Note = "", "as in a user's"
	}
	return all
}()

var shownUser = slices.Concat(
	[]description.Member{
		schemas,
		{Path: "id", Field: "UUID", Null: description.NullNever},
		sometimes("externalId", "ExternalID", "if there is one"),
	},
	meta,
	[]description.Member{
		sometimes("userName", "Username", ""),
		sometimes("name", "", "if there is a given name or a family name"),
		sometimes("name.familyName", "LastName", "if there is one"),
		sometimes("name.givenName", "FirstName", "if there is one"),
		sometimes("displayName", "DisplayName", "if there is one"),
		sometimes("emails", "", "one"),
		sometimes("emails[].value", "Email", ""),
		sometimes("emails[].type", "", "always work"),
		sometimes("emails[].primary", "", "always true"),
		sometimes("phoneNumbers", "", "one, if there is one"),
		sometimes("phoneNumbers[].value", "Mobile", ""),
		sometimes("phoneNumbers[].type", "", "always mobile"),
		sometimes("active", "Status", "whether the status is ACTIVE"),
		sometimes("roles", "Roles", "all of them, if there are any"),
		sometimes("roles[].value", "Role.Name", ""),
	},
)

var shownGroup = slices.Concat(
	[]description.Member{
		schemas,
		{Path: "id", Field: "Role.Name", Null: description.NullNever},
		sometimes("displayName", "Role.Name", ""),
		sometimes("members", "", "the users who have the role, if the request asks for them"),
		always("members[].value", "a user's id"),
		sometimes("members[].$ref", "", "a user's URI"),
		sometimes("members[].type", "", "always User"),
	},
	withoutFields(meta),
)

func withoutFields(all []description.Member) []description.Member {
	all = slices.Clone(all)
	for i := range all {
		all[i].Field = ""
		if all[i].Note == "" {
			all[i].Note = "absent"
		}
	}
	return all
}

// listOf are the members of a page of resources.
func listOf(paged bool, resources []description.Member) []description.Member {
	all := []description.Member{
		schemas,
		always("totalResults", "how many there are on all pages"),
		always("itemsPerPage", "how many are on this page"),
		always("Resources", "those on this page"),
		{Path: "startIndex", Null: description.NullNever, Sometimes: paged, Note: "the index of the first one, unless the page was asked for by cursor"},
	}
	if paged {
		all = append(all, sometimes("nextCursor", "", "asks for the next page by cursor"))
	}
	return append(all, description.Prefixed("Resources[].", resources)...)
}

// attributeMembers are the members of an attribute in a schema.
func attributeMembers(prefix string) []description.Member {
	return description.Prefixed(prefix, []description.Member{
		always("name", "its name"),
		always("type", "string, boolean or complex"),
		always("multiValued", "whether it has several values"),
		always("description", "what it is"),
		always("required", "whether it must be there"),
		sometimes("canonicalValues", "", "values that have a meaning"),
		sometimes("caseExact", "", "of text: whether case matters"),
		always("mutability", "readWrite or readOnly"),
		always("returned", "default"),
		always("uniqueness", "none or server"),
	})
}

var shownSchema = slices.Concat(
	[]description.Member{
		schemas,
		always("id", "its URN"), always("name", "its name"), always("description", "what it is of"),
		always("attributes", "its attributes"),
	},
	attributeMembers("attributes[]."),
	[]description.Member{sometimes("attributes[].subAttributes", "", "of a complex attribute")},
	attributeMembers("attributes[].subAttributes[]."),
	metaOfDescription,
)

var shownType = slices.Concat(
	[]description.Member{
		schemas,
		always("id", "its name"), always("name", "its name"), always("description", "what it is of"),
		always("endpoint", "its path"), always("schema", "the URN of its schema"),
	},
	metaOfDescription,
)

// patchedMembers are the members of the value by which an operation without a path changes a user.
var patchedMembers = func() []description.Member {
	all := slices.DeleteFunc(written(description.NullCleared, description.AbsentUnchanged), func(m description.Member) bool {
		// All others are reported as unknown ones are.
		others := []string{"schemas", "name.formatted", "groups", "password", "emails[].display", "phoneNumbers[].display", "roles[].type", "roles[].display"}
		return slices.Contains(others, m.Path)
	})
	for i := range all {
		if all[i].Path == "meta" {
			all[i].Path = "meta.version"
		}
		if m := &all[i]; m.Required && !strings.Contains(m.Path, ".") {
			m.Required, m.Absent = false, description.AbsentUnchanged
		}
		if m := &all[i]; m.Path == "active" {
			m.Null, m.Note = description.NullRefused, "true, false, or such a text; false makes an invited user inactive"
		}
	}
	return all
}()

// aroundPatch makes the body of a PATCH of an object of attributes.
func aroundPatch(attributes string) string {
	return `{"schemas":["` + patchURN + `"],"Operations":[{"op":"replace","value":` + attributes + `}]}`
}

// booleansAsText is why a law does not hold.
const booleansAsText = "Microsoft Entra ID sends booleans as text, such as \"False\""

var bodies = []description.Body{
	{Title: "A new user", Operations: []string{"createUser"}, Request: true, Members: written(description.NullUnchanged, description.AbsentNone)},
	{Title: "The replacement of a user", Operations: []string{"replaceUser"}, Request: true, Exempt: map[string]string{"strings-are-no-booleans": booleansAsText}, Members: written(description.NullCleared, description.AbsentUnchanged)},
	{
		Title: "The attributes in a PATCH", Operations: []string{"patchUser"}, Request: true, Within: "Operations[].value", Wrap: aroundPatch, Members: patchedMembers,
		Exempt: map[string]string{
			"strings-are-no-booleans":          booleansAsText,
			"empty-object-is-refused":          "RFC 7644, section 3.5.2.1: the attributes in value are added or replaced, and an empty value has none",
			"only-unknown-members-are-refused": "RFC 7644, section 3.5.2: a provider sends attributes of other schemas in operations of their own, of which Dragoman-Ignored tells",
			"ignored-is-bounded-and-encoded":   "RFC 7644, section 3.10: names of attributes have a syntax, and another name is a 400 with invalidPath",
		},
	},
	{
		Title: "The operations of a PATCH", Operations: []string{"patchUser", "patchGroup"}, Request: true, Own: true,
		Members: []description.Member{
			requiredMember("schemas", "has the URN of a PATCH"),
			requiredMember("Operations", "carried out one after another, all or none"),
			requiredMember("Operations[].op", "add, replace or remove, in any case"),
			readMember("Operations[].path", "the attribute, or a filter of its values; none for an object of attributes"),
			readMember("Operations[].value", "the value"),
		},
	},
	{
		Title: "A search", Operations: []string{"searchUsers", "searchAll"}, Request: true, Own: true,
		Members: []description.Member{
			requiredMember("schemas", "has the URN of a search"),
			readMember("attributes", "the attributes to return"),
			readMember("excludedAttributes", "the attributes not to return"),
			readMember("filter", "which users"),
			readMember("startIndex", "the index of the first one"),
			readMember("count", "how many at most"),
			readMember("cursor", "asks for a page by cursor"),
			optionalMember("sortBy", ""),
			optionalMember("sortOrder", ""),
		},
	},
	{
		Title: "A group", Operations: []string{"createGroup", "replaceGroup"}, Request: true, Own: true,
		Members: []description.Member{
			requiredMember("schemas", "has the URN of groups"),
			optionalMember("id", "the server's"),
			optionalMember("externalId", ""),
			optionalMember("meta", "the server's"),
			requiredMember("displayName", "the name of the role"),
			readMember("members", "the users who are to have the role"),
			requiredMember("members[].value", "a user's id"),
			optionalMember("members[].$ref", ""),
			optionalMember("members[].type", ""),
			optionalMember("members[].display", ""),
		},
	},
	{Title: "One user", Operations: []string{"getUser", "createUser", "replaceUser", "patchUser"}, Members: shownUser},
	{Title: "A page of users", Operations: []string{"listUsers", "searchUsers", "searchAll"}, User: "Resources[].", Members: listOf(true, shownUser)},
	{Title: "One group", Operations: []string{"getGroup", "replaceGroup", "patchGroup"}, Own: true, Members: shownGroup},
	{Title: "A page of groups", Operations: []string{"listGroups"}, Own: true, Members: listOf(true, shownGroup)},
	{
		Title: "What the server supports", Operations: []string{"getServiceProviderConfig"}, Own: true,
		Members: slices.Concat([]description.Member{
			schemas,
			always("patch", "whether PATCH is supported"), always("patch.supported", "true"),
			always("bulk", "whether bulk requests are supported"), always("bulk.supported", "false"), always("bulk.maxOperations", "0"), always("bulk.maxPayloadSize", "0"),
			always("filter", "whether filters are supported"), always("filter.supported", "true"), always("filter.maxResults", "200"),
			always("changePassword", "whether passwords can be changed"), always("changePassword.supported", "false"),
			always("sort", "whether lists can be sorted"), always("sort.supported", "false"),
			always("etag", "whether there are entity tags"), always("etag.supported", "true"),
			always("authenticationSchemes", "how callers authenticate"), always("authenticationSchemes[].type", "oauthbearertoken"),
			always("authenticationSchemes[].name", "its name"), always("authenticationSchemes[].description", "what it is"), always("authenticationSchemes[].primary", "true"),
			always("pagination", "how lists are paged"), always("pagination.cursor", "true"), always("pagination.index", "true"),
			always("pagination.defaultPaginationMethod", "index"), always("pagination.defaultPageSize", "200"), always("pagination.maxPageSize", "200"),
		}, metaOfDescription),
	},
	{Title: "The schemas", Operations: []string{"listSchemas"}, Own: true, Members: listOf(false, shownSchema)},
	{Title: "One schema", Operations: []string{"getSchema"}, Own: true, Members: shownSchema},
	{Title: "The resource types", Operations: []string{"listResourceTypes"}, Own: true, Members: listOf(false, shownType)},
	{Title: "One resource type", Operations: []string{"getResourceType"}, Own: true, Members: shownType},
	{
		Title: "Every error",
		Members: []description.Member{
			schemas,
			sometimes("scimType", "", "the kind of error, with 400 and 409"),
			always("detail", "a sentence for each member that is wrong, or one of its own"),
			always("status", "the HTTP status"),
			sometimes(conflictURN, "", "only in a 412: the extension for what has changed since the version in If-Match"),
			always(conflictURN+".changes", "the attributes that have changed"),
			always(conflictURN+".changes[].attribute", "the attribute's name"),
			always(conflictURN+".changes[].state", "conflict, moved or same"),
			sometimes(conflictURN+".changes[].version", "", "for who may read the history: the version of the last change"),
			sometimes(conflictURN+".changes[].at", "", "likewise: its time"),
			sometimes(conflictURN+".changes[].actor", "", "likewise: the UUID of the user who made it, if it is known"),
			sometimes(conflictURN+".changes[].dialect", "", "likewise: the dialect's name, or cli"),
		},
	},
}
