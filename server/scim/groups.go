package scim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
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

// members returns some of the users who have a role, in the order of their ids.
func (h *handler) members(ctx context.Context, call *dialect.Call, role store.Role, w store.Window) ([]store.User, error) {
	query := store.Query{Filters: []store.Filter{store.HasAnyRole(store.Roles(role.ID))}, Provisioned: true}
	users, _, err := h.store.ListUsers(ctx, call.Customer.ID, query, w)
	return users, err
}

// toAPIMembers returns users as the members of a group.
func toAPIMembers(users []store.User, base string) []scimapi.GroupMember {
	var all []scimapi.GroupMember
	for _, u := range users {
		all = append(all, scimapi.GroupMember{Value: u.UUID, Ref: new(base + "/Users/" + u.UUID.String()), Type: new("User")})
	}
	return all
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
	matches, err := h.groupFilter(ctx, call, r.Params.Filter)
	if err != nil {
		return nil, err
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
			users, err := h.members(ctx, call, role, store.Window{Limit: maxPage})
			if err != nil {
				return nil, err
			}
			g.Members = toAPIMembers(users, base(call))
		}
		page.Resources = append(page.Resources, g)
	}
	return scimapi.ListGroups200ApplicationScimPlusJSONResponse{Body: page, Headers: scimapi.ListGroups200ResponseHeaders{CacheControl: dialect.CacheControl}}, nil
}

// groupFilter returns the condition that a filter of groups is; nil is true of all.
func (h *handler) groupFilter(ctx context.Context, call *dialect.Call, text *string) (func(store.Role) bool, error) {
	if text == nil {
		return func(store.Role) bool { return true }, nil
	}
	expression, err := parseFilter(h.groupSchema, text)
	if err != nil {
		return nil, err
	}
	compared, ok := comparedMembers(expression)
	if !ok {
		return nil, &dialect.InvalidError{Fields: []dialect.FieldError{{
			Field: "filter", Code: invalidFilter, Message: `filter is invalid: members can be compared by eq alone, with the id of a user`,
		}}}
	}
	roles := map[string]store.RoleSet{}
	for _, id := range compared {
		key, err := userKey(call, id)
		if err != nil {
			continue // nobody has it
		}
		u, err := call.FindUser(ctx, key)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		roles[id] = u.Roles
	}
	return func(role store.Role) bool {
		// Of the members those suffice with whom the filter compares.
		var members []any
		for id, has := range roles {
			if has.Has(role.ID) {
				members = append(members, map[string]any{filter.DefaultSub: id})
			}
		}
		return expression.Match(map[string]any{"id": role.Name, "displayName": role.Name, "meta": map[string]any{"resourceType": "Group"}, "members": members})
	}, nil
}

// comparedMembers returns the ids with which a filter compares the members of a group. It returns false if it asks something else of
// members, which only all of them could tell.
func comparedMembers(e filter.Expression) (ids []string, ok bool) {
	several := func(terms []filter.Expression) bool {
		for _, term := range terms {
			more, ok := comparedMembers(term)
			if !ok {
				return false
			}
			ids = append(ids, more...)
		}
		return true
	}
	switch e := e.(type) {
	case filter.And:
		ok = several(e)
		return ids, ok
	case filter.Or:
		ok = several(e)
		return ids, ok
	case filter.Not:
		return comparedMembers(e.Of)
	case *filter.ValuePath: // no other attribute has several values
		one, single := e.Filter.(*filter.Comparison)
		id, isText := comparedID(one, single)
		return []string{id}, isText && e.Comparison == nil
	case *filter.Comparison:
		if e.Attribute.Name != "members" {
			return nil, true
		}
		id, isText := e.Value.(string)
		return []string{id}, isText && e.Operator == filter.Equal && e.Sub != nil && e.Sub.Name == filter.DefaultSub
	}
	return nil, false
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
		users, err := h.members(ctx, call, role, store.Window{Offset: start - 1, Limit: most})
		if err != nil {
			return nil, err
		}
		g.Members = toAPIMembers(users, base(call))
	}
	return scimapi.GetGroup200ApplicationScimPlusJSONResponse{Body: g, Headers: scimapi.GetGroup200ResponseHeaders{CacheControl: dialect.CacheControl}}, nil
}

// CreateGroup always returns an error, since the directory has a fixed set of roles.
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

// DeleteGroup always returns an error, since the directory has a fixed set of roles.
func (h *handler) DeleteGroup(ctx context.Context, r scimapi.DeleteGroupRequestObject) (scimapi.DeleteGroupResponseObject, error) {
	if _, err := h.roleOf(dialect.CallFrom(ctx), r.Group); err != nil {
		return nil, err
	}
	return nil, errFixedGroups
}

// membership is what a request asks of the members of a group.
type membership struct {
	reset   bool               // nobody is a member but those in is
	is      map[uuid.UUID]bool // whether a user is to be a member
	named   []uuid.UUID        // the users in is, in the order in which the request names them
	field   map[uuid.UUID]string
	ignored []string
	wrong   []dialect.FieldError
}

func newMembership() *membership {
	return &membership{is: map[uuid.UUID]bool{}, field: map[uuid.UUID]string{}}
}

func (m *membership) say(field, code, message string) {
	m.wrong = append(m.wrong, dialect.FieldError{Field: field, Message: message, Code: code})
}

// clear makes nobody a member.
func (m *membership) clear() { m.reset, m.is, m.named = true, map[uuid.UUID]bool{}, nil }

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
			m.say(at, invalidValue, at+noUser)
		case ok:
			if _, again := m.is[id]; !again {
				m.named = append(m.named, id)
			}
			m.is[id], m.field[id] = member, at
		}
	}
}

// noUser follows the id of a member in the error for an id that no user has whom the dialect shows.
const noUser = " is no user of the customer"

// ReplaceGroup sets the members of a role.
func (h *handler) ReplaceGroup(ctx context.Context, r scimapi.ReplaceGroupRequestObject) (scimapi.ReplaceGroupResponseObject, error) {
	call := dialect.CallFrom(ctx)
	role, err := h.roleOf(call, r.Group)
	if err != nil {
		return nil, err
	}
	asked := newMembership()
	shown := toAPIGroup(role, selection{}, base(call))
	asked.ignored = ignoredOfGroup(call.Body, shown)
	checkGroupName(asked, "displayName", call.Body["displayName"], role)
	if members, given := call.Body["members"]; given {
		asked.clear()
		if members != nil {
			asked.set("members", members, true)
		}
	}
	g, written, err := h.write(ctx, call, role, asked, selectionOf(r.Params.Attributes, r.Params.ExcludedAttributes))
	if err != nil {
		return nil, err
	}
	return scimapi.ReplaceGroup200ApplicationScimPlusJSONResponse{
		Body: g,
		Headers: scimapi.ReplaceGroup200ResponseHeaders{
			CacheControl: dialect.CacheControl, DragomanChanged: written.Changed, DragomanIgnored: written.Ignored,
		},
	}, nil
}

// ignoredOfGroup returns the members of a body that are not stored and are not as they are shown.
func ignoredOfGroup(body map[string]any, shown scimapi.Group) (ignored []string) {
	if id := body["id"]; id != nil && id != shown.ID {
		ignored = append(ignored, "id")
	}
	if body["externalId"] != nil {
		ignored = append(ignored, "externalId")
	}
	if meta, ok := body["meta"].(map[string]any); ok && !showsMeta(meta, "Group", shown.Meta) {
		ignored = append(ignored, "meta")
	}
	return ignored
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
	g, written, err := h.write(ctx, call, role, asked, selectionOf(r.Params.Attributes, r.Params.ExcludedAttributes))
	if err != nil {
		return nil, err
	}
	if r.Params.Attributes != nil { // which asks for an answer (RFC 7644, section 3.5.2)
		return scimapi.PatchGroup200ApplicationScimPlusJSONResponse{
			Body: g,
			Headers: scimapi.PatchGroup200ResponseHeaders{
				CacheControl: dialect.CacheControl, DragomanChanged: written.Changed, DragomanIgnored: written.Ignored,
			},
		}, nil
	}
	return scimapi.PatchGroup204Response{Headers: scimapi.PatchGroup204ResponseHeaders{DragomanChanged: written.Changed, DragomanIgnored: written.Ignored}}, nil
}

// patchGroup adds what one operation asks to m.
func (h *handler) patchGroup(m *membership, field, op, path string, value any, role store.Role) {
	if op != "add" && op != "replace" && op != "remove" {
		m.say(field+".op", invalidSyntax, field+".op must be add, replace or remove")
		return
	}
	if path == "" || strings.EqualFold(path, groupURN) {
		object, ok := value.(map[string]any)
		if !ok || op == "remove" {
			m.say(field+".path", noTarget, field+".path is required, unless value is an object to add or to replace")
			return
		}
		for _, name := range slices.Sorted(maps.Keys(object)) {
			h.patchAttribute(m, field, op, name, object[name], role)
		}
		return
	}
	h.patchAttribute(m, field, op, path, value, role)
}

// patchAttribute adds what an operation asks of one attribute.
func (h *handler) patchAttribute(m *membership, field, op, path string, value any, role store.Role) {
	parsed, err := filter.ParsePath(h.groupSchema, path)
	switch {
	case err != nil:
		kind := invalidPath
		if invalid := (*filter.Error)(nil); errors.As(err, &invalid) {
			kind = string(invalid.Kind)
		}
		m.say(field+".path", kind, field+".path is not valid: "+err.Error())
	case strings.EqualFold(path, "schemas"):
	case parsed.Attribute == nil:
		m.ignored = append(m.ignored, parsed.Undeclared)
	case parsed.Attribute.Name == "externalId":
		m.ignored = append(m.ignored, "externalId")
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

// write grants and revokes a role as asked, for all users or for none. It returns the group as it then is, of which it reads nothing
// after the write: under an idempotency key that is executed later.
func (h *handler) write(ctx context.Context, call *dialect.Call, role store.Role, asked *membership, s selection) (scimapi.Group, dialect.Written, error) {
	ignored, err := call.IgnoredWith(asked.ignored)
	if err != nil {
		return scimapi.Group{}, dialect.Written{}, err
	}
	if len(asked.is) > maxMembers {
		return scimapi.Group{}, dialect.Written{}, errTooManyMembers
	}
	users, grants, err := h.named(ctx, call, asked)
	if err != nil {
		return scimapi.Group{}, dialect.Written{}, err
	}
	present, err := h.presentMembers(ctx, call, role, asked, s)
	if err != nil {
		return scimapi.Group{}, dialect.Written{}, err
	}
	concerned := slices.Clone(users)
	if asked.reset {
		concerned = slices.Concat(concerned, present)
	}
	ids := make([]int64, 0, len(concerned))
	for _, u := range concerned {
		ids = append(ids, u.ID)
	}
	slices.Sort(ids)
	if ids = slices.Compact(ids); len(ids) > maxMembers {
		return scimapi.Group{}, dialect.Written{}, errTooManyMembers
	}
	written, err := call.UpdateUsers(ctx, ids, "members", func(u *store.User) error {
		if grants[u.ID] {
			u.Roles = u.Roles.Union(store.Roles(role.ID))
		} else {
			u.Roles = u.Roles.Minus(store.Roles(role.ID))
		}
		return nil
	})
	if err != nil {
		return scimapi.Group{}, dialect.Written{}, err
	}
	written.Ignored = ignored
	g := toAPIGroup(role, s, base(call))
	if s.asksForMembers() {
		g.Members = toAPIMembers(membersAfter(present, users, grants, asked.reset), base(call))
	}
	return g, written, nil
}

// errTooManyMembers refuses a request that concerns more users than one transaction should.
var errTooManyMembers = &dialect.InvalidError{Fields: []dialect.FieldError{{
	Field: "members", Message: fmt.Sprintf("members must concern at most %d users in a request", maxMembers), Code: tooMany,
}}}

// named returns the users whom a request names, and for each whether it is to be a member.
func (h *handler) named(ctx context.Context, call *dialect.Call, asked *membership) (users []store.User, grants map[int64]bool, err error) {
	grants = map[int64]bool{}
	for _, id := range asked.named {
		u, err := call.FindUser(ctx, store.UserByUUID(call.Customer.ID, id))
		switch {
		case errors.Is(err, store.ErrNotFound) && asked.is[id]:
			asked.say(asked.field[id], invalidValue, asked.field[id]+noUser)
		case errors.Is(err, store.ErrNotFound):
			// Nobody is not a member already.
		case err != nil:
			return nil, nil, err
		default:
			users, grants[u.ID] = append(users, u), asked.is[id]
		}
	}
	if len(asked.wrong) > 0 {
		return nil, nil, &dialect.InvalidError{Fields: asked.wrong}
	}
	return users, grants, nil
}

// presentMembers returns as many members of a role as a request changes or as its answer may have to show: all, if it resets them.
func (h *handler) presentMembers(ctx context.Context, call *dialect.Call, role store.Role, asked *membership, s selection) ([]store.User, error) {
	switch {
	case asked.reset:
		return h.members(ctx, call, role, store.Window{Limit: maxMembers + 1})
	case s.asksForMembers():
		return h.members(ctx, call, role, store.Window{Limit: maxPage + int64(len(asked.is))})
	}
	return nil, nil
}

// membersAfter returns the first page of the members after a write, by the order of their ids.
func membersAfter(present, named []store.User, grants map[int64]bool, reset bool) (all []store.User) {
	if !reset {
		all = slices.DeleteFunc(slices.Clone(present), func(u store.User) bool { _, named := grants[u.ID]; return named })
	}
	for _, u := range named {
		if grants[u.ID] {
			all = append(all, u)
		}
	}
	slices.SortFunc(all, func(a, b store.User) int { return cmp.Compare(a.ID, b.ID) })
	return all[:min(len(all), maxPage)]
}
