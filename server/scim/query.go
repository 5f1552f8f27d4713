package scim

import (
	"time"

	"github.com/dragoman-id/dragoman/server/scim/filter"
	"github.com/dragoman-id/dragoman/store"
)

// query is a condition on users. One that is the same for all users is constant, so that what is asked of the database has no part that
// decides nothing.
type query struct {
	filter   store.Filter
	constant bool
	holds    bool // if it is constant
}

func fixed(holds bool) query { return query{constant: true, holds: holds} }

func where(f store.Filter) query { return query{filter: f} }

func (q query) not() query {
	if q.constant {
		return fixed(!q.holds)
	}
	return where(store.Not(q.filter))
}

func allOf(queries ...query) query { return combine(store.All, true, queries) }

func anyOf(queries ...query) query { return combine(store.Any, false, queries) }

// combine leaves out queries that are constantly neutral, and is another constant if one of the queries is.
func combine(by func(...store.Filter) store.Filter, neutral bool, queries []query) query {
	var filters []store.Filter
	for _, q := range queries {
		switch {
		case !q.constant:
			filters = append(filters, q.filter)
		case q.holds != neutral:
			return q
		}
	}
	if len(filters) == 0 {
		return fixed(neutral)
	}
	return where(by(filters...))
}

// filters returns the query as filters that must all hold.
func (q query) filters() []store.Filter {
	switch {
	case !q.constant:
		return []store.Filter{q.filter}
	case q.holds:
		return nil
	}
	return []store.Filter{store.Nobody()}
}

// userFilters has the attributes of users that filters can name. Those of the schema do not depend on the catalogue of roles.
var userFilters = filterable(userURN, userProperties(&store.Catalogue{}))

// filterable returns the attributes of a resource that filters can name: those that its schema declares and, of those that all resources
// have, the ones that say something about it.
func filterable(urn string, properties []property) *filter.Schema {
	s := &filter.Schema{URN: urn, Attributes: []filter.Attribute{
		{Name: "id"}, {Name: "externalId"},
		{Name: "meta", Type: filter.Complex, Sub: []filter.Attribute{
			{Name: "resourceType"}, {Name: "created", Type: filter.DateTime}, {Name: "lastModified", Type: filter.DateTime},
		}},
	}}
	for _, p := range properties {
		s.Attributes = append(s.Attributes, p.comparable(p.name))
	}
	return s
}

// comparable returns the property as filters compare it.
func (p property) comparable(path string) filter.Attribute {
	a := filter.Attribute{Name: p.name, MultiValued: p.several, Required: p.required}
	switch {
	case p.kind == typeBoolean:
		a.Type = filter.Boolean
	case p.kind == typeComplex:
		a.Type = filter.Complex
	case path == "emails.value":
		a.Text = &filter.Text{Fold: store.FoldEmail, FoldPart: store.Fold, Forms: store.EmailForms}
	case !p.exact:
		a.Text = &filter.Text{Fold: store.Fold}
	}
	for _, part := range p.parts {
		a.Sub = append(a.Sub, part.comparable(path+"."+part.name))
	}
	return a
}

// fromFilter returns the condition that a filter over the attributes of users is.
func fromFilter(e filter.Expression, roles *store.Catalogue) query {
	return translator{roles}.query(e)
}

type translator struct{ roles *store.Catalogue }

func (t translator) query(e filter.Expression) query {
	return walk(e, func(e filter.Expression) query {
		if path, ok := e.(*filter.ValuePath); ok {
			return t.values(path.Attribute.Name, path.Filter, path.Comparison)
		}
		c := e.(*filter.Comparison)
		if c.Attribute.MultiValued {
			return t.values(c.Attribute.Name, nil, c)
		}
		return t.comparison(c)
	})
}

// walk translates and, or and not, and by leaf all else.
func walk(e filter.Expression, leaf func(filter.Expression) query) query {
	translated := func(terms []filter.Expression) (all []query) {
		for _, term := range terms {
			all = append(all, walk(term, leaf))
		}
		return all
	}
	switch e := e.(type) {
	case filter.And:
		return allOf(translated(e)...)
	case filter.Or:
		return anyOf(translated(e)...)
	case filter.Not:
		return walk(e.Of, leaf).not()
	}
	return leaf(e)
}

// texts are the attributes that are texts of the model.
var texts = map[string]store.Text{
	"id":              store.TextUUID,
	"externalId":      store.TextExternalID,
	"userName":        store.TextUsername,
	"displayName":     store.TextDisplayName,
	"name.familyName": store.TextLastName,
	"name.givenName":  store.TextFirstName,
}

// times are the attributes that are times of the model.
var times = map[string]func(store.Operator, time.Time) store.Filter{
	"meta.created":      store.CompareCreatedAt,
	"meta.lastModified": store.CompareUpdatedAt,
}

// comparison translates the comparison of an attribute with one value at most.
func (t translator) comparison(c *filter.Comparison) query {
	name := c.Attribute.Name
	if c.Sub != nil {
		name += "." + c.Sub.Name
	}
	if text, ok := texts[name]; ok {
		return compareText(text, c)
	}
	if compare, ok := times[name]; ok {
		return compareTime(compare, c)
	}
	switch name {
	case "active":
		active := where(store.HasStatus(store.StatusActive))
		return anyOf(
			allOf(active, fixed(c.Match(map[string]any{name: true}))),
			allOf(active.not(), fixed(c.Match(map[string]any{name: false}))))
	case "name":
		return anyOf(where(store.HasText(store.TextFirstName)), where(store.HasText(store.TextLastName)))
	}
	// The rest is the same for all users.
	return fixed(c.Match(map[string]any{"meta": map[string]any{"resourceType": resourceTypeUser}}))
}

// resourceTypeUser is the type of users in meta.
const resourceTypeUser = "User"

var operators = map[filter.Operator]store.Operator{
	filter.Equal: store.Equal, filter.Less: store.Less, filter.LessOrEqual: store.LessOrEqual, filter.Greater: store.Greater,
	filter.GreaterOrEqual: store.GreaterOrEqual, filter.Contains: store.Contains, filter.StartsWith: store.StartsWith, filter.EndsWith: store.EndsWith,
}

func compareText(text store.Text, c *filter.Comparison) query {
	has := where(store.HasText(text))
	switch {
	case c.Operator == filter.Present, c.Operator == filter.NotEqual && c.Value == nil:
		return has
	case c.Value == nil:
		return has.not()
	case c.Operator == filter.NotEqual:
		return where(store.CompareText(text, store.Equal, c.Value.(string))).not()
	}
	return where(store.CompareText(text, operators[c.Operator], c.Value.(string)))
}

func compareTime(compare func(store.Operator, time.Time) store.Filter, c *filter.Comparison) query {
	at, ok := c.Value.(time.Time)
	switch {
	case !ok:
		return fixed(c.Operator != filter.Equal) // pr and ne null
	case c.Operator == filter.NotEqual:
		return where(compare(store.Equal, at)).not()
	}
	return where(compare(operators[c.Operator], at))
}

// values translates what a filter selects of an attribute with several values, and a comparison of that. Without a filter, all
// is selected; without a comparison, the query is whether anything is.
func (t translator) values(attribute string, selected filter.Expression, c *filter.Comparison) query {
	if attribute == "roles" {
		return t.ofRoles(selected, c)
	}
	text, kind, exists := store.TextEmail, typeWork, fixed(true)
	if attribute == "phoneNumbers" {
		text, kind, exists = store.TextMobile, typeMobile, where(store.HasText(store.TextMobile))
	}
	element := func(e filter.Expression) query {
		c := e.(*filter.Comparison)
		if c.Attribute.Name == filter.DefaultSub {
			return compareText(text, c)
		}
		return fixed(c.Match(map[string]any{"type": kind, "primary": true}))
	}
	if selected != nil {
		exists = allOf(exists, walk(selected, element))
	}
	if c == nil || c.Sub == nil { // of the attribute itself, there is only pr
		return exists
	}
	compared := element(&filter.Comparison{Attribute: c.Sub, Operator: c.Operator, Value: c.Value})
	return anyOf(allOf(exists, compared), allOf(exists.not(), fixed(c.Match(nil))))
}

// ofRoles is values for roles: the database has them as a set, so the filter and the comparison are evaluated for each role.
func (t translator) ofRoles(selected filter.Expression, c *filter.Comparison) query {
	var exist, hold store.RoleSet
	for _, role := range t.roles.All() {
		element := map[string]any{filter.DefaultSub: role.Name}
		if selected != nil && !selected.Match(element) {
			continue
		}
		exist = exist.Union(store.Roles(role.ID))
		if c != nil && c.Match(map[string]any{c.Attribute.Name: []any{element}}) {
			hold = hold.Union(store.Roles(role.ID))
		}
	}
	if c == nil {
		return hasAny(exist)
	}
	return anyOf(hasAny(hold), allOf(hasAny(exist).not(), fixed(c.Match(nil))))
}

func hasAny(roles store.RoleSet) query {
	if roles == 0 {
		return fixed(false)
	}
	return where(store.HasAnyRole(roles))
}
