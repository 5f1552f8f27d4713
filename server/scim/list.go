package scim

import (
	"context"
	"errors"
	"strings"

	"github.com/dragoman-id/dragoman/gen/scimapi"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/scim/filter"
	"github.com/dragoman-id/dragoman/store"
)

// listing is what a list is asked for, by a query or by a body.
type listing struct {
	filter               *string
	start, count         *int64
	cursor               *string // nil: pages by index
	attributes, excluded *string
}

// fromSearch returns what a body asks for.
func fromSearch(r *scimapi.SearchRequest) listing {
	names := func(list []string) *string {
		if list == nil {
			return nil
		}
		return new(strings.Join(list, ","))
	}
	return listing{r.Filter, r.StartIndex, r.Count, r.Cursor, names(r.Attributes), names(r.ExcludedAttributes)}
}

// checkCount returns an error for a count that RFC 9865 does not allow beside a cursor.
func (l listing) checkCount() error {
	if l.cursor == nil || l.count == nil || *l.count >= 1 {
		return nil
	}
	return &dialect.InvalidError{Fields: []dialect.FieldError{{Field: "count", Code: invalidCount, Message: "count must be at least 1 beside cursor"}}}
}

// parseFilter parses a filter over the attributes of a schema; nil if there is none.
func parseFilter(schema *filter.Schema, text *string) (filter.Expression, error) {
	if text == nil {
		return nil, nil
	}
	e, err := filter.Parse(schema, *text)
	if invalid := (*filter.Error)(nil); errors.As(err, &invalid) {
		return nil, &dialect.InvalidError{Fields: []dialect.FieldError{{Field: "filter", Code: string(invalid.Kind), Message: strings.TrimPrefix(invalid.Error(), "the ")}}}
	}
	return e, err
}

// list returns a page of the call's customer's users.
func (h *handler) list(ctx context.Context, l listing) (scimapi.UserList, error) {
	call := dialect.CallFrom(ctx)
	if err := checkCustomer(call); err != nil {
		return scimapi.UserList{}, err
	}
	asked, err := parseFilter(userFilters, l.filter)
	if err != nil {
		return scimapi.UserList{}, err
	}
	if err := l.checkCount(); err != nil {
		return scimapi.UserList{}, err
	}
	start, limit := pageOf(l.start, l.count)
	q := store.Query{Provisioned: true}
	if asked != nil {
		q.Filters = fromFilter(asked, h.roles).filters()
	}
	if l.cursor != nil {
		return h.pageAfter(ctx, call, l, q, limit)
	}
	users, total, err := h.store.ListUsers(ctx, call.Customer.ID, q, store.Window{Offset: start - 1, Limit: limit})
	if err != nil {
		return scimapi.UserList{}, err
	}
	page := h.toAPIUserList(call, l, users, total)
	page.StartIndex = &start
	return page, nil
}

// pageAfter returns the page that a cursor stands for.
func (h *handler) pageAfter(ctx context.Context, call *dialect.Call, l listing, q store.Query, limit int64) (scimapi.UserList, error) {
	if l.start != nil {
		return scimapi.UserList{}, &dialect.InvalidError{Fields: []dialect.FieldError{{
			Field: "startIndex", Message: "startIndex and cursor exclude each other: send the one by which pages are asked for",
		}}}
	}
	cursors := cursorsOf(h.store, call.Customer.ID, value(l.filter), value(l.attributes), value(l.excluded))
	after, err := cursors.read(*l.cursor)
	if err != nil {
		return scimapi.UserList{}, err
	}
	// One more user than the page has tells whether there is a next one.
	users, total, err := h.store.ListUsers(ctx, call.Customer.ID, q, store.Window{After: after, Limit: limit + 1})
	if err != nil {
		return scimapi.UserList{}, err
	}
	more := int64(len(users)) > limit
	if more {
		users = users[:limit]
	}
	page := h.toAPIUserList(call, l, users, total)
	if more {
		page.NextCursor = new(cursors.after(users[limit-1].ID))
	}
	return page, nil
}

func value(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

func (h *handler) toAPIUserList(call *dialect.Call, l listing, users []store.User, total int64) scimapi.UserList {
	selected := selectionOf(l.attributes, l.excluded)
	page := scimapi.UserList{Schemas: []string{listURN}, TotalResults: total, ItemsPerPage: int64(len(users)), Resources: make([]scimapi.User, 0, len(users))}
	for i := range users {
		page.Resources = append(page.Resources, selected.of(toAPIUser(&users[i], h.roles, base(call))))
	}
	return page
}

// ListUsers returns a page of users.
func (h *handler) ListUsers(ctx context.Context, r scimapi.ListUsersRequestObject) (scimapi.ListUsersResponseObject, error) {
	p := r.Params
	page, err := h.list(ctx, listing{p.Filter, p.StartIndex, p.Count, p.Cursor, p.Attributes, p.ExcludedAttributes})
	if err != nil {
		return nil, err
	}
	return scimapi.ListUsers200ApplicationScimPlusJSONResponse{Body: page, Headers: scimapi.ListUsers200ResponseHeaders{CacheControl: dialect.CacheControl}}, nil
}

// SearchUsers returns a page of users.
func (h *handler) SearchUsers(ctx context.Context, r scimapi.SearchUsersRequestObject) (scimapi.SearchUsersResponseObject, error) {
	page, err := h.list(ctx, fromSearch(searchBody(r.JSONBody, r.ApplicationScimPlusJSONBody)))
	if err != nil {
		return nil, err
	}
	return scimapi.SearchUsers200ApplicationScimPlusJSONResponse{
		Body:    page,
		Headers: scimapi.SearchUsers200ResponseHeaders{CacheControl: dialect.CacheControl, DragomanIgnored: dialect.CallFrom(ctx).Ignored()},
	}, nil
}

// SearchAll returns a page of users, which are the resources that clients search for.
func (h *handler) SearchAll(ctx context.Context, r scimapi.SearchAllRequestObject) (scimapi.SearchAllResponseObject, error) {
	page, err := h.list(ctx, fromSearch(searchBody(r.JSONBody, r.ApplicationScimPlusJSONBody)))
	if err != nil {
		return nil, err
	}
	return scimapi.SearchAll200ApplicationScimPlusJSONResponse{
		Body:    page,
		Headers: scimapi.SearchAll200ResponseHeaders{CacheControl: dialect.CacheControl, DragomanIgnored: dialect.CallFrom(ctx).Ignored()},
	}, nil
}

// searchBody returns the body of whichever media type it was sent as.
func searchBody[B ~*scimapi.SearchRequest](bodies ...B) *scimapi.SearchRequest {
	for _, b := range bodies {
		if b != nil {
			return b
		}
	}
	return &scimapi.SearchRequest{}
}
