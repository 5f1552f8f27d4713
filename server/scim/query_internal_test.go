package scim

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dragoman-id/dragoman/server/scim/filter"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// people stores users who differ in everything that filters can name, some of another customer and some deprovisioned, and returns those
// that a list of customer 3393 shows.
func people(t *testing.T, s *store.Store) []store.User {
	t.Helper()
	storetest.Directory(t, s)
	names := []string{"", "Ada", "ada", "Zoë", "zoé", "O'Brien", "100%", `a"b\c`, "李", " x ", "\t", "a_b"}
	statuses := []store.Status{store.StatusActive, store.StatusInvited, store.StatusInactive}
	roles := []store.RoleSet{0, store.Roles(3), store.Roles(4, 12), store.Roles(2, 3), store.Roles(11)}
	var shown []store.User
	for i := range 3 * len(names) {
		u := store.User{
			CustomerID: 3393, FirstName: names[i%len(names)], LastName: names[i*5%len(names)],
			Username: fmt.Sprintf("User%d.é", i), Email: fmt.Sprintf("User%d@Bücher%d.example", i, i%3),
			Roles: roles[i%len(roles)], Status: statuses[i%len(statuses)],
			CreatedAt: time.UnixMilli(int64(i * 11 % 7)), UpdatedAt: time.UnixMilli(int64(i*13%5) + 100),
		}
		if i%2 == 0 {
			u.Mobile, u.DisplayName = new(names[i*7%len(names)]), new(names[i*3%len(names)])
		}
		if i%3 == 0 {
			u.ExternalID = new(fmt.Sprintf("00u%dA", i))
		}
		if i%10 == 9 {
			u.CustomerID = 3394
		}
		if i%10 == 8 {
			u.Status, u.DeprovisionedAt = store.StatusInactive, new(time.UnixMilli(1))
		}
		if err := s.CreateUser(context.Background(), &u); err != nil {
			t.Fatal(err)
		}
		if u.CustomerID == 3393 && u.DeprovisionedAt == nil {
			shown = append(shown, u)
		}
	}
	for _, id := range []int64{6860, 6861} {
		u, err := s.FindUser(context.Background(), store.UserByID(3393, id))
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, u)
	}
	slices.SortFunc(shown, func(a, b store.User) int { return int(a.ID - b.ID) })
	return shown
}

// comparableOf returns the attributes of a user that filters can name.
func comparableOf(u *store.User, roles *store.Catalogue) map[string]any {
	resource := attributesOf(u, roles)
	resource["id"] = u.UUID.String()
	resource["meta"] = map[string]any{"resourceType": "User", "created": u.CreatedAt, "lastModified": u.UpdatedAt.Format(time.RFC3339Nano)}
	return resource
}

// comparisonGen generates comparisons of an attribute: of a user's, if attributes are nil, or otherwise of the sub-attributes of one.
func comparisonGen(shown []store.User, roles *store.Catalogue, attributes []filter.Attribute) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		element, prefix := attributes != nil, ""
		if !element {
			attributes = userFilters.Attributes
		}
		a := rapid.SampledFrom(attributes).Draw(t, "attribute")
		name, leaf := a.Name, a
		if a.Type == filter.Complex {
			switch rapid.IntRange(0, 7).Draw(t, "of the attribute") {
			case 0:
				return name + " pr"
			case 1, 2, 3:
				if a.MultiValued {
					prefix = name + "[" + filterGen(shown, roles, a.Sub, 1).Draw(t, "selected") + "]"
				}
			}
			leaf = rapid.SampledFrom(a.Sub).Draw(t, "sub-attribute")
			if prefix != "" && rapid.Bool().Draw(t, "any") {
				return prefix
			}
			if prefix == "" {
				prefix = name
			}
			name = prefix + "." + leaf.Name
		}
		if rapid.Bool().Draw(t, "upper case") {
			name = strings.ReplaceAll(strings.ToUpper(name), `\U`, `\u`)
			if prefix != "" {
				name = prefix + "." + leaf.Name // whose brackets have values
			}
		}
		operator := rapid.SampledFrom([]string{"eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "pr"}).Draw(t, "operator")
		if leaf.Type == filter.Boolean {
			operator = rapid.SampledFrom([]string{"eq", "ne", "pr"}).Draw(t, "operator of a boolean")
		}
		if leaf.Type == filter.DateTime {
			operator = rapid.SampledFrom([]string{"eq", "ne", "gt", "ge", "lt", "le", "pr"}).Draw(t, "operator of a time")
		}
		switch {
		case operator == "pr":
			return name + " pr"
		case (operator == "eq" || operator == "ne") && rapid.IntRange(0, 9).Draw(t, "null") == 0:
			return name + " " + operator + " null"
		}
		u := rapid.SampledFrom(shown).Draw(t, "like")
		return name + " " + operator + " " + valueGen(&u, roles, leaf).Draw(t, "value")
	})
}

// valueGen generates values to compare an attribute with, as a filter has them.
func valueGen(u *store.User, roles *store.Catalogue, leaf filter.Attribute) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		switch leaf.Type {
		case filter.Boolean:
			return rapid.SampledFrom([]string{"true", "false", `"True"`}).Draw(t, "boolean")
		case filter.DateTime:
			at := rapid.SampledFrom([]time.Time{u.CreatedAt, u.UpdatedAt}).Draw(t, "time")
			return strconv.Quote(at.Add(rapid.SampledFrom([]time.Duration{0, time.Millisecond, -time.Nanosecond}).Draw(t, "apart")).Format(time.RFC3339Nano))
		}
		texts := []string{u.UUID.String(), u.Username, u.Email, u.FirstName, u.LastName, "work", "mobile", "User", "ROLE_USER", "", "x"}
		for _, text := range []*string{u.ExternalID, u.DisplayName, u.Mobile} {
			if text != nil {
				texts = append(texts, *text)
			}
		}
		for _, role := range roles.In(u.Roles) {
			texts = append(texts, role.Name)
		}
		text := rapid.SampledFrom(texts).Draw(t, "text")
		if rapid.Bool().Draw(t, "a part") {
			whole := []rune(text)
			from := rapid.IntRange(0, len(whole)).Draw(t, "from")
			text = string(whole[from:rapid.IntRange(from, len(whole)).Draw(t, "to")])
		}
		text = rapid.SampledFrom([]string{text, strings.ToUpper(text)}).Draw(t, "case")
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\t", `\t`).Replace(text) + `"`
	})
}

// filterGen generates filters of several comparisons.
func filterGen(shown []store.User, roles *store.Catalogue, attributes []filter.Attribute, depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		one := func() string { return filterGen(shown, roles, attributes, depth-1).Draw(t, "of") }
		kind := 0
		if depth > 0 {
			kind = rapid.IntRange(0, 4).Draw(t, "kind")
		}
		switch kind {
		case 1:
			return one() + " and " + one()
		case 2:
			return one() + " or " + one()
		case 3:
			return "not (" + one() + ")"
		case 4:
			return "(" + one() + ") and (" + one() + ")"
		}
		return comparisonGen(shown, roles, attributes).Draw(t, "comparison")
	})
}

// TestFiltersMeanTheSameInSQL checks that a filter finds, on either engine, those users for whom it is true.
func TestFiltersMeanTheSameInSQL(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		roles := s.Catalogue()
		shown := people(t, s)
		rapid.Check(t, func(t *rapid.T) {
			text := filterGen(shown, roles, nil, 2).Draw(t, "filter")
			e, err := filter.Parse(userFilters, text)
			if err != nil {
				if strings.Contains(err.Error(), "more than") {
					t.Skip("it is out of bounds")
				}
				t.Fatalf("%s: %v", text, err)
			}
			want := []int64{}
			for i := range shown {
				if e.Match(comparableOf(&shown[i], roles)) {
					want = append(want, shown[i].ID)
				}
			}
			found, total, err := s.ListUsers(context.Background(), 3393, store.Query{Provisioned: true, Filters: fromFilter(e, roles).filters()}, store.Window{Limit: 1000})
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			got := []int64{}
			for _, u := range found {
				got = append(got, u.ID)
			}
			if !slices.Equal(got, want) || total != int64(len(want)) {
				t.Errorf("%s finds %v (%d), want %v", text, got, total, want)
			}
		})
	})
}

// TestFilterSchemaIsDeclared checks that filters can name what /Schemas declares, with the case that it declares.
func TestFilterSchemaIsDeclared(t *testing.T) {
	t.Parallel()
	var check func(declared []property, named []filter.Attribute)
	check = func(declared []property, named []filter.Attribute) {
		for _, p := range declared {
			a := filter.Named(named, p.name)
			if a == nil {
				t.Errorf("filters cannot name %s", p.name)
				continue
			}
			if p.kind == typeText && p.exact != (a.Text == nil) || p.several != a.MultiValued {
				t.Errorf("%s is compared otherwise than it is declared", p.name)
			}
			check(p.parts, a.Sub)
		}
	}
	check(userProperties(&store.Catalogue{}), userFilters.Attributes)
}
