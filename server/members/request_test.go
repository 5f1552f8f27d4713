package members_test

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/members"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/google/uuid"
)

// samples are values that no user of these tests has yet, by the paths of the members that take them.
func (x exchange) samples(dialect string) map[string]any {
	email := x.Unique("sample@example.com", 100)
	return map[string]map[string]any{
		"Worth": {
			"first_name": "Augusta", "last_name": "King", "email": email, "mobile": "+44 20 7946 0999", "status": "INACTIVE",
			"subrole": map[string]any{"id": "e0d4970f-0f4d-4a0d-aaa6-681a048cb656", "code": "cro", "label": "CRO"},
		},
		"Testinium": {
			"name": "Augusta", "surname": "King", "username": x.Unique("augusta", 100), "email": email, "enabled": false,
			"accountNonExpired": false, "accountNonLocked": false, "credentialNonExpired": false,
			"authorities": []any{map[string]any{"name": "ROLE_REPORT"}, map[string]any{"name": "ROLE_USER"}},
			"password":    password, "newPassword": "Another-Password", "vcsPassword": "another VCS password",
			"createdDate": 1, "lastPasswordResetDate": 1,
			"authorities[].entityId": 99, "authorities[].checked": true, "authorities[].disabled": true,
		},
	}[dialect]
}

// attempt is one request of a table, about a user of its own.
type attempt struct {
	exchange
	members.Body
	operation string
	before    store.User
	body      map[string]any // legal as it is; of an update, it changes nothing
	samples   map[string]any
	shown     map[string]any // what a GET shows before
}

// creates tells whether the request makes a user, who is then not there before.
func (a *attempt) creates() bool { return a.operation == "createCustomerUser" }

func (x exchange) attempt(t *testing.T, b members.Body) *attempt {
	t.Helper()
	a := &attempt{exchange: x, Body: b, operation: b.Operations[0], before: x.user(t, servertest.Sandbox, true), samples: x.samples(b.Dialect)}
	a.shown = x.shown(t, caller("ROLE_ADMIN"), b.Dialect, a.before)
	if !a.creates() {
		a.body = project(t, b, a.shown)
		return a
	}
	a.body = map[string]any{}
	for _, m := range b.Members {
		if sample, ok := a.samples[m.Path]; ok {
			set(a.body, m.Path, sample)
		}
	}
	a.body = copied(t, a.body)
	return a
}

func (a *attempt) do(t *testing.T, claims auth.Claims, header http.Header) servertest.Answer {
	t.Helper()
	return a.send(t, claims, a.Dialect, a.operation, a.before, a.body, header)
}

// accepted does it, and gives the user as it then is: the updated one or the new one.
func (a *attempt) accepted(t *testing.T) (store.User, servertest.Answer) {
	t.Helper()
	answer := a.do(t, caller("ROLE_ADMIN"), nil)
	if answer.Status != http.StatusOK {
		t.Fatalf("%v: %d %s", a.body, answer.Status, answer.Body)
	}
	if !a.creates() {
		return a.stored(t, a.before), answer
	}
	var created struct {
		Data struct {
			UserID uuid.UUID `json:"user_id"`
		}
	}
	answer.Decode(t, &created)
	all, err := a.Store.UsersAfter(t.Context(), a.before.CustomerID, a.before.ID, 1000)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(u store.User) bool { return u.UUID == created.Data.UserID })
	if i < 0 {
		t.Fatalf("nobody has the id of %s", answer.Body)
	}
	return all[i], answer
}

// unchanged does it, and the user must stay as it was. It gives what was told of ignored members.
func (a *attempt) unchanged(t *testing.T) (ignored []string) {
	t.Helper()
	after, answer := a.accepted(t)
	if !a.creates() {
		if d := servertest.Differences(a.before, after); len(d) > 0 {
			t.Errorf("%v: %v changed", a.body, d)
		}
		answer.ExpectHeader(t, "Dragoman-Changed", "")
	}
	return answer.Header["Dragoman-Ignored"]
}

// refused does it, and the answer must be a 400 that names the member alone.
func (a *attempt) refused(t *testing.T, claims auth.Claims, header http.Header, field string) {
	t.Helper()
	answer := a.do(t, claims, header)
	var fields []string
	for _, path := range []string{"data.errors[].field", "errors[].field"} {
		var body any
		answer.Decode(t, &body)
		for _, f := range at(body, path) {
			fields = append(fields, f.(string))
		}
	}
	if answer.Status != http.StatusBadRequest || !slices.Equal(fields, []string{field}) {
		t.Errorf("%v: %d %s, want a 400 about %s", a.body, answer.Status, answer.Body, field)
	}
	if d := servertest.Differences(a.before, a.stored(t, a.before)); len(d) > 0 {
		t.Errorf("%v: refused, and %v changed", a.body, d)
	}
}

// requests runs f once for every member of every request, on each engine.
func requests(t *testing.T, f func(t *testing.T, x exchange, b members.Body, m members.Member)) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		x := newExchange(t, s)
		for _, b := range members.Bodies {
			for _, m := range b.Members {
				if b.Request {
					t.Run(fmt.Sprintf("%s/%s/%s", b.Dialect, b.Operations[0], m.Path), func(t *testing.T) { f(t, x, b, m) })
				}
			}
		}
	})
}

func TestAValueDoesWhatItsTableSays(t *testing.T) {
	t.Parallel()
	requests(t, func(t *testing.T, x exchange, b members.Body, m members.Member) {
		a := x.attempt(t, b)
		switch m.Effect {
		case members.Replaces:
			a.replaces(t, m)
		case members.Names:
			a.refused(t, caller("ROLE_ADMIN"), nil, a.with(m, "nobody's"))
		case members.Ignored:
			a.with(m, a.whatever(m))
			if told := a.unchanged(t); told != nil {
				t.Errorf("told: %q", told)
			}
		case members.Owned:
			a.with(m, a.whatever(m))
			if told := a.unchanged(t); !slices.Equal(told, []string{m.Path}) {
				t.Errorf("told: %q", told)
			}
			a.refused(t, caller("ROLE_ADMIN"), http.Header{"Prefer": {"handling=strict"}}, m.Path)
			a.with(m, a.shown[m.Path])
			if told := a.unchanged(t); told != nil {
				t.Errorf("what a GET shows is told: %q", told)
			}
		case members.Matches:
			a.with(m, a.shown[m.Path])
			if told := a.unchanged(t); told != nil {
				t.Errorf("told: %q", told)
			}
			a.refused(t, caller("ROLE_ADMIN"), nil, a.with(m, 1))
		case members.Proves:
			a.proves(t, m)
		default:
			t.Errorf("no test knows how a member %q", m.Effect)
		}
	})
}

// with sets the member, and gives its path as an error tells it.
func (a *attempt) with(m members.Member, value any) string { return set(a.body, m.Path, value) }

// whatever gives a value of the type that an ignored member has.
func (a *attempt) whatever(m members.Member) any {
	if sample, ok := a.samples[m.Path]; ok {
		return sample
	}
	return "whatever"
}

func (a *attempt) replaces(t *testing.T, m members.Member) {
	sample, ok := a.samples[m.Path]
	if !ok {
		t.Fatalf("no sample of %s", m.Path)
	}
	a.with(m, sample)
	after, answer := a.accepted(t)
	if !m.Secret {
		names := members.NamesOf(a.Dialect, m.Field)
		shown := a.exchange.shown(t, caller("ROLE_ADMIN"), a.Dialect, after)
		if !slices.ContainsFunc(names, func(name string) bool { return contains(shown[name], copied(t, map[string]any{"": sample})[""]) }) {
			t.Errorf("%v was sent, %v is shown", sample, shown)
		}
	}
	if a.creates() {
		return
	}
	allowed := slices.Concat([]string{m.Field}, m.Also, members.Stamped)
	changed := differences(a.before, after)
	if !slices.Contains(changed, m.Field) || slices.ContainsFunc(changed, func(f string) bool { return !slices.Contains(allowed, f) }) {
		t.Errorf("%v changed, want %s", changed, m.Field)
	}
	if told := strings.Split(answer.Header.Get("Dragoman-Changed"), ", "); !slices.Contains(told, m.Path) {
		t.Errorf("Dragoman-Changed is %q", told)
	}
}

// proves tries a password with a new one and without.
func (a *attempt) proves(t *testing.T, m members.Member) {
	below := caller("ROLE_USER")
	a.refused(t, below, nil, a.with(m, a.samples[m.Path]))
	set(a.body, "newPassword", a.samples["newPassword"])
	a.refused(t, below, nil, a.with(m, "Wrong-Password"))
	a.refused(t, below, nil, a.with(m, nil))
	a.with(m, a.samples[m.Path])
	if answer := a.do(t, below, nil); answer.Status != http.StatusOK {
		t.Errorf("with the right one: %d %s", answer.Status, answer.Body)
	}
	a.with(m, absent)
	if answer := a.do(t, caller("ROLE_COMPANY_ADMIN"), nil); answer.Status != http.StatusOK {
		t.Errorf("without one, at rank 2: %d %s", answer.Status, answer.Body)
	}
}

func TestNullDoesWhatItsTableSays(t *testing.T) {
	t.Parallel()
	requests(t, func(t *testing.T, x exchange, b members.Body, m members.Member) {
		a := x.attempt(t, b)
		field := a.with(m, nil)
		switch m.Null {
		case members.NullRefused:
			a.refused(t, caller("ROLE_ADMIN"), nil, field)
		case members.NullUnchanged:
			if told := a.unchanged(t); told != nil {
				t.Errorf("told: %q", told)
			}
			if answer := a.do(t, caller("ROLE_ADMIN"), http.Header{"Prefer": {"handling=strict"}}); answer.Status != http.StatusOK {
				t.Errorf("strictly: %d %s", answer.Status, answer.Body)
			}
		default:
			t.Errorf("no test knows how null is %q", m.Null)
		}
	})
}

// TestWrongTypeIsRefused sends each member a value of every JSON type but its own.
func TestWrongTypeIsRefused(t *testing.T) {
	t.Parallel()
	requests(t, func(t *testing.T, x exchange, b members.Body, m members.Member) {
		own := x.attempt(t, b).whatever(m)
		if m.Effect == members.Matches {
			own = 1 // an id
		}
		own = copied(t, map[string]any{"": own})[""]
		for _, value := range []any{"text", 1.5, true, map[string]any{}, []any{}} {
			if reflect.TypeOf(value) == reflect.TypeOf(own) && value != 1.5 {
				continue
			}
			a := x.attempt(t, b)
			a.refused(t, caller("ROLE_ADMIN"), nil, a.with(m, value))
		}
	})
}

// TestNullOfAServerOwnedMemberIsAbsence sends null for every member that an answer shows of a user and the request does not name.
func TestNullOfAServerOwnedMemberIsAbsence(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		x := newExchange(t, s)
		for _, b := range members.Bodies {
			if !b.Request {
				continue
			}
			unnamed := shownOnly(b)
			if b.Dialect == "Worth" && len(unnamed) < 10 {
				t.Fatalf("%s: only %q are shown alone", b.Title, unnamed)
			}
			a := x.attempt(t, b)
			a.nulls(unnamed)
			if told := a.unchanged(t); told != nil {
				t.Errorf("%s, %s: told: %q", b.Dialect, b.Title, told)
			}
			a = x.attempt(t, b)
			a.nulls(unnamed)
			if answer := a.do(t, caller("ROLE_ADMIN"), http.Header{"Prefer": {"handling=strict"}}); answer.Status != http.StatusOK {
				t.Errorf("%s, %s, strictly: %d %s", b.Dialect, b.Title, answer.Status, answer.Body)
			}
		}
	})
}

// shownOnly gives the paths of the members that the dialect's answers show of a user and that a request's body does not name,
// those of objects that it names included.
func shownOnly(b members.Body) []string {
	named := func(path string) bool {
		return slices.ContainsFunc(b.Members, func(m members.Member) bool { return m.Path == path })
	}
	var all []string
	for _, shows := range members.Bodies {
		if shows.Dialect != b.Dialect || shows.User == "" || slices.Contains(shows.Operations, "createCustomerUser") {
			continue
		}
		for _, m := range shows.Members {
			path, ofUser := strings.CutPrefix(m.Path, shows.User)
			parent, _, nested := strings.Cut(path, ".")
			if ofUser && !named(path) && (!nested || named(parent)) {
				all = append(all, path)
			}
		}
	}
	return all
}

// nulls sets the members at paths to null.
func (a *attempt) nulls(paths []string) {
	for _, path := range paths {
		set(a.body, path, nil)
	}
}

func TestAbsenceDoesWhatItsTableSays(t *testing.T) {
	t.Parallel()
	requests(t, func(t *testing.T, x exchange, b members.Body, m members.Member) {
		a := x.attempt(t, b)
		field := a.with(m, absent)
		switch m.Absent {
		case members.AbsentRefused:
			a.refused(t, caller("ROLE_ADMIN"), nil, field)
		case members.AbsentUnchanged:
			if told := a.unchanged(t); told != nil {
				t.Errorf("told: %q", told)
			}
		case members.AbsentNone:
			after, _ := a.accepted(t)
			for _, name := range members.NamesOf(b.Dialect, m.Field) {
				if shown := a.exchange.shown(t, caller("ROLE_ADMIN"), b.Dialect, after)[name]; shown != nil {
					t.Errorf("%v is shown", shown)
				}
			}
		case members.AbsentOneOf:
			a.unchanged(t)
			for _, other := range b.Members {
				if other.Absent == members.AbsentOneOf {
					a.with(other, absent)
				}
			}
			parent, _, _ := strings.Cut(m.Path, ".")
			a.refused(t, caller("ROLE_ADMIN"), nil, parent)
		default:
			t.Errorf("no test knows how absence is %q", m.Absent)
		}
	})
}

// Whatever an update says, what its dialect cannot name is kept; and a body that says everything changes everything else.
func TestAnUpdateOfEverythingKeepsWhatTheTablesSayAndNothingElse(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		x := newExchange(t, s)
		for _, b := range members.Bodies {
			if !b.Request || b.Operations[0] == "createCustomerUser" {
				continue
			}
			a := x.attempt(t, b)
			for _, m := range b.Members {
				if sample, ok := a.samples[m.Path]; ok {
					a.with(m, sample)
				}
			}
			after, _ := a.accepted(t)
			changed := servertest.Differences(a.before, after)
			for i, user := 0, types[""]; i < user.NumField(); i++ {
				name := user.Field(i).Name
				if _, unnamed := members.Unnamed[name]; !unnamed && members.KeptBy(b.Dialect, name) == slices.Contains(changed, name) {
					t.Errorf("%s: %s changed is %t", b.Dialect, name, slices.Contains(changed, name))
				}
			}
		}
	})
}

func TestAMemberThatIsInNoTableIsTold(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		x := newExchange(t, s)
		for _, b := range members.Bodies {
			if !b.Request {
				continue
			}
			a := x.attempt(t, b)
			a.body["nobodys"] = nil
			if told := a.unchanged(t); !slices.Equal(told, []string{"nobodys"}) {
				t.Errorf("%s, %s: told: %q", b.Dialect, b.Title, told)
			}
			a = x.attempt(t, b)
			a.body["nobodys"] = nil
			a.refused(t, caller("ROLE_ADMIN"), http.Header{"Prefer": {"handling=strict"}}, "nobodys")
		}
	})
}

func TestASecretIsShownByNoAnswer(t *testing.T) {
	t.Parallel()
	requests(t, func(t *testing.T, x exchange, b members.Body, m members.Member) {
		if !m.Secret {
			return
		}
		a := x.attempt(t, b)
		secret := a.samples[m.Path].(string)
		a.with(m, secret)
		if m.Effect == members.Proves {
			set(a.body, "newPassword", a.samples["newPassword"])
		}
		after, answer := a.accepted(t)
		answers := []servertest.Answer{answer}
		for dialect, d := range x.documents {
			for _, item := range d.Paths.Map() {
				if item.Get != nil {
					answers = append(answers, x.send(t, caller("ROLE_ADMIN"), dialect, item.Get.OperationID, after, nil, nil))
				}
			}
		}
		set(a.body, "email", "no e-mail at all")
		answers = append(answers, a.do(t, caller("ROLE_ADMIN"), nil))
		a.with(m, []any{secret})
		answers = append(answers, a.do(t, caller("ROLE_ADMIN"), nil))
		for _, answer := range answers {
			if strings.Contains(answer.Body+fmt.Sprint(answer.Header), secret) {
				t.Errorf("%d %s %v", answer.Status, answer.Body, answer.Header)
			}
		}
	})
}
