package dialect_test

import (
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/servertest"
)

func TestBodyThatIsNoJSONIsRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	about := func(field, message string) servertest.FieldError { return servertest.FieldError{field, message} }
	whole := func(message string) servertest.FieldError { return about("", message) }
	deep := func(n int) string {
		return `{"x":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + "}"
	}
	cases := []struct {
		name, body string
		want       servertest.FieldError
	}{
		{"empty", "", whole("the body is required")},
		{"white space", " \r\n\t", whole("the body is required")},
		{"byte order mark", "\ufeff{}", whole("the body is not valid JSON, at byte 0")},
		{"form", "name=Ada&surname=Lovelace", whole("the body is not valid JSON, at byte 0")},
		{"single quotes", `{'x':1}`, whole("the body is not valid JSON, at byte 1")},
		{"no end", `{"x":1`, whole("the body is not valid JSON, at byte 6")},
		{"no value", `{"x":}`, whole("the body is not valid JSON, at byte 4")},
		{"trailing comma", `{"x":1,}`, whole("the body is not valid JSON, at byte 6")},
		{"comment", `{"x":1/**/}`, whole("the body is not valid JSON, at byte 6")},
		{"NaN", `{"x":NaN}`, whole("the body is not valid JSON, at byte 4")},
		{"leading zero", `{"x":01}`, whole("the body is not valid JSON, at byte 6")},
		{"control character", "{\"x\":\"a\tb\"}", whole("the body is not valid JSON, at byte 4")},
		{"NUL byte", "{\"x\":\"\x00\"}", whole("the body is not valid JSON, at byte 4")},
		{"lone high surrogate", `{"x":"\ud83d"}`, whole("the body is not valid JSON, at byte 4")},
		{"lone low surrogate", `{"x":"\ude00"}`, whole("the body is not valid JSON, at byte 4")},
		{"surrogates the wrong way round", `{"x":"\ude00\ud83d"}`, whole("the body is not valid JSON, at byte 4")},
		{"surrogate in a name", `{"\ud83d":1}`, whole("the body is not valid JSON, at byte 1")},
		{"invalid UTF-8", "{\"x\":\"\xff\"}", whole("the body is not valid JSON, at byte 4")},
		{"overlong UTF-8", "{\"x\":\"\xc0\xaf\"}", whole("the body is not valid JSON, at byte 4")},
		{"UTF-8 of a surrogate", "{\"x\":\"\xed\xa0\x80\"}", whole("the body is not valid JSON, at byte 4")},
		{"invalid UTF-8 in a name", "{\"\xff\":1}", whole("the body is not valid JSON, at byte 1")},
		{"Latin-1", "{\"x\":\"Ad\xe9la\xefde\"}", whole("the body is not valid JSON, at byte 4")},
		{"a second value", `{"x":1} {"x":2}`, whole("the body must end after its JSON value")},
		{"trailing text", `{"x":1}x`, whole("the body must end after its JSON value")},
		{"trailing NUL", "{\"x\":1}\x00", whole("the body must end after its JSON value")},
		{"repeated", `{"x":1,"x":1}`, about("x", "x is repeated")},
		{"repeated in another spelling", `{"x":1,"\u0078":2}`, about("x", "x is repeated")},
		{"repeated with an empty name", `{"":1,"":1}`, about(`""`, `"" is repeated`)},
		{"repeated below", `{"x":{"y":[0,{"z":1,"z":null}]}}`, about("x.y.1.z", "x.y.1.z is repeated")},
		{"U+0000", `{"x":"a\u0000b"}`, about("x", "x must not contain U+0000")},
		{"U+0000 below", `{"x":[{"y":"\u0000"}]}`, about("x.0.y", "x.0.y must not contain U+0000")},
		{"U+0000 in a name", `{"x\u0000":1}`, about("x\x00", "x\x00 must not contain U+0000")},
		{"33 deep", deep(33), whole("the body must not be nested deeper than 32")},
		{"very deep", deep(100_000), whole("the body must not be nested deeper than 32")},
	}
	onEach(t, s, func(t *testing.T, f surface) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				r := f.request(s)
				r.Body = c.body
				f.refuses(t, s.Send(r), dialect.Invalid, c.want)
			})
		}
	})
	untouched(t, s)
}

func TestBodyMustBeAnObject(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	onEach(t, s, func(t *testing.T, f surface) {
		for body, message := range map[string]string{
			"null": "the body must not be null", "[]": "the body must be an object", `[{"x":1}]`: "the body must be an object",
			`"x"`: "the body must be an object", "1": "the body must be an object", "1e400": "the body must be an object", "true": "the body must be an object",
		} {
			r := f.request(s)
			r.Body = body
			f.refuses(t, s.Send(r), dialect.Invalid, servertest.FieldError{"", message})
		}
	})
}

func TestOddButLegalJSONIsRead(t *testing.T) {
	t.Parallel()
	onEach(t, servertest.Start(t), func(t *testing.T, f surface) {
		s := servertest.Start(t)
		quoted := `"` + f.text + `":"Ada"`
		for name, body := range map[string]string{
			"32 deep":                     f.body(member{"x", strings.Repeat("[", 31) + strings.Repeat("]", 31)}),
			"white space":                 "\n\t " + strings.ReplaceAll(f.body(), ":", " :\r\n") + " ",
			"escaped name":                strings.Replace(f.body(), quoted, `"`+f.text[:1]+`\u00`+hex(f.text[1])+f.text[2:]+`":"Ada"`, 1),
			"escaped value":               strings.Replace(f.body(), quoted, `"`+f.text+`":"\u0041\u0064a"`, 1),
			"unknown number":              f.body(member{"x", "1e400"}),
			"unknown surrogate":           f.body(member{"x", `"\ud83d\ude00"`}),
			"same name in another object": f.body(member{"x", `[{"` + f.text + `":1},{"` + f.text + `":2}]`}),
		} {
			r := f.request(s)
			r.Body = body
			a := s.Send(r)
			if f.accepts(t, a); t.Failed() {
				t.Fatal(name)
			}
			a.ExpectHeader(t, "Dragoman-Changed", "")
		}
	})
}

func hex(c byte) string { return string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15]) }

// A JSON decoder that ignores case reads other members than the validator does.
func TestMemberNamesMatchExactly(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	onEach(t, s, func(t *testing.T, f surface) {
		var others []string
		for _, other := range []string{strings.ToUpper(f.text), strings.ToUpper(f.text[:1]) + f.text[1:], f.text + " ", "\u017f" + f.text} {
			r := f.request(s)
			r.Body = f.body(member{other, `"Augusta"`})
			a := s.Send(r)
			f.accepts(t, a)
			a.ExpectHeader(t, "Dragoman-Changed", "")
			others = append(others, a.Header.Get("Dragoman-Ignored"))
		}
		if want := strings.ToUpper(f.text); others[0] != want {
			t.Errorf("ignored %q, want %q", others[0], want)
		}
	})
	untouched(t, s)
}

func TestIgnoredMembersAreListed(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	many := func(n int) (members []member) {
		for i := range n {
			members = append(members, member{"x" + string(rune('A'+i/26)) + string(rune('a'+i%26)), "null"})
		}
		return members
	}
	names := func(members []member) string {
		var all []string
		for _, m := range members {
			all = append(all, m[0])
		}
		return strings.Join(all, ", ")
	}
	cases := []struct {
		name string
		with []member
		want string
	}{
		{"null counts too", []member{{"x", "null"}}, "x"},
		{"in ascending order", []member{{"z", "1"}, {"y", "1"}}, "y, z"},
		{"an unknown object as a whole", []member{{"x", `{"y":1}`}}, "x"},
		{"token characters as they are", []member{{"x!#$%&'*+-.^_`|~9", "1"}}, "x!#$%&'*+-.^_`|~9"},
		{"other bytes percent-encoded", []member{{`a b,c;d=e/f:g@h(i)j[k]l{m}n<o>p?q`, "1"}}, "a%20b%2Cc%3Bd%3De%2Ff%3Ag%40h%28i%29j%5Bk%5Dl%7Bm%7Dn%3Co%3Ep%3Fq"},
		{"beyond ASCII byte by byte", []member{{"Größe", "1"}}, "Gr%C3%B6%C3%9Fe"},
		{"control characters too", []member{{`a\r\nSet-Cookie: b`, "1"}}, "a%0D%0ASet-Cookie%3A%20b"},
		{"an empty name in quotes", []member{{"", "1"}}, "%22%22"},
		{"64 characters", []member{{strings.Repeat("é", 64), "1"}}, strings.Repeat("%C3%A9", 64)},
		{"of 65 characters the first 64", []member{{strings.Repeat("é", 65), "1"}}, strings.Repeat("%C3%A9", 64)},
		{"32 names", many(32), names(many(32))},
		{"of 33 names the first 32", many(33), names(many(32)) + ", ..."},
		{"of 500 names the first 32", many(500), names(many(32)) + ", ..."},
	}
	onEach(t, s, func(t *testing.T, f surface) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				r := f.request(s)
				r.Body = f.rawBody(c.with)
				a := s.Send(r)
				f.accepts(t, a)
				a.ExpectHeader(t, "Dragoman-Ignored", c.want)
				a.ExpectHeader(t, "Dragoman-Changed", "")
				a.ExpectHeader(t, "Preference-Applied")
			})
		}
		a := s.Send(f.request(s))
		a.ExpectHeader(t, "Dragoman-Ignored")
	})
	untouched(t, s)
}

// rawBody is the legal body with members whose names are spelled as they stand.
func (f surface) rawBody(with []member) string {
	body := strings.TrimSuffix(f.body(), "}")
	for _, m := range with {
		body += `,"` + m[0] + `":` + m[1]
	}
	return body + "}"
}

func TestStrictHandling(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	onEach(t, s, func(t *testing.T, f surface) {
		for _, preference := range [][]string{
			{"handling=strict"}, {"Handling = strict"}, {`handling="strict"`}, {"respond-async, handling=strict; x=y"}, {"respond-async", "handling=strict"},
		} {
			r := f.request(s)
			r.Header["Prefer"] = preference
			a := s.Send(r)
			f.accepts(t, a)
			a.ExpectHeader(t, "Preference-Applied", "handling=strict")

			r.Body = f.rawBody([]member{{"z", "1"}, {"", "1"}, {`a\r\nb`, "null"}, {strings.Repeat("x", 100), "1"}})
			a = s.Send(r)
			long := strings.Repeat("x", 64) + "..."
			f.refuses(t, a, dialect.Invalid,
				servertest.FieldError{`""`, `"" would be ignored`},
				servertest.FieldError{"a\r\nb", "a\r\nb would be ignored"},
				servertest.FieldError{long, long + " would be ignored"},
				servertest.FieldError{"z", "z would be ignored"})
			a.ExpectHeader(t, "Preference-Applied", "handling=strict")
		}
		for _, preference := range [][]string{
			{""}, {"handling=lenient"}, {"handling"}, {"strict"}, {"handling=lenient, handling=strict"}, {"x-handling=strict"}, {"respond-async; handling=strict"},
		} {
			r := f.request(s)
			r.Header["Prefer"] = preference
			r.Body = f.body(member{"z", "1"})
			a := s.Send(r)
			f.accepts(t, a)
			a.ExpectHeader(t, "Preference-Applied")
			a.ExpectHeader(t, "Dragoman-Ignored", "z")
		}
	})
	untouched(t, s)
}
