package worth

import (
	"net/http"

	"github.com/dragoman-id/dragoman/gen/worthapi"
	"github.com/dragoman-id/dragoman/server/dialect"
)

// The answers of the operations that are asked most, in the place of the generated ones. They write the generated types.

// userUpdated is the answer to an update, whose body is always the same.
type userUpdated struct{ written dialect.Written }

const updatedBody = `{"status":"success","message":"User details updated successfully"}`

// VisitUpdateCustomerUserResponse writes the answer.
func (a userUpdated) VisitUpdateCustomerUserResponse(w http.ResponseWriter) error {
	answer := dialect.Answer{ETag: a.written.ETag, Written: &a.written}
	return answer.Send(w, func(e *dialect.Encoder) { e.JSON(updatedBody) })
}

// userShown is the answer to a read of one user.
type userShown struct {
	etag string
	body worthapi.UserAnswer
}

// VisitGetCustomerUserResponse writes the answer.
func (a *userShown) VisitGetCustomerUserResponse(w http.ResponseWriter) error {
	return dialect.Answer{ETag: a.etag}.Send(w, func(e *dialect.Encoder) { encodeUserAnswer(e, &a.body) })
}

// usersListed is the answer to a list.
type usersListed struct{ body worthapi.UserListAnswer }

// VisitListCustomerUsersResponse writes the answer.
func (a *usersListed) VisitListCustomerUsersResponse(w http.ResponseWriter) error {
	return dialect.Answer{}.Send(w, func(e *dialect.Encoder) { encodeUserListAnswer(e, &a.body) })
}

func encodeUserAnswer(e *dialect.Encoder, a *worthapi.UserAnswer) {
	e.Open('{')
	e.Member("status").Text(a.Status)
	e.Member("message").Text(a.Message)
	encodeUserDetails(e.Member("data"), &a.Data)
	e.Close('}')
}

func encodeUserDetails(e *dialect.Encoder, u *worthapi.UserDetails) {
	e.Open('{')
	e.Member("id").UUID(u.ID)
	e.Member("first_name").Text(u.FirstName)
	e.Member("last_name").Text(u.LastName)
	e.Member("email").Text(u.Email)
	e.Member("mobile").TextOrNull(u.Mobile)
	e.Member("is_email_verified").Bool(u.IsEmailVerified)
	e.Member("is_first_login").Bool(u.IsFirstLogin)
	e.Member("created_at").Text(u.CreatedAt)
	e.Member("created_by").UUIDOrNull(u.CreatedBy)
	e.Member("updated_at").Text(u.UpdatedAt)
	e.Member("updated_by").UUIDOrNull(u.UpdatedBy)
	encodeCompanyDetails(e.Member("company_details"), &u.CompanyDetails)
	e.Member("status").Text(string(u.Status))
	encodeUserSubrole(e.Member("subrole"), u.Subrole)
	e.Close('}')
}

func encodeCompanyDetails(e *dialect.Encoder, c *worthapi.CompanyDetails) {
	e.Open('{')
	e.Member("id").UUID(c.ID)
	e.Member("name").Text(c.Name)
	e.Member("contact_number").TextOrNull(c.ContactNumber)
	e.Member("is_active").Bool(c.IsActive)
	e.Member("created_at").Text(c.CreatedAt)
	e.Member("created_by").UUIDOrNull(c.CreatedBy)
	e.Member("updated_at").Text(c.UpdatedAt)
	e.Member("updated_by").UUIDOrNull(c.UpdatedBy)
	e.Close('}')
}

func encodeUserSubrole(e *dialect.Encoder, s *worthapi.UserSubrole) {
	if s == nil {
		e.Null()
		return
	}
	e.Open('{')
	e.Member("id").UUID(s.ID)
	e.Member("code").Text(s.Code)
	e.Member("label").Text(s.Label)
	e.Member("role_id").Int(int64(s.RoleID))
	e.Member("display_name").Text(s.DisplayName)
	e.Close('}')
}

func encodeUserListAnswer(e *dialect.Encoder, a *worthapi.UserListAnswer) {
	e.Open('{')
	e.Member("status").Text(a.Status)
	e.Member("message").Text(a.Message)
	e.Member("data").Open('{')
	e.Member("records").Open('[')
	for i := range a.Data.Records {
		encodeUserRecord(e.Item(), &a.Data.Records[i])
	}
	e.Close(']')
	e.Member("total_pages").Int(a.Data.TotalPages)
	e.Member("total_items").Text(a.Data.TotalItems)
	e.Close('}')
	e.Close('}')
}

func encodeUserRecord(e *dialect.Encoder, u *worthapi.UserRecord) {
	e.Open('{')
	e.Member("id").UUID(u.ID)
	e.Member("first_name").Text(u.FirstName)
	e.Member("last_name").Text(u.LastName)
	e.Member("email").Text(u.Email)
	e.Member("mobile").TextOrNull(u.Mobile)
	e.Member("is_email_verified").Bool(u.IsEmailVerified)
	e.Member("is_first_login").Bool(u.IsFirstLogin)
	e.Member("created_at").Text(u.CreatedAt)
	e.Member("created_by").UUIDOrNull(u.CreatedBy)
	e.Member("updated_at").Text(u.UpdatedAt)
	e.Member("updated_by").UUIDOrNull(u.UpdatedBy)
	e.Member("ext_auth_ref_id").UUIDOrNull(u.ExtAuthRefID)
	e.Member("status").Text(string(u.Status))
	encodeRecordSubrole(e.Member("subrole"), u.Subrole)
	e.Close('}')
}

func encodeRecordSubrole(e *dialect.Encoder, s *worthapi.RecordSubrole) {
	if s == nil {
		e.Null()
		return
	}
	e.Open('{')
	e.Member("id").UUID(s.ID)
	e.Member("code").Text(s.Code)
	e.Member("display_name").Text(s.DisplayName)
	e.Member("label").Text(s.Label)
	e.Member("description").Text(s.Description)
	e.Close('}')
}
