package filter_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/scim/filter"
)

var ignoringCase = &filter.Text{Fold: strings.ToLower}

var schema = &filter.Schema{
	URN: "urn:ietf:params:scim:schemas:core:2.0:User",
	Attributes: []filter.Attribute{
		{Name: "id"},
		{Name: "externalId"},
		{Name: "userName", Text: ignoringCase, Required: true},
		{Name: "active", Type: filter.Boolean},
		{Name: "name", Type: filter.Complex, Sub: []filter.Attribute{{Name: "givenName", Text: ignoringCase}, {Name: "familyName", Text: ignoringCase}}},
		{Name: "emails", Type: filter.Complex, MultiValued: true, Sub: []filter.Attribute{
			{Name: "value", Text: ignoringCase}, {Name: "type", Text: ignoringCase}, {Name: "primary", Type: filter.Boolean},
		}},
		{Name: "roles", Type: filter.Complex, MultiValued: true, Sub: []filter.Attribute{{Name: "value"}}},
		{Name: "meta", Type: filter.Complex, Sub: []filter.Attribute{{Name: "lastModified", Type: filter.DateTime}}},
	},
}

func ada() map[string]any {
	return map[string]any{
		"id":         "2819c223-7f76-453a-919d-413861904646",
		"externalId": "00uAda",
		"userName":   "Ada@Example.com",
		"active":     true,
		"name":       map[string]any{"givenName": "Ada", "familyName": ""},
		"emails": []any{
			map[string]any{"value": "ada@example.com", "type": "work", "primary": true},
			map[string]any{"value": "Ada@home.example.org", "type": "home"},
		},
		"meta": map[string]any{"lastModified": "2011-05-13T04:42:34.5Z"},
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		// As the RFC has them.
		`userName eq "ada@example.com"`: true,
		`name.givenName co "D"`:         true,
		`userName sw "A"`:               true,
		`urn:ietf:params:scim:schemas:core:2.0:User:userName sw "A"`:   true,
		`URN:IETF:params:scim:schemas:core:2.0:user:name.givenName pr`: true,
		`externalId pr`: true,
		`meta.lastModified gt "2011-05-13T04:42:34Z"`:                    true,
		`meta.lastModified ge "2011-05-13T06:42:34.500+02:00"`:           true,
		`meta.lastModified lt "2011-05-13T04:42:34.500Z"`:                false,
		`meta.lastModified eq "2011-05-13T04:42:34.500000Z"`:             true,
		`userName eq "x" or userName sw "ada" and active eq false`:       false,
		`(userName eq "x" or userName sw "ada") and active eq true`:      true,
		`userName sw "ada" or userName eq "x" and active eq false`:       true,
		`active eq true and (emails co "example.com" or roles pr)`:       true,
		`active eq true and not (emails co "example.com")`:               false,
		`emails[type eq "work" and value co "@example.com"]`:             true,
		`emails[type eq "home" and value co "@example.com"]`:             false,
		`emails[type eq "work"] or roles[value eq "x"]`:                  true,
		`emails[not (type eq "work")]`:                                   true,
		`emails[(type eq "work")]`:                                       true,
		`emails[not (type eq "work" or type eq "home")]`:                 false,
		`emails[primary eq true and (type eq "home" or type eq "work")]`: true,
		// Text, exact and not.
		`id eq "2819C223-7F76-453A-919D-413861904646"`: false,
		`externalId sw "00u"`:                          true,
		`externalId sw "00U"`:                          false,
		`externalId ew "Ada"`:                          true,
		`externalId co "0uA"`:                          true,
		`externalId gt "00uAd"`:                        true,
		`externalId le "00uAda"`:                       true,
		`externalId lt "00uAda"`:                       false,
		`name.givenName ge "ADA"`:                      true,
		// One of several values.
		`emails.type eq "home"`:         true,
		`emails.type ne "home"`:         true,
		`emails.value ew "EXAMPLE.ORG"`: true,
		`emails eq "ada@example.com"`:   true,
		// No value.
		`name.familyName pr`:                 false,
		`name.familyName eq ""`:              false,
		`name.familyName ne "x"`:             true,
		`name.familyName eq null`:            true,
		`name.familyName ne null`:            false,
		`name.familyName lt "x"`:             false,
		`name.familyName co ""`:              false,
		`name.givenName co ""`:               true,
		`name pr`:                            true,
		`roles pr`:                           false,
		`roles eq "x"`:                       false,
		`roles ne "x"`:                       true,
		`not (roles pr)`:                     true,
		`emails.primary eq false`:            false,
		`emails[primary pr].type eq "home"`:  false,
		`emails[type eq "fax"].value ne "x"`: true,
		`emails[type eq "fax"].value pr`:     false,
		`emails[type eq "work"].value pr`:    true,
		`emails[type eq "work"] eq "a@b"`:    false,
		`emails[type eq "work"] sw "Ada@"`:   true,
		`emails[type eq "work"] pr`:          true,
		`emails pr`:                          true,
		// As Entra and Okta write them.
		`emails[type eq "work"].value eq "Ada@example.com"`: true,
		`emails[type eq "home"].value eq "ada@example.com"`: false,
		`externalId eq 00uAda`:                              true,
		`(externalId eq 00uAda)`:                            true,
		`emails[type eq work].value eq ada@example.com`:     true,
		`active eq "True"`:                                  true,
		`active eq True`:                                    true,
		`active ne "FALSE"`:                                 true,
		`emails[primary eq "True"].value sw "ada"`:          true,
		`  userName   EQ  "ADA@example.com"  `:              true,
		"userName\teq\t\"ada@example.com\"":                 true,
		`USERNAME Eq "ada@example.com" AND Active EQ true`:  true,
		`NOT(active eq false)`:                              true,
		`(userName pr)and(active pr)`:                       true,
		// Escapes of JSON.
		`name.givenName eq "\u0041da"`:     true,
		`name.givenName ne "\ud83d\ude00"`: true,
		`name.givenName eq "\"Ada\""`:      false,
		`name.givenName ne "\\\""`:         true,
		// Values that look like something else.
		`userName eq true`:               false,
		`userName ne 6860`:               true,
		`userName eq "null"`:             false,
		`externalId ne "eq \"x\") or ("`: true,
		`userName co and`:                false,
		strings.Repeat("(", 16) + `active pr` + strings.Repeat(")", 16): true,
	} {
		expression, err := filter.Parse(schema, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := expression.Match(ada()); got != want {
			t.Errorf("%s is %t", text, got)
		}
	}
}

func TestInvalidFilters(t *testing.T) {
	t.Parallel()
	for text, at := range map[string]int{
		``:                                    1,
		`   `:                                 4,
		`userName`:                            9,
		`userName eq`:                         12,
		`userName eq `:                        13,
		`userName xx "a"`:                     10,
		`userName eq"a`:                       12,
		`userName eq "a`:                      13,
		`userName eq "a\"`:                    13,
		`userName eq "\q"`:                    13,
		`userName eq "\ud800"`:                13,
		`userName eq "\udc00a"`:               13,
		`userName eq "\u0000"`:                13,
		"userName eq \"a\tb\"":                13,
		"userName eq \"a\x00b\"":              15,
		"userName eq \"\xff\"":                1,
		`userName eq 'a'`:                     13,
		`userName eq "a" "b"`:                 17,
		`userName eq "a" and`:                 20,
		`userName eq "a" and or`:              21, // or is the name of no attribute
		`userName eq "a" xor userName eq "b"`: 17,
		`and userName eq "a"`:                 1,
		`not userName eq "a"`:                 1,
		`(userName eq "a"`:                    17,
		`userName eq "a")`:                    16,
		`()`:                                  2,
		`title eq "x"`:                        1,
		`userName.x eq "x"`:                   1,
		`name.middleName eq "x"`:              1,
		`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq "x"`: 1,
		`urn:ietf:params:scim:schemas:core:2.0:User eq "x"`:                            1,
		`urn:ietf:params:scim:schemas:core:2.0:User: eq "x"`:                           1,
		`a.b.c eq "x"`:                          1,
		`1a eq "x"`:                             1,
		`name eq "x"`:                           1,
		`name sw "x"`:                           1,
		`active gt true`:                        8,
		`active co "t"`:                         8,
		`active eq "yes"`:                       11,
		`active eq 1`:                           11,
		`meta.lastModified eq "yesterday"`:      22,
		`meta.lastModified eq 2011`:             22,
		`meta.lastModified co "2011"`:           19,
		`userName gt null`:                      13,
		`userName[value eq "x"]`:                1,
		`name[givenName eq "x"]`:                1,
		`emails[type eq "work"`:                 22,
		`emails[]`:                              8,
		`emails[userName eq "x"]`:               8,
		`emails[emails[type eq "x"]]`:           8,
		`emails[type eq "work"].`:               24,
		`emails[type eq "work"].display eq "x"`: 24,
		`emails[type eq "work"].value`:          29,
		`emails.value[type eq "work"]`:          1,
		`ünknown eq "x"`:                        1,
		`userName eq "ü" ü`:                     17,
		strings.Repeat("(", 17) + `active pr` + strings.Repeat(")", 17): 18,
		strings.Repeat("(", 1000):                                          513,
		strings.Repeat("ü", 513):                                           513,
		`active pr` + strings.Repeat(` and active pr`, 8):                  113,
		`emails[` + strings.Repeat(`type pr or `, 8) + `type pr]`:          96,
		`emails[type pr` + strings.Repeat(` or type pr`, 7) + `].value pr`: 94,
	} {
		expression, err := filter.Parse(schema, text)
		var invalid *filter.Error
		if !errors.As(err, &invalid) || expression != nil {
			t.Errorf("%s: %v, %v", text, expression, err)
			continue
		}
		if invalid.Kind != filter.InvalidFilter || invalid.At != at {
			t.Errorf("%s: %s: %v, want character %d", text, invalid.Kind, err, at)
		}
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`userName`:       "userName",
		` USERNAME `:     "userName",
		`name.givenname`: "name.givenName",
		`urn:ietf:params:scim:schemas:core:2.0:User:name.familyName`: "name.familyName",
		`urn:ietf:params:scim:schemas:core:2.0:User`:                 "",
		`emails`:                       "emails",
		`emails.value`:                 "emails.value",
		`emails[type eq "work"]`:       "emails[]",
		`emails[type eq "work"].value`: "emails[].value",
		`emails[type eq "work" and primary eq "True"].VALUE`: "emails[].value",
		`title`:                          "? title",
		`name.middleName`:                "? name.middleName",
		`userName.formatted`:             "? userName.formatted",
		`emails[type eq "work"].display`: "? emails.display",
		`addresses[type eq "work" and not (a.b pr)].streetAddress`:           "? addresses.streetAddress",
		`addresses[type eq "work"]`:                                          "? addresses",
		`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager`: "? urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager",
		`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User`:         "? urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
		// Refused.
		``:                             "invalidPath at 1",
		`emails[type eq "work"`:        "invalidFilter at 22",
		`emails[tip eq "work"].value`:  "invalidFilter at 8",
		`emails[type eq "work"].`:      "invalidPath at 24",
		`emails[type eq "work"]value`:  "invalidPath at 23",
		`emails[type eq "work"].a.b`:   "invalidPath at 24",
		`emails.value[type eq "work"]`: "invalidPath at 1",
		`userName[value eq "x"]`:       "invalidPath at 1",
		`userName eq "x"`:              "invalidPath at 10",
		`a.b.c`:                        "invalidPath at 1",
		`a:b`:                          "invalidPath at 1",
		`.a`:                           "invalidPath at 1",
		`name.`:                        "invalidPath at 1",
		`/name/givenName`:              "invalidPath at 1",
		strings.Repeat("a", 600):       "invalidPath at 513",
	} {
		path, err := filter.ParsePath(schema, text)
		got := ""
		if invalid := (*filter.Error)(nil); errors.As(err, &invalid) {
			got = string(invalid.Kind) + " at " + strings.Fields(strings.SplitAfter(err.Error(), "character ")[1])[0]
			got = strings.TrimSuffix(got, ":")
		} else if path.Undeclared != "" {
			got = "? " + path.Undeclared
		} else if path.Attribute != nil {
			got = path.Attribute.Name
			if path.Filter != nil {
				got += "[]"
			}
			if path.Sub != nil {
				got += "." + path.Sub.Name
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestMessagesRepeatNoValues(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`active eq "secret"`, `meta.lastModified gt secret`, `userName eq "secret\q"`, `userName eq "a" secret`, `userName secret "x"`} {
		if _, err := filter.Parse(schema, text); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// FuzzParse checks that what is parsed stays within the bounds and has a meaning, which not negates, and that a refusal says where.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`userName eq "ada"`, `emails[type eq "work"].value eq "x"`, `not (active eq "True") and (roles pr or externalId eq abc)`,
		`meta.lastModified ge "2011-05-13T04:42:34Z"`, `urn:ietf:params:scim:schemas:core:2.0:User:name.givenName sw "\u00e9"`,
		`((((`, `emails[[`, `a eq "\ud800"`, "userName eq \"\x00\"", `name.givenName ne null`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		start := time.Now()
		expression, err := filter.Parse(schema, text)
		if _, pathErr := filter.ParsePath(schema, text); pathErr != nil {
			checkError(t, text, pathErr)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("it took %s", took)
		}
		if err != nil {
			checkError(t, text, err)
			return
		}
		if n := terms(expression); n < 1 || n > filter.MaxTerms {
			t.Errorf("%d terms", n)
		}
		for _, resource := range []map[string]any{ada(), {}} {
			holds := expression.Match(resource)
			if (filter.Not{Of: expression}).Match(resource) == holds {
				t.Errorf("%s and its negation are %t", text, holds)
			}
		}
		spaced, err := filter.Parse(schema, " "+strings.TrimSpace(text)+" ")
		if len(text) < filter.MaxLength-2 && (err != nil || spaced.Match(ada()) != expression.Match(ada())) {
			t.Errorf("with spaces around it: %v", err)
		}
	})
}

func checkError(t *testing.T, text string, err error) {
	t.Helper()
	var invalid *filter.Error
	if !errors.As(err, &invalid) || invalid.Message == "" || invalid.At < 1 || invalid.At > len([]rune(text))+1 {
		t.Errorf("%q is refused with %v", text, err)
	}
}

func terms(e filter.Expression) (n int) {
	switch e := e.(type) {
	case filter.And:
		for _, of := range e {
			n += terms(of)
		}
	case filter.Or:
		for _, of := range e {
			n += terms(of)
		}
	case filter.Not:
		return terms(e.Of)
	case *filter.Comparison:
		return 1
	case *filter.ValuePath:
		if n = terms(e.Filter); e.Comparison != nil {
			n++
		}
	}
	return n
}
