package worth_test

import (
	"net/http"
	"testing"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
)

func TestSubrolesAreBareArrayWithoutOwner(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		const nowhere = "5d2b1c9e-31a5-4c39-8c1a-4a3f7cf4f0aa"
		get := func(claims auth.Claims, customer string) servertest.Answer {
			return s.Ask(claims, servertest.Request{Method: http.MethodGet, Path: "/auth/api/v1/customers/" + customer + "/subroles"})
		}
		all := `{"status":"success","message":"Customer subroles fetched successfully.","data":[` +
			`{"code":"cro","label":"CRO","id":"e0d4970f-0f4d-4a0d-aaa6-681a048cb656","display_name":"CRO"},` +
			`{"code":"risk_analyst","label":"Risk Analyst","id":"6351c76f-76a3-4950-9cc4-cc37cdc05ec2","display_name":"Risk Analyst"}]}`
		answer := get(servertest.Manager(), servertest.SandboxUUID.String())
		answer.Expect(t, http.StatusOK, all)
		answer.ExpectHeader(t, "Content-Type", "application/json; charset=utf-8")
		platform := servertest.Administrator()
		platform.Customers = []string{auth.AllCustomers}
		get(platform, servertest.ElsewhereUUID.String()).Expect(t, http.StatusOK, all)

		unknown := servertest.WorthError(http.StatusBadRequest, "INVALID", "CustomersApiError", "Customer does not exists",
			servertest.FieldError{"customerID", "Customer does not exists"})
		stranger := servertest.Manager()
		stranger.Customers = []string{nowhere}
		get(stranger, nowhere).Expect(t, http.StatusBadRequest, unknown)
		get(platform, nowhere).Expect(t, http.StatusBadRequest, unknown)

		forbidden := servertest.WorthError(http.StatusForbidden, "ERR_FORBIDDEN", "AccessMiddlewareError", "Forbidden")
		creator := servertest.Manager()
		creator.Permissions, creator.Authorities = []auth.Permission{auth.PermissionCreate}, nil
		get(servertest.Manager(), nowhere).Expect(t, http.StatusForbidden, forbidden)
		get(servertest.Manager(), servertest.ElsewhereUUID.String()).Expect(t, http.StatusForbidden, forbidden)
		get(creator, servertest.SandboxUUID.String()).Expect(t, http.StatusForbidden, forbidden)

		get(servertest.Manager(), "3393").Expect(t, http.StatusBadRequest, servertest.WorthError(http.StatusBadRequest, "INVALID",
			"ValidationMiddlewareError", "", servertest.FieldError{"customerID", "customerID must be a UUID"}))
		s.Send(servertest.Request{Method: http.MethodGet, Path: "/auth/api/v1/customers/" + servertest.SandboxUUID.String() + "/subroles"}).
			Expect(t, http.StatusUnauthorized, servertest.WorthError(http.StatusUnauthorized, "ERR_UNAUTHORIZED", "AuthenticationMiddlewareError", "Unauthorized"))
	})
}
