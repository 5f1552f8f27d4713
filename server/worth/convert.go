package worth

import (
	"github.com/dragoman-id/dragoman/gen/worthapi"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/store"
)

// checkPatch checks the rules that the document states only in prose: that the body has at least one known member, and that its
// subrole exists.
func checkPatch(roles *store.Catalogue) dialect.Check {
	return func(c *dialect.Call, _ dialect.Parameters) []dialect.FieldError {
		var wrong []dialect.FieldError
		if !c.NamesKnownMember() {
			for _, name := range c.Unknown() {
				wrong = append(wrong, dialect.FieldError{Field: name, Message: name + " is not a member that can be updated"})
			}
		}
		if subrole, ok := c.Body["subrole"].(map[string]any); ok {
			_, hasID := subrole["id"]
			_, hasCode := subrole["code"]
			if !hasID && !hasCode {
				wrong = append(wrong, dialect.FieldError{Field: "subrole", Message: "subrole must have an id or a code"})
			}
			_, problems := findSubrole(roles, text(subrole["id"]), text(subrole["code"]))
			wrong = append(wrong, problems...)
		}
		return wrong
	}
}

// checkNewUser checks that a new user's subrole exists.
func checkNewUser(roles *store.Catalogue) dialect.Check {
	return func(c *dialect.Call, _ dialect.Parameters) []dialect.FieldError {
		subrole, ok := c.Body["subrole"].(map[string]any)
		if !ok {
			return nil
		}
		_, wrong := findSubrole(roles, text(subrole["id"]), text(subrole["code"]))
		return wrong
	}
}

// fromAPINewUser returns the user that a body describes, who is invited and has never signed in. The body must have passed
// checkNewUser. The store generates the ids and the access token.
func fromAPINewUser(body *worthapi.NewUser, roles *store.Catalogue) store.User {
	role, _ := findSubrole(roles, &body.Subrole.ID, &body.Subrole.Code)
	u := store.User{
		FirstName:            body.FirstName,
		LastName:             body.LastName,
		Username:             body.Email,
		Email:                body.Email,
		Mobile:               body.Mobile,
		Status:               store.StatusInvited,
		AccountNonExpired:    true,
		AccountNonLocked:     true,
		CredentialNonExpired: true,
		FirstLogin:           true,
	}
	applySubrole(&u, role, roles)
	return u
}

// findSubrole finds a subrole by its id and its code, which must agree if both are given. The label is ignored. It also returns what is
// wrong with the two members. If both are missing, it returns no error.
func findSubrole(roles *store.Catalogue, id, code *string) (role store.Role, wrong []dialect.FieldError) {
	var byID, byCode store.Role
	var found bool
	if code != nil {
		if byCode, found = roles.BySubroleCode(*code); !found {
			wrong = append(wrong, dialect.FieldError{Field: "subrole.code", Message: "subrole.code is not the code of a subrole"})
		}
		role = byCode
	}
	if id != nil {
		u, _ := auth.ParseUUID(*id)
		if byID, found = roles.BySubroleUUID(u); !found {
			wrong = append(wrong, dialect.FieldError{Field: "subrole.id", Message: "subrole.id is not the id of a subrole"})
		}
		role = byID
	}
	if wrong == nil && id != nil && code != nil && byID.ID != byCode.ID {
		wrong = append(wrong, dialect.FieldError{Field: "subrole", Message: "subrole.id and subrole.code must name the same subrole"})
	}
	return role, wrong
}

// text returns a member's text, or nil if it has none.
func text(member any) *string {
	if s, ok := member.(string); ok {
		return &s
	}
	return nil
}

// applyPatch replaces the fields that the patch contains and no others. The patch must have passed checkPatch.
func applyPatch(u *store.User, p *worthapi.UserPatch, roles *store.Catalogue) {
	if p.FirstName != nil {
		u.FirstName = *p.FirstName
	}
	if p.LastName != nil {
		u.LastName = *p.LastName
	}
	if p.Email != nil {
		u.Email = *p.Email
	}
	if p.Mobile != nil {
		u.Mobile = p.Mobile
	}
	if p.Status != nil {
		u.Status = store.Status(*p.Status)
	}
	if p.Subrole != nil {
		role, _ := findSubrole(roles, p.Subrole.ID, p.Subrole.Code)
		applySubrole(u, role, roles)
	}
}

// applySubrole gives the user the subrole of role. Roles without a subrole are kept; the others are replaced by role and the roles that
// it implies. If the user already has this subrole, nothing changes, whatever other roles the user has.
func applySubrole(u *store.User, role store.Role, roles *store.Catalogue) {
	if current, ok := roles.Subrole(u.Roles); ok && current.ID == role.ID {
		return
	}
	u.Roles = u.Roles.Minus(roles.WithSubrole()).Union(store.Roles(role.ID)).Union(role.Implies)
}

// fieldNames maps the model's fields to this dialect's names. Fields without a name here are absent.
var fieldNames = map[store.Field]string{
	store.FieldFirstName:      "first_name",
	store.FieldLastName:       "last_name",
	store.FieldEmail:          "email",
	store.FieldMobile:         "mobile",
	store.FieldRoles:          "subrole",
	store.FieldStatus:         "status",
	store.FieldEmailVerified:  "is_email_verified",
	store.FieldFirstLogin:     "is_first_login",
	store.FieldExternalAuthID: "ext_auth_ref_id",
}

func fieldName(f store.Field) string { return fieldNames[f] }

// takenMessage returns the message that Worth documents for its create operation.
func takenMessage(store.Field) string {
	return "Another customer user exists with the same email."
}
