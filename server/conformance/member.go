package conformance

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/dragoman-id/dragoman/server/description"
)

// kind says which values a member has.
type kind int

const (
	text   kind = iota // a name of a person
	phone              // a telephone number
	mail               // an e-mail address
	login              // a username
	flag               // true or false
	status             // one of a list of texts
	grants             // roles
)

// memberOf is a member of an update.
type memberOf struct {
	name     string // its path, by which [object] and [user] have it
	kind     kind
	field    string // in the model
	group    Group  // the group that Config.Allow must have to change it; empty: none
	limit    int    // the maximum of characters; 0: none
	values   []any  // of a status: those that an update sets
	required bool
	nullable bool // null is no error
}

// leaf returns the last name of the member's path.
func (m memberOf) leaf() string { return m.name[strings.LastIndex(m.name, ".")+1:] }

// header returns what Dragoman-Changed and what else lists members call the member.
func (m memberOf) header() string { return description.Member{Path: m.name}.Name() }

func (m memberOf) isText() bool { return m.kind <= login }

// allows reports whether an update may set the value.
func (m memberOf) allows(value any) bool { return m.kind != status || slices.Contains(m.values, value) }

// kinds are the fields of the model that laws can change.
var kinds = map[string]struct {
	kind  kind
	group Group
}{
	"FirstName": {text, ""}, "LastName": {text, ""}, "DisplayName": {text, ""}, "Mobile": {phone, ""}, "Email": {mail, Identity}, "Username": {login, Identity},
	"Status": {status, State}, "AccountNonExpired": {flag, State}, "AccountNonLocked": {flag, State}, "CredentialNonExpired": {flag, State},
	"Roles": {grants, Roles},
}

func (d *dialect) addMembers() {
	samples := d.Samples("x")
	for _, m := range d.request.Members {
		known, ok := kinds[m.Field]
		if m.Effect == description.Names {
			d.naming = append(d.naming, m)
		}
		if m.Effect == description.Reads && m.Required {
			d.fixed = append(d.fixed, member{m.Path, encode(samples[m.Path])})
		}
		if !ok || m.Effect != description.Replaces || m.Secret {
			continue
		}
		member := memberOf{name: m.Path, kind: known.kind, field: m.Field, group: known.group, required: d.isRequired(m), nullable: m.Null != description.NullRefused}
		property := d.schemaOf(m.Path)
		if _, isFlag := samples[m.Path].(bool); known.kind == status && isFlag {
			member.kind = flag
		}
		if member.kind == status {
			member.values = property.Enum
		}
		if property.MaxLength != nil && member.isText() {
			member.limit = int(*property.MaxLength) // #nosec G115 -- a document's bound
		}
		d.members = append(d.members, member)
	}
	// Laws change names where any member will do.
	slices.SortStableFunc(d.members, func(a, b memberOf) int { return cmp.Compare(min(a.kind, phone), min(b.kind, phone)) })
}

// isRequired reports whether an update must have a member, and what the member is in.
func (d *dialect) isRequired(m description.Member) bool {
	top, _, nested := strings.Cut(m.Path, ".")
	return m.Required && (!nested || slices.ContainsFunc(d.request.Members, func(of description.Member) bool {
		return of.Required && of.Path == strings.TrimSuffix(top, "[]")
	}))
}

// schemaOf returns the schema of a member of the update, or, if the document says nothing of what the update has in it, of the same member
// of another one.
func (d *dialect) schemaOf(path string) *openapi3.Schema {
	operations := append([]string{d.update.OperationID}, d.Updates...)
	for _, id := range operations {
		for _, o := range d.OperationsOf(d.document) {
			if b, _ := d.Request(id); o.OperationID == id && b.Within == "" {
				if found := description.PropertyAt(o.RequestBody.Value.Content.Get("application/json").Schema.Value, path); found != nil {
					return found
				}
			}
		}
	}
	return &openapi3.Schema{}
}

// addFlattened notes which objects and arrays of a user are taken apart, as members of the update or the times are in them.
func (d *dialect) addFlattened() {
	paths := slices.Concat(d.NamesOf("CreatedAt"), d.NamesOf("UpdatedAt"))
	for _, m := range d.members {
		paths = append(paths, m.name)
	}
	for _, path := range paths {
		if top, _, nested := strings.Cut(path, "."); nested {
			d.flattened = append(d.flattened, strings.TrimSuffix(top, "[]"))
		}
	}
}

// flat returns a user whose members are named by their paths, such as name.givenName, where an object or an array is taken apart: of an
// array what an update can set of its first item. A member that is not there is nil.
func (d *dialect) flat(value any) (user, bool) {
	object, ok := value.(map[string]any)
	if !ok || len(d.flattened) == 0 {
		return object, ok
	}
	u := user(maps.Clone(object))
	for _, m := range d.shown.Members {
		path := d.inShown(m)
		top, _, nested := strings.Cut(path, ".")
		if !nested || !slices.Contains(d.flattened, strings.TrimSuffix(top, "[]")) {
			continue
		}
		delete(u, strings.TrimSuffix(top, "[]"))
		settable := slices.ContainsFunc(d.members, func(m memberOf) bool { return m.name == path })
		if strings.HasSuffix(top, "[]") && !settable {
			continue
		}
		u[path] = nil
		if found := description.At(object, path); len(found) > 0 {
			u[path] = found[0]
		}
	}
	return u, true
}
