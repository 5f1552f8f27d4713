// Package worth is the Worth dialect: UUIDs, snake_case, partial updates. It translates between gen/worthapi and the model, and
// renders errors as Worth documents them. It contains no SQL and does not depend on any other dialect.
//
// The model's fields and their names in Worth:
//
//	model                              Worth
//	User.UUID                          userID (path)
//	Customer.UUID                      customerID (path)
//	FirstName, LastName                first_name, last_name
//	Email                              email
//	Username                           - (changes with the e-mail if the two are equal)
//	Mobile                             mobile ("" removes it)
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
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/dragoman-id/dragoman/gen/worthapi"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/store"
	"github.com/labstack/echo/v4"
)

// Mount registers the dialect's operations on e, under the base path of its document.
func Mount(e *echo.Echo, s *dialect.Service) (*dialect.Dialect, error) {
	d := &dialect.Dialect{
		API:         Description,
		Permissions: permissions,
		Tenant:      tenant,
		Checks: map[string]dialect.Check{
			"updateCustomerUser": checkPatch(s.Store.Catalogue()),
			"createCustomerUser": checkNewUser(s.Store.Catalogue()),
		},
		UserSchemas:  []string{"UserDetails", "UserRecord"},
		ContentType:  "application/json; charset=utf-8",
		FieldName:    fieldName,
		TakenMessage: takenMessage,
		Render:       render,
	}
	stages, err := d.Mount(s)
	if err != nil {
		return nil, err
	}
	h := worthapi.NewStrictHandler(&handler{store: s.Store, roles: s.Store.Catalogue()}, nil)
	worthapi.RegisterHandlersWithOptions(e, h, worthapi.RegisterHandlersOptions{BaseURL: d.BasePath(), OperationMiddlewares: stages})
	return d, nil
}

// tenant returns the customer whose UUID is in the path. Text that is not a UUID matches no customer.
func tenant(p dialect.Parameters) dialect.Tenant {
	id, _ := auth.ParseUUID(p["customerID"].(string))
	return dialect.Tenant{UUID: id}
}

var permissions = map[string]auth.Permission{
	"createCustomerUser":   auth.PermissionCreate,
	"getCustomerUser":      auth.PermissionRead,
	"listCustomerSubroles": auth.PermissionRead,
	"listCustomerUsers":    auth.PermissionRead,
	"updateCustomerUser":   auth.PermissionWrite,
}

type handler struct {
	store *store.Store
	roles *store.Catalogue
}

// checkCustomer returns the error that Worth documents for a customer that does not exist. Only callers whose token has this customer
// or none in its claims get this far.
func checkCustomer(call *dialect.Call) error {
	if call.Customer.ID != 0 {
		return nil
	}
	return &dialect.RuleError{Fields: []dialect.FieldError{{Field: "customerID", Message: "Customer does not exists"}}}
}

// GetCustomerUser returns one user.
func (h *handler) GetCustomerUser(ctx context.Context, r worthapi.GetCustomerUserRequestObject) (worthapi.GetCustomerUserResponseObject, error) {
	call := dialect.CallFrom(ctx)
	user, err := h.store.FindUser(ctx, store.UserByUUID(call.Customer.ID, r.UserID))
	if err != nil {
		return nil, err
	}
	etag := dialect.ETag(user.Version)
	notModified, err := call.CheckRead(user.Version)
	if err != nil {
		return nil, err
	}
	if notModified {
		return worthapi.GetCustomerUser304Response{Headers: worthapi.GetCustomerUser304ResponseHeaders{ETag: etag, CacheControl: dialect.CacheControl}}, nil
	}
	return worthapi.GetCustomerUser200JSONResponse{
		Body:    worthapi.UserAnswer{Status: "success", Message: "Success", Data: toAPIUserDetails(user, call.Customer, h.roles)},
		Headers: worthapi.GetCustomerUser200ResponseHeaders{ETag: etag, CacheControl: dialect.CacheControl},
	}, nil
}

// ListCustomerUsers returns one page of a customer's users.
func (h *handler) ListCustomerUsers(ctx context.Context, r worthapi.ListCustomerUsersRequestObject) (worthapi.ListCustomerUsersResponseObject, error) {
	call := dialect.CallFrom(ctx)
	if err := checkCustomer(call); err != nil {
		return nil, err
	}
	p := fromAPIPage(r.Params)
	users, total, err := h.store.ListUsers(ctx, call.Customer.ID, fromAPIQuery(r.Params, h.roles), p.window())
	if err != nil {
		return nil, err
	}
	if p.whole && total > maxWhole {
		return nil, &dialect.InvalidError{Fields: []dialect.FieldError{{
			Field: "pagination", Message: fmt.Sprintf("pagination may be false for at most %d records: ask for pages", maxWhole),
		}}}
	}
	page := worthapi.UserPage{
		Records:    make([]worthapi.UserRecord, 0, len(users)),
		TotalPages: p.pages(total),
		TotalItems: strconv.FormatInt(total, 10),
	}
	for _, u := range users {
		page.Records = append(page.Records, toAPIUserRecord(u, h.roles))
	}
	return worthapi.ListCustomerUsers200JSONResponse{
		Body:    worthapi.UserListAnswer{Status: "success", Message: "Success", Data: page},
		Headers: worthapi.ListCustomerUsers200ResponseHeaders{CacheControl: dialect.CacheControl},
	}, nil
}

// CreateCustomerUser adds an invited user.
func (h *handler) CreateCustomerUser(ctx context.Context, r worthapi.CreateCustomerUserRequestObject) (worthapi.CreateCustomerUserResponseObject, error) {
	call := dialect.CallFrom(ctx)
	if err := checkCustomer(call); err != nil {
		return nil, err
	}
	user := fromAPINewUser(r.Body, h.roles)
	err := call.CreateUser(ctx, &user)
	if conflict := (*store.ConflictError)(nil); errors.As(err, &conflict) && slices.Equal(conflict.Fields, []store.Field{store.FieldUsername}) {
		// The e-mail is free, but it is another user's username. Use the UUID as the username instead.
		user.UUID = h.store.NewUUID()
		user.Username = user.UUID.String()
		err = call.CreateUser(ctx, &user)
	}
	if err != nil {
		return nil, err
	}
	return worthapi.CreateCustomerUser200JSONResponse{
		Body: worthapi.CreatedAnswer{Status: "success", Message: "Customer user created.", Data: worthapi.CreatedUser{UserID: user.UUID}},
		Headers: worthapi.CreateCustomerUser200ResponseHeaders{
			ETag:            dialect.ETag(user.Version),
			CacheControl:    dialect.CacheControl,
			DragomanIgnored: call.Ignored(),
		},
	}, nil
}

// ListCustomerSubroles returns the subroles that can be assigned to a customer's users: all but that of the owner.
func (h *handler) ListCustomerSubroles(ctx context.Context, _ worthapi.ListCustomerSubrolesRequestObject) (worthapi.ListCustomerSubrolesResponseObject, error) {
	if err := checkCustomer(dialect.CallFrom(ctx)); err != nil {
		return nil, err
	}
	answer := worthapi.SubrolesAnswer{
		Status: "success", Message: "Customer subroles fetched successfully.", Data: []worthapi.Subrole{},
	}
	for _, role := range h.roles.In(h.roles.WithSubrole()) {
		if *role.SubroleCode == subroleNotOffered {
			continue
		}
		answer.Data = append(answer.Data, worthapi.Subrole{
			Code: *role.SubroleCode, Label: *role.SubroleLabel, ID: *role.SubroleUUID, DisplayName: *role.SubroleLabel,
		})
	}
	return worthapi.ListCustomerSubroles200JSONResponse{Body: answer}, nil
}

// subroleNotOffered is the code of the subrole that users may have but that the list of subroles omits.
const subroleNotOffered = "owner"

// UpdateCustomerUser replaces the fields that the body contains.
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
			CacheControl:    dialect.CacheControl,
			DragomanChanged: written.Changed,
			DragomanIgnored: written.Ignored,
		},
	}, nil
}
