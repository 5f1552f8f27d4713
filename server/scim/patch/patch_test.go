package patch_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/scim/filter"
	"github.com/dragoman-id/dragoman/server/scim/patch"
)

var folded = &filter.Text{Fold: strings.ToLower}

var schema = &filter.Schema{
	URN: "urn:ietf:params:scim:schemas:core:2.0:User",
	Attributes: []filter.Attribute{
		{Name: "id", ReadOnly: true},
		{Name: "externalId"},
		{Name: "userName", Text: folded, Required: true},
		{Name: "displayName"},
		{Name: "active", Type: filter.Boolean, Required: true},
		{Name: "name", Type: filter.Complex, Sub: []filter.Attribute{
			{Name: "givenName", Text: folded}, {Name: "familyName", Text: folded}, {Name: "formatted", Text: folded, ReadOnly: true},
		}},
		{Name: "emails", Type: filter.Complex, MultiValued: true, Required: true, Sub: []filter.Attribute{
			{Name: "value", Text: folded, Required: true}, {Name: "type", Text: folded}, {Name: "primary", Type: filter.Boolean},
		}},
		{Name: "phoneNumbers", Type: filter.Complex, MultiValued: true, Sub: []filter.Attribute{
			{Name: "value", Required: true}, {Name: "type", Text: folded}, {Name: "primary", Type: filter.Boolean},
		}},
		{Name: "roles", Type: filter.Complex, MultiValued: true, Sub: []filter.Attribute{
			{Name: "value", Required: true}, {Name: "display"}, {Name: "primary", Type: filter.Boolean},
		}},
		{Name: "meta", Type: filter.Complex, ReadOnly: true, Sub: []filter.Attribute{{Name: "version", ReadOnly: true}, {Name: "resourceType", ReadOnly: true}}},
	},
}

const ada = `{
	"id": "2819c223-7f76-453a-919d-413861904646", "userName": "ada@example.com", "active": true,
	"name": {"givenName": "Ada", "familyName": "Lovelace", "formatted": "Ada Lovelace"},
	"emails": [{"value": "ada@example.com", "type": "work", "primary": true}],
	"roles": [{"value": "A", "primary": true}, {"value": "B", "primary": true}],
	"meta": {"version": "\"1\"", "resourceType": "User"}
}`

func object(t *testing.T, text string) (o map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return o
}

// operations reads the operations of a request.
func operations(t *testing.T, text string) (all []patch.Operation) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return all
}

func TestApply(t *testing.T) {
	t.Parallel()
	const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	for _, c := range []struct {
		name, operations string
		want             string // the attributes that differ from Ada's; null: none
		undeclared       string
		ignored          string
	}{
		{"a path", `[{"op":"replace","path":"userName","value":"augusta"}]`, `{"userName":"augusta"}`, "", ""},
		{"a path with the URN", `[{"op":"replace","path":"urn:ietf:params:scim:schemas:core:2.0:User:userName","value":"augusta"}]`, `{"userName":"augusta"}`, "", ""},
		{"the URN alone", `[{"op":"replace","path":"urn:ietf:params:scim:schemas:core:2.0:User","value":{"userName":"augusta"}}]`, `{"userName":"augusta"}`, "", ""},
		{"op and name in any case", `[{"op":"Replace","path":"USERNAME","value":"augusta"},{"op":"ADD","path":"externalID","value":"1"}]`,
			`{"userName":"augusta","externalId":"1"}`, "", ""},
		{"no path", `[{"op":"replace","value":{"active":false}}]`, `{"active":false}`, "", ""},
		{"a path that is null", `[{"op":"replace","path":null,"value":{"active":false}}]`, `{"active":false}`, "", ""},
		{"a boolean as text", `[{"op":"Replace","path":"active","value":"False"}]`, `{"active":false}`, "", ""},
		{"a boolean as text without a path", `[{"op":"Replace","value":{"ACTIVE":"FALSE"}}]`, `{"active":false}`, "", ""},
		{"a sub-attribute", `[{"op":"Replace","path":"name.familyName","value":"King"}]`,
			`{"name":{"givenName":"Ada","familyName":"King","formatted":"Ada Lovelace"}}`, "", ""},
		{"a complex attribute keeps what the value lacks", `[{"op":"replace","path":"name","value":{"familyname":"King","givenName":null}}]`,
			`{"name":{"familyName":"King","formatted":"Ada Lovelace"}}`, "", ""},
		{"remove of a sub-attribute", `[{"op":"remove","path":"name.givenName"}]`, `{"name":{"familyName":"Lovelace","formatted":"Ada Lovelace"}}`, "", ""},
		{"remove of a complex attribute", `[{"op":"remove","path":"name"}]`, `{"name":null}`, "", ""},
		{"remove with a value, of one value", `[{"op":"Remove","path":"name.givenName","value":"Ada"}]`, `{"name":{"familyName":"Lovelace","formatted":"Ada Lovelace"}}`, "", ""},
		{"remove of nothing", `[{"op":"remove","path":"displayName"},{"op":"remove","path":"phoneNumbers[type eq \"mobile\"].value"},
			{"op":"remove","path":"phoneNumbers"},{"op":"remove","path":"roles[value eq \"C\"]"}]`, `{}`, "", ""},
		{"null unassigns", `[{"op":"add","path":"displayName","value":"x"},{"op":"replace","path":"displayName","value":null},{"op":"replace","path":"roles","value":null}]`,
			`{"roles":null}`, "", ""},
		{"null adds nothing", `[{"op":"add","value":{"userName":null,"roles":null}}]`, `{}`, "", ""},

		{"dotted names, URNs and value paths without a path", `[{"op":"add","value":{"name.givenName":"Augusta","urn:ietf:params:scim:schemas:core:2.0:User:displayName":"Ada King",
			"emails[type eq \"work\"].value":"king@example.com","` + enterprise + `:department":"x","phoneNumbers[type eq \"mobile\"].value":"1"}}]`,
			`{"name":{"givenName":"Augusta","familyName":"Lovelace","formatted":"Ada Lovelace"},"displayName":"Ada King",
			"emails":[{"value":"king@example.com","type":"work","primary":true}],"phoneNumbers":[{"type":"mobile","value":"1"}]}`, enterprise + ":department", ""},
		{"objects by URN without a path", `[{"op":"replace","value":{"urn:ietf:params:scim:schemas:core:2.0:User":{"userName":"augusta"},"` + enterprise + `":{"department":"x"}}}]`,
			`{"userName":"augusta"}`, enterprise, ""},
		{"undeclared attributes", `[{"op":"add","path":"title","value":"Countess"},{"op":"add","path":"addresses[type eq \"work\"].locality","value":"London"},
			{"op":"remove","path":"title"},{"op":"add","path":"name.middleName","value":"x"},{"op":"add","path":"emails[type eq \"work\"].display","value":"x"},
			{"op":"add","path":"name","value":{"honorificPrefix":"Countess"}},{"op":"add","value":{"nickName":"A"}}]`,
			`{}`, "addresses.locality emails.display name.honorificPrefix name.middleName nickName title", ""},

		{"an echo without a path", `[{"op":"replace","value":` + strings.ReplaceAll(ada, `, "primary": true}, {"value": "B", "primary": true}]`, `}, {"value": "B"}]`) + `}]`,
			`{"roles":[{"value":"A"},{"value":"B"}]}`, "", ""},
		{"other read-only values without a path", `[{"op":"replace","value":{"id":"1","schemas":["x"],"meta":{"version":"\"2\"","resourceType":"User"},"name.formatted":"x","active":false}}]`,
			`{"active":false}`, "", "id meta.version name.formatted"},

		{"the value of the element that a path selects", `[{"op":"Replace","path":"emails[type eq \"work\"].value","value":"king@example.com"}]`,
			`{"emails":[{"value":"king@example.com","type":"work","primary":true}]}`, "", ""},
		{"a capital True in a filter", `[{"op":"Add","path":"emails[primary eq \"True\"].value","value":"king@example.com"}]`,
			`{"emails":[{"value":"king@example.com","type":"work","primary":true}]}`, "", ""},
		{"replace creates the element", `[{"op":"Replace","path":"phoneNumbers[type eq \"mobile\"].value","value":"1"}]`, `{"phoneNumbers":[{"type":"mobile","value":"1"}]}`, "", ""},
		{"add creates the element", `[{"op":"Add","path":"phoneNumbers[type eq \"mobile\" and primary eq true].value","value":"1"}]`,
			`{"phoneNumbers":[{"type":"mobile","primary":true,"value":"1"}]}`, "", ""},
		{"a path to an element creates it", `[{"op":"Add","path":"phoneNumbers[type eq \"mobile\"]","value":{"value":"1"}}]`, `{"phoneNumbers":[{"type":"mobile","value":"1"}]}`, "", ""},
		{"a path to an element keeps what the value lacks", `[{"op":"replace","path":"emails[type eq \"work\"]","value":{"value":"king@example.com"}}]`,
			`{"emails":[{"value":"king@example.com","type":"work","primary":true}]}`, "", ""},
		{"several values for an element", `[{"op":"replace","path":"roles[value eq \"A\"]","value":[{"value":"C"},{"value":"D"}]}]`,
			`{"roles":[{"value":"B","primary":true},{"value":"C"},{"value":"D"}]}`, "", ""},
		{"a sub-attribute of all elements", `[{"op":"replace","path":"emails.value","value":"king@example.com"}]`,
			`{"emails":[{"value":"king@example.com","type":"work","primary":true}]}`, "", ""},
		{"a sub-attribute of no element", `[{"op":"add","path":"phoneNumbers.value","value":"1"}]`, `{"phoneNumbers":[{"value":"1"}]}`, "", ""},
		{"add of an element", `[{"op":"add","path":"emails","value":[{"type":"home","value":"ada@home.example"}]}]`,
			`{"emails":[{"value":"ada@example.com","type":"work","primary":true},{"type":"home","value":"ada@home.example"}]}`, "", ""},
		{"add of an element that is there", `[{"op":"add","path":"emails","value":{"type":"work","value":"ada@example.com"}},{"op":"add","path":"roles","value":[{"value":"A"}]}]`, `{}`, "", ""},
		{"a new primary element", `[{"op":"add","path":"emails","value":[{"type":"home","value":"ada@home.example","primary":"true"}]}]`,
			`{"emails":[{"value":"ada@example.com","type":"work","primary":false},{"type":"home","value":"ada@home.example","primary":true}]}`, "", ""},
		{"replace of all elements", `[{"op":"replace","path":"emails","value":[{"value":"x@example.com"},{"value":"x@example.com"}]}]`, `{"emails":[{"value":"x@example.com"}]}`, "", ""},
		{"replace in two steps", `[{"op":"remove","path":"emails"},{"op":"add","path":"emails","value":[{"value":"x@example.com"}]}]`, `{"emails":[{"value":"x@example.com"}]}`, "", ""},
		{"remove of an element", `[{"op":"remove","path":"roles[value eq \"A\"]"}]`, `{"roles":[{"value":"B","primary":true}]}`, "", ""},
		{"remove of all elements", `[{"op":"remove","path":"roles"}]`, `{"roles":null}`, "", ""},
		{"remove of those in the value", `[{"op":"Remove","path":"roles","value":[{"value":"A"},{"value":"C"}]}]`, `{"roles":[{"value":"B","primary":true}]}`, "", ""},
		{"remove of the value of an element", `[{"op":"remove","path":"roles[value eq \"A\"].value"}]`, `{"roles":[{"value":"B","primary":true}]}`, "", ""},

		{"one app role", `[{"op":"Replace","path":"roles[primary eq \"True\"].value","value":"C"}]`, `{"roles":[{"value":"C","primary":true}]}`, "", ""},
		{"one app role where there is none", `[{"op":"remove","path":"roles"},{"op":"Add","path":"roles[primary eq \"True\"].value","value":"C"}]`, `{"roles":[{"primary":true,"value":"C"}]}`, "", ""},
		{"app roles as JSON in text", `[{"op":"Add","path":"roles","value":"{\"id\":\"1\",\"value\":\"C\",\"displayName\":\"See\"}"}]`,
			`{"roles":[{"value":"A","primary":true},{"value":"B","primary":true},{"value":"C"}]}`, "roles.displayName roles.id", ""},
		{"app roles as JSON in an array of texts", `[{"op":"Add","path":"roles","value":[{"value":"{\"id\":\"1\",\"value\":\"C\"}"}]}]`,
			`{"roles":[{"value":"A","primary":true},{"value":"B","primary":true},{"value":"C"}]}`, "roles.id", ""},
		{"an array of app roles", `[{"op":"replace","path":"roles","value":[{"value":"C","display":"See","primary":"False"}]}]`,
			`{"roles":[{"value":"C","display":"See","primary":false}]}`, "", ""},
		{"names of roles", `[{"op":"replace","path":"roles","value":["C","D"]},{"op":"add","path":"roles","value":"E"}]`, `{"roles":[{"value":"C"},{"value":"D"},{"value":"E"}]}`, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, wrong := patch.Parse(schema, operations(t, c.operations))
			if wrong != nil {
				t.Fatalf("%v", wrong)
			}
			before := object(t, ada)
			got, ignored, err := p.Apply(before)
			if err != nil {
				t.Fatal(err)
			}
			want := object(t, ada)
			for name, value := range object(t, c.want) {
				if want[name] = value; value == nil {
					delete(want, name)
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%v\nwant\n%v", got, want)
			}
			if undeclared := strings.Join(p.Undeclared, " "); undeclared != c.undeclared {
				t.Errorf("undeclared are %s, want %s", undeclared, c.undeclared)
			}
			if ignored := strings.Join(ignored, " "); ignored != c.ignored {
				t.Errorf("ignored are %s, want %s", ignored, c.ignored)
			}
			if !reflect.DeepEqual(before, object(t, ada)) {
				t.Errorf("the resource was changed to %v", before)
			}
		})
	}
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`[{"op":"move","path":"active","value":true}]`:                                                         "invalidSyntax Operations.0.op",
		`[{"op":"","value":{}}]`:                                                                               "invalidSyntax Operations.0.op",
		`[{"op":"replace","value":{}},{"op":"remove"}]`:                                                        "noTarget Operations.1.path",
		`[{"op":"replace"}]`:                                                                                   "invalidValue Operations.0.value",
		`[{"op":"replace","value":"x"}]`:                                                                       "invalidValue Operations.0.value",
		`[{"op":"add","path":"userName"}]`:                                                                     "invalidValue Operations.0.value",
		`[{"op":"replace","value":{"active":true,"ACTIVE":false}}]`:                                            "invalidSyntax Operations.0.value",
		`[{"op":"replace","value":{"first name":"x"}}]`:                                                        "invalidPath Operations.0.value",
		`[{"op":"replace","path":"emails[type eq","value":"x"}]`:                                               "invalidFilter Operations.0.path",
		`[{"op":"replace","path":"emails[kind eq \"x\"].value","value":"x"}]`:                                  "invalidFilter Operations.0.path",
		`[{"op":"replace","path":"userName[value eq \"x\"]","value":"x"}]`:                                     "invalidPath Operations.0.path",
		`[{"op":"replace","path":"a b","value":"x"}]`:                                                          "invalidPath Operations.0.path",
		`[{"op":"replace","path":"active","value":"yes"}]`:                                                     "invalidValue Operations.0.value",
		`[{"op":"replace","path":"active","value":1}]`:                                                         "invalidValue Operations.0.value",
		`[{"op":"replace","path":"userName","value":1}]`:                                                       "invalidValue Operations.0.value",
		`[{"op":"replace","path":"userName","value":["x"]}]`:                                                   "invalidValue Operations.0.value",
		`[{"op":"replace","path":"name","value":"Ada"}]`:                                                       "invalidValue Operations.0.value",
		`[{"op":"replace","path":"name","value":{"givenName":"a","GIVENNAME":"b"}}]`:                           "invalidSyntax Operations.0.value",
		`[{"op":"replace","path":"emails","value":1}]`:                                                         "invalidValue Operations.0.value",
		`[{"op":"replace","path":"emails","value":[null]}]`:                                                    "invalidValue Operations.0.value",
		`[{"op":"replace","path":"emails","value":[[]]}]`:                                                      "invalidValue Operations.0.value",
		`[{"op":"replace","path":"emails","value":"{not JSON"}]`:                                               "invalidValue Operations.0.value",
		`[{"op":"replace","path":"emails","value":[{"type":"work"}]}]`:                                         "invalidValue Operations.0.value",
		`[{"op":"add","path":"phoneNumbers[type eq \"mobile\"].primary","value":true}]`:                        "invalidValue Operations.0.value",
		`[{"op":"replace","path":"id","value":"x"}]`:                                                           "mutability Operations.0.path",
		`[{"op":"remove","path":"meta.version"}]`:                                                              "mutability Operations.0.path",
		`[{"op":"replace","path":"name.formatted","value":"x"}]`:                                               "mutability Operations.0.path",
		`[{"op":"remove","path":"userName"}]`:                                                                  "mutability Operations.0.path",
		`[{"op":"remove","path":"active"}]`:                                                                    "mutability Operations.0.path",
		`[{"op":"remove","path":"emails"}]`:                                                                    "mutability Operations.0.path",
		`[{"op":"remove","path":"emails[type eq \"work\"]"}]`:                                                  "mutability Operations.0.path",
		`[{"op":"remove","path":"emails[type eq \"work\"].value"}]`:                                            "mutability Operations.0.path",
		`[{"op":"replace","path":"userName","value":""}]`:                                                      "invalidValue Operations.0.value",
		`[{"op":"replace","path":"userName","value":null}]`:                                                    "invalidValue Operations.0.value",
		`[{"op":"replace","value":{"emails":[]}}]`:                                                             "invalidValue Operations.0.value",
		`[{"op":"replace","path":"emails[type eq \"work\"].value","value":""}]`:                                "invalidValue Operations.0.value",
		`[{"op":"add","path":"phoneNumbers[not (type eq \"mobile\")].value","value":"1"}]`:                     "noTarget Operations.0.path",
		`[{"op":"replace","path":"phoneNumbers[type sw \"mobile\"].value","value":"1"}]`:                       "noTarget Operations.0.path",
		`[{"op":"replace","path":"active","value":false},{"op":"replace","path":"id","value":"x"},{"op":"x"}]`: "mutability Operations.1.path, invalidSyntax Operations.2.op",
	} {
		p, wrong := patch.Parse(schema, operations(t, text))
		var got []string
		for _, w := range wrong {
			got = append(got, w.Type+" "+w.Field)
		}
		if wrong == nil {
			before := object(t, ada)
			result, _, err := p.Apply(before)
			if e := (*patch.Error)(nil); errors.As(err, &e) {
				got = append(got, e.Type+" "+e.Field)
			}
			if err != nil && result != nil || !reflect.DeepEqual(before, object(t, ada)) {
				t.Errorf("%s: half of it was done: %v", text, result)
			}
		}
		if joined := strings.Join(got, ", "); joined != want {
			t.Errorf("%s:\n%s, want %s", text, joined, want)
		}
	}
}

// FuzzPatch checks that whatever the operations are, they are either refused or executed, twice with the same result, and that the
// result has all that is required.
func FuzzPatch(f *testing.F) {
	for _, seed := range []string{
		`[{"op":"Replace","path":"emails[type eq \"work\"].value","value":"x"}]`, `[{"op":"add","value":{"name.givenName":"x","active":"False"}}]`,
		`[{"op":"Add","path":"roles","value":"[{\"value\":\"A\"}]"}]`, `[{"op":"remove","path":"roles[value sw \"A\"]"},{"op":"add","path":"roles","value":["A"]}]`,
		`[{"op":"replace","path":"phoneNumbers[primary eq true and type eq \"x\"]","value":[{"value":"1"},{"value":"2","primary":true}]}]`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var all []patch.Operation
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			return
		}
		p, wrong := patch.Parse(schema, all)
		if wrong != nil {
			return
		}
		first, _, err := p.Apply(object(t, ada))
		again, _, errAgain := p.Apply(object(t, ada))
		if (err == nil) != (errAgain == nil) || !reflect.DeepEqual(first, again) {
			t.Errorf("%v, %v, then %v, %v", first, err, again, errAgain)
		}
		if err != nil {
			return
		}
		for _, a := range schema.Attributes {
			if a.Required && !filter.HasValue(first[a.Name]) {
				t.Errorf("there is no %s", a.Name)
			}
		}
		if first["id"] != object(t, ada)["id"] || !reflect.DeepEqual(first["meta"], object(t, ada)["meta"]) {
			t.Errorf("what is read-only has changed: %v", first)
		}
	})
}
