package dialect_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-id/dragoman/server/servertest"
)

const (
	adaPath     = "/account/api/v1/customers/3393/users/6860"
	nobodyPath  = "/account/api/v1/customers/3393/users/9007199254740991"
	adaPatch    = "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users/94520740-d63c-4e02-85ca-c4e138801e73"
	usersOfBoth = "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users"
	adaHistory  = "/directory/v1/customers/3393/users/6860/history"
	legalPut    = `"name":"a","surname":"b","username":"c","email":"c@example.com","enabled":true,"accountNonExpired":true,"accountNonLocked":true,"credentialNonExpired":true,`
)

func TestListedErrorsAreBounded(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	body := "{"
	for i := range 250 {
		body += fmt.Sprintf(`"unknown%d":1,`, i)
	}
	body += legalPut + `"authorities":[` + strings.Repeat(`{},`, 63) + `{}]}`
	a := s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodPut, Path: adaPath, Body: body, Header: http.Header{"Prefer": {"handling=strict"}}})
	var answer struct {
		Errors []struct{ Field, Message string }
	}
	a.Decode(t, &answer)
	if n := len(answer.Errors); a.Status != http.StatusBadRequest || n != 101 {
		t.Fatalf("%d with %d errors", a.Status, n)
	}
	if last := answer.Errors[100]; last.Field != "" || last.Message != "and more errors" {
		t.Errorf("the last is %+v", last)
	}
}

// repeated returns n times what item makes of its number, with commas in between.
func repeated(n int, item func(i int) string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = item(i)
	}
	return strings.Join(all, ",")
}

// hostile are requests that cost more, or are answered with more, than they have any right to.
var hostile = []struct {
	name   string
	status int
	servertest.Request
}{
	{"a name of signs that JSON escapes", 400, servertest.Request{Method: http.MethodPatch, Path: adaPatch, Body: `{"` + strings.Repeat("<", 260_000) + `":1}`}},
	{"the same, strictly", 400, servertest.Request{Method: http.MethodPut, Path: adaPath, Header: strictly, Body: "{" + legalPut + `"authorities":[],"` + strings.Repeat("<", 260_000) + `":1}`}},
	{"many such names", 400, servertest.Request{Method: http.MethodPatch, Path: adaPatch, Header: strictly, Body: "{" + repeated(1000, func(i int) string {
		return fmt.Sprintf(`"%s%d":1`, strings.Repeat("<", 200), i)
	}) + "}"}},
	{"a repeated name", 400, servertest.Request{Method: http.MethodPatch, Path: adaPatch, Body: `{"` + strings.Repeat("&", 130_000) + `":1,"` + strings.Repeat("&", 130_000) + `":1}`}},
	{"a repeated name deep below others", 400, servertest.Request{Method: http.MethodPatch, Path: adaPatch, Body: strings.Repeat(`{"`+strings.Repeat("<", 8000)+`":`, 30) +
		`{"a":1,"a":1}` + strings.Repeat("}", 30)}},
	{"U+0000 below a long name", 400, servertest.Request{Method: http.MethodPatch, Path: adaPatch, Body: `{"` + strings.Repeat("<", 260_000) + `":"\u0000"}`}},
	{"numbers for roles", 400, servertest.Request{Method: http.MethodPut, Path: nobodyPath, Body: "{" + legalPut + `"authorities":[` + repeated(126_000, func(int) string { return "1" }) + `]}`}},
	{"numbers for roles within the number of values", 400, servertest.Request{Method: http.MethodPut, Path: nobodyPath, Body: "{" + legalPut + `"authorities":[` + repeated(1000, func(int) string { return "1" }) + `]}`}},
	{"empty roles", 400, servertest.Request{Method: http.MethodPut, Path: nobodyPath, Body: "{" + legalPut + `"authorities":[` + repeated(80_000, func(int) string { return "{}" }) + `]}`}},
	{"long names of roles", 400, servertest.Request{Method: http.MethodPut, Path: adaPath, Body: "{" + legalPut + `"authorities":[` + repeated(500, func(int) string {
		return `{"name":"` + strings.Repeat("<", 480) + `"}`
	}) + `]}`}},
	{"many members", 400, servertest.Request{Method: http.MethodPatch, Path: adaPatch, Body: "{" + repeated(25_000, func(i int) string { return fmt.Sprintf(`"%x":1`, i) }) + "}"}},
	{"an object for every member", 400, servertest.Request{Method: http.MethodPut, Path: adaPath, Body: `{"name":{},"surname":[],"username":{},"email":[],"authorities":{"a":[[[[[[]]]]]]}}`}},
	{"nesting", 400, servertest.Request{Method: http.MethodPatch, Path: adaPatch, Body: strings.Repeat(`[`, 200_000)}},
	{"nested objects side by side", 400, servertest.Request{Method: http.MethodPatch, Path: adaPatch, Body: `{"first_name":"a","x":[` + repeated(4000, func(int) string {
		return strings.Repeat(`[`, 28) + strings.Repeat("]", 28)
	}) + "]}"}},
	{"a number of many digits", 400, servertest.Request{Method: http.MethodPut, Path: adaPath, Body: `{"customer":` + strings.Repeat("9", 250_000) + "}"}},
	{"a long text", 400, servertest.Request{Method: http.MethodPatch, Path: adaPatch, Body: `{"email":"` + strings.Repeat("a@", 130_000) + `"}`}},
	{"an array for a body", 400, servertest.Request{Method: http.MethodPatch, Path: adaPatch, Body: "[" + repeated(126_000, func(int) string { return "1" }) + "]"}},
	{"query parameters", 400, servertest.Request{Method: http.MethodGet, Path: usersOfBoth + "?" + strings.ReplaceAll(repeated(10_000, func(i int) string { return fmt.Sprintf("%x=", i) }), ",", "&")}},
	{"long query parameters", 400, servertest.Request{Method: http.MethodGet, Path: usersOfBoth + "?" + strings.ReplaceAll(repeated(60, func(i int) string { return fmt.Sprintf("%d%s=1", i, strings.Repeat("%3C", 300)) }), ",", "&")}},
	{"a long search", 400, servertest.Request{Method: http.MethodGet, Path: usersOfBoth + "?search=" + strings.Repeat("a", 60_000)}},
	{"a long path", 404, servertest.Request{Method: http.MethodGet, Path: "/account/api/v1/" + strings.Repeat("%3C", 15_000)}},
	{"a long id", 400, servertest.Request{Method: http.MethodGet, Path: "/account/api/v1/customers/3393/users/" + strings.Repeat("%3C", 15_000)}},
	{"a long id of another dialect", 404, servertest.Request{Method: http.MethodPatch, Path: "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users/" + strings.Repeat("%3C", 15_000), Body: `{"first_name":"a"}`}},
	{"a long query of the directory's", 400, servertest.Request{Method: http.MethodGet, Path: adaHistory + "?" + strings.Repeat("%3C", 15_000) + "=1"}},
	{"many entity tags", 412, servertest.Request{Method: http.MethodPatch, Path: adaPatch, Header: http.Header{"If-Match": {strings.TrimSuffix(strings.Repeat(`"0",`, 12_000), ",")}}, Body: `{"first_name":"a"}`}},
}

var strictly = http.Header{"Prefer": {"handling=strict"}}

// maxErrorBody is how much an answer to an error may have, in bytes.
const maxErrorBody = 16 << 10

func TestErrorAnswersAreBounded(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, h := range hostile {
		t.Run(h.name, func(t *testing.T) {
			a := s.With(t).Ask(servertest.Manager(), h.Request)
			if a.Status != h.status {
				t.Errorf("answered with %d %.200s, want %d", a.Status, a.Body, h.status)
			}
			if n := len(a.Body); n > maxErrorBody || !json.Valid([]byte(a.Body)) {
				t.Errorf("%d bytes, valid JSON %v: %.200s", n, json.Valid([]byte(a.Body)), a.Body)
			}
			for _, run := range []string{"<", "&", "9", `\u003c`, `\u0026`} {
				if strings.Contains(a.Body, strings.Repeat(run, 300)) {
					t.Errorf("the answer repeats all of a name: %.400s", a.Body)
				}
			}
		})
	}
}

// TestHeadersThatRepeatNamesAreBounded: a write whose body has many long unknown members takes place.
func TestHeadersThatRepeatNamesAreBounded(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	body := `{"first_name":"Ada",` + repeated(900, func(i int) string { return fmt.Sprintf(`"%d%s":1`, i, strings.Repeat("é", 100)) }) + "}"
	a := s.Ask(servertest.Manager(), servertest.Request{Method: http.MethodPatch, Path: adaPatch, Body: body})
	if ignored := a.Header.Get("Dragoman-Ignored"); a.Status != 200 || len(ignored) > 4<<10+5 || !strings.HasSuffix(ignored, ", ...") {
		t.Errorf("%d with a header of %d bytes", a.Status, len(ignored))
	}
}

// TestHostileRequestsTakeLittleMemory sends each of them 25 times at once, past the network, whose buffers are others'. It
// does not run beside other tests, whose memory would be counted too.
func TestHostileRequestsTakeLittleMemory(t *testing.T) {
	s := servertest.Start(t)
	const at, most = 25, 6 << 20 // bytes a request, all that it ever takes counted
	for _, h := range hostile {
		token := "Bearer " + s.Token(servertest.Manager())
		requests := make([]*http.Request, at)
		for i := range requests {
			requests[i] = httptest.NewRequest(h.Method, h.Path, strings.NewReader(h.Body))
			requests[i].Header = http.Header{"Authorization": {token}, "Current-Company-Id": {"5251"}}
			for name, values := range h.Header {
				requests[i].Header[name] = values
			}
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var all sync.WaitGroup
		for _, r := range requests {
			all.Go(func() { s.Handler.ServeHTTP(httptest.NewRecorder(), r) })
		}
		all.Wait()
		runtime.ReadMemStats(&after)
		if took := (after.TotalAlloc - before.TotalAlloc) / at; took > most {
			t.Errorf("%s: a request takes %d KiB, want at most %d", h.name, took>>10, most>>10)
		}
	}
}
