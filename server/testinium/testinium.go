// Package testinium is the Testinium dialect: integer ids, camelCase, full-object replacement, the current-company-id header. It
// translates between gen/testiniumapi and the model, and renders errors as Testinium documents them. It contains no SQL and does not
// depend on any other dialect.
//
// The model's fields and their names in Testinium:
//
//	model                              Testinium
//	User.ID                            userId (path), entityId
//	Customer.ID                        id (path), customer
//	Company                            current-company-id (header)
//	FirstName, LastName                name, surname
//	Username                           username
//	Email                              email
//	Roles                              authorities (all of them)
//	Status                             enabled (ACTIVE or not)
//	AccountNonExpired                  accountNonExpired
//	AccountNonLocked                   accountNonLocked
//	CredentialNonExpired               credentialNonExpired
//	PasswordHash                       newPassword, password (write only)
//	LastPasswordResetAt                lastPasswordResetDate (answers only)
//	AccessToken                        accessToken (answers only, for callers of at least the user's rank)
//	VCSPassword                        vcsPassword (write only)
//	CreatedAt                          createdDate (answers only)
//	Version                            ETag
//	Mobile, EmailVerified, FirstLogin, -
//	ExternalAuthID
package testinium

import (
	"context"

	"github.com/dragoman-id/dragoman/gen/testiniumapi"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/store"
	"github.com/labstack/echo/v4"
)

// Mount registers the dialect's operations on e, under the base path of its document.
func Mount(e *echo.Echo, s *dialect.Service) (*dialect.Dialect, error) {
	d := &dialect.Dialect{
		API: Description,
		Permissions: map[string]auth.Permission{
			"getUser":    auth.PermissionRead,
			"listUsers":  auth.PermissionRead,
			"updateUser": auth.PermissionWrite,
		},
		Tenant:       tenant,
		Checks:       map[string]dialect.Check{"updateUser": checkUpdate(s.Store.Catalogue())},
		UserSchemas:  []string{"User"},
		MediaTypes:   []string{echo.MIMEApplicationForm}, // curl's default, as in the documented call
		ContentType:  echo.MIMEApplicationJSON,
		FieldName:    fieldName,
		TakenMessage: takenMessage,
		Render:       renderer(s.Now),
	}
	stages, err := d.Mount(s)
	if err != nil {
		return nil, err
	}
	h := testiniumapi.NewStrictHandler(&handler{store: s.Store}, nil)
	testiniumapi.RegisterHandlersWithOptions(dialect.SlashOptional(e), h, testiniumapi.RegisterHandlersOptions{BaseURL: d.BasePath(), OperationMiddlewares: stages})
	return d, nil
}

func tenant(p dialect.Parameters) dialect.Tenant {
	company := p["current-company-id"].(int64)
	return dialect.Tenant{ID: p["id"].(int64), Company: &company}
}

type handler struct{ store *store.Store }

// GetUser returns one user.
func (h *handler) GetUser(ctx context.Context, r testiniumapi.GetUserRequestObject) (testiniumapi.GetUserResponseObject, error) {
	call := dialect.CallFrom(ctx)
	user, err := h.store.FindUser(ctx, store.UserByID(call.Customer.ID, r.UserID))
	if err != nil {
		return nil, err
	}
	etag := dialect.ETag(user.Version)
	notModified, err := call.CheckRead(user.Version)
	if err != nil {
		return nil, err
	}
	if notModified {
		return testiniumapi.GetUser304Response{Headers: testiniumapi.GetUser304ResponseHeaders{ETag: etag, CacheControl: dialect.CacheControl}}, nil
	}
	return testiniumapi.GetUser200JSONResponse{
		Body:    toAPIUser(user, h.store.Catalogue(), call.SeesAccessToken(&user)),
		Headers: testiniumapi.GetUser200ResponseHeaders{ETag: etag, CacheControl: dialect.CacheControl},
	}, nil
}

// ListUsers streams all users of a customer.
func (h *handler) ListUsers(ctx context.Context, _ testiniumapi.ListUsersRequestObject) (testiniumapi.ListUsersResponseObject, error) {
	call := dialect.CallFrom(ctx)
	list := &userList{
		call:  call,
		roles: h.store.Catalogue(),
		next: func(after int64) ([]store.User, error) {
			return h.store.UsersAfter(ctx, call.Customer.ID, after, batchSize)
		},
	}
	// Read the first batch before the response begins, so that an error in it can still be answered with an error body.
	if err := list.read(); err != nil {
		return nil, err
	}
	return list, nil
}

// UpdateUser replaces all fields of the user that the dialect has a name for.
func (h *handler) UpdateUser(ctx context.Context, r testiniumapi.UpdateUserRequestObject) (testiniumapi.UpdateUserResponseObject, error) {
	call := dialect.CallFrom(ctx)
	user, written, err := call.UpdateUser(ctx, store.UserByID(call.Customer.ID, r.UserID), dialect.Edit{
		Apply: func(u *store.User) error {
			applyPut(u, r.Body, h.store.Catalogue())
			return nil
		},
		Ignored: func(u *store.User) []string {
			return ignoredMembers(call.Body, toAPIUser(*u, h.store.Catalogue(), call.SeesAccessToken(u)), call.Company.Name)
		},
		Password: newPassword(r.Body),
	})
	if err != nil {
		return nil, err
	}
	return testiniumapi.UpdateUser200JSONResponse{
		Body: toAPIUser(user, h.store.Catalogue(), call.SeesAccessToken(&user)),
		Headers: testiniumapi.UpdateUser200ResponseHeaders{
			ETag:            written.ETag,
			CacheControl:    dialect.CacheControl,
			DragomanChanged: written.Changed,
			DragomanIgnored: written.Ignored,
		},
	}, nil
}
