package testinium

import (
	"strconv"

	"github.com/dragoman-id/dragoman/gen/testiniumapi"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/store"
)

// checkUpdate checks the rules that the document states only in prose: that ids equal those in the path, that roles exist, and the
// rules about passwords.
func checkUpdate(roles *store.Catalogue) dialect.Check {
	return func(c *dialect.Call, p dialect.Parameters) []dialect.FieldError {
		var wrong []dialect.FieldError
		if id, ok := c.Body["entityId"].(int64); ok && id != p["userId"] {
			wrong = append(wrong, dialect.FieldError{Field: "entityId", Message: "entityId must be null or the path's userId"})
		}
		if id, ok := c.Body["customer"].(int64); ok && id != p["id"] {
			wrong = append(wrong, dialect.FieldError{Field: "customer", Message: "customer must be null or the path's id"})
		}
		authorities, _ := c.Body["authorities"].([]any)
		for i, a := range authorities {
			authority, _ := a.(map[string]any)
			name, ok := authority["name"].(string)
			if _, known := roles.ByName(name); ok && !known {
				field := "authorities." + strconv.Itoa(i) + ".name"
				wrong = append(wrong, dialect.FieldError{Field: field, Message: field + " is not a role: " + strconv.Quote(dialect.Excerpt(name))})
			}
		}
		return append(wrong, passwordErrors(c.Body)...)
	}
}

// applyPut replaces all fields that the dialect has a name for, except the password, which newPassword sets. Other fields, such as the
// mobile number, are unchanged. The update must have passed checkUpdate.
func applyPut(u *store.User, p *testiniumapi.UserUpdate, roles *store.Catalogue) {
	u.FirstName = p.Name
	u.LastName = p.Surname
	u.Username = p.Username
	u.Email = p.Email
	u.Status = statusAfter(u.Status, p.Enabled)
	u.AccountNonExpired = p.AccountNonExpired
	u.AccountNonLocked = p.AccountNonLocked
	u.CredentialNonExpired = p.CredentialNonExpired
	u.Roles = 0
	for _, a := range p.Authorities {
		role, _ := roles.ByName(a.Name)
		u.Roles = u.Roles.Union(store.Roles(role.ID))
	}
	if p.VcsPassword != nil {
		u.VCSPassword = p.VcsPassword
	}
}

// statusAfter returns the status that an update sets. An invited user stays invited if enabled is false, which is also what a GET
// shows for one.
func statusAfter(current store.Status, enabled bool) store.Status {
	switch {
	case enabled:
		return store.StatusActive
	case current == store.StatusInvited:
		return store.StatusInvited
	default:
		return store.StatusInactive
	}
}

// toAPIUser returns the user object of get-one and of the update, with a companyName of null.
func toAPIUser(u store.User, roles *store.Catalogue, withAccessToken bool) testiniumapi.User {
	shown := testiniumapi.User{
		EntityID:             u.ID,
		Name:                 u.FirstName,
		Surname:              u.LastName,
		Username:             u.Username,
		Email:                u.Email,
		Enabled:              u.Status == store.StatusActive,
		AccountNonExpired:    u.AccountNonExpired,
		AccountNonLocked:     u.AccountNonLocked,
		CredentialNonExpired: u.CredentialNonExpired,
		CreatedDate:          u.CreatedAt.UnixMilli(),
		Customer:             u.CustomerID,
		Authorities:          []testiniumapi.Authority{},
	}
	if withAccessToken && u.AccessToken != "" { // an erased user has none
		shown.AccessToken = &u.AccessToken
	}
	if u.LastPasswordResetAt != nil {
		at := u.LastPasswordResetAt.UnixMilli()
		shown.LastPasswordResetDate = &at
	}
	for _, role := range roles.In(u.Roles) {
		shown.Authorities = append(shown.Authorities, testiniumapi.Authority{EntityID: role.ID, Name: role.Name})
	}
	return shown
}

// ignoredMembers returns the server-owned members of a body whose values differ from those that a GET shows. A null member counts as
// absent, and companyName may also be the name that the list shows.
func ignoredMembers(body map[string]any, shown testiniumapi.User, company string) []string {
	owned := []struct {
		member string
		shown  any
	}{
		{"accessToken", value(shown.AccessToken)},
		{"companyName", company},
		{"createdDate", shown.CreatedDate},
		{"lastPasswordResetDate", value(shown.LastPasswordResetDate)},
		{"resetPasswordToken", nil},
		{"userType", nil},
		{"verificationToken", nil},
	}
	var ignored []string
	for _, o := range owned {
		if sent := body[o.member]; sent != nil && sent != o.shown {
			ignored = append(ignored, o.member)
		}
	}
	return ignored
}

func value[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

// fieldNames maps the model's fields to this dialect's names. Fields without a name here are absent.
var fieldNames = map[store.Field]string{
	store.FieldFirstName:            "name",
	store.FieldLastName:             "surname",
	store.FieldUsername:             "username",
	store.FieldEmail:                "email",
	store.FieldRoles:                "authorities",
	store.FieldStatus:               "enabled",
	store.FieldAccountNonExpired:    "accountNonExpired",
	store.FieldAccountNonLocked:     "accountNonLocked",
	store.FieldCredentialNonExpired: "credentialNonExpired",
	store.FieldPasswordHash:         "newPassword",
	store.FieldLastPasswordResetAt:  "lastPasswordResetDate",
	store.FieldAccessToken:          "accessToken",
	store.FieldVCSPassword:          "vcsPassword",
}

func fieldName(f store.Field) string { return fieldNames[f] }

func takenMessage(f store.Field) string { return fieldName(f) + " is already taken by another user" }
