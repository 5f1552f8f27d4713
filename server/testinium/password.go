package testinium

import (
	"github.com/dragoman-id/dragoman/gen/testiniumapi"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dialect"
)

// newPassword returns the password that an update sets, or nil.
func newPassword(p *testiniumapi.UserUpdate) *dialect.NewPassword {
	if p.NewPassword == nil {
		return nil
	}
	return &dialect.NewPassword{Password: *p.NewPassword, Present: p.Password, Member: "password"}
}

// passwordErrors checks the rules about the two passwords of a body that the document states only in prose.
func passwordErrors(body map[string]any) []dialect.FieldError {
	if wanted, ok := body["newPassword"].(string); ok {
		if problem := auth.PasswordProblem(wanted); problem != "" {
			return []dialect.FieldError{{Field: "newPassword", Message: "newPassword " + problem}}
		}
		return nil
	}
	if _, ok := body["password"].(string); ok && body["newPassword"] == nil {
		return []dialect.FieldError{{Field: "password", Message: "password must come with newPassword"}}
	}
	return nil
}
