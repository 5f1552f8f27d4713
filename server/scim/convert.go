package scim

import (
	"slices"
	"strconv"
	"strings"

	"github.com/dragoman-id/dragoman/gen/scimapi"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/scim/patch"
	"github.com/dragoman-id/dragoman/store"
)

// The URNs of schemas and messages.
const (
	userURN           = "urn:ietf:params:scim:schemas:core:2.0:User"
	groupURN          = "urn:ietf:params:scim:schemas:core:2.0:Group"
	schemaURN         = "urn:ietf:params:scim:schemas:core:2.0:Schema"
	resourceTypeURN   = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
	providerConfigURN = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
	listURN           = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	searchURN         = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
	patchURN          = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	errorURN          = "urn:ietf:params:scim:api:messages:2.0:Error"
	conflictURN       = "urn:dragoman:params:scim:api:messages:1:Conflict"
)

// The types of the one e-mail and the one telephone number that a user has.
const (
	typeWork   = "work"
	typeMobile = "mobile"
)

// resource is what a body says of a user. An attribute that it does not set is nil.
type resource struct {
	userName    *string
	givenName   *string // "" clears it, as in the next four
	familyName  *string
	displayName *string
	externalID  *string
	phone       *string
	email       *string
	active      *bool
	roles       *store.RoleSet
	// ignored are the paths of items of emails and phoneNumbers that are not stored.
	ignored []string
}

// parseUser reads the attributes of a user, with the types that JSON's values have in a body: those of POST and PUT, and those that
// the operations of a PATCH result in. Null clears an attribute. Members that it does not know are skipped.
func parseUser(attributes map[string]any, roles *store.Catalogue) (resource, []dialect.FieldError) {
	p := parser{roles: roles}
	p.userName(attributes)
	p.name(attributes)
	p.r.displayName = p.text(attributes, "", "displayName")
	p.r.externalID = p.text(attributes, "", "externalId")
	p.r.active = p.boolean(attributes, "", "active")
	p.emails(attributes)
	p.phoneNumbers(attributes)
	p.grants(attributes)
	return p.r, p.wrong
}

// parser collects what is wrong with the attributes of a user.
type parser struct {
	roles *store.Catalogue
	r     resource
	wrong []dialect.FieldError
}

func (p *parser) say(field, predicate string) {
	p.wrong = append(p.wrong, dialect.FieldError{Field: field, Message: field + " " + predicate})
}

// text returns the text of an optional attribute: "" for null, and nil if it is absent.
func (p *parser) text(attributes map[string]any, prefix, name string) *string {
	value, given := attributes[name]
	if !given {
		return nil
	}
	switch value := value.(type) {
	case nil:
		return new("")
	case string:
		return &value
	}
	p.say(prefix+name, "must be a string")
	return nil
}

// boolean returns the value of an attribute that clients also send as text, nil if it is null or absent.
func (p *parser) boolean(attributes map[string]any, prefix, name string) *bool {
	value, ok := booleanOf(attributes[name])
	if !ok {
		p.say(prefix+name, "must be true or false")
	}
	return value
}

// booleanOf returns a boolean or a text that is one, in any case, and nil for nil. It returns false for any other value.
func booleanOf(value any) (*bool, bool) {
	switch value := value.(type) {
	case nil:
		return nil, true
	case bool:
		return &value, true
	case string:
		for _, b := range []bool{true, false} {
			if strings.EqualFold(value, strconv.FormatBool(b)) {
				return &b, true
			}
		}
	}
	return nil, false
}

func (p *parser) userName(attributes map[string]any) {
	switch value := attributes["userName"].(type) {
	case nil:
		if _, given := attributes["userName"]; given {
			p.say("userName", "must not be null")
		}
	case string:
		p.r.userName = &value
	default:
		p.say("userName", "must be a string")
	}
}

func (p *parser) name(attributes map[string]any) {
	value, given := attributes["name"]
	if !given {
		return
	}
	switch name := value.(type) {
	case nil:
		p.r.givenName, p.r.familyName = new(""), new("")
	case map[string]any:
		p.r.givenName = p.text(name, "name.", "givenName")
		p.r.familyName = p.text(name, "name.", "familyName")
		p.text(name, "name.", "formatted")
	default:
		p.say("name", "must be an object")
	}
}

// item is a value of emails or phoneNumbers.
type item struct {
	value   string
	kind    string // its type
	primary bool
}

// items returns the values of a multi-valued attribute. It returns false if it is absent, or not right.
func (p *parser) items(attributes map[string]any, name string) (all []item, ok bool) {
	value, given := attributes[name]
	if !given {
		return nil, false
	}
	array, isArray := value.([]any)
	if value != nil && !isArray {
		p.say(name, "must be an array")
		return nil, false
	}
	ok = true
	for i, element := range array {
		at := name + "." + strconv.Itoa(i)
		object, isObject := element.(map[string]any)
		if !isObject {
			p.say(at, "must be an object")
			ok = false
			continue
		}
		text, isText := object["value"].(string)
		if !isText {
			p.say(at+".value", "must be a string")
			ok = false
		}
		found := item{value: text}
		if kind := p.text(object, at+".", "type"); kind != nil {
			found.kind = *kind
		}
		if primary := p.boolean(object, at+".", "primary"); primary != nil {
			found.primary = *primary
		}
		all = append(all, found)
	}
	return all, ok
}

// choose returns the index of the item that is stored: the first that matches a condition, by the conditions' order, or else the first.
func choose(all []item, conditions ...func(item) bool) int {
	for _, c := range conditions {
		if i := slices.IndexFunc(all, c); i >= 0 {
			return i
		}
	}
	return 0
}

// ignoreBut notes that all items but one are not stored.
func (p *parser) ignoreBut(name string, n, stored int) {
	for i := range n {
		if i != stored {
			p.r.ignored = append(p.r.ignored, name+"."+strconv.Itoa(i))
		}
	}
}

func (p *parser) emails(attributes map[string]any) {
	all, ok := p.items(attributes, "emails")
	switch {
	case !ok:
	case attributes["emails"] == nil:
		p.say("emails", "must not be null")
	case len(all) == 0:
		p.say("emails", "must have at least 1 item")
	default:
		i := choose(all, func(e item) bool { return e.primary }, func(e item) bool { return strings.EqualFold(e.kind, typeWork) })
		p.r.email = &all[i].value
		p.ignoreBut("emails", len(all), i)
	}
}

func (p *parser) phoneNumbers(attributes map[string]any) {
	all, ok := p.items(attributes, "phoneNumbers")
	switch {
	case !ok:
	case len(all) == 0:
		p.r.phone = new("")
	default:
		i := choose(all, func(n item) bool { return strings.EqualFold(n.kind, typeMobile) })
		p.r.phone = &all[i].value
		p.ignoreBut("phoneNumbers", len(all), i)
	}
}

func (p *parser) grants(attributes map[string]any) {
	value, given := attributes["roles"]
	if !given {
		return
	}
	array, isArray := value.([]any)
	if value != nil && !isArray {
		p.say("roles", "must be an array")
		return
	}
	var set store.RoleSet
	for i, element := range array {
		at := "roles." + strconv.Itoa(i)
		grant, isObject := element.(map[string]any)
		if !isObject {
			p.say(at, "must be an object")
			continue
		}
		name, isText := patch.Unwrapped(grant)["value"].(string)
		if !isText {
			p.say(at+".value", "must be a string")
			continue
		}
		role, known := p.roles.ByName(name)
		if !known {
			p.say(at+".value", "is not a role: "+strconv.Quote(dialect.Excerpt(name)))
			continue
		}
		set = set.Union(store.Roles(role.ID))
	}
	p.r.roles = &set
}

// apply sets the attributes that r has, and leaves the others.
func (r resource) apply(u *store.User) {
	for field, value := range map[*string]*string{&u.Username: r.userName, &u.FirstName: r.givenName, &u.LastName: r.familyName, &u.Email: r.email} {
		if value != nil {
			*field = *value
		}
	}
	for field, value := range map[**string]*string{&u.DisplayName: r.displayName, &u.ExternalID: r.externalID, &u.Mobile: r.phone} {
		if value != nil {
			*field = optional(*value)
		}
	}
	if r.roles != nil {
		u.Roles = *r.roles
	}
}

// optional returns nil for the empty text.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// replace is apply for a PUT, which leaves an invited user who is not active invited: that is what a GET shows for one.
func (r resource) replace(u *store.User) {
	r.apply(u)
	switch {
	case r.active == nil:
	case *r.active:
		u.Status = store.StatusActive
	case u.Status != store.StatusInvited:
		u.Status = store.StatusInactive
	}
}

// modify is apply for a PATCH, in which active is false only if an operation says so, and makes an invited user inactive.
func (r resource) modify(u *store.User) {
	r.apply(u)
	if r.active != nil {
		u.Status = statusOf(*r.active)
	}
}

func statusOf(active bool) store.Status {
	if active {
		return store.StatusActive
	}
	return store.StatusInactive
}

// create makes u a new user, or one who is restored, of whom only what r cannot name is kept. Without active the user is active.
func (r resource) create(u *store.User) {
	u.Username, u.FirstName, u.LastName, u.Email = "", "", "", ""
	u.DisplayName, u.ExternalID, u.Mobile, u.Roles = nil, nil, nil, 0
	r.apply(u)
	u.Status = statusOf(r.active == nil || *r.active)
	u.EmailVerified = false
	u.DeprovisionedAt = nil
}

// checkSchemas refuses a body whose schemas lack the one that the body is of.
func checkSchemas(body map[string]any, urn string) []dialect.FieldError {
	schemas, ok := body["schemas"].([]any)
	if !ok {
		return nil // which the schema's validation reports
	}
	if slices.ContainsFunc(schemas, func(s any) bool { text, ok := s.(string); return ok && strings.EqualFold(text, urn) }) {
		return nil
	}
	return []dialect.FieldError{{Field: "schemas", Message: "schemas must have " + urn, Code: invalidSyntax}}
}

// checkUser checks the rules of a new user or a replacement that the document states only in prose.
func checkUser(roles *store.Catalogue) dialect.Check {
	return func(c *dialect.Call, _ dialect.Parameters) []dialect.FieldError {
		_, wrong := parseUser(c.Body, roles)
		// The absence of a required attribute is reported by the schema's validation, as is text that is too long.
		return append(checkSchemas(c.Body, userURN), wrong...)
	}
}

// attributesOf returns the attributes of a user that can be written, as a body has them: what the operations of a PATCH start from.
func attributesOf(u *store.User, roles *store.Catalogue) map[string]any {
	attributes := map[string]any{
		"userName": u.Username,
		"active":   u.Status == store.StatusActive,
		"emails":   []any{map[string]any{"value": u.Email, "type": typeWork, "primary": true}},
	}
	name := map[string]any{}
	for member, text := range map[string]string{"givenName": u.FirstName, "familyName": u.LastName} {
		if text != "" {
			name[member] = text
		}
	}
	if len(name) > 0 {
		attributes["name"] = name
	}
	for member, text := range map[string]*string{"displayName": u.DisplayName, "externalId": u.ExternalID} {
		if text != nil {
			attributes[member] = *text
		}
	}
	if u.Mobile != nil {
		attributes["phoneNumbers"] = []any{map[string]any{"value": *u.Mobile, "type": typeMobile}}
	}
	if u.Roles != 0 {
		var grants []any
		for _, role := range roles.In(u.Roles) {
			grants = append(grants, map[string]any{"value": role.Name})
		}
		attributes["roles"] = grants
	}
	return attributes
}

// toAPIUser returns the user as a resource with all its attributes. base is the URL of the customer's endpoints.
func toAPIUser(u *store.User, roles *store.Catalogue, base string) scimapi.User {
	shown := scimapi.User{
		Schemas: []string{userURN},
		ID:      u.UUID,
		Meta: &scimapi.Meta{
			ResourceType: new("User"),
			Created:      new(u.CreatedAt.Format(store.TimeLayout)),
			LastModified: new(u.UpdatedAt.Format(store.TimeLayout)),
			Location:     new(base + "/Users/" + u.UUID.String()),
			Version:      new(dialect.ETag(u.Version)),
		},
		ExternalID:  u.ExternalID,
		UserName:    &u.Username,
		DisplayName: u.DisplayName,
		Emails:      []scimapi.Email{{Value: &u.Email, Type: new(typeWork), Primary: new(true)}},
		Active:      new(u.Status == store.StatusActive),
	}
	if u.FirstName != "" || u.LastName != "" {
		shown.Name = &scimapi.Name{GivenName: optional(u.FirstName), FamilyName: optional(u.LastName)}
	}
	if u.Mobile != nil {
		shown.PhoneNumbers = []scimapi.PhoneNumber{{Value: u.Mobile, Type: new(typeMobile)}}
	}
	for _, role := range roles.In(u.Roles) {
		shown.Roles = append(shown.Roles, scimapi.Role{Value: new(role.Name)})
	}
	return shown
}

// ignoredMembers returns the members of a body that are ignored besides unknown ones: those that only the server sets, if they are not
// as they are shown, and values that are not stored. shown is nil for a new user.
func ignoredMembers(body map[string]any, r resource, shown *scimapi.User) []string {
	ignored := slices.Clone(r.ignored)
	if id := body["id"]; id != nil && (shown == nil || id != shown.ID.String()) {
		ignored = append(ignored, "id")
	}
	if meta, ok := body["meta"].(map[string]any); ok && !showsMeta(meta, resourceTypeUser, metaOf(shown)) {
		ignored = append(ignored, "meta")
	}
	if name, ok := body["name"].(map[string]any); ok && name["formatted"] != nil {
		ignored = append(ignored, "name.formatted")
	}
	// A user's groups are not shown, since they are the roles. Clients send an empty array for a new user.
	if groups, isArray := body["groups"].([]any); body["groups"] != nil && (!isArray || len(groups) > 0) {
		ignored = append(ignored, "groups")
	}
	if body["password"] != nil {
		ignored = append(ignored, "password")
	}
	return ignored
}

func metaOf(shown *scimapi.User) *scimapi.Meta {
	if shown == nil {
		return nil
	}
	return shown.Meta
}

// showsMeta reports whether a meta in a body says nothing else than what is shown of a resource of this type. shown is nil for a new one.
func showsMeta(meta map[string]any, resourceType string, shown *scimapi.Meta) bool {
	is := map[string]*string{"resourceType": &resourceType}
	if shown != nil {
		is["created"], is["lastModified"], is["location"], is["version"] = shown.Created, shown.LastModified, shown.Location, shown.Version
	}
	for name, value := range meta {
		if value != nil && (is[name] == nil || value != *is[name]) {
			return false
		}
	}
	return true
}

// fieldNames maps the model's fields to this dialect's names. Fields without a name here are absent.
var fieldNames = map[store.Field]string{
	store.FieldFirstName:   "name.givenName",
	store.FieldLastName:    "name.familyName",
	store.FieldUsername:    "userName",
	store.FieldEmail:       "emails",
	store.FieldMobile:      "phoneNumbers",
	store.FieldRoles:       "roles",
	store.FieldStatus:      "active",
	store.FieldExternalID:  "externalId",
	store.FieldDisplayName: "displayName",
}

func fieldName(f store.Field) string { return fieldNames[f] }

// takenMessage does not say whose value it is, since usernames and e-mails are unique over all customers.
func takenMessage(f store.Field) string { return fieldName(f) + " is already taken" }
