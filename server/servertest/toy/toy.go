// Package toy is an invented dialect that differs from the real ones in whatever a dialect may differ: its members' names, its
// ids, its paths, and that one user can be patched and put. Tests serve it beside the real ones, so that what goes over all
// dialects cannot depend on one of these; and it can be spoiled, so that tests see what is said of a dialect that is not whole.
// It knows no other dialect. It was made by the steps of server/docs/guide/add-a-dialect.md.
//
//	model                 toy
//	User.ID               person (path), tag: p and the number
//	Customer.ID           shop (path): s and the number
//	FirstName, LastName   given, family
//	Username              handle
//	Email                 contact
//	Mobile                phone ("" is none)
//	Status                open (ACTIVE or not)
//	Roles                 grants[].role, by the role's name
//	CreatedAt             since (answers only)
//	Version               ETag
//	the others            -
package toy

import (
	"context"
	"strconv"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/servertest/toy/gen/toyapi"
	"github.com/dragoman-id/dragoman/store"
	"github.com/labstack/echo/v4"
)

// Mount serves the dialect's operations on e, below the base path of its document.
func Mount(e *echo.Echo, s *dialect.Service) (*dialect.Dialect, error) {
	return Spoiled{API: Description}.Mount(e, s)
}

// Spoiled is the dialect with something wrong with it.
type Spoiled struct {
	API     description.API
	Dialect func(*dialect.Dialect)                                                        // changes what is mounted; nil: nothing
	Handler func(toyapi.StrictServerInterface, *store.Store) toyapi.StrictServerInterface // takes the handlers' place; nil: none does
}

// Mount is as the function Mount.
func (spoiled Spoiled) Mount(e *echo.Echo, s *dialect.Service) (*dialect.Dialect, error) {
	d := &dialect.Dialect{
		API:          spoiled.API,
		Permissions:  map[string]auth.Permission{"getPerson": auth.PermissionRead, "patchPerson": auth.PermissionWrite, "putPerson": auth.PermissionWrite},
		Tenant:       func(p dialect.Parameters) dialect.Tenant { return dialect.Tenant{ID: number(p["shop"].(string))} },
		Checks:       map[string]dialect.Check{"patchPerson": checkPatch(s.Store.Catalogue()), "putPerson": checkPut(s.Store.Catalogue())},
		UserSchemas:  []string{"Person"},
		ContentType:  echo.MIMEApplicationJSON,
		FieldName:    func(f store.Field) string { return fieldNames[f] },
		TakenMessage: func(f store.Field) string { return fieldNames[f] + " is taken" },
		Render:       render,
	}
	if spoiled.Dialect != nil {
		spoiled.Dialect(d)
	}
	stages, err := d.Mount(s)
	if err != nil {
		return nil, err
	}
	var h toyapi.StrictServerInterface = &handler{s.Store}
	if spoiled.Handler != nil {
		h = spoiled.Handler(h, s.Store)
	}
	toyapi.RegisterHandlersWithOptions(e, toyapi.NewStrictHandler(h, nil), toyapi.RegisterHandlersOptions{BaseURL: d.BasePath(), OperationMiddlewares: stages})
	return d, nil
}

// number reads an id. What is none of ours is 0, which nobody has.
func number(id string) int64 {
	n, err := strconv.ParseInt(id[1:], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

type handler struct{ store *store.Store }

// GetPerson gives one user.
func (h *handler) GetPerson(ctx context.Context, r toyapi.GetPersonRequestObject) (toyapi.GetPersonResponseObject, error) {
	call := dialect.CallFrom(ctx)
	user, err := h.store.FindUser(ctx, store.UserByID(call.Customer.ID, number(r.Person)))
	if err != nil {
		return nil, err
	}
	notModified, err := call.CheckRead(user.Version)
	if err != nil {
		return nil, err
	}
	if notModified {
		return toyapi.GetPerson304Response{Headers: toyapi.GetPerson304ResponseHeaders{ETag: dialect.ETag(user.Version), CacheControl: dialect.CacheControl}}, nil
	}
	return toyapi.GetPerson200JSONResponse{
		Body:    toAPIPerson(user, h.store.Catalogue()),
		Headers: toyapi.GetPerson200ResponseHeaders{ETag: dialect.ETag(user.Version), CacheControl: dialect.CacheControl},
	}, nil
}

// PatchPerson replaces the fields that the body names.
func (h *handler) PatchPerson(ctx context.Context, r toyapi.PatchPersonRequestObject) (toyapi.PatchPersonResponseObject, error) {
	call := dialect.CallFrom(ctx)
	user, written, err := call.UpdateUser(ctx, store.UserByID(call.Customer.ID, number(r.Person)), dialect.Edit{
		Apply: func(u *store.User) error {
			applyPatch(u, r.Body, h.store.Catalogue())
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	return toyapi.PatchPerson200JSONResponse{Body: toAPIPerson(user, h.store.Catalogue()), Headers: toyapi.PatchPerson200ResponseHeaders{
		ETag: written.ETag, CacheControl: dialect.CacheControl, DragomanChanged: written.Changed, DragomanIgnored: written.Ignored,
	}}, nil
}

// PutPerson replaces all that the dialect can name.
func (h *handler) PutPerson(ctx context.Context, r toyapi.PutPersonRequestObject) (toyapi.PutPersonResponseObject, error) {
	call := dialect.CallFrom(ctx)
	user, written, err := call.UpdateUser(ctx, store.UserByID(call.Customer.ID, number(r.Person)), dialect.Edit{
		Apply: func(u *store.User) error {
			applyPut(u, r.Body, h.store.Catalogue())
			return nil
		},
		Ignored: func(u *store.User) []string {
			if r.Body.Since != nil && *r.Body.Since != u.CreatedAt.UnixMilli() {
				return []string{"since"}
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	return toyapi.PutPerson200JSONResponse{Body: toAPIPerson(user, h.store.Catalogue()), Headers: toyapi.PutPerson200ResponseHeaders{
		ETag: written.ETag, CacheControl: dialect.CacheControl, DragomanChanged: written.Changed, DragomanIgnored: written.Ignored,
	}}, nil
}
