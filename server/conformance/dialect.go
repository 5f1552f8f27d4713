package conformance

import (
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
)

// dialect is what the laws must know of one: where its users are, and what an update's members are called.
type dialect struct {
	name     string
	document func() (*openapi3.T, error)

	show, list, update string // operationIds
	// listSuffix follows the document's path of the list where the vendor's own page has more.
	listSuffix string
	method     string // of the update

	// inUser is where an answer to show has the user: the name of a member, or empty for the answer itself.
	inUser string
	// bookkeeping are members that any change changes.
	bookkeeping []string
	// members are what an update can name, in the document's order.
	members []memberOf
	// whole: an update must name every member.
	whole bool
	// idMember is the member that has the user's id.
	idMember string
	// noSuchUser is the id of a user that nobody has.
	noSuchUser func() string
	// noSuchCustomer is the id of a customer that nobody has.
	noSuchCustomer func() string
	// administrators are what users hold who must not be written to.
	administrator func(user) string
	// checkIDs holds the ids of a Config against what the dialect's are.
	checkIDs func(*Config) error
	// vendorError gives what is wrong with an error by what the vendor documents; empty: nothing.
	vendorError func(x exchange, value any) string
	// fieldErrors gives the list of single errors of an error's body.
	fieldErrors func(value any) []any
	// records gives the users of a list's answer.
	records func(value any) ([]any, bool)
}

// kind is what values a member takes.
type kind int

const (
	text   kind = iota
	phone       // text, of what may be a telephone number
	mail        // text, of what is an e-mail address
	login       // text, of what is a username
	flag        // true or false
	status      // ACTIVE or INACTIVE
	grants      // roles
)

// memberOf is a member of an update.
type memberOf struct {
	name  string
	kind  kind
	group Group // that must be allowed for it to be changed; empty: none
	limit int   // how many characters it may have, by Dragoman's rules; 0: that is no question
}

func (m memberOf) isText() bool { return m.kind <= login }

func dialectOf(name string) *dialect {
	if name == Worth {
		return worth
	}
	return testinium
}

// base is an update that changes nothing, and that every other is made from: empty where absence says that.
func (d *dialect) base(u user) object {
	var o object
	if !d.whole {
		return o
	}
	for _, m := range d.members {
		o = o.with(m.name, u.json(m.name))
	}
	return o
}

// idle is an update that names something and changes nothing.
func (d *dialect) idle(u user) object {
	if d.whole {
		return d.base(u)
	}
	name := d.members[0].name
	return object{{name, u.json(name)}}
}

// restoring is the update that makes of a user as it is the one that was found.
func (d *dialect) restoring(found, is user) object {
	if d.whole {
		return d.base(found)
	}
	var o object
	for _, name := range differences(found, is) {
		i := slices.IndexFunc(d.members, func(m memberOf) bool { return m.name == name })
		if i < 0 {
			continue
		}
		value := found.json(name)
		switch {
		case value == "null" && d.members[i].isText():
			value = `""` // no member can be null
		case value == "null" || value == `"INVITED"`:
			continue // cannot be said
		case d.members[i].kind == grants:
			value = object{{"id", encode(subroleOf(found)["id"])}, {"code", encode(subroleOf(found)["code"])}}.String()
		}
		o = o.with(name, value)
	}
	return o
}

// said is what an update can say of a member of the user: of roles not how they are labelled.
func (d *dialect) said(u user, m memberOf) string {
	switch {
	case m.kind != grants:
		return u.json(m.name)
	case d.whole:
		names := authorityNames(u)
		slices.Sort(names)
		return encode(names)
	}
	return encode([]any{subroleOf(u)["id"], subroleOf(u)["code"]})
}

// sayable tells whether an update could give a member back that differs.
func (d *dialect) sayable(name string, found, is user) bool {
	return slices.ContainsFunc(d.members, func(m memberOf) bool { return m.name == name && d.said(found, m) != d.said(is, m) })
}

// notBack returns the members of a user that are not as they were found, besides some. A text that was none may be empty: the
// dialect has no other way to say it.
func (d *dialect) notBack(found, is user, besides []string) []string {
	var names []string
	for _, name := range differences(found, is, besides...) {
		member := slices.ContainsFunc(d.members, func(m memberOf) bool { return m.name == name && m.isText() })
		if member && found[name] == nil && is[name] == "" {
			continue
		}
		names = append(names, name)
	}
	return names
}
