package servertest

import (
	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/servertest/toy"
)

// Dialects gives all dialects that the server of a test speaks unless the test says otherwise: the server's own, and a toy,
// which differs from them in whatever a dialect may differ.
func Dialects() []server.Dialect {
	return append(server.Dialects(), server.Dialect{API: toy.Description, Mount: toy.Mount})
}

// AdaSubject is a request about Ada, or about the sandbox's token.
var AdaSubject = description.Subject{
	Customer: Sandbox, CustomerUUID: SandboxUUID.String(), User: Ada, UserUUID: AdaUUID.String(), Company: Company,
	Token: TokenID.String(), Webhook: Webhook,
}
