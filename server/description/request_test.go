package description_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

// attempt is one request of a table, about a user of its own.
type attempt struct {
	exchange
	description.Body
	dialect   description.API
	operation string
	before    store.User
	body      map[string]any // legal as it is; of an update, it changes nothing
	samples   map[string]any
	shown     map[string]any // what a GET shows before
}

// creates tells whether the request makes a user, who is then not there before.
func (a *attempt) creates() bool { return a.operation == a.dialect.Create }

func (x exchange) attempt(t *testing.T, d description.API, b description.Body, operation string) *attempt {
	t.Helper()
	a := &attempt{exchange: x, Body: b, dialect: d, operation: operation, before: x.user(t, servertest.Sandbox, true), samples: d.Samples(x.Unique("sample", 100))}
	for _, m := range b.Members {
		if m.Effect == description.Proves {
			a.samples[m.Path] = password
		}
	}
	a.shown = x.shown(t, caller("ROLE_ADMIN"), d, a.before)
	if !a.creates() {
		a.body = servertest.Project(t, b, a.shown)
		return a
	}
	a.body = map[string]any{}
	for _, m := range b.Members {
		if sample, ok := a.samples[m.Path]; ok && (m.Effect == description.Replaces || m.Effect == description.Reads) {
			a.with(m, servertest.Copy(t, map[string]any{"": sample})[""])
		}
	}
	return a
}

// do sends the body. What must be no other user's is renewed first, since the request may be made again.
func (a *attempt) do(t *testing.T, claims auth.Claims, header http.Header) servertest.Answer {
	t.Helper()
	if a.creates() {
		renewed := a.dialect.Samples(a.Unique("sample", 100))
		for _, m := range a.Members {
			unique := m.Field == "Username" || m.Field == "Email" || m.Field == "ExternalID"
			if unique && slices.Equal(description.At(a.body, m.Path), []any{a.samples[m.Path]}) {
				a.samples[m.Path] = renewed[m.Path]
				a.with(m, renewed[m.Path])
			}
		}
	}
	return a.send(t, claims, a.dialect, a.operation, a.before, a.sent(t), header)
}

// sent is the whole body as it is sent.
func (a *attempt) sent(t *testing.T) json.RawMessage {
	t.Helper()
	return json.RawMessage(a.Around(servertest.Encode(t, a.body)))
}

// accepted does it, and gives the user as it then is: the updated one or the new one.
func (a *attempt) accepted(t *testing.T) (store.User, servertest.Answer) {
	t.Helper()
	answer := a.do(t, caller("ROLE_ADMIN"), nil)
	if answer.Status/100 != 2 {
		t.Fatalf("%v: %d %s", a.body, answer.Status, answer.Body)
	}
	if !a.creates() {
		return a.stored(t, a.before), answer
	}
	created, _ := a.dialect.Answer(a.operation)
	id, ok := created.Member("UUID")
	if !ok {
		id, _ = created.Member("ID")
	}
	var body any
	answer.Decode(t, &body)
	made := description.At(body, id.Path)
	all, err := a.Store.UsersAfter(t.Context(), a.before.CustomerID, a.before.ID, 1000)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(u store.User) bool {
		return slices.Equal(made, []any{u.UUID.String()}) || slices.Equal(made, []any{float64(u.ID)})
	})
	if i < 0 {
		t.Fatalf("nobody has the id of %s", answer.Body)
	}
	return all[i], answer
}

// unchanged does it, and the user must stay as it was. It gives what was told of ignored description.
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
	var body any
	answer.Decode(t, &body)
	all, _ := a.dialect.ErrorsIn(body)
	for _, f := range all {
		fields = append(fields, f.(string))
	}
	within := strings.ReplaceAll(a.Within, "[]", ".0") // where nothing more can be said
	if answer.Status != http.StatusBadRequest || !slices.Equal(fields, []string{field}) && !slices.Equal(fields, []string{within}) {
		t.Errorf("%v: %d %s, want a 400 about %s", a.body, answer.Status, answer.Body, field)
	}
	if d := servertest.Differences(a.before, a.stored(t, a.before)); len(d) > 0 {
		t.Errorf("%v: refused, and %v changed", a.body, d)
	}
}

// eachRequest runs f once for every operation with a body, on each engine.
func eachRequest(t *testing.T, f func(t *testing.T, x exchange, d description.API, b description.Body, operation string)) {
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		x := newExchange(t, s)
		for _, d := range dialects() {
			for _, b := range d.Bodies {
				for _, operation := range b.Operations {
					if b.Request && !b.Own {
						t.Run(d.Name+"/"+operation, func(t *testing.T) { f(t, x, d, b, operation) })
					}
				}
			}
		}
	})
}

// requests runs f once for every member of every request, with an attempt of its own.
func requests(t *testing.T, f func(t *testing.T, a *attempt, m description.Member)) {
	eachRequest(t, func(t *testing.T, x exchange, d description.API, b description.Body, operation string) {
		for _, m := range b.Members {
			t.Run(m.Path, func(t *testing.T) { f(t, x.attempt(t, d, b, operation), m) })
		}
	})
}

func TestValuesAsDescribed(t *testing.T) {
	t.Parallel()
	requests(t, func(t *testing.T, a *attempt, m description.Member) {
		switch m.Effect {
		case description.Replaces:
			a.replaces(t, m)
		case description.Names:
			a.refused(t, caller("ROLE_ADMIN"), nil, a.with(m, "nobody's"))
		case description.Ignored:
			a.with(m, a.whatever(m))
			if told := a.unchanged(t); told != nil {
				t.Errorf("told: %q", told)
			}
		case description.Owned:
			a.with(m, a.whatever(m))
			if told := a.unchanged(t); !slices.Equal(told, []string{m.Path}) {
				t.Errorf("told: %q", told)
			}
			a.refused(t, caller("ROLE_ADMIN"), http.Header{"Prefer": {"handling=strict"}}, m.Path)
			if a.creates() {
				return // there is nothing that a GET shows yet
			}
			a.with(m, first(a.shown, m.Path))
			if told := a.unchanged(t); told != nil {
				t.Errorf("what a GET shows is told: %q", told)
			}
		case description.Reads:
			a.with(m, a.samples[m.Path])
			if told := a.unchanged(t); told != nil {
				t.Errorf("told: %q", told)
			}
		case description.Matches:
			a.with(m, first(a.shown, m.Path))
			if told := a.unchanged(t); told != nil {
				t.Errorf("told: %q", told)
			}
			a.refused(t, caller("ROLE_ADMIN"), nil, a.with(m, 1))
		case description.Proves:
			a.proves(t, m)
		default:
			t.Errorf("no test knows how a member %q", m.Effect)
		}
	})
}

// first gives the first value at a path, or nil.
func first(body any, path string) any {
	if found := description.At(body, path); len(found) > 0 {
		return found[0]
	}
	return nil
}

// with sets the member, and gives its path as an error tells it.
func (a *attempt) with(m description.Member, value any) string {
	return description.Set(a.body, m.Path, value)
}

// whatever gives a value of the type that an ignored member has.
func (a *attempt) whatever(m description.Member) any {
	if sample, ok := a.samples[m.Path]; ok {
		return sample
	}
	return "whatever"
}

func (a *attempt) replaces(t *testing.T, m description.Member) {
	sample, ok := a.samples[m.Path]
	if !ok {
		t.Fatalf("no sample of %s", m.Path)
	}
	a.with(m, servertest.Copy(t, map[string]any{"": sample})[""])
	after, answer := a.accepted(t)
	sent := first(a.body, m.Path)
	if !m.Secret && m.Field != "" {
		names := a.dialect.NamesOf(m.Field)
		shown := a.exchange.shown(t, caller("ROLE_ADMIN"), a.dialect, after)
		if !slices.ContainsFunc(names, func(name string) bool {
			return servertest.Contains(first(shown, name), servertest.Copy(t, map[string]any{"": sent})[""])
		}) {
			t.Errorf("%v was sent, %v is shown", sent, shown)
		}
	}
	if a.creates() || m.Field == "" { // the members in it have fields
		return
	}
	allowed := slices.Concat([]string{m.Field}, m.Also, stamped)
	changed := differences(a.before, after)
	if !slices.Contains(changed, m.Field) || slices.ContainsFunc(changed, func(f string) bool { return !slices.Contains(allowed, f) }) {
		t.Errorf("%v changed, want %s", changed, m.Field)
	}
	if told := strings.Split(answer.Header.Get("Dragoman-Changed"), ", "); !slices.Contains(told, m.Name()) {
		t.Errorf("Dragoman-Changed is %q", told)
	}
}

// setPassword asks for a new password.
func (a *attempt) setPassword() {
	for _, m := range a.Members {
		if m.Effect == description.Replaces && m.Field == "PasswordHash" {
			a.with(m, a.samples[m.Path])
		}
	}
}

// proves tries a password with a new one and without.
func (a *attempt) proves(t *testing.T, m description.Member) {
	below := caller("ROLE_USER")
	a.refused(t, below, nil, a.with(m, a.samples[m.Path]))
	a.setPassword()
	a.refused(t, below, nil, a.with(m, "Wrong-Password"))
	a.refused(t, below, nil, a.with(m, nil))
	a.with(m, a.samples[m.Path])
	if answer := a.do(t, below, nil); answer.Status != http.StatusOK {
		t.Errorf("with the right one: %d %s", answer.Status, answer.Body)
	}
	a.with(m, description.Removed)
	if answer := a.do(t, caller("ROLE_COMPANY_ADMIN"), nil); answer.Status != http.StatusOK {
		t.Errorf("without one, at rank 2: %d %s", answer.Status, answer.Body)
	}
}

func TestNullDoesWhatItsTableSays(t *testing.T) {
	t.Parallel()
	requests(t, func(t *testing.T, a *attempt, m description.Member) {
		field := a.with(m, nil)
		switch m.Null {
		case description.NullRefused:
			a.refused(t, caller("ROLE_ADMIN"), nil, field)
		case description.NullUnchanged:
			if told := a.unchanged(t); told != nil {
				t.Errorf("told: %q", told)
			}
			if answer := a.do(t, caller("ROLE_ADMIN"), http.Header{"Prefer": {"handling=strict"}}); answer.Status/100 != 2 {
				t.Errorf("strictly: %d %s", answer.Status, answer.Body)
			}
		case description.NullCleared:
			after, answer := a.accepted(t)
			if told := strings.Split(answer.Header.Get("Dragoman-Changed"), ", "); m.Field != "" && !slices.Contains(told, m.Name()) {
				t.Errorf("Dragoman-Changed is %q", told)
			}
			a.isNone(t, m, after)
		default:
			t.Errorf("no test knows how null is %q", m.Null)
		}
	})
}

// isNone fails the test unless a GET shows nothing in the place of the member.
func (a *attempt) isNone(t *testing.T, m description.Member, u store.User) {
	t.Helper()
	paths := a.dialect.NamesOf(m.Field)
	if m.Field == "" {
		paths = []string{m.Path}
	}
	shown := a.exchange.shown(t, caller("ROLE_ADMIN"), a.dialect, u)
	for _, path := range paths {
		if is := first(shown, path); is != nil {
			t.Errorf("%v is shown", is)
		}
	}
}

// TestWrongTypeIsRefused sends each member a value of every JSON type but its own.
func TestWrongTypeIsRefused(t *testing.T) {
	t.Parallel()
	requests(t, func(t *testing.T, a *attempt, m description.Member) {
		schema := a.operations[a.dialect.Name+" "+a.operation].RequestBody.Value.Content.Get("application/json").Schema.Value
		if property := description.PropertyAt(schema, m.Path); property == nil || property.Type == nil {
			return // the document allows anything
		}
		own := a.whatever(m)
		if m.Effect == description.Matches {
			own = 1 // an id
		}
		own = servertest.Copy(t, map[string]any{"": own})[""]
		for _, value := range []any{"text", 1.5, true, map[string]any{}, []any{}} {
			if reflect.TypeOf(value) == reflect.TypeOf(own) && value != 1.5 {
				continue
			}
			a := a.attempt(t, a.dialect, a.Body, a.operation)
			a.refused(t, caller("ROLE_ADMIN"), nil, a.with(m, value))
		}
	})
}

// TestNullServerOwnedMemberIsAbsent sends null for every member that an answer shows of a user and the request does not name.
func TestNullServerOwnedMemberIsAbsent(t *testing.T) {
	t.Parallel()
	most := map[string]int{}
	for _, d := range dialects() {
		for _, operation := range d.Updates {
			b, _ := d.Request(operation)
			most[d.Name] = max(most[d.Name], len(shownOnly(d, b)))
		}
	}
	if most["worth"] < 10 {
		t.Fatalf("only %d members are shown alone", most["worth"])
	}
	eachRequest(t, func(t *testing.T, x exchange, d description.API, b description.Body, operation string) {
		for _, header := range []http.Header{nil, {"Prefer": {"handling=strict"}}} {
			a := x.attempt(t, d, b, operation)
			a.nulls(shownOnly(d, b))
			if answer := a.do(t, caller("ROLE_ADMIN"), header); answer.Status/100 != 2 || answer.Header["Dragoman-Ignored"] != nil {
				t.Errorf("%v: %d %s, told: %q", header, answer.Status, answer.Body, answer.Header["Dragoman-Ignored"])
			}
			if d := servertest.Differences(a.before, a.stored(t, a.before)); len(d) > 0 {
				t.Errorf("%v: %v changed", a.body, d)
			}
		}
	})
}

// shownOnly gives the paths of the members that the dialect's answers show of a user and that a request's body does not name,
// those of objects that it names included.
func shownOnly(d description.API, b description.Body) []string {
	named := func(path string) bool {
		return slices.ContainsFunc(b.Members, func(m description.Member) bool { return m.Path == path })
	}
	var all []string
	for _, shows := range d.Bodies {
		if !shows.Shows() {
			continue
		}
		for _, m := range shows.Members {
			path, ofUser := strings.CutPrefix(m.Path, shows.User)
			parent, _, nested := strings.Cut(path, ".")
			if ofUser && !slices.Contains(all, path) && !named(path) && (!nested || named(parent)) {
				all = append(all, path)
			}
		}
	}
	return all
}

// nulls sets the members at paths to null.
func (a *attempt) nulls(paths []string) {
	for _, path := range paths {
		description.Set(a.body, path, nil)
	}
}

func TestAbsenceAsDescribed(t *testing.T) {
	t.Parallel()
	requests(t, func(t *testing.T, a *attempt, m description.Member) {
		field := a.with(m, description.Removed)
		switch m.Absent {
		case description.AbsentRefused:
			a.refused(t, caller("ROLE_ADMIN"), nil, field)
		case description.AbsentUnchanged:
			if told := a.unchanged(t); told != nil {
				t.Errorf("told: %q", told)
			}
		case description.AbsentNone:
			after, _ := a.accepted(t)
			a.isNone(t, m, after)
		case description.AbsentOneOf:
			a.unchanged(t)
			for _, other := range a.Members {
				if other.Absent == description.AbsentOneOf {
					a.with(other, description.Removed)
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
func TestUpdateKeepsOnlyWhatIsDescribed(t *testing.T) {
	t.Parallel()
	eachRequest(t, func(t *testing.T, x exchange, d description.API, b description.Body, operation string) {
		if operation == d.Create {
			return
		}
		a := x.attempt(t, d, b, operation)
		for _, m := range b.Members {
			if sample, ok := a.samples[m.Path]; ok {
				a.with(m, sample)
			}
		}
		after, _ := a.accepted(t)
		changed := servertest.Differences(a.before, after)
		for i, user := 0, types[""]; i < user.NumField(); i++ {
			name := user.Field(i).Name
			if unnamed[name] == "" && keeps(b, name) == slices.Contains(changed, name) {
				t.Errorf("%s changed is %t", name, slices.Contains(changed, name))
			}
		}
	})
}

func TestUndescribedMemberIsReported(t *testing.T) {
	t.Parallel()
	eachRequest(t, func(t *testing.T, x exchange, d description.API, b description.Body, operation string) {
		a := x.attempt(t, d, b, operation)
		a.body["nobodys"] = nil
		if told := a.unchanged(t); !slices.Equal(told, []string{"nobodys"}) {
			t.Errorf("told: %q", told)
		}
		a = x.attempt(t, d, b, operation)
		a.body["nobodys"] = nil
		a.refused(t, caller("ROLE_ADMIN"), http.Header{"Prefer": {"handling=strict"}}, "nobodys")
	})
}

func TestASecretIsShownByNoAnswer(t *testing.T) {
	t.Parallel()
	requests(t, func(t *testing.T, a *attempt, m description.Member) {
		if !m.Secret {
			return
		}
		secret := a.samples[m.Path].(string)
		a.with(m, secret)
		if m.Effect == description.Proves {
			a.setPassword()
		}
		after, answer := a.accepted(t)
		answers := []servertest.Answer{answer}
		for _, d := range dialects() {
			for _, o := range operations(t, d) {
				if o.Method == http.MethodGet {
					answers = append(answers, a.send(t, caller("ROLE_ADMIN"), d, o.OperationID, after, nil, nil))
				}
			}
		}
		if email, ok := a.Member("Email"); ok {
			a.with(email, "no e-mail at all")
		}
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
