package auth

import (
	"github.com/dragoman-id/dragoman/store"
	"github.com/google/uuid"
)

// provisionerIssuer is the Issuer of principals with a provisioning token. It has a space, so that no issuer of JWTs is called so.
const provisionerIssuer = "provisioning token"

// provisionerPermissions are those that every provisioning token has.
var provisionerPermissions = []string{string(PermissionRead), string(PermissionWrite), string(PermissionCreate)}

// NewProvisioner returns the principal of a client that has authenticated with a provisioning token, of which hash is the hash. It may read,
// write and create users of customer c, with the rank of one role. Its Subject is "token:" and the token's id, by which the history names it.
// It is no user of the directory.
func NewProvisioner(id uuid.UUID, hash TokenHash, c store.Customer, role string) Principal {
	subject := "token:" + id.String()
	return Principal{
		Subject: subject, Issuer: provisionerIssuer, Name: subject, Token: hash,
		customers:   []customerKey{{id: c.ID}, {uuid: c.UUID}},
		permissions: provisionerPermissions,
		authorities: []string{role},
		provisions:  true,
	}
}

// Refuse returns an [ErrUnauthenticated] with a fault and a reason for the log, for packages that verify tokens of other kinds.
func Refuse(fault TokenFault, reason string) error { return unauthenticated(fault, "%s", reason) }
