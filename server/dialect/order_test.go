package dialect_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/servertest"
)

// draft is a request in the making: a legal one until faults are put into it.
type draft struct {
	surface
	who            auth.Claims
	anonymous      bool
	customer, user string
	header         http.Header
	members        []member
	padding        string
}

func (d *draft) send(s *servertest.Server) (a servertest.Answer, path string) {
	r := d.requestBy(s, d.who)
	if d.anonymous {
		r.Header.Del("Authorization")
	}
	for name, values := range d.header {
		r.Header[name] = values
	}
	r.Path, r.Body = d.at(d.customer, d.user), d.body(d.members...)+d.padding
	return s.Send(r), r.Path
}

// fault is what is wrong with a request at one stage.
type fault struct {
	name   string
	stage  int
	put    func(*draft)
	kind   dialect.Kind
	fields func(surface) []servertest.FieldError // nil: none
}

func fields(all ...servertest.FieldError) func(surface) []servertest.FieldError {
	return func(surface) []servertest.FieldError { return all }
}

// faults are in the order in which SEMANTICS.md has their refusals.
var faults = []fault{
	{"token", 1, func(d *draft) { d.anonymous = true }, dialect.Unauthenticated, nil},
	{"header", 2, func(d *draft) { d.header["If-Match"] = []string{"x"} }, dialect.Invalid,
		fields(servertest.FieldError{"If-Match", "If-Match must be * or entity tags in double quotes"})},
	{"customer", 3, func(d *draft) { d.who.Customers = []string{"3394"} }, dialect.Forbidden, nil},
	{"permission", 3, func(d *draft) {
		d.who.Permissions = []auth.Permission{auth.PermissionRead}
		d.who.Authorities = []string{"ROLE_USER"}
	}, dialect.Forbidden, nil},
	{"media type", 4, func(d *draft) { d.header["Content-Type"] = []string{"text/plain"} }, dialect.UnsupportedMediaType, nil},
	{"size", 4, func(d *draft) { d.padding = strings.Repeat(" ", 256<<10) }, dialect.ContentTooLarge, nil},
	{"syntax", 5, func(d *draft) { d.padding += "x" }, dialect.Invalid,
		fields(servertest.FieldError{"", "the body must end after its JSON value"})},
	{"shape", 5, func(d *draft) { d.members = append(d.members, member{d.text, "null"}) }, dialect.Invalid,
		func(f surface) []servertest.FieldError {
			return []servertest.FieldError{{f.text, f.text + " must not be null"}}
		}},
	{"user", 6, func(d *draft) { d.user = map[string]string{"worth": "nobody", "testinium": "4711"}[d.name] }, dialect.UserNotFound, nil},
	{"version", 7, func(d *draft) { d.header["If-Match"] = []string{`"7"`} }, dialect.PreconditionFailed, nil},
	{"rank", 8, func(d *draft) {
		d.members = append(d.members, map[string]member{
			"worth": {"subrole", `{"code":"owner"}`}, "testinium": {"authorities", `[{"name":"ROLE_ADMIN"}]`},
		}[d.name])
	}, dialect.Forbidden, nil},
	{"rule", 9, func(d *draft) { d.members = append(d.members, member{"email", `"Grace.Hopper@Example.com"`}) }, dialect.Refused,
		func(f surface) []servertest.FieldError { return []servertest.FieldError{f.taken} }},
}

// TestEarlierRefusalWins puts two faults into each request, and also each alone.
func TestEarlierRefusalWins(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		onEach(t, s, func(t *testing.T, f surface) {
			for i, earlier := range faults {
				for _, later := range faults[i:] {
					if later.stage == earlier.stage && later.name != earlier.name {
						continue
					}
					t.Run(earlier.name+" before "+later.name, func(t *testing.T) {
						d := &draft{surface: f, who: servertest.Manager(), customer: f.customer, user: f.user, header: http.Header{}}
						// The earlier one is put in last, since two of them use the same header.
						later.put(d)
						earlier.put(d)
						a, path := d.send(s)
						var about []servertest.FieldError
						if earlier.fields != nil {
							about = earlier.fields(f)
						}
						f.refusesAt(t, path, a, earlier.kind, about...)
					})
				}
			}
		})
		untouched(t, s)
	})
}

// TestPreferenceAppliedWhereItCounted makes every fault in a request that asks for strict handling: the answer says that
// it was handled so only where that had a part in it.
func TestPreferenceAppliedWhereItCounted(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		onEach(t, s, func(t *testing.T, f surface) {
			for _, fault := range faults {
				t.Run(fault.name, func(t *testing.T) {
					d := &draft{surface: f, who: servertest.Manager(), customer: f.customer, user: f.user, header: http.Header{"Prefer": {"handling=strict"}}}
					fault.put(d)
					a, _ := d.send(s)
					if a.Status == http.StatusBadRequest && fault.stage >= 5 {
						a.ExpectHeader(t, "Preference-Applied", "handling=strict")
					} else {
						a.ExpectHeader(t, "Preference-Applied")
					}
				})
			}
		})
	})
}
