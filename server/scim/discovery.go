package scim

import (
	"context"
	"strings"

	"github.com/dragoman-id/dragoman/gen/scimapi"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/store"
)

// maxPage is the maximum number of resources on a page, and how many there are if a request does not say.
const maxPage = 200

// property is an attribute in the schema of a resource, and how it differs from most of them.
type property struct {
	name, kind, description string
	required, several       bool
	exact                   bool // text in which case matters
	unique                  bool
	values                  []string
	parts                   []property
}

// The types of attributes (RFC 7643, section 2.3).
const (
	typeText    = "string"
	typeBoolean = "boolean"
	typeComplex = "complex"
)

// userProperties are the attributes of the schema of users. Values are declared where only these have a meaning: of roles those that a
// client may grant whose rank is that of an ordinary user, as the rank of a provisioning token is unless it was issued with another.
func userProperties(roles *store.Catalogue) []property {
	return []property{
		{name: "userName", kind: typeText, required: true, unique: true, description: "The name by which the user signs in."},
		{name: "name", kind: typeComplex, description: "The name of the user.", parts: []property{
			{name: "familyName", kind: typeText, description: "The family name."},
			{name: "givenName", kind: typeText, description: "The given name."},
		}},
		{name: "displayName", kind: typeText, exact: true, description: "The name to show."},
		{name: "emails", kind: typeComplex, required: true, several: true, description: "The e-mail address of the user. One is stored.", parts: []property{
			{name: "value", kind: typeText, required: true, description: "The address."},
			{name: "type", kind: typeText, values: []string{typeWork}, description: "The type of the address."},
			{name: "primary", kind: typeBoolean, values: []string{"true"}, description: "Whether this is the address of the user."},
		}},
		{name: "phoneNumbers", kind: typeComplex, several: true, description: "The mobile number of the user. One is stored.", parts: []property{
			{name: "value", kind: typeText, required: true, exact: true, description: "The number."},
			{name: "type", kind: typeText, values: []string{typeMobile}, description: "The type of the number."},
		}},
		{name: "active", kind: typeBoolean, required: true, description: "Whether the user is active."},
		{name: "roles", kind: typeComplex, several: true, description: "All roles of the user.", parts: []property{
			{name: "value", kind: typeText, required: true, exact: true, values: ordinaryRoles(roles), description: "The name of the role."},
		}},
	}
}

// ordinaryRoles returns the names of the roles that a client may grant whose rank is that of an ordinary user.
func ordinaryRoles(roles *store.Catalogue) (names []string) {
	for _, r := range roles.All() {
		if r.Rank == 1 {
			names = append(names, r.Name)
		}
	}
	return names
}

// part returns the property as a sub-attribute.
func (p property) part() scimapi.SubAttribute {
	a := scimapi.SubAttribute{
		Name: p.name, Type: p.kind, Description: p.description, MultiValued: p.several, Required: p.required, CanonicalValues: p.values,
		Mutability: "readWrite", Returned: "default", Uniqueness: "none",
	}
	if p.kind == typeText {
		a.CaseExact = &p.exact
	}
	if p.unique {
		a.Uniqueness = "server"
	}
	return a
}

// attribute returns the property as an attribute.
func (p property) attribute() scimapi.Attribute {
	own := p.part()
	a := scimapi.Attribute{
		Name: own.Name, Type: own.Type, Description: own.Description, MultiValued: own.MultiValued, Required: own.Required,
		CanonicalValues: own.CanonicalValues, CaseExact: own.CaseExact, Mutability: own.Mutability, Returned: own.Returned, Uniqueness: own.Uniqueness,
	}
	for _, part := range p.parts {
		a.SubAttributes = append(a.SubAttributes, part.part())
	}
	return a
}

// schemas returns the schemas of the resources that clients create. Groups are not among them, since they are the roles.
func (h *handler) schemas(base string) []scimapi.Schema {
	user := scimapi.Schema{
		Schemas: []string{schemaURN}, ID: userURN, Name: "User", Description: "A user of the customer.",
		Meta: scimapi.Meta{ResourceType: new("Schema"), Location: new(base + "/Schemas/" + userURN)},
	}
	for _, p := range userProperties(h.roles) {
		user.Attributes = append(user.Attributes, p.attribute())
	}
	return []scimapi.Schema{user}
}

func resourceTypes(base string) []scimapi.ResourceType {
	return []scimapi.ResourceType{{
		Schemas: []string{resourceTypeURN}, ID: "User", Name: "User", Description: "The users of the customer.", Endpoint: "/Users", Schema: userURN,
		Meta: scimapi.Meta{ResourceType: new("ResourceType"), Location: new(base + "/ResourceTypes/User")},
	}}
}

// checkCustomer returns an error if the directory does not have the path's customer. Only callers whose token is for this customer get
// this far.
func checkCustomer(call *dialect.Call) error {
	if call.Customer.ID == 0 {
		return store.ErrNotFound
	}
	return nil
}

// GetServiceProviderConfig returns what the server supports.
func (h *handler) GetServiceProviderConfig(ctx context.Context, _ scimapi.GetServiceProviderConfigRequestObject) (scimapi.GetServiceProviderConfigResponseObject, error) {
	call := dialect.CallFrom(ctx)
	if err := checkCustomer(call); err != nil {
		return nil, err
	}
	c := scimapi.ServiceProviderConfig{
		Schemas: []string{providerConfigURN},
		Patch:   scimapi.Feature{Supported: true},
		Etag:    scimapi.Feature{Supported: true},
		AuthenticationSchemes: []scimapi.AuthenticationScheme{{
			Type: "oauthbearertoken", Name: "Bearer token", Description: "A provisioning token, or a JWT, in the Authorization header.", Primary: true,
		}},
		Pagination: scimapi.Pagination{Cursor: true, Index: true, DefaultPaginationMethod: "index", DefaultPageSize: maxPage, MaxPageSize: maxPage},
		Meta:       scimapi.Meta{ResourceType: new("ServiceProviderConfig"), Location: new(base(call) + "/ServiceProviderConfig")},
	}
	c.Filter.Supported, c.Filter.MaxResults = true, maxPage
	return scimapi.GetServiceProviderConfig200ApplicationScimPlusJSONResponse{
		Body: c, Headers: scimapi.GetServiceProviderConfig200ResponseHeaders{CacheControl: dialect.CacheControl},
	}, nil
}

// ListSchemas returns all schemas.
func (h *handler) ListSchemas(ctx context.Context, _ scimapi.ListSchemasRequestObject) (scimapi.ListSchemasResponseObject, error) {
	call := dialect.CallFrom(ctx)
	if err := checkCustomer(call); err != nil {
		return nil, err
	}
	all := h.schemas(base(call))
	return scimapi.ListSchemas200ApplicationScimPlusJSONResponse{
		Body:    scimapi.SchemaList{Schemas: []string{listURN}, TotalResults: len(all), StartIndex: 1, ItemsPerPage: len(all), Resources: all},
		Headers: scimapi.ListSchemas200ResponseHeaders{CacheControl: dialect.CacheControl},
	}, nil
}

// GetSchema returns the schema with a URN.
func (h *handler) GetSchema(ctx context.Context, r scimapi.GetSchemaRequestObject) (scimapi.GetSchemaResponseObject, error) {
	call := dialect.CallFrom(ctx)
	if err := checkCustomer(call); err != nil {
		return nil, err
	}
	for _, s := range h.schemas(base(call)) {
		if strings.EqualFold(s.ID, r.Schema) {
			return scimapi.GetSchema200ApplicationScimPlusJSONResponse{Body: s, Headers: scimapi.GetSchema200ResponseHeaders{CacheControl: dialect.CacheControl}}, nil
		}
	}
	return nil, store.ErrNotFound
}

// ListResourceTypes returns all types of resources.
func (h *handler) ListResourceTypes(ctx context.Context, _ scimapi.ListResourceTypesRequestObject) (scimapi.ListResourceTypesResponseObject, error) {
	call := dialect.CallFrom(ctx)
	if err := checkCustomer(call); err != nil {
		return nil, err
	}
	all := resourceTypes(base(call))
	return scimapi.ListResourceTypes200ApplicationScimPlusJSONResponse{
		Body:    scimapi.ResourceTypeList{Schemas: []string{listURN}, TotalResults: len(all), StartIndex: 1, ItemsPerPage: len(all), Resources: all},
		Headers: scimapi.ListResourceTypes200ResponseHeaders{CacheControl: dialect.CacheControl},
	}, nil
}

// GetResourceType returns the type of resources with a name.
func (h *handler) GetResourceType(ctx context.Context, r scimapi.GetResourceTypeRequestObject) (scimapi.GetResourceTypeResponseObject, error) {
	call := dialect.CallFrom(ctx)
	if err := checkCustomer(call); err != nil {
		return nil, err
	}
	for _, t := range resourceTypes(base(call)) {
		if t.Name == r.ResourceType {
			return scimapi.GetResourceType200ApplicationScimPlusJSONResponse{Body: t, Headers: scimapi.GetResourceType200ResponseHeaders{CacheControl: dialect.CacheControl}}, nil
		}
	}
	return nil, store.ErrNotFound
}
