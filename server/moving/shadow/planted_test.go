package shadow_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-id/dragoman/server/moving/difference"
	"github.com/dragoman-id/dragoman/server/moving/shadow"
	"github.com/dragoman-id/dragoman/server/moving/vendortest"
	"github.com/dragoman-id/dragoman/server/servertest"
)

// show alters the member of what a GET answers for one user.
func show(alter func(user map[string]any)) func(string, http.Header, map[string]any) {
	return func(operation string, _ http.Header, body map[string]any) {
		if operation != "show" {
			return
		}
		if data, ok := body["data"].(map[string]any); ok {
			body = data
		}
		alter(body)
	}
}

// planted are differences of a vendor's answers, and how they are to be reported.
var planted = []struct {
	name, dialect string
	alter         func(operation string, header http.Header, body map[string]any)
	field, how    string
}{
	{"a field dropped here", "worth", show(func(u map[string]any) { u["nickname"] = "x" }), "data.nickname", difference.Missing},
	{"a field added here", "worth", show(func(u map[string]any) { delete(u, "mobile") }), "data.mobile", difference.Added},
	{"a status changed", "worth", show(func(u map[string]any) { u["status"] = "INVITED" }), "data.status", difference.Differs},
	{"a name changed", "worth", show(func(u map[string]any) { u["first_name"] = "Ada " }), "data.first_name", difference.Differs},
	{"an e-mail in another case", "worth", show(func(u map[string]any) { u["email"] = strings.ToLower(u["email"].(string)) }), "data.email", difference.Differs},
	{"a subrole changed", "worth", show(func(u map[string]any) { u["subrole"].(map[string]any)["code"] = "owner" }), "data.subrole.code", difference.Differs},
	{"no subrole", "worth", show(func(u map[string]any) { u["subrole"] = nil }), "data.subrole", difference.Differs},
	{"a number as text", "worth", show(func(u map[string]any) { u["subrole"].(map[string]any)["role_id"] = "2" }), "data.subrole.role_id", difference.Type},
	{"a truth value as text", "worth", show(func(u map[string]any) { u["is_first_login"] = "false" }), "data.is_first_login", difference.Type},
	{"a creation a second later", "worth", show(func(u map[string]any) { u["created_at"] = "2024-02-12T14:16:50.053000" }), "data.created_at", difference.Differs},
	{"the customer's name", "worth", show(func(u map[string]any) { u["company_details"].(map[string]any)["name"] = "Other" }), "data.company_details.name", difference.Differs},
	{"the envelope's status", "worth", func(op string, _ http.Header, body map[string]any) {
		if op == "show" {
			body["status"] = "ok"
		}
	}, "status", difference.Differs},
	{"another HTTP status", "worth", func(op string, _ http.Header, body map[string]any) {
		if op == "show" {
			body["#status"] = 203
		}
	}, "HTTP status", difference.Differs},
	{"a header lost here", "worth", func(_ string, h http.Header, _ map[string]any) { h.Set("X-Total-Count", "7") }, "header X-Total-Count", difference.Missing},
	{"another media type", "worth", func(_ string, h http.Header, _ map[string]any) { h.Set("Content-Type", "application/vnd.worth") }, "header Content-Type", difference.Differs},
	{"no object", "worth", func(op string, _ http.Header, body map[string]any) {
		if op == "show" {
			body["#value"] = []any{}
		}
	}, "body", difference.Type},
	{"an id as text", "testinium", show(func(u map[string]any) { u["entityId"] = fmt.Sprint(u["entityId"]) }), "entityId", difference.Type},
	{"a role fewer here", "testinium", show(func(u map[string]any) {
		u["authorities"] = append(u["authorities"].([]any), map[string]any{"entityId": 5, "name": "ROLE_CHANGE_USER", "cleanName": nil})
	}), "authorities[ROLE_CHANGE_USER]", difference.Missing},
	{"a role more here", "testinium", show(func(u map[string]any) { u["authorities"] = []any{} }), "authorities[ROLE_USER]", difference.Added},
	{"a flag changed", "testinium", show(func(u map[string]any) { u["accountNonExpired"] = false }), "accountNonExpired", difference.Differs},
	{"a secret not there", "testinium", show(func(u map[string]any) { delete(u, "accessToken") }), "accessToken", difference.Added},
	{"a secret as a number", "testinium", show(func(u map[string]any) { u["accessToken"] = 5 }), "accessToken", difference.Type},
	{"another user", "testinium", show(func(u map[string]any) { u["username"] = "nobody" }), "username", difference.Differs},
	{"a time in seconds", "testinium", show(func(u map[string]any) { u["createdDate"] = u["createdDate"].(int64) / 1000 }), "createdDate", difference.Differs},
}

// TestPlantedDifferences: whatever the vendor answers otherwise is found, and named by its field.
func TestPlantedDifferences(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 20)
	for _, tc := range planted {
		t.Run(tc.name, func(t *testing.T) {
			v := m.vendors[tc.dialect]
			v.Alter = tc.alter
			defer func() { v.Alter = nil }()
			r := m.compare(t, tc.dialect)
			found := func(d difference.Difference) bool { return d.Field == tc.field && d.How == tc.how }
			if r.Differ != r.Listed || len(r.Users) == 0 || !slices.ContainsFunc(r.Users[0].Differences, found) {
				t.Errorf("compare: of %d users %d differ, %v, want %s %s", r.Listed, r.Differ, r.Users, tc.field, tc.how)
			}
			if ignored := m.compare(t, tc.dialect, tc.field, strings.ReplaceAll(tc.field, "[ROLE_USER]", ""), strings.ReplaceAll(tc.field, "[ROLE_CHANGE_USER]", "")); ignored.Differ > 0 && tc.field != "HTTP status" && tc.field != "body" {
				t.Errorf("compare --ignore %s: %v", tc.field, ignored.Users)
			}
			f := m.shadow(t, tc.dialect, nil)
			f.do(t, http.MethodGet, f.url, f.user(m.common), "")
			o := of(f.close(), describe(t, tc.dialect).Show)
			if o.Differ != 1 || o.Fields[tc.field] == 0 || len(o.Examples) != 1 || !slices.ContainsFunc(o.Examples[0].Differences, found) {
				t.Errorf("shadow: %+v, want %s %s", o, tc.field, tc.how)
			}
		})
	}
}

// records alters the records of a list.
func records(alter func(records []any) []any) func(string, http.Header, map[string]any) {
	return func(operation string, _ http.Header, body map[string]any) {
		if operation != "list" {
			return
		}
		if data, ok := body["data"].(map[string]any); ok {
			data["records"] = alter(data["records"].([]any))
			return
		}
		body["#value"] = alter(body["#value"].([]any))
	}
}

// total alters the numbers of a page of Worth's.
func total(alter func(data map[string]any)) func(string, http.Header, map[string]any) {
	return func(operation string, _ http.Header, body map[string]any) {
		if operation == "list" {
			alter(body["data"].(map[string]any))
		}
	}
}

func first(alter func(record map[string]any)) func(string, http.Header, map[string]any) {
	return records(func(all []any) []any { alter(all[0].(map[string]any)); return all })
}

func reverse(all []any) []any { slices.Reverse(all); return all }

// more adds a record like the first, of another user.
func more(member string, id any) func([]any) []any {
	return func(all []any) []any {
		other := maps.Clone(all[0].(map[string]any))
		other[member] = id
		return append(all, other)
	}
}

// plantedInLists are differences of a vendor's lists, by the field as it is to be reported, with [] for an element; empty: none is.
var plantedInLists = []struct {
	name, dialect string
	alter         func(operation string, header http.Header, body map[string]any)
	field, how    string
}{
	{"a member dropped here", "worth", first(func(u map[string]any) { u["nickname"] = "x" }), "data.records[].nickname", difference.Missing},
	{"a member added here", "worth", first(func(u map[string]any) { delete(u, "mobile") }), "data.records[].mobile", difference.Added},
	{"a name changed", "worth", first(func(u map[string]any) { u["last_name"] = "Other" }), "data.records[].last_name", difference.Differs},
	{"an id as a number", "worth", first(func(u map[string]any) { u["status"] = 1 }), "data.records[].status", difference.Type},
	{"a shorter page here", "worth", records(more("id", "5a9cf2a3-1f4a-4bc0-93ef-8e6ad7a8f1c5")), "data.records", difference.Differs},
	{"a lower total here", "worth", total(func(data map[string]any) { data["total_items"] = "9999999" }), "data.total_items", difference.Differs},
	{"fewer pages here", "worth", total(func(data map[string]any) { data["total_pages"] = 9999999 }), "data.total_pages", difference.Differs},
	{"a total as a number", "worth", total(func(data map[string]any) { data["total_items"] = 1 }), "data.total_items", difference.Type},
	{"no total", "worth", total(func(data map[string]any) { delete(data, "total_items") }), "data.total_items", difference.Added},
	{"another order", "worth", records(reverse), "", ""},
	{"a member dropped here", "testinium", first(func(u map[string]any) { u["nickname"] = "x" }), "[].nickname", difference.Missing},
	{"a flag changed", "testinium", first(func(u map[string]any) { u["credentialNonExpired"] = false }), "[].credentialNonExpired", difference.Differs},
	{"a role fewer", "testinium", first(func(u map[string]any) { u["authorities"] = []any{} }), "[].authorities[]", difference.Added},
	{"a user missing here", "testinium", records(more("entityId", 7)), "[]", difference.Missing},
	{"a user twice", "testinium", records(func(all []any) []any { return append(all, all[0]) }), "[]", difference.Missing},
	{"another order", "testinium", records(reverse), "", ""},
}

var element = regexp.MustCompile(`\[[^]]*\]`)

// plantInLists plants differences in a list, one at a time, and looks for each.
func (m *move) plantInLists(t *testing.T, dialect string) {
	t.Helper()
	v := m.vendors[dialect]
	defer func() { v.Alter = nil }()
	for _, p := range plantedInLists {
		if p.dialect != dialect {
			continue
		}
		v.Alter = p.alter
		f := m.shadow(t, dialect, nil)
		f.do(t, http.MethodGet, f.url, f.list(), "")
		o := of(f.close(), describe(t, dialect).List)
		found := func(d difference.Difference) bool {
			return element.ReplaceAllString(d.Field, "[]") == p.field && d.How == p.how
		}
		if p.field == "" && o.Equal == 1 || o.Differ == 1 && len(o.Fields) == 1 && slices.ContainsFunc(o.Examples[0].Differences, found) {
			continue
		}
		t.Errorf("%s of %s's list: %+v, want %s %s", p.name, dialect, o, p.field, p.how)
	}
}

// TestShadowOfListsThatDifferEverywhere: the report of a long list stays short.
func TestShadowOfListsThatDifferEverywhere(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 60)
	m.vendors["testinium"].Alter = records(func(all []any) []any {
		for _, u := range all {
			u.(map[string]any)["nickname"] = "x"
		}
		return all
	})
	f := m.shadow(t, "testinium", nil)
	f.do(t, http.MethodGet, f.url, f.list(), "")
	r := recording{f.close()}
	o := of(r.Report, describe(t, "testinium").List)
	if text := r.text(t); o.Differ != 1 || fmt.Sprint(o.Fields) != "map[[].nickname:1]" || len(o.Examples[0].Differences) != 50 || !strings.Contains(text, "    and 10 more\n") {
		t.Errorf("%+v", o)
	}
}

// TestShadowOfPagesApart: pages that have no user in common are not called equal.
func TestShadowOfPagesApart(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 20)
	m.vendors["worth"].Alter = records(func(all []any) []any { return more("id", "5a9cf2a3-1f4a-4bc0-93ef-8e6ad7a8f1c5")(all)[len(all):] })
	f := m.shadow(t, "worth", nil)
	f.do(t, http.MethodGet, f.url, f.list(), "")
	r := recording{f.close()}
	if o := of(r.Report, describe(t, "worth").List); o.Apart != 1 || o.Equal+o.Differ != 0 || !strings.Contains(r.text(t), "1 not compared: no user is on both pages\n") {
		t.Errorf("%+v", o)
	}
}

// TestShadowOfEmptyLists: a page that lacks records at the target is a difference, also one that has nobody in common.
func TestShadowOfEmptyLists(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 20)
	empty := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"status":"success","message":"Success","data":{"records":[],"total_pages":0,"total_items":"0"}}`)
	}))
	t.Cleanup(empty.Close)
	f := m.shadow(t, "worth", func(c *shadow.Config) { c.Target = parse(t, empty.URL) })
	f.do(t, http.MethodGet, f.url, f.list(), "")
	o := of(f.close(), describe(t, "worth").List)
	if o.Equal != 0 || o.Fields["data.records"] != 1 || o.Fields["data.total_pages"] != 1 || o.Fields["data.total_items"] != 1 {
		t.Errorf("%+v", o)
	}
}

// plant plants the differences of a dialect in the answers about one user each, and looks for them among all of n users.
func (m *move) plant(t *testing.T, dialect string, n int) {
	t.Helper()
	f := m.shadow(t, dialect, nil)
	plants := map[string]int{}       // by the user's id
	asked := max(n/10, len(planted)) // users, by the shadow's client
	for i, p := range planted {
		if path := f.user(m.common + i*asked/len(planted)); p.dialect == dialect {
			plants[path[strings.LastIndex(path, "/")+1:]] = i
		}
	}
	v := m.vendors[dialect]
	v.Alter = func(operation string, header http.Header, body map[string]any) {
		id := body["entityId"]
		if data, ok := body["data"].(map[string]any); ok {
			id = data["id"]
		}
		if i, ok := plants[fmt.Sprint(id)]; ok && operation == "show" {
			planted[i].alter(operation, header, body)
		}
	}
	defer func() { v.Alter = nil }()
	found := map[string]bool{}
	r := m.compare(t, dialect)
	for _, u := range r.Users {
		p := planted[plants[u.ID]]
		if !slices.ContainsFunc(u.Differences, func(d difference.Difference) bool { return d.Field == p.field && d.How == p.how }) {
			t.Errorf("compare: %v, want %s %s", u, p.field, p.how)
		}
		found[u.ID] = true
	}
	if len(found) != len(plants) || r.Differ != int64(len(plants)) || r.Equal != int64(n-len(plants)) {
		t.Errorf("compare: %d of %d users differ, and %d differences were planted", r.Differ, r.Listed, len(plants))
	}
	for k := range asked {
		f.do(t, http.MethodGet, f.url, f.user(m.common+k), "")
	}
	o := of(f.close(), describe(t, dialect).Show)
	for _, i := range plants {
		if o.Fields[planted[i].field] == 0 {
			t.Errorf("shadow: %+v, want %s", o.Fields, planted[i].field)
		}
	}
	if o.Differ != int64(len(plants)) {
		t.Errorf("shadow: %d of %d requests differ, and %d differences were planted", o.Differ, o.Requests, len(plants))
	}
}

func TestMissingAndNoise(t *testing.T) {
	t.Parallel()
	m := newMove(t, servertest.Start(t), 20)
	v := m.vendors["worth"]
	v.Add(vendortest.People(900, 1, m.server.Store.Catalogue())[0])
	asked := 0
	var mu sync.Mutex
	v.Alter = show(func(u map[string]any) {
		mu.Lock()
		defer mu.Unlock()
		if strings.HasSuffix(u["email"].(string), ".5@Example.com") {
			if asked++; asked == 1 {
				u["mobile"] = "flickers"
			}
		}
	})
	r := m.compare(t, "worth")
	if r.Missing != 1 || r.Differ != 0 || r.Equal != 20 || r.Noise["data.mobile"] != 1 || len(r.Users) != 1 || r.Users[0].Differences[0].Field != "user" {
		t.Errorf("%+v", r)
	}
	for name, write := range map[string]func(io.Writer) error{"json": r.WriteJSON, "junit": r.WriteJUnit, "text": r.WriteText} {
		var b bytes.Buffer
		if err := write(&b); err != nil || !strings.Contains(b.String(), r.Users[0].ID) {
			t.Errorf("%s: %v %s", name, err, &b)
		}
	}
}
