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
	key, err := userKey(call, r.ID)
	if err != nil {
		return nil, err
	}
	operations, wrong := patch.Parse(h.userSchema, operationsOf(call.Body))
	if len(wrong) > 0 {
		invalid := &dialect.InvalidError{}
		for _, e := range wrong {
			invalid.Fields = append(invalid.Fields, dialect.FieldError{Field: e.Field, Message: e.Message, Code: e.Type})
		}
		return nil, invalid
	}
	user, written, err := call.UpdateUser(ctx, key, dialect.Edit{
		Apply: func(u *store.User) error {
			_, err := h.applyPatch(u, operations)
			return err
		},
		Ignored: func(u *store.User) []string {
			changed := *u
			ignored, _ := h.applyPatch(&changed, operations) // Apply has returned the error
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
func (h *handler) applyPatch(u *store.User, operations *patch.Patch) (ignored []string, err error) {
	before := attributesOf(u, h.roles)
	if u.Status == store.StatusInvited {
		// Only an operation that says so makes an invited user inactive.
		delete(before, "active")
	}
	after, ignored, err := operations.Apply(before)
	if err != nil {
		refused := (*patch.Error)(nil)
		if errors.As(err, &refused) {
			return nil, &dialect.RuleError{Fields: []dialect.FieldError{{Field: refused.Field, Message: refused.Message, Code: refused.Type}}}
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

// filterSchema returns a schema's properties as filters and paths name them, with those that all resources have.
func filterSchema(urn string, properties []property) *filter.Schema {
	s := &filter.Schema{URN: urn, Attributes: []filter.Attribute{
		{Name: "id", ReadOnly: true}, {Name: "externalId"},
		{Name: "meta", Type: filter.Complex, ReadOnly: true, Sub: []filter.Attribute{
			{Name: "resourceType", ReadOnly: true}, {Name: "created", Type: filter.DateTime, ReadOnly: true},
			{Name: "lastModified", Type: filter.DateTime, ReadOnly: true}, {Name: "location", ReadOnly: true}, {Name: "version", ReadOnly: true},
		}},
	}}
	for _, p := range properties {
		s.Attributes = append(s.Attributes, p.inFilters())
	}
	return s
}

func (p property) inFilters() filter.Attribute {
	a := filter.Attribute{Name: p.name, MultiValued: p.several, Required: p.required, ReadOnly: p.fixed}
	switch p.kind {
	case typeBoolean:
		a.Type = filter.Boolean
	case typeComplex:
		a.Type = filter.Complex
	}
	if p.kind == typeText && !p.exact {
		a.Text = &filter.Text{Fold: store.Fold}
	}
	for _, part := range p.parts {
		a.Sub = append(a.Sub, part.inFilters())
	}
	return a
}
