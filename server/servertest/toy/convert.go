package toy

import (
	"net/http"
	"strconv"

	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/servertest/toy/gen/toyapi"
	"github.com/dragoman-id/dragoman/store"
)

// fieldNames is what the dialect calls the model's fields. Those it cannot name are absent.
var fieldNames = map[store.Field]string{
	store.FieldFirstName: "given",
	store.FieldLastName:  "family",
	store.FieldUsername:  "handle",
	store.FieldEmail:     "contact",
	store.FieldMobile:    "phone",
	store.FieldStatus:    "open",
	store.FieldRoles:     "grants",
}

// checkPatch refuses a body that names nothing that can be patched, or no role that there is.
func checkPatch(roles *store.Catalogue) dialect.Check {
	return func(c *dialect.Call, p dialect.Parameters) []dialect.FieldError {
		wrong := checkGrants(roles)(c, p)
		if !c.NamesKnownMember() {
			for _, name := range c.Unknown() {
				wrong = append(wrong, dialect.FieldError{Field: name, Message: name + " cannot be patched"})
			}
		}
		return wrong
	}
}

// checkPut refuses another person's tag, and a name that no role has.
func checkPut(roles *store.Catalogue) dialect.Check {
	return func(c *dialect.Call, p dialect.Parameters) []dialect.FieldError {
		wrong := checkGrants(roles)(c, p)
		if tag, ok := c.Body["tag"].(string); ok && tag != p["person"] {
			wrong = append(wrong, dialect.FieldError{Field: "tag", Message: "tag must be null or the path's person"})
		}
		return wrong
	}
}

// checkGrants refuses a name that no role has.
func checkGrants(roles *store.Catalogue) dialect.Check {
	return func(c *dialect.Call, _ dialect.Parameters) []dialect.FieldError {
		var wrong []dialect.FieldError
		grants, _ := c.Body["grants"].([]any)
		for i, g := range grants {
			grant, _ := g.(map[string]any)
			name, ok := grant["role"].(string)
			if _, known := roles.ByName(name); ok && !known {
				field := "grants." + strconv.Itoa(i) + ".role"
				wrong = append(wrong, dialect.FieldError{Field: field, Message: field + " is not a role"})
			}
		}
		return wrong
	}
}

func toAPIPerson(u store.User, roles *store.Catalogue) toyapi.PersonAnswer {
	grants := []toyapi.Grant{}
	for _, role := range roles.In(u.Roles) {
		grants = append(grants, toyapi.Grant{Role: role.Name})
	}
	return toyapi.PersonAnswer{Person: toyapi.Person{
		Tag: "p" + strconv.FormatInt(u.ID, 10), Given: u.FirstName, Family: u.LastName, Handle: u.Username, Contact: u.Email,
		Phone: u.Mobile, Open: u.Status == store.StatusActive, Grants: grants, Since: u.CreatedAt.UnixMilli(),
	}}
}

func applyPatch(u *store.User, p *toyapi.PersonPatch, roles *store.Catalogue) {
	for field, value := range map[*string]*string{&u.FirstName: p.Given, &u.LastName: p.Family, &u.Username: p.Handle, &u.Email: p.Contact} {
		if value != nil {
			*field = *value
		}
	}
	if p.Phone != nil {
		u.Mobile = p.Phone
	}
	if p.Open != nil {
		applyOpen(u, *p.Open)
	}
	if p.Grants != nil {
		applyGrants(u, p.Grants, roles)
	}
}

func applyPut(u *store.User, p *toyapi.PersonUpdate, roles *store.Catalogue) {
	u.FirstName, u.LastName, u.Username, u.Email = p.Given, p.Family, p.Handle, p.Contact
	if p.Phone != nil {
		u.Mobile = p.Phone
	}
	applyOpen(u, p.Open)
	applyGrants(u, p.Grants, roles)
}

// applyGrants replaces all roles. The grants must have passed checkGrants.
func applyGrants(u *store.User, grants []toyapi.Grant, roles *store.Catalogue) {
	u.Roles = 0
	for _, g := range grants {
		role, _ := roles.ByName(g.Role)
		u.Roles = u.Roles.Union(store.Roles(role.ID))
	}
}

// applyOpen leaves an invited user who is not open invited.
func applyOpen(u *store.User, open bool) {
	switch {
	case open:
		u.Status = store.StatusActive
	case u.Status != store.StatusInvited:
		u.Status = store.StatusInactive
	}
}

// render is every error's body.
func render(p dialect.Problem, _, _ string) any {
	trouble := toyapi.Trouble{Trouble: http.StatusText(p.Status), Problems: []toyapi.Problem{}}
	for _, f := range p.Fields {
		trouble.Problems = append(trouble.Problems, toyapi.Problem{Where: f.Field, What: f.Message})
	}
	for _, c := range p.Changes {
		meanwhile := toyapi.Meanwhile{Where: c.Field, Wish: string(c.State), Version: c.Version, Actor: c.Actor, Dialect: c.Dialect}
		if c.At != nil {
			meanwhile.At = new(c.At.UnixMilli())
		}
		trouble.Meanwhile = append(trouble.Meanwhile, meanwhile)
	}
	return trouble
}
