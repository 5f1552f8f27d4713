package description_test

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/google/uuid"
)

// answer is what an operation answers about u: of a list, with u alone in it.
func (x exchange) answer(t *testing.T, claims auth.Claims, d description.API, operation string, u store.User) any {
	t.Helper()
	var body any
	if request, ok := d.Request(operation); ok && !request.Own {
		a := x.attempt(t, d, request, operation)
		if !a.creates() {
			a.before = u
			shown := x.shown(t, claims, d, u)
			a.body = servertest.Project(t, request, shown)
			// What is shown may be no value of an update's, such as null, or the status of a user who is invited.
			schema := x.operations[d.Name+" "+operation].RequestBody.Value.Content.Get("application/json").Schema.Value
			for _, m := range request.Members {
				value, ok := a.body[m.Path]
				switch {
				case !ok || m.Field == "":
				case m.Absent == description.AbsentUnchanged && m.Field != "FirstName":
					delete(a.body, m.Path)
				case m.Field == "Status" && schema.Properties[m.Path].Value.VisitJSON(value) != nil:
					a.body[m.Path] = a.samples[m.Path]
				}
			}
		}
		body = a.sent(t)
	} else if ok {
		body = d.Everything(operation, "")
	}
	answer := x.send(t, claims, d, operation, u, body, nil)
	if answer.Status/100 != 2 {
		t.Fatalf("%s: %d %s", operation, answer.Status, answer.Body)
	}
	var value any
	answer.Decode(t, &value)
	return alone(value, d, u)
}

// alone takes everybody but u out of lists of users.
func alone(value any, d description.API, u store.User) any {
	switch value := value.(type) {
	case map[string]any:
		for name, member := range value {
			value[name] = alone(member, d, u)
		}
	case []any:
		return slices.DeleteFunc(value, func(item any) bool {
			object, _ := item.(map[string]any)
			for _, name := range d.NamesOf("Email") {
				if email := description.At(object, name); len(email) == 1 {
					return email[0] != u.Email
				}
			}
			return false
		})
	}
	return value
}

// looks are how a value of the model may look in an answer; none if that is more than a value.
func looks(value any) []any {
	switch value := value.(type) {
	case store.RoleSet:
		return nil
	case store.Status:
		return []any{string(value), value == store.StatusActive}
	case time.Time:
		return []any{value.Format("2006-01-02T15:04:05.000Z"), float64(value.UnixMilli())}
	case uuid.UUID:
		return []any{value.String()}
	case int64:
		return []any{float64(value)}
	}
	if v := reflect.ValueOf(value); v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return []any{nil}
		}
		return looks(v.Elem().Interface())
	}
	return []any{value}
}

// fields gives the values of a field: of the user, of its customer and its company, or of each role that there is.
func (x exchange) fields(t *testing.T, field string, u store.User) (all []any) {
	t.Helper()
	of, name := split(field)
	get := func(from any) { all = append(all, looks(reflect.ValueOf(from).FieldByName(name).Interface())...) }
	switch of {
	case "":
		if get(u); name == "Version" { // which is shown as the entity tag
			all = []any{strconv.Quote(strconv.FormatInt(u.Version, 10))}
		}
	case "Customer":
		get(x.customer(t, u.CustomerID))
	case "Company":
		c, err := x.Store.FindCompany(t.Context(), u.CustomerID, companyOf(u.CustomerID))
		if err != nil {
			t.Fatal(err)
		}
		get(c)
	case "Role":
		for _, r := range x.Store.Catalogue().All() {
			get(r)
		}
	default:
		t.Fatalf("no test knows a %s", field)
	}
	return all
}

func TestResponsesAsDescribed(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		x := newExchange(t, s)
		full, bare, ranked := x.user(t, known, true), x.user(t, servertest.Sandbox, false), x.user(t, known, true)
		full, _, err := s.Store.UpdateUser(t.Context(), store.UserByID(known, full.ID), store.Change{
			Actor: &servertest.GraceUUID, Edit: func(u *store.User) error { u.Roles = store.Roles(1, 2, 3, 11); return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range dialects() {
			for _, b := range d.Bodies {
				// What shows no user has a table of the document alone.
				if b.Request || b.Own || len(b.Operations) == 0 || !showsUsers(d) {
					continue
				}
				for _, operation := range b.Operations {
					t.Run(d.Name+"/"+operation, func(t *testing.T) {
						x.checkAnswer(t, d, b, operation, full, bare, ranked)
					})
				}
			}
		}
	})
}

func (x exchange) checkAnswer(t *testing.T, d description.API, b description.Body, operation string, full, bare, ranked store.User) {
	everything := x.answer(t, caller("ROLE_ADMIN"), d, operation, full)
	nothing := x.answer(t, caller("ROLE_ADMIN"), d, operation, bare)
	below := everything
	if operation != d.Create { // which is about no user yet
		below = x.answer(t, caller("ROLE_REPORT"), d, operation, ranked)
	}
	for _, m := range b.Members {
		shown := description.At(everything, m.Path)
		if len(shown) == 0 && (m.Field != "" || !m.Sometimes) {
			t.Errorf("%s is not there", m.Path)
		}
		isNull := func(answer any) bool { return slices.Contains(description.At(answer, m.Path), nil) }
		switch m.Null {
		case description.NullNever:
			if isNull(everything) || isNull(nothing) || isNull(below) {
				t.Errorf("%s is null", m.Path)
			}
		case description.NullIfNone:
			if isNull(everything) || !isNull(nothing) {
				t.Errorf("%s is %v, and %v where there is none", m.Path, shown, description.At(nothing, m.Path))
			}
		case description.NullBelowRank:
			if isNull(everything) || isNull(nothing) || !isNull(below) {
				t.Errorf("%s is %v, and %v below the user's rank", m.Path, shown, description.At(below, m.Path))
			}
		case description.NullAlways: // checked as a value
		default:
			t.Errorf("no test knows how %s is null %q", m.Path, m.Null)
		}
		x.checkValue(t, d, m, operation == d.Create, everything, full)
		x.checkValue(t, d, m, operation == d.Create, nothing, bare)
	}
}

// checkValue holds what is shown against the model, or against what is always shown.
func (x exchange) checkValue(t *testing.T, d description.API, m description.Member, created bool, answer any, u store.User) {
	t.Helper()
	for _, shown := range description.At(answer, m.Path) {
		if m.Always != "" {
			if text := servertest.Encode(t, shown); text != m.Always {
				t.Errorf("%s is %s, not always %s", m.Path, text, m.Always)
			}
			continue
		}
		if m.Field == "" || created { // its answer is about another user
			continue
		}
		values := x.fields(t, m.Field, x.stored(t, u))
		if m.Field == "Status" && m.Values != nil {
			values = []any{m.Values[values[0].(string)]}
		}
		if m.Field == "ID" || m.Field == "UUID" {
			for _, write := range d.Parameters { // an id may be written as addresses have it
				values = append(values, write(x.subject(t, u)))
			}
		}
		if len(values) > 0 && !slices.Contains(values, shown) {
			t.Errorf("%s is %v, and %s is %v", m.Path, shown, m.Field, values)
		}
	}
}

// Of one error a dialect could make an example of everything; here the members must be there in each of some kinds.
func TestErrorsAsDescribed(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	x := newExchange(t, s)
	u := x.user(t, servertest.Sandbox, true)
	nobody := u
	nobody.ID, nobody.UUID = 1, uuid.New()
	for _, d := range dialects() {
		b, ok := d.Answer("")
		if !ok {
			t.Errorf("%s has no table of its errors", d.Name)
			continue
		}
		for _, operation := range d.Updates {
			request, _ := d.Request(operation)
			name, _ := request.Member("FirstName")
			for status, answer := range map[int]servertest.Answer{
				http.StatusBadRequest:   x.send(t, caller("ROLE_ADMIN"), d, operation, u, json.RawMessage(request.Around(servertest.Encode(t, nested(name.Path, 1)))), nil),
				http.StatusUnauthorized: x.send(t, caller("ROLE_ADMIN"), d, operation, u, nil, http.Header{"Authorization": {"Bearer x"}}),
				http.StatusForbidden:    x.send(t, servertest.Manager(), d, operation, x.user(t, known, true), nil, nil),
			} {
				if answer.Status != status {
					t.Errorf("%s: %d %s", operation, answer.Status, answer.Body)
				}
				x.checkError(t, withoutChanges(d, b), answer, status == http.StatusBadRequest)
			}
			x.checkError(t, withoutChanges(d, b), x.send(t, caller("ROLE_ADMIN"), d, d.Show, nobody, nil, nil), false)
			// The user is at a later version than the first, by a change of what the body names.
			fresh := x.user(t, servertest.Sandbox, true)
			if _, _, err := x.Store.UpdateUser(t.Context(), store.UserByID(fresh.CustomerID, fresh.ID), store.Change{
				Actor: &servertest.GraceUUID, Edit: func(u *store.User) error { u.FirstName = "Augusta"; return nil },
			}); err != nil {
				t.Fatal(err)
			}
			stale := x.send(t, caller("ROLE_ADMIN"), d, operation, fresh, d.Everything(operation, x.Unique("changed", 50)), http.Header{"If-Match": {`"1"`}})
			if stale.Status != http.StatusPreconditionFailed {
				t.Errorf("%s: %d %s", operation, stale.Status, stale.Body)
			}
			x.checkError(t, onlyChanges(d, b), stale, true)
		}
	}
}

// nested is a body with one member.
func nested(path string, value any) map[string]any {
	body := map[string]any{}
	description.Set(body, path, value)
	return body
}

// onlyChanges gives of the table of errors what says what has changed since If-Match, withoutChanges the rest.
func onlyChanges(d description.API, b description.Body) description.Body {
	b.Members = slices.DeleteFunc(slices.Clone(b.Members), func(m description.Member) bool { return !isChange(d, m) })
	return b
}

func withoutChanges(d description.API, b description.Body) description.Body {
	b.Members = slices.DeleteFunc(slices.Clone(b.Members), func(m description.Member) bool { return isChange(d, m) })
	return b
}

func isChange(d description.API, m description.Member) bool {
	list, _, _ := strings.Cut(d.ChangedField, "[]")
	return list != "" && (m.Path == list || strings.HasPrefix(m.Path, list+"[]") || m.Sometimes && strings.HasPrefix(list, m.Path+"."))
}

func (x exchange) checkError(t *testing.T, b description.Body, answer servertest.Answer, aboutMembers bool) {
	t.Helper()
	var body any
	answer.Decode(t, &body)
	for _, m := range b.Members {
		values := description.At(body, m.Path)
		always := !strings.Contains(m.Path, "[]") && !m.Sometimes
		if slices.Contains(values, nil) || len(values) == 0 && (aboutMembers || always) {
			t.Errorf("%s is %v in %s", m.Path, values, answer.Body)
		}
	}
}
