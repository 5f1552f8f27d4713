package scim

import (
	"context"
	"errors"

	"github.com/dragoman-id/dragoman/gen/scimapi"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/scim/filter"
	"github.com/dragoman-id/dragoman/server/scim/patch"
	"github.com/dragoman-id/dragoman/store"
)

// PatchUser carries out operations on the attributes of a user.
func (h *handler) PatchUser(ctx context.Context, r scimapi.PatchUserRequestObject) (scimapi.PatchUserResponseObject, error) {
	call := dialect.CallFrom(ctx)
	selected := selectionOf(r.Params.Attributes, r.Params.ExcludedAttributes)
	key, err := userKey(call, r.UserID)
	if err != nil {
		return nil, err
	}
	operations, wrong := patch.Parse(h.userSchema, operationsOf(call.Body))
	if len(wrong) > 0 {
		invalid := &dialect.InvalidError{}
		for _, e := range wrong {
			invalid.Fields = append(invalid.Fields, dialect.FieldError{Field: e.Field, Message: e.Error(), Code: e.Type})
		}
		return nil, invalid
	}
	user, written, err := call.UpdateUser(ctx, key, dialect.Edit{
		Apply: func(u *store.User) error {
			_, err := h.applyPatch(u, operations, base(call))
			return err
		},
		Ignored: func(u *store.User) []string {
			changed := *u
			ignored, _ := h.applyPatch(&changed, operations, base(call)) // Apply has returned the error
			return append(ignored, operations.Undeclared...)
		},
	})
	if err != nil {
		return nil, err
	}
	return scimapi.PatchUser200ApplicationScimPlusJSONResponse{
		Body: selected.of(toAPIUser(&user, h.roles, base(call))),
		Headers: scimapi.PatchUser200ResponseHeaders{
			ETag:            written.ETag,
			CacheControl:    dialect.CacheControl,
			DragomanChanged: written.Changed,
			DragomanIgnored: written.Ignored,
		},
	}, nil
}

// operationsOf returns the operations of a body, which the document's schema has accepted.
func operationsOf(body map[string]any) (all []patch.Operation) {
	sent, _ := body["Operations"].([]any)
	for _, s := range sent {
		operation, _ := s.(map[string]any)
		o := patch.Operation{Value: operation["value"]}
		o.Op, _ = operation["op"].(string)
		o.Path, _ = operation["path"].(string)
		all = append(all, o)
	}
	return all
}

// applyPatch carries out operations on the attributes of u, and returns those that were ignored.
func (h *handler) applyPatch(u *store.User, operations *patch.Patch, base string) (ignored []string, err error) {
	before := patched(u, h.roles, base)
	if u.Status == store.StatusInvited {
		// Only an operation that says so makes an invited user inactive.
		delete(before, "active")
	}
	after, ignored, err := operations.Apply(before)
	if err != nil {
		refused := (*patch.Error)(nil)
		if errors.As(err, &refused) {
			return nil, &dialect.RuleError{Fields: []dialect.FieldError{{Field: refused.Field, Message: refused.Error(), Code: refused.Type}}}
		}
		return nil, err
	}
	clearRemoved(before, after)
	asked, wrong := parseUser(after, h.roles)
	if len(wrong) > 0 {
		return nil, &dialect.RuleError{Fields: wrong}
	}
	asked.modify(u)
	return append(ignored, asked.ignored...), nil
}

// clearRemoved sets to null what operations have removed, since absence leaves an attribute as it is.
func clearRemoved(before, after map[string]any) {
	for name, value := range before {
		is, kept := after[name]
		if !kept {
			after[name] = nil
			continue
		}
		if object, ok := value.(map[string]any); ok {
			if now, ok := is.(map[string]any); ok {
				clearRemoved(object, now)
			}
		}
	}
}

// filterSchema returns what paths can name: what filters can, and the attributes that only the server sets. Each value of an attribute
// with several can also be named as the primary one, since Entra ID sends roles[primary eq "True"].value for the one role of a user.
func filterSchema(urn string, properties []property) *filter.Schema {
	s := filterable(urn, properties)
	for i := range s.Attributes {
		a := &s.Attributes[i]
		switch {
		case a.Name == "id":
			a.ReadOnly = true
		case a.Name == "meta":
			a.ReadOnly = true
			a.Sub = append(a.Sub, filter.Attribute{Name: "location"}, filter.Attribute{Name: "version"})
		case a.MultiValued && filter.Named(a.Sub, primary) == nil:
			a.Sub = append(a.Sub, filter.Attribute{Name: primary, Type: filter.Boolean})
		}
	}
	return s
}

// primary is the sub-attribute that one value of an attribute at most has, unless it is not declared.
const primary = "primary"

// patched returns the attributes of a user that the operations of a PATCH start from. All values that are not declared to be primary are:
// an operation on the primary role is one on all roles, so that the user has one role after it.
func patched(u *store.User, roles *store.Catalogue, base string) map[string]any {
	attributes := attributesOf(u, roles)
	for _, value := range attributes {
		elements, _ := value.([]any)
		for _, element := range elements {
			element.(map[string]any)[primary] = true
		}
	}
	meta := toAPIUser(u, roles, base).Meta
	attributes["id"] = u.UUID.String()
	attributes["meta"] = map[string]any{
		"resourceType": *meta.ResourceType, "created": *meta.Created, "lastModified": *meta.LastModified, "location": *meta.Location, "version": *meta.Version,
	}
	return attributes
}
