package dialect_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/servertest"
)

func TestRequestIDOfClient(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	made := regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	onEach(t, s, func(t *testing.T, f surface) {
		for name, change := range map[string]func(*servertest.Request){
			"200": func(*servertest.Request) {},
			"400": func(r *servertest.Request) { r.Body = "" },
			"401": func(r *servertest.Request) { r.Header.Del("Authorization") },
			"404": func(r *servertest.Request) { r.Path += "/x" },
			"405": func(r *servertest.Request) { r.Method = http.MethodDelete },
		} {
			for _, sane := range []string{"a", "4711", "A.b-c_9", strings.Repeat("x", 64)} {
				r := f.request(s)
				r.Header.Set("X-Request-Id", sane)
				change(&r)
				s.Send(r).ExpectHeader(t, "X-Request-Id", sane)
			}
			for _, insane := range []string{"", " ", "a b", "a\tb", "é", `"a"`, "a,b", "%0A", strings.Repeat("x", 65)} {
				r := f.request(s)
				r.Header.Set("X-Request-Id", insane)
				change(&r)
				if id := s.Send(r).Header.Get("X-Request-Id"); !made.MatchString(id) {
					t.Errorf("%s: the request's id %q became %q", name, insane, id)
				}
			}
		}
	})
}

func TestUnknownPathIsNotFound(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	onEach(t, s, func(t *testing.T, f surface) {
		base, _, _ := strings.Cut(f.path, "/customers/")
		for _, path := range []string{
			base, base + "/", base + "/nothing", base + "/customers", strings.Replace(f.ada(), "/users/", "/people/", 1),
			strings.Replace(f.ada(), "/users/", "/USERS/", 1), strings.Replace(f.ada(), "/customers/", "//customers/", 1),
			f.ada() + "/", f.ada() + "/x", f.ada() + "/x/y",
		} {
			t.Run(path, func(t *testing.T) {
				r := f.request(s)
				r.Path = path
				f.refusesAt(t, path, s.Send(r), dialect.RouteNotFound)
				r.Header.Del("Authorization")
				f.refusesAt(t, path, s.Send(r), dialect.RouteNotFound)
			})
		}
	})
}

// methods are those that the document has for the path of a user, and OPTIONS, which every path has.
func (f surface) methods(t *testing.T) []string {
	all := []string{http.MethodOptions, http.MethodHead}
	for _, d := range documents(t) {
		for path, item := range d.Paths.Map() {
			if strings.HasSuffix(path, "/users/{userID}") && f.name == "worth" || strings.HasSuffix(path, "/users/{userId}") && f.name == "testinium" {
				for method := range item.Operations() {
					all = append(all, method)
				}
			}
		}
	}
	slices.Sort(all)
	return all
}

func TestWrongMethodListsAllowed(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	onEach(t, s, func(t *testing.T, f surface) {
		right := f.methods(t)
		for _, method := range []string{
			http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodTrace, "INVENTED", "patch",
		} {
			if slices.Contains(right, method) {
				continue
			}
			r := f.request(s)
			r.Method = method
			a := s.Send(r)
			f.refuses(t, a, dialect.MethodNotAllowed)
			if allowed := strings.Split(a.Header.Get("Allow"), ", "); !slices.Equal(slices.Sorted(slices.Values(allowed)), right) {
				t.Errorf("%s: Allow is %q, want %q", method, allowed, right)
			}
			r.Header.Del("Authorization")
			f.refuses(t, s.Send(r), dialect.MethodNotAllowed)
		}

		r := f.request(s)
		r.Method = http.MethodOptions
		a := s.Send(r)
		a.Expect(t, 204, "")
		if allowed := strings.Split(a.Header.Get("Allow"), ", "); !slices.Equal(slices.Sorted(slices.Values(allowed)), right) {
			t.Errorf("OPTIONS: Allow is %q, want %q", allowed, right)
		}
	})
	untouched(t, s)
}

func TestEscapedPathNamesTheSameUser(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	onEach(t, s, func(t *testing.T, f surface) {
		escape := func(text string) string {
			var b strings.Builder
			for _, c := range []byte(text) {
				fmt.Fprintf(&b, "%%%02x", c)
			}
			return b.String()
		}
		for _, path := range []string{f.at(escape(f.customer), f.user), f.at(f.customer, escape(f.user)), f.ada() + "?x=%zz&y"} {
			r := f.request(s)
			r.Path = path
			f.accepts(t, s.Send(r))
		}
	})
}

func TestMediaTypeMustBeJSON(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	const form = "application/x-www-form-urlencoded"
	cases := []struct {
		contentType []string
		by          string // the dialects that accept it
	}{
		{nil, "worth testinium"},
		{[]string{""}, "worth testinium"},
		{[]string{"application/json"}, "worth testinium"},
		{[]string{"APPLICATION/Json"}, "worth testinium"},
		{[]string{"application/json;charset=utf-8"}, "worth testinium"},
		{[]string{`application/json; charset="UTF-8"`}, "worth testinium"},
		{[]string{"application/json; version=1"}, "worth testinium"},
		{[]string{form}, "testinium"},
		{[]string{form + "; charset=UTF-8"}, "testinium"},
		{[]string{"application/json; charset=iso-8859-1"}, "worth testinium"},
		{[]string{"application/json; charset=utf8"}, "worth testinium"},
		{[]string{"application/json; charset"}, ""},
		{[]string{"application/json, text/plain"}, ""},
		{[]string{"application/json", "text/plain"}, ""},
		{[]string{"application/merge-patch+json"}, ""},
		{[]string{"application/problem+json"}, ""},
		{[]string{"text/json"}, ""},
		{[]string{"text/plain"}, ""},
		{[]string{"multipart/form-data; boundary=x"}, ""},
		{[]string{"json"}, ""},
		{[]string{"application/"}, ""},
		{[]string{"*/*"}, ""},
		{[]string{";"}, ""},
		{[]string{"\xff"}, ""},
	}
	onEach(t, s, func(t *testing.T, f surface) {
		for _, c := range cases {
			t.Run(strings.Join(c.contentType, "+"), func(t *testing.T) {
				r := f.request(s)
				delete(r.Header, "Content-Type")
				if c.contentType != nil {
					r.Header["Content-Type"] = c.contentType
				}
				if strings.Contains(c.by, f.name) {
					f.accepts(t, s.Send(r))
				} else {
					f.refuses(t, s.Send(r), dialect.UnsupportedMediaType)
				}
			})
		}
	})
}

// TestMediaTypesAsDocumented: each update of each dialect takes JSON, and no text or JSON merge patch unless its document lists it.
// A form is not tried, since Testinium takes one that has JSON in it, without a word of it in the document.
func TestMediaTypesAsDocumented(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, d := range servertest.Dialects() {
		for _, id := range d.Updates {
			o := servertest.Operation(t, d.API, id)
			table, _ := d.Request(id)
			_, shown := s.Show(t, d.API, servertest.Manager(), servertest.AdaSubject)
			body := servertest.Project(t, table, shown)
			if !table.Whole() {
				name, _ := table.Member("FirstName")
				body = map[string]any{}
				description.Set(body, name.Path, description.At(shown, name.Path)[0])
			}
			path, header := o.About(servertest.AdaSubject)
			for _, media := range []string{"application/json", "text/plain", "application/merge-patch+json"} {
				header.Set("Content-Type", media)
				a := s.Ask(servertest.Manager(), servertest.Request{Method: o.Method, Path: path, Header: header, Body: table.Around(servertest.Encode(t, body))})
				want := http.StatusUnsupportedMediaType
				if o.RequestBody.Value.Content[media] != nil {
					want = http.StatusOK
				}
				if a.Status != want {
					t.Errorf("%s: a body of %s: %d %s, want %d", id, media, a.Status, a.Body, want)
				}
			}
		}
	}
}

func TestContentEncodingIsRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	onEach(t, s, func(t *testing.T, f surface) {
		for _, encoding := range [][]string{{""}, {"identity"}, {"Identity"}} {
			r := f.request(s)
			r.Header["Content-Encoding"] = encoding
			f.accepts(t, s.Send(r))
		}
		for _, encoding := range [][]string{{"gzip"}, {"br"}, {"gzip, identity"}, {"identity", "gzip"}, {"utf-8"}} {
			r := f.request(s)
			r.Header["Content-Encoding"] = encoding
			f.refuses(t, s.Send(r), dialect.UnsupportedMediaType)
		}
	})
}

func TestBodyHasAtMost256KiB(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	onEach(t, s, func(t *testing.T, f surface) {
		const limit = 256 << 10
		r := f.request(s)
		r.Body += strings.Repeat(" ", limit-len(r.Body))
		f.accepts(t, s.Send(r))

		r.Body += " "
		f.refuses(t, s.Send(r), dialect.ContentTooLarge)

		// Chunked: the length is not known beforehand.
		chunked, err := http.NewRequest(r.Method, s.URL+r.Path, io.MultiReader(strings.NewReader(r.Body)))
		if err != nil {
			t.Fatal(err)
		}
		chunked.Header = r.Header
		answer, err := s.HTTP.Do(chunked)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("chunked: the answer is %d, want 413", answer.StatusCode)
		}
	})
	untouched(t, s)
}

func TestBodyThatEndsEarlyIsRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	onEach(t, s, func(t *testing.T, f surface) {
		r := f.request(s)
		c, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: dragoman\r\nContent-Length: %d\r\n", r.Method, r.Path, len(r.Body)+1)
		if err := r.Header.Write(c); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "\r\n%s", r.Body)
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		f.refuses(t, servertest.Answer{Status: response.StatusCode, Header: response.Header, Body: string(body)}, dialect.RequestTimeout)
	})
	untouched(t, s)
}

func TestPreconditionMustBeWellFormed(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	wrong := servertest.FieldError{"If-Match", "If-Match must be * or entity tags in double quotes"}
	onEach(t, s, func(t *testing.T, f surface) {
		for _, c := range []struct {
			name   string
			header []string
			kind   dialect.Kind
			ok     bool
		}{
			{"present version", []string{`"1"`}, 0, true},
			{"any", []string{"*"}, 0, true},
			{"one of several", []string{`"7", "1"`}, 0, true},
			{"one of several lines", []string{`"7"`, `"1"`}, 0, true},
			{"another version", []string{`"7"`}, dialect.PreconditionFailed, false},
			{"weak", []string{`W/"1"`}, dialect.PreconditionFailed, false},
			{"no version", []string{`"one"`}, dialect.PreconditionFailed, false},
			{"empty tag", []string{`""`}, dialect.PreconditionFailed, false},
			{"leading zero", []string{`"01"`}, dialect.PreconditionFailed, false},
			{"beyond ASCII", []string{"\"\xff\""}, dialect.PreconditionFailed, false},
			{"no quotes", []string{"1"}, dialect.Invalid, false},
			{"empty", []string{""}, dialect.Invalid, false},
			{"half a quote", []string{`"1`}, dialect.Invalid, false},
			{"any and one", []string{`*, "1"`}, dialect.Invalid, false},
			{"one malformed line", []string{`"1"`, "x"}, dialect.Invalid, false},
		} {
			t.Run(c.name, func(t *testing.T) {
				r := f.request(s)
				r.Header["If-Match"] = c.header
				a := s.Send(r)
				switch {
				case c.ok:
					f.accepts(t, a)
				case c.kind == dialect.Invalid:
					f.refuses(t, a, c.kind, wrong)
				default:
					f.refuses(t, a, c.kind)
				}
			})
		}
	})
}
