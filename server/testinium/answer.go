package testinium

import (
	"net/http"

	"github.com/dragoman-id/dragoman/gen/testiniumapi"
	"github.com/dragoman-id/dragoman/server/dialect"
)

// The answers of the operations, in the place of the generated ones. They write the generated types.

// userShown is the answer to a read of one user.
type userShown struct {
	etag string
	body testiniumapi.User
}

// VisitGetUserResponse writes the answer.
func (a *userShown) VisitGetUserResponse(w http.ResponseWriter) error {
	return dialect.Answer{ETag: a.etag}.Send(w, func(e *dialect.Encoder) { encodeUser(e, &a.body) })
}

// userUpdated is the answer to an update.
type userUpdated struct {
	written dialect.Written
	body    testiniumapi.User
}

// VisitUpdateUserResponse writes the answer.
func (a *userUpdated) VisitUpdateUserResponse(w http.ResponseWriter) error {
	answer := dialect.Answer{ETag: a.written.ETag, Written: &a.written}
	return answer.Send(w, func(e *dialect.Encoder) { encodeUser(e, &a.body) })
}

func encodeUser(e *dialect.Encoder, u *testiniumapi.User) {
	e.Open('{')
	e.Member("userType").TextOrNull(u.UserType)
	e.Member("verificationToken").TextOrNull(u.VerificationToken)
	e.Member("resetPasswordToken").TextOrNull(u.ResetPasswordToken)
	e.Member("entityId").Int(u.EntityID)
	e.Member("name").Text(u.Name)
	e.Member("surname").Text(u.Surname)
	e.Member("username").Text(u.Username)
	e.Member("email").Text(u.Email)
	e.Member("password").TextOrNull(u.Password)
	e.Member("newPassword").TextOrNull(u.NewPassword)
	e.Member("accessToken").TextOrNull(u.AccessToken)
	e.Member("companyName").TextOrNull(u.CompanyName)
	e.Member("enabled").Bool(u.Enabled)
	e.Member("accountNonExpired").Bool(u.AccountNonExpired)
	e.Member("accountNonLocked").Bool(u.AccountNonLocked)
	e.Member("credentialNonExpired").Bool(u.CredentialNonExpired)
	e.Member("createdDate").Int(u.CreatedDate)
	e.Member("customer").Int(u.Customer)
	e.Member("lastPasswordResetDate").IntOrNull(u.LastPasswordResetDate)
	encodeAuthorities(e.Member("authorities"), u.Authorities)
	e.Member("vcsPassword").TextOrNull(u.VcsPassword)
	e.Close('}')
}

func encodeAuthorities(e *dialect.Encoder, all []testiniumapi.Authority) {
	e.Open('[')
	for _, a := range all {
		e.Item().Open('{')
		e.Member("entityId").Int(a.EntityID)
		e.Member("name").Text(a.Name)
		e.Member("cleanName").TextOrNull(a.CleanName)
		e.Close('}')
	}
	e.Close(']')
}
