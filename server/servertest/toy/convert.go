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
}

// checkPatch refuses a body that names nothing that can be patched.
func checkPatch(c *dialect.Call, _ dialect.Parameters) []dialect.FieldError {
	var wrong []dialect.FieldError
	if !c.NamesKnownMember() {
		for _, name := range c.Unknown() {
			wrong = append(wrong, dialect.FieldError{Field: name, Message: name + " cannot be patched"})
		}
	}
	return wrong
}

func toAPIPerson(u store.User) toyapi.PersonAnswer {
	return toyapi.PersonAnswer{Person: toyapi.Person{
		Tag: "p" + strconv.FormatInt(u.ID, 10), Given: u.FirstName, Family: u.LastName, Handle: u.Username, Contact: u.Email,
		Phone: u.Mobile, Open: u.Status == store.StatusActive, Since: u.CreatedAt.UnixMilli(),
	}}
}

func applyPatch(u *store.User, p *toyapi.PersonPatch) {
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
}

func applyPut(u *store.User, p *toyapi.PersonUpdate) {
	u.FirstName, u.LastName, u.Username, u.Email = p.Given, p.Family, p.Handle, p.Contact
	if p.Phone != nil {
		u.Mobile = p.Phone
	}
	applyOpen(u, p.Open)
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
	return trouble
}
