// Package worth is the Worth dialect: UUIDs, snake_case, partial updates. It translates between gen/worthapi and the
// model and gives errors Worth's words. It knows neither HTTP nor SQL, and no other dialect.
//
// What the two vocabularies call the same thing:
//
//	model                              Worth
//	User.UUID                          userID (path)
//	Customer.UUID                      customerID (path)
//	FirstName, LastName                first_name, last_name
//	Email                              email
//	Username                           - (follows the e-mail while they are equal)
//	Mobile                             mobile ("" is none)
//	Roles                              subrole (the highest-ranked role that has one)
//	Status                             status
//	EmailVerified                      is_email_verified (answers only)
//	FirstLogin                         is_first_login (answers only)
//	ExternalAuthID                     ext_auth_ref_id (answers only)
//	Version                            ETag
//	lock and expiry flags, passwords,  -
//	access token, VCS password
package worth

import (
	"context"
	"fmt"

	"github.com/dragoman-id/dragoman/gen/worthapi"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/store"
	"github.com/labstack/echo/v4"
)

// Mount serves the dialect's operations on e, below the base path of its document.
func Mount(e *echo.Echo, s *dialect.Service) (*dialect.Dialect, error) {
	document, err := worthapi.GetSpec()
	if err != nil {
		return nil, fmt.Errorf("read worth's document: %w", err)
	}
	d := &dialect.Dialect{
		Name:         "worth",
		Document:     document,
		Permissions:  map[string]auth.Permission{"updateCustomerUser": auth.PermissionWrite},
		Tenant:       tenant,
		Checks:       map[string]dialect.Check{"updateCustomerUser": checkPatch(s.Store.Catalogue())},
		ContentType:  "application/json; charset=utf-8",
		FieldName:    fieldName,
		TakenMessage: takenMessage,
		Render:       render,
	}
	stages, err := d.Mount(s)
	if err != nil {
		return nil, err
	}
	h := worthapi.NewStrictHandler(&handler{roles: s.Store.Catalogue()}, nil)
	worthapi.RegisterHandlersWithOptions(e, h, worthapi.RegisterHandlersOptions{BaseURL: d.BasePath(), OperationMiddlewares: stages})
	return d, nil
}

// tenant reads the customer's UUID. Anything else in its place is no customer's.
func tenant(p dialect.Parameters) dialect.Tenant {
	id, _ := auth.ParseUUID(p["customerID"].(string))
	return dialect.Tenant{UUID: id}
}

type handler struct{ roles *store.Catalogue }

// UpdateCustomerUser replaces the fields that the body names.
func (h *handler) UpdateCustomerUser(ctx context.Context, r worthapi.UpdateCustomerUserRequestObject) (worthapi.UpdateCustomerUserResponseObject, error) {
	call := dialect.CallFrom(ctx)
	id, ok := auth.ParseUUID(r.UserID)
	if !ok {
		return nil, store.ErrNotFound
	}
	_, written, err := call.UpdateUser(ctx, store.UserByUUID(call.Customer.ID, id), dialect.Edit{
		Apply: func(u *store.User) error {
			applyPatch(u, r.Body, h.roles)
			return nil
		},
		UsernameFollowsEmail: true,
	})
	if err != nil {
		return nil, err
	}
	return worthapi.UpdateCustomerUser200JSONResponse{
		Body: worthapi.Success{Status: "success", Message: "User details updated successfully"},
		Headers: worthapi.UpdateCustomerUser200ResponseHeaders{
			ETag:            written.ETag,
			CacheControl:    written.CacheControl,
			DragomanChanged: written.Changed,
			DragomanIgnored: written.Ignored,
		},
	}, nil
}
