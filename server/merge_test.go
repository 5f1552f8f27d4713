package server_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// trials is how many cases the tests generate that compare many: few, or as many as the variable TRIALS says.
func trials(t testing.TB, few int) int {
	t.Helper()
	text := os.Getenv("TRIALS")
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("TRIALS is %q, and must be a number above 0", text)
	}
	return n
}

// seeded is a source of random numbers, whose seed the test logs if it fails.
func seeded(t testing.TB) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the seed was %d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

// wish is what one of the writers wants of one field, as the model has it.
type wish struct {
	field store.Field
	set   func(u *store.User)
}

// wisher makes wishes.
type wisher struct {
	*rand.Rand
	s *servertest.Server
}

func anyOf[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// wishes makes some for a dialect. Values come from small pools, so that two writers often want the same.
func (w wisher) wishes(dialect string) map[store.Field]wish {
	all := map[store.Field]func() func(u *store.User){
		store.FieldFirstName: func() func(*store.User) {
			v := anyOf(w.Rand, "Ada", "Augusta", "")
			return func(u *store.User) { u.FirstName = v }
		},
		store.FieldLastName: func() func(*store.User) {
			v := anyOf(w.Rand, "King", "Lovelace")
			return func(u *store.User) { u.LastName = v }
		},
		store.FieldEmail: func() func(*store.User) {
			v := w.s.Unique("wisher@example.com", store.MaxEmailLength)
			return func(u *store.User) { u.Email = v }
		},
		store.FieldStatus: func() func(*store.User) {
			v := anyOf(w.Rand, store.StatusActive, store.StatusInactive)
			return func(u *store.User) {
				if v == store.StatusActive || !keepsInvited(dialect) || u.Status != store.StatusInvited {
					u.Status = v
				}
			}
		},
	}
	if dialect != "testinium" {
		all[store.FieldMobile] = func() func(*store.User) {
			v := anyOf(w.Rand, nil, new("1"), new("2"))
			return func(u *store.User) { u.Mobile = v }
		}
	}
	switch dialect {
	case "worth":
		all[store.FieldRoles] = func() func(*store.User) {
			code := anyOf(w.Rand, "cro", "risk_analyst", "owner")
			return func(u *store.User) { u.Roles = withSubrole(w.s.Store.Catalogue(), u.Roles, code) }
		}
	default:
		all[store.FieldUsername] = func() func(*store.User) {
			v := w.s.Unique("wisher", store.MaxUsernameLength)
			return func(u *store.User) { u.Username = v }
		}
		all[store.FieldRoles] = func() func(*store.User) {
			v := anyOf(w.Rand, store.Roles(), store.Roles(3), store.Roles(2, 3), store.Roles(3, 11))
			return func(u *store.User) { u.Roles = v }
		}
	}
	if speaks(dialect, "scim") {
		all[store.FieldDisplayName] = func() func(*store.User) {
			v := anyOf(w.Rand, nil, new("Ada"), new("The Countess"))
			return func(u *store.User) { u.DisplayName = v }
		}
		all[store.FieldExternalID] = func() func(*store.User) {
			v := anyOf(w.Rand, nil, new(w.s.Unique("external", store.MaxExternalIDLength)))
			return func(u *store.User) { u.ExternalID = v }
		}
	}
	if dialect == "testinium" {
		for field, flag := range map[store.Field]func(u *store.User) *bool{
			store.FieldAccountNonExpired:    func(u *store.User) *bool { return &u.AccountNonExpired },
			store.FieldAccountNonLocked:     func(u *store.User) *bool { return &u.AccountNonLocked },
			store.FieldCredentialNonExpired: func(u *store.User) *bool { return &u.CredentialNonExpired },
		} {
			all[field] = func() func(*store.User) {
				v := w.IntN(2) == 0
				return func(u *store.User) { *flag(u) = v }
			}
		}
	}
	fields := slices.Sorted(maps.Keys(all))
	w.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	chosen := map[store.Field]wish{}
	for _, f := range fields[:1+w.IntN(3)] {
		chosen[f] = wish{f, all[f]()}
	}
	if dialect == "testinium" && w.IntN(8) == 0 {
		v := anyOf(w.Rand, "secret", "other secret")
		chosen[store.FieldVCSPassword] = wish{store.FieldVCSPassword, func(u *store.User) { u.VCSPassword = &v }}
	}
	return chosen
}

// scimPatch is SCIM's PATCH, which means something else by an attribute than its PUT, which is called scim.
const scimPatch = "scim PATCH"

// writersOfMerges are the dialects by which the law has users changed.
var writersOfMerges = []string{"worth", "testinium", "toy", "scim", scimPatch}

func speaks(dialect, name string) bool {
	return dialect == name || strings.HasPrefix(dialect, name+" ")
}

// keepsInvited tells whether a user who is invited is one who is not active to the dialect, and stays invited if it says so.
func keepsInvited(dialect string) bool { return dialect != "worth" && dialect != scimPatch }

// withSubrole is the roles of who has some and is given a subrole.
func withSubrole(roles *store.Catalogue, has store.RoleSet, code string) store.RoleSet {
	role, _ := roles.BySubroleCode(code)
	if present, ok := roles.Subrole(has); ok && present.ID == role.ID {
		return has
	}
	return has.Minus(roles.WithSubrole()).Union(store.Roles(role.ID)).Union(role.Implies)
}

// request is the update by which wishes are asked for of a user at base. whole tells that it names everything, as a PUT does.
func (w wisher) request(t testing.TB, dialect string, base store.User, wishes map[store.Field]wish) (r servertest.Request, whole bool) {
	t.Helper()
	wanted := base
	for _, wish := range wishes {
		wish.set(&wanted)
	}
	roles := w.s.Store.Catalogue()
	whole = dialect == "testinium" || dialect == "scim" || dialect == "toy" && w.IntN(2) == 0
	body, grants := map[string]any{}, []any{}
	for _, role := range roles.In(wanted.Roles) {
		grants = append(grants, map[string]any{"role": role.Name})
	}
	mobile := ""
	if wanted.Mobile != nil {
		mobile = *wanted.Mobile
	}
	add := func(field store.Field, name string, value any) {
		if _, wished := wishes[field]; wished || whole {
			body[name] = value
		}
	}
	r.Header = http.Header{"Current-Company-Id": {strconv.Itoa(servertest.Company)}}
	switch dialect {
	case "worth":
		r.Method, r.Path = http.MethodPatch, worthUser(base.UUID.String())
		add(store.FieldFirstName, "first_name", wanted.FirstName)
		add(store.FieldLastName, "last_name", wanted.LastName)
		add(store.FieldEmail, "email", wanted.Email)
		add(store.FieldStatus, "status", wanted.Status)
		add(store.FieldMobile, "mobile", mobile)
		if role, ok := roles.Subrole(wanted.Roles); ok {
			add(store.FieldRoles, "subrole", map[string]any{"code": role.SubroleCode})
		}
	case "testinium":
		r.Method, r.Path = http.MethodPut, fmt.Sprintf("/account/api/v1/customers/3393/users/%d", base.ID)
		body = servertest.Copy(t, bodyOf(w.s, wanted))
		if _, wished := wishes[store.FieldVCSPassword]; wished {
			body["vcsPassword"] = wanted.VCSPassword
		}
	case "scim", scimPatch:
		r.Method, r.Path = http.MethodPut, "/scim/v2/"+servertest.SandboxUUID.String()+"/Users/"+base.UUID.String()
		add(store.FieldFirstName, "name.givenName", wanted.FirstName)
		add(store.FieldLastName, "name.familyName", wanted.LastName)
		add(store.FieldUsername, "userName", wanted.Username)
		add(store.FieldEmail, "emails[].value", wanted.Email)
		add(store.FieldStatus, "active", wanted.Status == store.StatusActive)
		add(store.FieldDisplayName, "displayName", wanted.DisplayName)
		add(store.FieldExternalID, "externalId", wanted.ExternalID)
		add(store.FieldMobile, "phoneNumbers", []any{})
		if mobile != "" {
			add(store.FieldMobile, "phoneNumbers", []any{map[string]any{"value": mobile}})
		}
		add(store.FieldRoles, "roles", w.scimRoles(wanted.Roles))
		body = nested(body)
		body["schemas"] = []any{"urn:ietf:params:scim:schemas:core:2.0:User"}
		if dialect == scimPatch {
			r.Method = http.MethodPatch
			body = w.operations(body)
		}
	default:
		r.Method, r.Path = http.MethodPatch, fmt.Sprintf("/toys/v3/shops/s3393/people/p%d", base.ID)
		if whole {
			r.Method = http.MethodPut
		}
		add(store.FieldFirstName, "given", wanted.FirstName)
		add(store.FieldLastName, "family", wanted.LastName)
		add(store.FieldUsername, "handle", wanted.Username)
		add(store.FieldEmail, "contact", wanted.Email)
		add(store.FieldStatus, "open", wanted.Status == store.StatusActive)
		add(store.FieldMobile, "phone", mobile)
		add(store.FieldRoles, "grants", grants)
	}
	r.Body = servertest.Encode(t, body)
	return r, whole
}

func (w wisher) scimRoles(roles store.RoleSet) []any {
	grants := []any{}
	for _, role := range w.s.Store.Catalogue().In(roles) {
		grants = append(grants, map[string]any{"value": role.Name})
	}
	return grants
}

// nested puts members whose names are paths into the objects that the paths lead through.
func nested(members map[string]any) map[string]any {
	body := map[string]any{}
	for path, value := range members {
		description.Set(body, path, value)
	}
	return body
}

// operations is a PATCH of these attributes, in one of the ways in which clients write one: without a path, with one for each attribute, or
// with paths as the names in a value.
func (w wisher) operations(attributes map[string]any) map[string]any {
	delete(attributes, "schemas")
	way, all, dotted := w.IntN(3), []any{}, map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		value, op := attributes[name], "replace"
		if value == nil && way == 1 {
			op = "Remove"
		}
		if parts, ok := value.(map[string]any); ok && way > 0 {
			for part, value := range parts {
				dotted[name+"."+part] = value
				all = append(all, map[string]any{"op": op, "path": name + "." + part, "value": value})
			}
			continue
		}
		dotted[name] = value
		all = append(all, map[string]any{"op": op, "path": name, "value": value})
	}
	switch way {
	case 0:
		all = []any{map[string]any{"op": "replace", "value": attributes}}
	case 2:
		all = []any{map[string]any{"op": "Replace", "value": dotted}}
	}
	return map[string]any{"schemas": []any{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}, "Operations": all}
}

// sameAs tells whether two users agree in a field, as far as the dialect can tell.
func sameAs(dialect string, f store.Field, a, b store.User) bool {
	if f == store.FieldStatus && keepsInvited(dialect) {
		return (a.Status == store.StatusActive) == (b.Status == store.StatusActive)
	}
	return !slices.Contains(store.Diff(&a, &b), f)
}

// sequence is one case: a user whom others change and whom a caller then updates from what it had read before.
type sequence struct {
	wisher
	dialect          string
	base, foreign    store.User // as read, and as others have left it
	wishes           map[store.Field]wish
	whole            bool
	touched          map[store.Field]bool // by the others
	expected         store.User           // if there is no conflict
	conflicts        []store.Field
	secretHasChanged bool
}

// newSequence creates a user, reads it, and has others change it.
func newSequence(t testing.TB, w wisher) (*sequence, servertest.Request) {
	t.Helper()
	u := store.User{
		FirstName: "Ada", LastName: "Lovelace", Username: "sequence", Email: "sequence@example.com", Status: anyOf(w.Rand, store.StatusActive, store.StatusActive, store.StatusInvited),
		Roles: store.Roles(3), AccountNonExpired: true, AccountNonLocked: true, CredentialNonExpired: true, EmailVerified: w.IntN(2) == 0,
	}
	if w.IntN(3) == 0 {
		u.Username = u.Email
	}
	q := &sequence{wisher: w, dialect: anyOf(w.Rand, writersOfMerges...), base: w.s.CreateUser(t, u), touched: map[store.Field]bool{}}
	for range 1 + w.IntN(4) {
		dialect := anyOf(w.Rand, writersOfMerges...)
		r, _ := w.request(t, dialect, w.s.FindUser(t, q.base.ID), w.wishes(dialect))
		if a := w.s.Ask(servertest.Administrator(), r); a.Status != http.StatusOK {
			t.Fatalf("%s %s %s: %d %s", r.Method, r.Path, r.Body, a.Status, a.Body)
		}
	}
	q.foreign = w.s.FindUser(t, q.base.ID)
	history, err := w.s.Store.UserHistory(context.Background(), store.UserByID(servertest.Sandbox, q.base.ID), q.base.Version, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range history {
		for _, f := range change.Fields {
			q.touched[f.Field] = true
			q.secretHasChanged = q.secretHasChanged || f.Field.Secret()
		}
	}
	q.wishes = w.wishes(q.dialect)
	r, whole := w.request(t, q.dialect, q.base, q.wishes)
	q.whole = whole
	q.expect()
	r.Header.Set("If-Match", fmt.Sprintf(`"%d"`, q.base.Version))
	r.Header.Set("Prefer", anyOf(w.Rand, "merge=untouched", `respond-async, Merge="untouched";x=y`, "handling=lenient,, merge=untouched, merge=theirs"))
	return q, r
}

// expect computes by itself, from the wishes, what must come of the update.
func (q *sequence) expect() {
	q.expected = q.foreign
	wanted := q.base
	for _, wish := range q.wishes {
		wish.set(&wanted)
	}
	for f, wish := range q.wishes {
		if q.whole && !f.Secret() && sameAs(q.dialect, f, q.base, wanted) {
			continue // the caller leaves the field as it has read it
		}
		after := q.foreign
		wish.set(&after)
		if q.touched[f] && (f.Secret() || !sameAs(q.dialect, f, q.foreign, after) || f == store.FieldRoles && q.foreign.Roles != after.Roles) {
			q.conflicts = append(q.conflicts, f)
		}
		wish.set(&q.expected)
	}
	if !store.SameMailbox(q.foreign.Email, q.expected.Email) {
		q.expected.EmailVerified = false
	}
	if q.dialect == "worth" && q.foreign.Username == q.foreign.Email {
		q.expected.Username = q.expected.Email
	}
	slices.Sort(q.conflicts)
}

// check holds the answer to the update, and the user after it, against what must come of it.
func (q *sequence) check(t testing.TB, a servertest.Answer, after store.User) {
	t.Helper()
	name, _, _ := strings.Cut(q.dialect, " ")
	d := dialectNamed(t, name)
	refused := len(q.conflicts) > 0 || q.secretHasChanged
	switch {
	case refused && a.Status == http.StatusPreconditionFailed:
		var names []string
		for _, f := range q.conflicts {
			names = append(names, description.Member{Path: d.NamesOf(string(f))[0]}.Name())
		}
		slices.Sort(names)
		got := strings.FieldsFunc(a.Header.Get("Dragoman-Conflict"), func(r rune) bool { return r == ',' || r == ' ' })
		slices.Sort(got)
		if strings.Join(got, " ") != strings.Join(names, " ") {
			t.Errorf("in conflict are %q, want %q", got, names)
		}
		if after.Version != q.foreign.Version {
			t.Errorf("a refused merge has made version %d", after.Version)
		}
	case !refused && a.Status == http.StatusOK:
		if q.foreign.Version > q.base.Version {
			a.ExpectHeader(t, "Preference-Applied", "merge=untouched")
		}
		if lost := store.Diff(&q.expected, &after); len(lost) > 0 {
			t.Errorf("the merge has %v otherwise: others left\n%+v, the caller wanted\n%+v, and it is\n%+v", lost, q.foreign, q.expected, after)
		}
		want := q.foreign.Version + 1
		if len(store.Diff(&q.foreign, &q.expected)) == 0 {
			want--
		}
		if after.Version != want || a.Header.Get("ETag") != fmt.Sprintf(`"%d"`, want) {
			t.Errorf("version %d and ETag %s, want %d", after.Version, a.Header.Get("ETag"), want)
		}
	default:
		t.Errorf("the answer is %d %v %s; in conflict are %v, a secret has changed: %t", a.Status, a.Header, a.Body, q.conflicts, q.secretHasChanged)
	}
}

// TestMergeLaws: a merge never loses another writer's change, never applies what is in conflict with one, and equals the order in which
// the caller's update comes after the others'. It takes place whenever nothing is in conflict and no secret has changed.
func TestMergeLaws(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		r := seeded(t)
		merged := 0
		for range trials(t, 60) {
			q, request := newSequence(t, wisher{r, s})
			if r.IntN(4) == 0 {
				// Tried first, the same comes of it, and nothing is written.
				try := trial(t, s, servertest.Administrator(), request)
				if refused := len(q.conflicts) > 0 || q.secretHasChanged; (try.Status == http.StatusOK) == refused {
					t.Errorf("a dry run is %d %s", try.Status, try.Body)
				}
			}
			a := s.Ask(servertest.Administrator(), request)
			q.check(t, a, s.FindUser(t, q.base.ID))
			if a.Status == http.StatusOK {
				merged++
			}
			if t.Failed() {
				t.Fatalf("%s %s %s with %v, of a user who was\n%+v", request.Method, request.Path, request.Body, request.Header, q.base)
			}
		}
		if merged == 0 {
			t.Error("nothing was merged")
		}
	})
}

// TestMergeIsOneStep: of updates that are merged at the same time none is lost.
func TestMergeIsOneStep(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		header := http.Header{"If-Match": {`"1"`}, "Prefer": {"merge=untouched"}, "Current-Company-Id": {"5251"}}
		asWritten := strings.Replace(putOfAda, `"surname":"King"`, `"surname":"Lovelace"`, 1)
		rewrite(t, s, servertest.Ada, func(u *store.User) { u.FirstLogin = true })
		var all sync.WaitGroup
		for _, r := range []servertest.Request{
			{Method: http.MethodPatch, Path: worthAda, Body: `{"first_name":"Augusta"}`},
			{Method: http.MethodPatch, Path: worthAda, Body: `{"mobile":"1"}`},
			{Method: http.MethodPatch, Path: toyAda, Body: `{"family":"King"}`},
			{Method: http.MethodPatch, Path: scimAda, Body: patchOfScim(`{"op":"add","path":"displayName","value":"The Countess"}`)},
			{Method: http.MethodPut, Path: scimAda, Body: strings.NewReplacer(`"King"`, `"Lovelace"`, `"adalovelace"`, `"countess"`).Replace(putOfScim)},
			{Method: http.MethodPut, Path: testiniumAda, Body: strings.Replace(asWritten, `"accountNonLocked":true`, `"accountNonLocked":false`, 1)},
			{Method: http.MethodPut, Path: testiniumAda, Body: strings.Replace(asWritten, "ROLE_USER", "ROLE_REPORT", 1)},
		} {
			r.Header = header.Clone()
			all.Go(func() {
				for {
					a := s.Ask(servertest.Administrator(), r)
					if a.Status == http.StatusServiceUnavailable {
						continue // too many writers of the user
					}
					if a.Status != http.StatusOK {
						t.Errorf("%s %s: %d %s", r.Method, r.Body, a.Status, a.Body)
					}
					return
				}
			})
		}
		all.Wait()
		u := s.FindUser(t, servertest.Ada)
		if u.FirstName != "Augusta" || u.LastName != "King" || u.Mobile == nil || *u.Mobile != "1" || u.AccountNonLocked || u.Roles != store.Roles(12) ||
			u.DisplayName == nil || *u.DisplayName != "The Countess" || u.Username != "countess" {
			t.Errorf("%+v", u)
		}
	})
}

// TestMergeIsJudgedAsAWhole: rank, uniqueness and the last administrator are checked of the merged user.
func TestMergeIsJudgedAsAWhole(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		putOfGrace := strings.NewReplacer("adalovelace", "gracehopper", "ada.lovelace", "grace.hopper", `"surname":"King"`, `"surname":"Hopper"`, `"Ada"`, `"Grace"`).Replace(putOfAda)
		administrator := strings.Replace(putOfGrace, "ROLE_USER", "ROLE_COMPANY_ADMIN", 1)
		for _, c := range []struct {
			name      string
			id        int64
			meanwhile func(u *store.User)
			by        auth.Claims
			body      string
			status    int
			says      string
		}{
			{"the last administrator", servertest.Grace, func(u *store.User) { u.Mobile = new("1") }, servertest.Administrator(),
				strings.Replace(administrator, `"enabled":true`, `"enabled":false`, 1), http.StatusBadRequest, "must leave the customer an active administrator"},
			{"the last administrator, with a new password", servertest.Grace, func(u *store.User) { u.Mobile = new("2") }, servertest.Administrator(),
				withPassword(strings.Replace(administrator, `"enabled":true`, `"enabled":false`, 1), `"newPassword":"pa55Word!"`), http.StatusBadRequest, "must leave the customer an active administrator"},
			{"a name that is taken", servertest.Grace, func(u *store.User) { u.Mobile = new("3") }, servertest.Administrator(),
				strings.Replace(administrator, `"gracehopper"`, `"adalovelace"`, 1), http.StatusBadRequest, "username is already taken"},
			{"a user who now ranks above the caller", servertest.Ada, func(u *store.User) { u.Roles = store.Roles(1, 2, 3) }, servertest.Manager(),
				putOfAda, http.StatusForbidden, "ACCESS_DENIED"},
		} {
			base := s.FindUser(t, c.id)
			present := rewrite(t, s, c.id, c.meanwhile)
			r := servertest.Request{Method: http.MethodPut, Path: fmt.Sprintf("/account/api/v1/customers/3393/users/%d", c.id), Body: c.body,
				Header: http.Header{"If-Match": {fmt.Sprintf(`"%d"`, base.Version)}, "Prefer": {"merge=untouched"}}}
			a := s.Ask(c.by, r)
			if a.Status != c.status || !strings.Contains(a.Body, c.says) {
				t.Errorf("%s: %d %s", c.name, a.Status, a.Body)
			}
			a.ExpectHeader(t, "Preference-Applied")
			if after := s.FindUser(t, c.id); after.Version != present.Version {
				t.Errorf("%s: version %d", c.name, after.Version)
			}
		}
	})
}

// TestMergeSetsPasswords: a new password is part of what is merged, and proven as always.
func TestMergeSetsPasswords(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		base := s.FindUser(t, servertest.Ada)
		rewrite(t, s, servertest.Ada, func(u *store.User) { u.FirstName = "Augusta" })
		r := servertest.Request{Method: http.MethodPut, Path: testiniumAda, Body: withPassword(putOfAda, `"newPassword":"pa55Word!"`),
			Header: http.Header{"If-Match": {fmt.Sprintf(`"%d"`, base.Version)}, "Prefer": {"handling=strict, merge=untouched"}}}
		a := s.Ask(servertest.Manager(), r)
		if a.Status != http.StatusOK || a.Header.Get("Dragoman-Changed") != "surname, newPassword, lastPasswordResetDate" {
			t.Errorf("%d %v %s", a.Status, a.Header, a.Body)
		}
		a.ExpectHeader(t, "Preference-Applied", "handling=strict, merge=untouched")
		if u := s.FindUser(t, servertest.Ada); u.FirstName != "Augusta" || u.LastName != "King" || u.PasswordHash == nil {
			t.Errorf("%+v", u)
		}
		// Now a secret has changed since the version in If-Match.
		if a := s.Ask(servertest.Manager(), r); a.Status != http.StatusPreconditionFailed || a.Header.Get("Dragoman-Conflict") != "newPassword" {
			t.Errorf("%d %v %s", a.Status, a.Header, a.Body)
		}
	})
}

// TestMergeIsAskedFor: without the preference, or with another one, nothing is merged; with it a write that needs no merge is as ever.
func TestMergeIsAskedFor(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	base := s.FindUser(t, servertest.Ada).Version
	present := rewrite(t, s, servertest.Ada, func(u *store.User) { u.LastName = "King" }).Version
	stale, fresh := fmt.Sprintf(`"%d"`, base), fmt.Sprintf(`"%d"`, present)
	for _, c := range []struct {
		match, none string
		prefer      []string
		status      int
		applied     bool
	}{
		{stale, "", nil, 412, false},
		{stale, "", []string{"merge"}, 412, false},
		{stale, "", []string{"merge=theirs, merge=untouched"}, 412, false}, // the first one counts
		{stale, "", []string{`x="merge=untouched"`}, 412, false},
		{stale, "", []string{`x="\", merge=untouched`}, 412, false}, // within a quoted string that is not closed
		{stale, "", []string{`merge="untouched`}, 412, false},
		{stale, "", []string{"x;merge=untouched"}, 412, false}, // a parameter
		{stale, "*", []string{"merge=untouched"}, 412, false},
		{stale, fresh, []string{"merge=untouched"}, 412, false},
		{fresh, "", []string{"merge=untouched"}, 200, false},
		{"*", "", []string{"merge=untouched"}, 200, false},
		{"", "", []string{"merge=untouched"}, 200, false},
		{stale, "", []string{"merge=untouched"}, 200, true},
		{stale, stale, []string{"merge=untouched"}, 200, true},
		{stale, "", []string{"respond-async", `x="a,b", MERGE = "un\touched"`}, 200, true},
	} {
		r := servertest.Request{Method: http.MethodPatch, Path: worthAda, Body: `{"first_name":"Augusta"}`, Header: http.Header{}}
		for name, values := range map[string][]string{"If-Match": {c.match}, "If-None-Match": {c.none}, "Prefer": c.prefer} {
			if len(values) > 0 && values[0] != "" {
				r.Header[name] = values
			}
		}
		a := trial(t, s, servertest.Manager(), r)
		if a.Status != c.status || (a.Header.Get("Preference-Applied") == "merge=untouched") != c.applied {
			t.Errorf("%v: %d %v %s", r.Header, a.Status, a.Header, a.Body)
		}
	}
}

// TestErasedValuesAreNotMerged: what the history no longer has is not guessed at.
func TestErasedValuesAreNotMerged(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s := servertest.StartWith(t, server.Config{Database: url})
		base := s.FindUser(t, servertest.Ada).Version
		rewrite(t, s, servertest.Ada, func(u *store.User) { u.FirstName, u.Mobile = "Augusta", new("1") })
		conn := beside(t, url)
		trigger := "DROP TRIGGER user_changes_append_only"
		if store.EngineOf(url) == "postgres" {
			trigger += " ON user_changes"
		}
		for _, statement := range []string{trigger, fmt.Sprintf(
			`UPDATE user_changes SET fields = '[{"field":"FirstName","old":"erased","new":"erased"},{"field":"Mobile","old":"erased","new":"erased"}]' WHERE user_id = %d AND version = %d`,
			servertest.Ada, base+1)} {
			if _, err := conn.ExecContext(context.Background(), statement); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []struct {
			method, path, body string
			status             int
			conflict           string
		}{
			// Whether the caller wants this first name, or has only read it, can no longer be known.
			{http.MethodPut, testiniumAda, putOfAda, http.StatusPreconditionFailed, "name"},
			{http.MethodPut, testiniumAda, strings.Replace(putOfAda, `"Ada"`, `"Augusta"`, 1), http.StatusOK, ""},
			{http.MethodPatch, worthAda, `{"first_name":"Ada"}`, http.StatusPreconditionFailed, "first_name"},
			{http.MethodPatch, worthAda, `{"last_name":"King"}`, http.StatusOK, ""},
		} {
			a := trial(t, s, servertest.Manager(), servertest.Request{Method: c.method, Path: c.path, Body: c.body,
				Header: http.Header{"If-Match": {fmt.Sprintf(`"%d"`, base)}, "Prefer": {"merge=untouched"}}})
			if a.Status != c.status || a.Header.Get("Dragoman-Conflict") != c.conflict {
				t.Errorf("%s %s: %d %v %s", c.method, c.body, a.Status, a.Header, a.Body)
			}
		}
	})
}

// TestMergeIsRepeated: the answer to a merged update with an idempotency key is repeated as it was, and nothing is merged again.
func TestMergeIsRepeated(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		base := s.FindUser(t, servertest.Ada).Version
		rewrite(t, s, servertest.Ada, func(u *store.User) { u.LastName = "King" })
		r := servertest.Request{Method: http.MethodPatch, Path: worthAda, Body: `{"first_name":"Augusta"}`, Header: http.Header{
			"If-Match": {fmt.Sprintf(`"%d"`, base)}, "Prefer": {"merge=untouched, handling=strict"}, "Idempotency-Key": {"merge"},
		}}
		first := s.Ask(servertest.Manager(), r)
		first.ExpectHeader(t, "Preference-Applied", "handling=strict, merge=untouched")
		rewrite(t, s, servertest.Ada, func(u *store.User) { u.FirstName = "Ada" })
		again := s.Ask(servertest.Manager(), r)
		if first.Status != http.StatusOK || again.Status != first.Status || again.Body != first.Body || again.Header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%d %s, and again %d %v %s", first.Status, first.Body, again.Status, again.Header, again.Body)
		}
		for _, name := range []string{"Preference-Applied", "ETag", "Dragoman-Changed"} {
			again.ExpectHeader(t, name, first.Header.Values(name)...)
		}
		if u := s.FindUser(t, servertest.Ada); u.FirstName != "Ada" {
			t.Errorf("%+v", u)
		}
	})
}
