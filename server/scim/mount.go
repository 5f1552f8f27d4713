package scim

import (
	"net/http"

	"github.com/dragoman-id/dragoman/gen/scimapi"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/labstack/echo/v4"
)

// Mount registers the dialect's operations on e, under the base path of its document.
func Mount(e *echo.Echo, s *dialect.Service) (*dialect.Dialect, error) {
	roles := s.Store.Catalogue()
	d := &dialect.Dialect{
		API:                       Description,
		Permissions:               permissions,
		AcceptsProvisioningTokens: true,
		Tenant:                    tenant,
		Checks: map[string]dialect.Check{
			"createUser":   checkUser(roles),
			"replaceUser":  checkUser(roles),
			"patchUser":    checkMessage(patchURN),
			"searchUsers":  checkMessage(searchURN),
			"searchAll":    checkMessage(searchURN),
			"createGroup":  checkMessage(groupURN),
			"replaceGroup": checkMessage(groupURN),
			"patchGroup":   checkMessage(patchURN),
		},
		UserSchemas:         []string{"User"},
		MediaTypes:          []string{mediaType},
		ContentType:         mediaType,
		FieldName:           fieldName,
		TakenMessage:        takenMessage,
		TakenStatus:         http.StatusConflict,
		Hides:               isDeleted,
		IgnoresUnknownQuery: true,
		MaxValues:           maxValues,
		Render:              render,
	}
	stages, err := d.Mount(s)
	if err != nil {
		return nil, err
	}
	h := scimapi.NewStrictHandler(newHandler(s), nil)
	scimapi.RegisterHandlersWithOptions(e, h, scimapi.RegisterHandlersOptions{BaseURL: d.BasePath(), OperationMiddlewares: stages})
	return d, nil
}
