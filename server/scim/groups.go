package scim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/dragoman-id/dragoman/gen/scimapi"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/scim/filter"
	"github.com/dragoman-id/dragoman/store"
	"github.com/google/uuid"
)

// maxMembers is the maximum number of users that a request may make members of a group, and no members, in all.
const maxMembers = 1000

// groupProperties are the attributes of a group.
var groupProperties = []property{
	{name: "displayName", kind: typeText, required: true, exact: true},
	{name: "members", kind: typeComplex, several: true, parts: []property{
		{name: "value", kind: typeText, exact: true}, {name: "$ref", kind: typeText, exact: true}, {name: "type", kind: typeText}, {name: "display", kind: typeText},
	}},
}

// roleOf returns the role that is a group. Roles are known by their names.
func (h *handler) roleOf(call *dialect.Call, id string) (store.Role, error) {
	role, ok := h.roles.ByName(id)
	if call.Customer.ID == 0 || !ok {
		return store.Role{}, store.ErrNotFound
	}
	return role, nil
}

// toAPIGroup returns a role as a group, without members.
func toAPIGroup(role store.Role, s selection, base string) scimapi.Group {
	g := scimapi.Group{
		Schemas: []string{groupURN}, ID: role.Name, DisplayName: new(role.Name),
		Meta: &scimapi.Meta{ResourceType: new("Group"), Location: new(base + "/Groups/" + role.Name)},
	}
	drop(s, "displayname", &g.DisplayName)
	if drop(s, "meta", &g.Meta) {
		s.ofMeta(g.Meta)
	}
	return g
}

// asksForMembers reports whether a request names members among the attributes to return: a group may have very many.
func (s selection) asksForMembers() bool { return len(s.only) > 0 && s.has("members") }

// pageOf returns the first index, from 1, and the maximum of resources of a page.
func pageOf(startIndex, count *int64) (start, most int64) {
	start, most = 1, maxPage
	if startIndex != nil {
		start = max(*startIndex, 1)
	}
	if count != nil {
		most = min(max(*count, 0), maxPage)
	}
	return start, most
}

// members returns a page of the users who have a role.
func (h *handler) members(ctx context.Context, call *dialect.Call, role store.Role, start, most int64) ([]scimapi.GroupMember, error) {
	query := store.Query{Filters: []store.Filter{store.HasAnyRole(store.Roles(role.ID))}, Provisioned: true}
	users, _, err := h.store.ListUsers(ctx, call.Customer.ID, query, store.Window{Offset: start - 1, Limit: most})
	if err != nil {
		return nil, err
	}
	var all []scimapi.GroupMember
	for _, u := range users {
		all = append(all, scimapi.GroupMember{Value: u.UUID, Ref: new(base(call) + "/Users/" + u.UUID.String()), Type: new("User")})
	}
	return all, nil
}

// ListGroups returns the roles that match the filter.
func (h *handler) ListGroups(ctx context.Context, r scimapi.ListGroupsRequestObject) (scimapi.ListGroupsResponseObject, error) {
	call := dialect.CallFrom(ctx)
	if err := checkCustomer(call); err != nil {
		return nil, err
	}
	if r.Params.Cursor != nil && *r.Params.Cursor != "" {
		// All roles are on one page, so there is no next one.
		return nil, &dialect.InvalidError{Fields: []dialect.FieldError{{Field: "cursor", Message: "cursor must be empty: there is one page", Code: invalidCursor}}}
	}
	matches := func(store.Role) bool { return true }
	if r.Params.Filter != nil {
		expression, err := parseFilter(h.groupSchema, r.Params.Filter)
		if err != nil {
			return nil, err
		}
		matches = func(role store.Role) bool {
			return expression.Match(map[string]any{"id": role.Name, "displayName": role.Name})
		}
	}
	selected := selectionOf(r.Params.Attributes, r.Params.ExcludedAttributes)
	found := slices.DeleteFunc(h.roles.All(), func(role store.Role) bool { return !matches(role) })
	start, most := pageOf(r.Params.StartIndex, r.Params.Count)
	from := min(start-1, int64(len(found)))
	shown := found[from:min(from+most, int64(len(found)))]
	page := scimapi.GroupList{Schemas: []string{listURN}, TotalResults: int64(len(found)), ItemsPerPage: int64(len(shown)), Resources: []scimapi.Group{}}
	if r.Params.Cursor == nil {
		page.StartIndex = &start
	}
	for _, role := range shown {
		g := toAPIGroup(role, selected, base(call))
		if selected.asksForMembers() {
			var err error
			if g.Members, err = h.members(ctx, call, role, 1, maxPage); err != nil {
				return nil, err
			}
		}
		page.Resources = append(page.Resources, g)
	}
	return scimapi.ListGroups200ApplicationScimPlusJSONResponse{Body: page, Headers: scimapi.ListGroups200ResponseHeaders{CacheControl: dialect.CacheControl}}, nil
}

// GetGroup returns one role, with a page of its members if the request asks for members.
func (h *handler) GetGroup(ctx context.Context, r scimapi.GetGroupRequestObject) (scimapi.GetGroupResponseObject, error) {
	call := dialect.CallFrom(ctx)
	role, err := h.roleOf(call, r.Group)
	if err != nil {
		return nil, err
	}
	selected := selectionOf(r.Params.Attributes, r.Params.ExcludedAttributes)
	g := toAPIGroup(role, selected, base(call))
	if selected.asksForMembers() {
		start, most := pageOf(r.Params.StartIndex, r.Params.Count)
		if g.Members, err = h.members(ctx, call, role, start, most); err != nil {
			return nil, err
		}
	}
	return scimapi.GetGroup200ApplicationScimPlusJSONResponse{Body: g, Headers: scimapi.GetGroup200ResponseHeaders{CacheControl: dialect.CacheControl}}, nil
}

// CreateGroup is refused, since the roles are the directory's.
func (h *handler) CreateGroup(ctx context.Context, _ scimapi.CreateGroupRequestObject) (scimapi.CreateGroupResponseObject, error) {
	call := dialect.CallFrom(ctx)
	if err := checkCustomer(call); err != nil {
		return nil, err
	}
	name, _ := call.Body["displayName"].(string)
	if _, taken := h.roles.ByName(name); taken {
		return nil, &store.ConflictError{Fields: []store.Field{store.FieldDisplayName}}
	}
	return nil, errFixedGroups
}

// errFixedGroups is the error of a request that would create or delete a role.
var errFixedGroups = fmt.Errorf("%w: the groups are the roles of the directory", auth.ErrForbidden)

// DeleteGroup is refused, since the roles are the directory's.
func (h *handler) DeleteGroup(ctx context.Context, r scimapi.DeleteGroupRequestObject) (scimapi.DeleteGroupResponseObject, error) {
	if _, err := h.roleOf(dialect.CallFrom(ctx), r.Group); err != nil {
		return nil, err
	}
	return nil, errFixedGroups
}

// membership is what a request asks of the members of a group.
type membership struct {
	reset bool               // nobody is a member but those in is
	is    map[uuid.UUID]bool // whether a user is to be a member
	field map[uuid.UUID]string
	wrong []dialect.FieldError
}

func newMembership() *membership {
	return &membership{is: map[uuid.UUID]bool{}, field: map[uuid.UUID]string{}}
}

func (m *membership) say(field, code, message string) {
	m.wrong = append(m.wrong, dialect.FieldError{Field: field, Message: message, Code: code})
}

// clear makes nobody a member.
func (m *membership) clear() { m.reset, m.is = true, map[uuid.UUID]bool{} }

// set makes the users in a value members, or not: an array of objects that have an id in value, or one such object, or an id.
func (m *membership) set(field string, value any, member bool) {
	elements, several := value.([]any)
	if !several {
		elements = []any{value}
	}
	for i, element := range elements {
		at := field
		if several {
			at += "." + strconv.Itoa(i)
		}
		if object, ok := element.(map[string]any); ok {
			element, at = object["value"], at+".value"
		}
		text, isText := element.(string)
		id, ok := auth.ParseUUID(text)
		switch {
		case !isText:
			m.say(at, invalidValue, at+" must be the id of a user")
		case !ok && member:
			m.say(at, invalidValue, at+" is no user of the customer")
		case ok:
			m.is[id], m.field[id] = member, at
		}
	}
}

// ReplaceGroup sets the members of a role.
func (h *handler) ReplaceGroup(ctx context.Context, r scimapi.ReplaceGroupRequestObject) (scimapi.ReplaceGroupResponseObject, error) {
	call := dialect.CallFrom(ctx)
	role, err := h.roleOf(call, r.Group)
	if err != nil {
		return nil, err
	}
	asked := newMembership()
	checkGroupName(asked, "displayName", call.Body["displayName"], role)
	if members, given := call.Body["members"]; given {
		asked.clear()
		if members != nil {
			asked.set("members", members, true)
		}
	}
	if err := h.write(ctx, call, role, asked); err != nil {
		return nil, err
	}
	selected := selectionOf(r.Params.Attributes, r.Params.ExcludedAttributes)
	g := toAPIGroup(role, selected, base(call))
	if selected.asksForMembers() && !call.IsDryRun() {
		if g.Members, err = h.members(ctx, call, role, 1, maxPage); err != nil {
			return nil, err
		}
	}
	return scimapi.ReplaceGroup200ApplicationScimPlusJSONResponse{
		Body: g, Headers: scimapi.ReplaceGroup200ResponseHeaders{CacheControl: dialect.CacheControl, DragomanIgnored: call.Ignored()},
	}, nil
}

// checkGroupName refuses another name than the role has.
func checkGroupName(m *membership, field string, name any, role store.Role) {
	if text, ok := name.(string); !ok || text != role.Name {
		m.say(field, mutability, field+" must be the name of the role, which cannot be changed")
	}
}

// PatchGroup adds members to a role and removes them.
func (h *handler) PatchGroup(ctx context.Context, r scimapi.PatchGroupRequestObject) (scimapi.PatchGroupResponseObject, error) {
	call := dialect.CallFrom(ctx)
	role, err := h.roleOf(call, r.Group)
	if err != nil {
		return nil, err
	}
	asked := newMembership()
	for i, o := range operationsOf(call.Body) {
		h.patchGroup(asked, "Operations."+strconv.Itoa(i), strings.ToLower(o.Op), o.Path, o.Value, role)
	}
	if err := h.write(ctx, call, role, asked); err != nil {
		return nil, err
	}
	return scimapi.PatchGroup204Response{Headers: scimapi.PatchGroup204ResponseHeaders{DragomanIgnored: call.Ignored()}}, nil
}

// patchGroup adds what one operation asks to m.
func (h *handler) patchGroup(m *membership, field, op, path string, value any, role store.Role) {
	if op != "add" && op != "replace" && op != "remove" {
		m.say(field+".op", invalidSyntax, field+".op must be add, replace or remove")
		return
	}
	if path == "" {
		object, ok := value.(map[string]any)
		if !ok || op == "remove" {
			m.say(field+".path", noTarget, field+".path is required, unless value is an object to add or to replace")
			return
		}
		for name, member := range object {
			h.patchGroup(m, field, op, name, member, role)
		}
		return
	}
	parsed, err := filter.ParsePath(h.groupSchema, path)
	switch {
	case err != nil:
		m.say(field+".path", invalidPath, field+".path is not valid: "+err.Error())
	case parsed.Attribute == nil, strings.EqualFold(path, "externalId"), strings.EqualFold(path, "schemas"):
		// Not stored.
	case parsed.Attribute.Name == "members":
		m.patch(field, op, parsed, value)
	case op != "remove" && (parsed.Attribute.Name == "displayName" || parsed.Attribute.Name == "id"):
		// Okta sends both with what they are.
		checkGroupName(m, field+".value", value, role)
	default:
		m.say(field+".path", mutability, field+".path names what cannot be changed")
	}
}

// patch adds what an operation on members asks.
func (m *membership) patch(field, op string, path filter.Path, value any) {
	switch {
	case path.Filter != nil && op == "remove":
		one, ok := path.Filter.(*filter.Comparison)
		if id, isText := comparedID(one, ok); isText {
			m.set(field+".path", id, false)
			return
		}
		m.say(field+".path", invalidFilter, field+`.path must select members by value eq "ID"`)
	case path.Filter != nil || path.Sub != nil:
		m.say(field+".path", invalidPath, field+".path must be members")
	case op == "remove" && value == nil:
		m.clear()
	case op == "remove":
		m.set(field+".value", value, false)
	case op == "replace":
		m.clear()
		if value != nil {
			m.set(field+".value", value, true)
		}
	default:
		m.set(field+".value", value, true)
	}
}

// comparedID returns the id that a filter of members compares by eq.
func comparedID(c *filter.Comparison, ok bool) (string, bool) {
	if !ok || c.Operator != filter.Equal || c.Sub != nil || c.Attribute == nil || c.Attribute.Name != "value" {
		return "", false
	}
	id, isText := c.Value.(string)
	return id, isText
}

// write grants and revokes a role as asked, for all users or for none.
func (h *handler) write(ctx context.Context, call *dialect.Call, role store.Role, asked *membership) error {
	tooManyMembers := &dialect.InvalidError{Fields: []dialect.FieldError{{
		Field: "members", Message: fmt.Sprintf("members must concern at most %d users in a request", maxMembers), Code: tooMany,
	}}}
	if len(asked.is) > maxMembers {
		return tooManyMembers
	}
	var ids []int64
	grants := map[int64]bool{}
	for id, member := range asked.is {
		u, err := call.FindUser(ctx, store.UserByUUID(call.Customer.ID, id))
		switch {
		case errors.Is(err, store.ErrNotFound) && member:
			asked.say(asked.field[id], invalidValue, asked.field[id]+" is no user of the customer")
		case errors.Is(err, store.ErrNotFound):
			// Nobody is not a member already.
		case err != nil:
			return err
		default:
			ids, grants[u.ID] = append(ids, u.ID), member
		}
	}
	if len(asked.wrong) > 0 {
		return &dialect.InvalidError{Fields: asked.wrong}
	}
	if asked.reset {
		query := store.Query{Filters: []store.Filter{store.HasAnyRole(store.Roles(role.ID))}, Provisioned: true}
		present, _, err := h.store.ListUsers(ctx, call.Customer.ID, query, store.Window{Limit: maxMembers + 1})
		if err != nil {
			return err
		}
		for _, u := range present {
			if _, named := grants[u.ID]; !named {
				ids = append(ids, u.ID)
			}
		}
		if len(present) > maxMembers {
			return tooManyMembers
		}
	}
	if len(ids) > maxMembers {
		return tooManyMembers
	}
	return call.UpdateUsers(ctx, ids, func(u *store.User) error {
		if grants[u.ID] {
			u.Roles = u.Roles.Union(store.Roles(role.ID))
		} else {
			u.Roles = u.Roles.Minus(store.Roles(role.ID))
		}
		return nil
	})
}
