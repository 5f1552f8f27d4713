package dialect

import (
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/gen/testiniumapi"
	"github.com/dragoman-id/dragoman/gen/worthapi"
	"github.com/getkin/kin-openapi/openapi3"
	"pgregory.net/rapid"
)

func TestEntityTags(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]entityTags{
		`*`:                    {present: true, any: true},
		` * `:                  {present: true, any: true},
		`"1"`:                  {present: true, strong: []string{"1"}},
		` "1" `:                {present: true, strong: []string{"1"}},
		`""`:                   {present: true, strong: []string{""}},
		`"1","2"`:              {present: true, strong: []string{"1", "2"}},
		`"1" ,	"2"`:            {present: true, strong: []string{"1", "2"}},
		`"a,b", "c"`:           {present: true, strong: []string{"a,b", "c"}},
		`W/"1", "2", W/""`:     {present: true, strong: []string{"2"}, weak: []string{"1", ""}},
		`, "1", , "2",`:        {present: true, strong: []string{"1", "2"}},
		`"!#$%&'()*+-./:;<=>"`: {present: true, strong: []string{"!#$%&'()*+-./:;<=>"}},
		"\"\x80\xff\"":         {present: true, strong: []string{"\x80\xff"}},
	} {
		got, ok := parseEntityTags(header)
		if !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %+v, %v, want %+v", header, got, ok, want)
		}
	}
	for _, header := range []string{
		"", " ", ",", "1", `"1`, `1"`, `"`, `"""`, `"1" "2"`, `"1"2`, `w/"1"`, `W/`, `W/1`, `W "1"`, `W/W/"1"`, `*, "1"`, `"1", *`, `**`, `'1'`,
		`"a b"`, "\"a\tb\"", `"1";q=1`,
	} {
		if got, ok := parseEntityTags(header); ok {
			t.Errorf("%q is %+v, want none", header, got)
		}
	}
}

// TestDocumentsDeclareEntityTagPattern: what a document says of If-Match and If-None-Match is what is read as entity tags.
func TestDocumentsDeclareEntityTagPattern(t *testing.T) {
	t.Parallel()
	for name, get := range map[string]func() (*openapi3.T, error){"worth": worthapi.GetSpec, "testinium": testiniumapi.GetSpec} {
		d, err := get()
		if err != nil {
			t.Fatal(err)
		}
		for _, header := range []string{"IfMatch", "IfNoneMatch"} {
			t.Run(name+" "+header, func(t *testing.T) {
				t.Parallel()
				pattern := regexp.MustCompile(d.Components.Parameters[header].Value.Schema.Value.Pattern)
				rapid.Check(t, func(t *rapid.T) {
					text := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{
						`"`, `"1"`, `W/`, `w/`, `*`, `,`, " ", "\t", `1`, `\`, "\xff", "é",
					}), 0, 8).Draw(t, "header"), "")
					if _, ok := parseEntityTags(text); ok != pattern.MatchString(text) {
						t.Errorf("%q is read: %v, and matches the document's pattern: %v", text, ok, !ok)
					}
				})
			})
		}
	}
}

func TestIfMatchComparesStrongly(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]bool{
		`"7"`: true, `*`: true, `"6", "7"`: true, `W/"6", "7"`: true,
		`"6"`: false, `W/"7"`: false, `"07"`: false, `"+7"`: false, `""`: false, `"77"`: false,
	} {
		tags, _ := parseEntityTags(header)
		if got := tags.allow(7); got != want {
			t.Errorf("If-Match: %s allows a write to version 7: %v", header, got)
		}
	}
	if !(entityTags{}).allow(7) {
		t.Error("no If-Match forbids a write")
	}
}

func TestIfNoneMatchComparesWeakly(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]bool{
		`"7"`: true, `W/"7"`: true, `*`: true, `"6", W/"7"`: true, `"6"`: false, `W/"6"`: false, `"07"`: false,
	} {
		tags, _ := parseEntityTags(header)
		if got := tags.have(7); got != want {
			t.Errorf("If-None-Match: %s has version 7: %v", header, got)
		}
	}
	if (entityTags{}).have(7) {
		t.Error("a client without If-None-Match has every version")
	}
}

func TestETagIsTheVersionInQuotes(t *testing.T) {
	t.Parallel()
	if got := ETag(9007199254740993); got != `"9007199254740993"` {
		t.Error(got)
	}
}

func TestPreferences(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]bool{
		"handling=strict": true, "HANDLING=STRICT": true, ` handling = "strict" `: true, "handling=strict; x=y": true,
		"respond-async, handling=strict": true, `wait=10,handling=strict,`: true, "handling=strict, handling=lenient": true,
		"": false, "handling": false, "handling=": false, "handling=lenient": false, "strict": false, "handling=strictly": false,
		"handling=lenient, handling=strict": false, "wait; handling=strict": false, "x-handling=strict": false, "handling=strict=x": false,
	} {
		if got := prefersStrict(header); got != want {
			t.Errorf("Prefer: %s is strict: %v", header, got)
		}
	}
}

func TestNamesInAHeader(t *testing.T) {
	t.Parallel()
	names := func(n int) []string { return strings.Split(strings.Repeat("n ", n-1)+"n", " ") }
	for _, c := range []struct {
		names []string
		want  string
	}{
		{nil, ""},
		{[]string{"first_name", "authorities.0.x"}, "first_name, authorities.0.x"},
		{[]string{"!#$%&'*+-.^_`|~"}, "!#$%&'*+-.^_`|~"},
		{[]string{"a b", "a,b", "a\r\nb", "\"\\", "é", "\x7f"}, "a%20b, a%2Cb, a%0D%0Ab, %22%5C, %C3%A9, %7F"},
		{[]string{strings.Repeat("é", 64), strings.Repeat("é", 65)}, strings.Repeat("%C3%A9", 64) + ", " + strings.Repeat("%C3%A9", 64)},
		{names(32), strings.Join(names(32), ", ")},
		{names(33), strings.Join(names(32), ", ") + ", ..."},
	} {
		if got := listNames(c.names); got != c.want {
			t.Errorf("%q are listed as %q, want %q", c.names, got, c.want)
		}
	}
}
