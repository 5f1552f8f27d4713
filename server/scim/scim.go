// Package scim is the SCIM 2.0 dialect (RFC 7643, RFC 7644, cursors by RFC 9865): the identity provider of a customer provisions the
// customer's users by it. It translates between gen/scimapi and the model, and renders errors as the RFC does. It contains no SQL and
// does not depend on any other dialect.
//
// The model's fields and their names in SCIM:
//
//	model                              SCIM
//	User.UUID                          id
//	Customer.UUID                      customerID (path)
//	ExternalID                         externalId
//	Username                           userName
//	FirstName, LastName                name.givenName, name.familyName
//	DisplayName                        displayName
//	Email                              emails: one, of the type work, primary
//	Mobile                             phoneNumbers: one, of the type mobile
//	Status                             active (ACTIVE or not)
//	Roles                              roles (all of them, by name), and Groups, whose members have the role
//	CreatedAt, UpdatedAt               meta.created, meta.lastModified (answers only)
//	Version                            meta.version, ETag
//	DeprovisionedAt                    - : the user was deleted and is not found
//	AccountNonExpired, -NonLocked,     -
//	CredentialNonExpired, PasswordHash,
//	LastPasswordResetAt, AccessToken,
//	VCSPassword, EmailVerified,
//	FirstLogin, ExternalAuthID
package scim

import (
	"context"
	"slices"
	"time"

	"github.com/dragoman-id/dragoman/gen/scimapi"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/scim/filter"
	"github.com/dragoman-id/dragoman/store"
)

// mediaType is that of SCIM's bodies.
const mediaType = "application/scim+json"

// maxValues is the maximum number of JSON values in a body. A group's body has several for each of its members.
const maxValues = 8192

// checkMessage checks that the schemas of a body have the URN of a message or a resource.
func checkMessage(urn string) dialect.Check {
	return func(c *dialect.Call, _ dialect.Parameters) []dialect.FieldError { return checkSchemas(c.Body, urn) }
}

// tenant returns the customer whose UUID is in the path. Text that is not a UUID matches no customer.
func tenant(p dialect.Parameters) dialect.Tenant {
	id, _ := auth.ParseUUID(p["customerID"].(string))
	return dialect.Tenant{UUID: id}
}

var permissions = map[string]auth.Permission{
	"createGroup":              auth.PermissionWrite,
	"createUser":               auth.PermissionCreate,
	"deleteGroup":              auth.PermissionWrite,
	"deleteUser":               auth.PermissionWrite,
	"getGroup":                 auth.PermissionRead,
	"getResourceType":          auth.PermissionRead,
	"getSchema":                auth.PermissionRead,
	"getServiceProviderConfig": auth.PermissionRead,
	"getUser":                  auth.PermissionRead,
	"listGroups":               auth.PermissionRead,
	"listResourceTypes":        auth.PermissionRead,
	"listSchemas":              auth.PermissionRead,
	"listUsers":                auth.PermissionRead,
	"patchGroup":               auth.PermissionWrite,
	"patchUser":                auth.PermissionWrite,
	"replaceGroup":             auth.PermissionWrite,
	"replaceUser":              auth.PermissionWrite,
	"searchAll":                auth.PermissionRead,
	"searchUsers":              auth.PermissionRead,
}

// isDeleted reports whether a client of this dialect has deleted the user. The others go on showing an inactive user.
func isDeleted(u *store.User) bool { return u.DeprovisionedAt != nil }

type handler struct {
	store *store.Store
	roles *store.Catalogue
	now   func() time.Time
	// What filters and paths may name.
	userSchema, groupSchema *filter.Schema
}

func newHandler(s *dialect.Service) *handler {
	roles := s.Store.Catalogue()
	return &handler{
		store: s.Store, roles: roles, now: s.Now,
		userSchema: filterSchema(userURN, userProperties(roles)), groupSchema: filterSchema(groupURN, groupProperties),
	}
}

// base returns the URL of the endpoints of the call's customer.
func base(call *dialect.Call) string { return call.URL("/" + call.Customer.UUID.String()) }

// userKey returns the key of the user with this id. The error is store.ErrNotFound if the id is not a UUID.
func userKey(call *dialect.Call, id string) (store.UserKey, error) {
	parsed, ok := auth.ParseUUID(id)
	if !ok {
		return store.UserKey{}, store.ErrNotFound
	}
	return store.UserByUUID(call.Customer.ID, parsed), nil
}

// GetUser returns one user.
func (h *handler) GetUser(ctx context.Context, r scimapi.GetUserRequestObject) (scimapi.GetUserResponseObject, error) {
	call := dialect.CallFrom(ctx)
	selected := selectionOf(r.Params.Attributes, r.Params.ExcludedAttributes)
	key, err := userKey(call, r.UserID)
	if err != nil {
		return nil, err
	}
	user, err := call.FindUser(ctx, key)
	if err != nil {
		return nil, err
	}
	etag := dialect.ETag(user.Version)
	notModified, err := call.CheckRead(user.Version)
	if err != nil {
		return nil, err
	}
	if notModified {
		return scimapi.GetUser304Response{Headers: scimapi.NotModifiedResponseHeaders{ETag: etag, CacheControl: dialect.CacheControl}}, nil
	}
	return scimapi.GetUser200ApplicationScimPlusJSONResponse{
		Body:    selected.of(toAPIUser(&user, h.roles, base(call))),
		Headers: scimapi.GetUser200ResponseHeaders{ETag: etag, CacheControl: dialect.CacheControl},
	}, nil
}

// CreateUser adds a user, or restores a deleted one who has the userName, the e-mail or the externalId of the body.
func (h *handler) CreateUser(ctx context.Context, r scimapi.CreateUserRequestObject) (scimapi.CreateUserResponseObject, error) {
	call := dialect.CallFrom(ctx)
	selected := selectionOf(r.Params.Attributes, r.Params.ExcludedAttributes)
	asked, _ := parseUser(call.Body, h.roles)
	ignored, err := call.IgnoredWith(ignoredMembers(call.Body, asked, nil))
	if err != nil {
		return nil, err
	}
	deleted, matching, err := h.findDeleted(ctx, call, asked)
	if err != nil {
		return nil, err
	}
	var user store.User
	if deleted != nil {
		user, err = h.restore(ctx, call, asked, deleted, matching)
	} else {
		user = store.User{AccountNonExpired: true, AccountNonLocked: true, CredentialNonExpired: true, FirstLogin: true}
		asked.create(&user)
		err = call.CreateUser(ctx, &user)
	}
	if err != nil {
		return nil, err
	}
	shown := toAPIUser(&user, h.roles, base(call))
	return scimapi.CreateUser201ApplicationScimPlusJSONResponse{
		Body: selected.of(shown),
		Headers: scimapi.CreateUser201ResponseHeaders{
			Location:        *shown.Meta.Location,
			ETag:            dialect.ETag(user.Version),
			CacheControl:    dialect.CacheControl,
			DragomanIgnored: ignored,
		},
	}, nil
}

// findDeleted returns the deleted user who has a unique value of a new user, and which of these values. Deleted is nil if there is
// none, or if a user who is not deleted has one of the values, which the creation then reports. It returns a *store.ConflictError if
// the values belong to several deleted users.
func (h *handler) findDeleted(ctx context.Context, call *dialect.Call, asked resource) (deleted *store.User, matching []store.Field, err error) {
	for _, value := range []struct {
		field store.Field
		text  *string
	}{{store.FieldUsername, asked.userName}, {store.FieldEmail, asked.email}, {store.FieldExternalID, asked.externalID}} {
		if value.text == nil || *value.text == "" {
			continue
		}
		users, err := h.store.UsersWith(ctx, call.Customer.ID, value.field, *value.text)
		if err != nil {
			return nil, nil, err
		}
		for i := range users {
			switch u := &users[i]; {
			case !isDeleted(u):
				return nil, nil, nil
			case deleted != nil && deleted.ID != u.ID:
				return nil, nil, &store.ConflictError{Fields: append(matching, value.field)}
			default:
				deleted = u
			}
		}
		if len(users) > 0 {
			matching = append(matching, value.field)
		}
	}
	return deleted, matching, nil
}

// restore makes a deleted user what the body asks for, without the secrets that the user had.
func (h *handler) restore(ctx context.Context, call *dialect.Call, asked resource, deleted *store.User, matching []store.Field) (store.User, error) {
	token := h.store.NewAccessToken()
	user, _, err := call.UpdateUser(ctx, store.UserByID(call.Customer.ID, deleted.ID), dialect.Edit{
		Restores: true,
		Apply: func(u *store.User) error {
			if !isDeleted(u) {
				// Another request was first.
				return &store.ConflictError{Fields: slices.Clone(matching)}
			}
			asked.create(u)
			u.PasswordHash, u.LastPasswordResetAt, u.VCSPassword = nil, nil, nil
			u.AccessToken = token
			return nil
		},
	})
	return user, err
}

// ReplaceUser replaces the attributes that the body has.
func (h *handler) ReplaceUser(ctx context.Context, r scimapi.ReplaceUserRequestObject) (scimapi.ReplaceUserResponseObject, error) {
	call := dialect.CallFrom(ctx)
	selected := selectionOf(r.Params.Attributes, r.Params.ExcludedAttributes)
	key, err := userKey(call, r.UserID)
	if err != nil {
		return nil, err
	}
	asked, _ := parseUser(call.Body, h.roles)
	user, written, err := call.UpdateUser(ctx, key, dialect.Edit{
		Apply: func(u *store.User) error {
			asked.replace(u)
			return nil
		},
		Ignored: func(u *store.User) []string {
			shown := toAPIUser(u, h.roles, base(call))
			return ignoredMembers(call.Body, asked, &shown)
		},
	})
	if err != nil {
		return nil, err
	}
	return scimapi.ReplaceUser200ApplicationScimPlusJSONResponse{
		Body: selected.of(toAPIUser(&user, h.roles, base(call))),
		Headers: scimapi.ReplaceUser200ResponseHeaders{
			ETag:            written.ETag,
			CacheControl:    dialect.CacheControl,
			DragomanChanged: written.Changed,
			DragomanIgnored: written.Ignored,
		},
	}, nil
}

// DeleteUser makes a user inactive, and hides it from this dialect.
func (h *handler) DeleteUser(ctx context.Context, r scimapi.DeleteUserRequestObject) (scimapi.DeleteUserResponseObject, error) {
	call := dialect.CallFrom(ctx)
	key, err := userKey(call, r.UserID)
	if err != nil {
		return nil, err
	}
	at := h.now()
	_, _, err = call.UpdateUser(ctx, key, dialect.Edit{
		Apply: func(u *store.User) error {
			u.Status, u.DeprovisionedAt = store.StatusInactive, &at
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	return scimapi.DeleteUser204Response{}, nil
}
