package store_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// names are such as tell a comparison by code points, ignoring case, from any other: equal ones, ones that differ in
// case, ones that locales and UTF-16 order otherwise, and ones that mean something to LIKE.
var names = []string{
	"", "Ada", "ada", "ADA", "Straße", "STRASSE", "Zoe", "Zoë", "zoé", "Émile", "emile", "İnci", "Σωκράτης", "σωκράτησ",
	"100%", "1000", "a_b", "a.b", `back\slash`, `back\\slash`, "O'Brien", "\u00ff", "\ufffd", "\U00010400", "Жанна", "李", " x ", "\t",
}

var mobiles = []string{"", "+44 20 7946 0000", "+44", "0", "%"}

// crowd stores users of customer, of whom many are equal in all but their ids, and gives them in the order of their ids.
func crowd(t *testing.T, s *store.Store, customer int64) []store.User {
	t.Helper()
	roles := []store.RoleSet{0, store.Roles(1, 2, 3), store.Roles(2, 3), store.Roles(3), store.Roles(1), store.Roles(4, 12), store.Roles(2)}
	statuses := []store.Status{store.StatusActive, store.StatusInvited, store.StatusInactive}
	var all []store.User
	for i := range 2 * len(names) {
		u := store.User{
			CustomerID: customer,
			FirstName:  names[i%len(names)],
			LastName:   names[i*5%len(names)],
			Username:   fmt.Sprintf("user%d.%d", customer, i),
			Email:      fmt.Sprintf("%s%d@Example.com", strings.ToUpper(string(rune('a'+i*7%26))), customer*1000+int64(i)),
			Mobile:     new(mobiles[i%len(mobiles)]),
			Roles:      roles[i%len(roles)],
			Status:     statuses[i%len(statuses)],
			CreatedAt:  time.UnixMilli(int64(i * 11 % 7)),
			UpdatedAt:  time.UnixMilli(int64(i*13%5) + 100),
		}
		if i%3 == 0 {
			u.ExternalID, u.DisplayName = new(fmt.Sprintf("00u%d%%%s", i, names[i%len(names)])), new(names[i*7%len(names)])
		}
		if err := s.CreateUser(context.Background(), &u); err != nil {
			t.Fatal(err)
		}
		all = append(all, u)
	}
	return all
}

// crowded makes a sandbox where customer 3393 has a crowd, and so has another, and gives the former's users.
func crowded(t *testing.T, s *store.Store) []store.User {
	t.Helper()
	storetest.Directory(t, s)
	var all []store.User
	for _, id := range []int64{6860, 6861} {
		u, err := s.FindUser(context.Background(), store.UserByID(3393, id))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, u)
	}
	crowd(t, s, 3394)
	all = append(all, crowd(t, s, 3393)...)
	return all
}

// sorts is what each sort compares, as the model has it.
var sorts = map[store.SortField]func(a, b store.User) int{
	store.SortByID:        func(a, b store.User) int { return 0 },
	store.SortByUUID:      func(a, b store.User) int { return bytes.Compare(a.UUID[:], b.UUID[:]) },
	store.SortByFirstName: func(a, b store.User) int { return cmp.Compare(store.Fold(a.FirstName), store.Fold(b.FirstName)) },
	store.SortByLastName:  func(a, b store.User) int { return cmp.Compare(store.Fold(a.LastName), store.Fold(b.LastName)) },
	store.SortByEmail:     func(a, b store.User) int { return cmp.Compare(store.FoldEmail(a.Email), store.FoldEmail(b.Email)) },
	store.SortByMobile:    func(a, b store.User) int { return cmp.Compare(mobile(a), mobile(b)) },
	store.SortByStatus:    func(a, b store.User) int { return cmp.Compare(a.Status, b.Status) },
	store.SortByCreatedAt: func(a, b store.User) int { return a.CreatedAt.Compare(b.CreatedAt) },
	store.SortByUpdatedAt: func(a, b store.User) int { return a.UpdatedAt.Compare(b.UpdatedAt) },
}

func mobile(u store.User) string {
	if u.Mobile == nil {
		return ""
	}
	return *u.Mobile
}

// listed is what a list must show of all users.
func listed(all []store.User, q store.Query, holds func(store.User) bool, w store.Window) (page []store.User, total int64) {
	found := slices.DeleteFunc(slices.Clone(all), func(u store.User) bool { return !holds(u) })
	slices.SortFunc(found, func(a, b store.User) int {
		order := cmp.Or(sorts[q.Sort](a, b), cmp.Compare(a.ID, b.ID))
		if q.Descending {
			return -order
		}
		return order
	})
	total = int64(len(found))
	from := min(w.Offset, total)
	return found[from:min(from+w.Limit, total)], total
}

func ids(users []store.User) []int64 {
	all := []int64{}
	for _, u := range users {
		all = append(all, u.ID)
	}
	return all
}

func sortGen() *rapid.Generator[store.SortField] {
	var all []store.SortField
	for by := range sorts {
		all = append(all, by)
	}
	slices.Sort(all)
	return rapid.SampledFrom(all)
}

func TestListOrderIsTotalOnBothEngines(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		all := crowded(t, s)
		everybody := func(store.User) bool { return true }
		for by := range sorts {
			for _, descending := range []bool{false, true} {
				q := store.Query{Sort: by, Descending: descending}
				want, _ := listed(all, q, everybody, store.Window{Limit: 1000})
				got, total, err := s.ListUsers(context.Background(), 3393, q, store.Window{Limit: 1000})
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(ids(got), ids(want)) || total != int64(len(all)) {
					t.Errorf("by %d, descending %t:\n%v\nwant\n%v", by, descending, ids(got), ids(want))
				}
			}
		}
	})
}

func TestPagesNeitherRepeatNorSkip(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		all := crowded(t, s)
		rapid.Check(t, func(t *rapid.T) {
			q := store.Query{Sort: sortGen().Draw(t, "sort"), Descending: rapid.Bool().Draw(t, "descending")}
			size := rapid.Int64Range(1, int64(len(all))+2).Draw(t, "size")
			var seen []int64
			for offset := int64(0); ; offset += size {
				page, total, err := s.ListUsers(context.Background(), 3393, q, store.Window{Offset: offset, Limit: size})
				if err != nil {
					t.Fatal(err)
				}
				if total != int64(len(all)) {
					t.Fatalf("total %d", total)
				}
				if len(page) == 0 {
					break
				}
				seen = append(seen, ids(page)...)
			}
			want, _ := listed(all, q, func(store.User) bool { return true }, store.Window{Limit: 1000})
			if !slices.Equal(seen, ids(want)) {
				t.Errorf("%v, want %v", seen, ids(want))
			}
		})
	})
}

// filter is a condition, and what it means.
type filter struct {
	name   string
	filter store.Filter
	holds  func(store.User) bool
}

// filterGen generates conditions that some of the crowd meet, and some that nobody does.
func filterGen(catalogue *store.Catalogue, all []store.User) *rapid.Generator[filter] {
	return rapid.Custom(func(t *rapid.T) filter {
		u := rapid.SampledFrom(all).Draw(t, "like")
		name := rapid.OneOf(rapid.SampledFrom(names), rapid.String().Filter(func(s string) bool { return !strings.Contains(s, "\x00") })).Draw(t, "text")
		switch rapid.IntRange(0, 13).Draw(t, "filter") {
		case 0:
			id := rapid.SampledFrom([]uuid.UUID{u.UUID, uuid.Nil}).Draw(t, "UUID")
			return filter{"UUID " + id.String(), store.HasUUID(id), func(u store.User) bool { return u.UUID == id }}
		case 1:
			return filter{"status " + string(u.Status), store.HasStatus(u.Status), func(v store.User) bool { return v.Status == u.Status }}
		case 2:
			return filter{"first name " + name, store.HasFirstName(name), func(u store.User) bool { return u.FirstName == name }}
		case 3:
			return filter{"last name " + name, store.HasLastName(name), func(u store.User) bool { return u.LastName == name }}
		case 4:
			email := rapid.SampledFrom([]string{u.Email, strings.ToLower(u.Email), strings.ToUpper(u.Email), name}).Draw(t, "e-mail")
			return filter{"e-mail " + email, store.HasEmail(email), func(u store.User) bool { return u.EmailFold == store.FoldEmail(email) }}
		case 5:
			number := rapid.SampledFrom(mobiles).Draw(t, "mobile")
			return filter{"mobile " + number, store.HasMobile(number), func(u store.User) bool { return mobile(u) == number }}
		case 6:
			role := rapid.SampledFrom(catalogue.In(catalogue.WithSubrole())).Draw(t, "role")
			return filter{"subrole of " + role.Name, store.HasSubrole(role, catalogue), func(u store.User) bool {
				shown, ok := catalogue.Subrole(u.Roles)
				return ok && shown.ID == role.ID
			}}
		case 9, 10:
			return comparisonGen(all).Draw(t, "comparison")
		case 11:
			of := rapid.SliceOfN(filterGen(catalogue, all), 0, 3).Draw(t, "of")
			name, filters := combined(of)
			return filter{"all of" + name, store.All(filters...), func(u store.User) bool {
				return !slices.ContainsFunc(of, func(f filter) bool { return !f.holds(u) })
			}}
		case 12:
			of := rapid.SliceOfN(filterGen(catalogue, all), 0, 3).Draw(t, "of")
			name, filters := combined(of)
			return filter{"any of" + name, store.Any(filters...), func(u store.User) bool {
				return slices.ContainsFunc(of, func(f filter) bool { return f.holds(u) })
			}}
		case 13:
			of := filterGen(catalogue, all).Draw(t, "of")
			return filter{"not " + of.name, store.Not(of.filter), func(u store.User) bool { return !of.holds(u) }}
		case 7:
			return filter{"nobody", store.Nobody(), func(store.User) bool { return false }}
		default:
			whole := []rune(rapid.SampledFrom([]string{name, u.FirstName, u.LastName, u.Email, "%", "_", `\`}).Draw(t, "of"))
			from := rapid.IntRange(0, len(whole)).Draw(t, "from")
			part := string(whole[from:rapid.IntRange(from, len(whole)).Draw(t, "to")])
			part = rapid.SampledFrom([]string{part, strings.ToUpper(part), strings.ToLower(part)}).Draw(t, "case")
			return filter{"mentions " + part, store.Mentions(part), func(u store.User) bool {
				for _, text := range []string{u.FirstName, u.LastName, u.Email} {
					if strings.Contains(store.Fold(text), store.Fold(part)) {
						return true
					}
				}
				return false
			}}
		}
	})
}

func combined(of []filter) (name string, filters []store.Filter) {
	for _, f := range of {
		name, filters = name+" ["+f.name+"]", append(filters, f.filter)
	}
	return name, filters
}

// orders are the operators that compare an order, and the orders that they are true for.
var orders = map[store.Operator][]int{
	store.Equal: {0}, store.Less: {-1}, store.LessOrEqual: {-1, 0}, store.Greater: {1}, store.GreaterOrEqual: {0, 1},
}

var parts = map[store.Operator]func(s, part string) bool{
	store.Contains: strings.Contains, store.StartsWith: strings.HasPrefix, store.EndsWith: strings.HasSuffix,
}

// textsOf are the texts of a user, in the forms that comparisons find, and how a value is brought into the form.
var textsOf = map[store.Text]struct {
	of             func(u store.User) string
	fold, foldPart func(string) string
}{
	store.TextUUID:        {func(u store.User) string { return u.UUID.String() }, same, same},
	store.TextExternalID:  {func(u store.User) string { return valueOf(u.ExternalID) }, same, same},
	store.TextUsername:    {func(u store.User) string { return u.Username }, store.Fold, store.Fold},
	store.TextFirstName:   {func(u store.User) string { return u.FirstName }, store.Fold, store.Fold},
	store.TextLastName:    {func(u store.User) string { return u.LastName }, store.Fold, store.Fold},
	store.TextDisplayName: {func(u store.User) string { return valueOf(u.DisplayName) }, same, same},
	store.TextEmail:       {func(u store.User) string { return u.Email }, store.FoldEmail, store.Fold},
	store.TextMobile:      {mobile, same, same},
}

func same(text string) string { return text }

func valueOf(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// comparisonGen generates comparisons of texts, times and roles, with values that users have and with parts of these.
func comparisonGen(all []store.User) *rapid.Generator[filter] {
	return rapid.Custom(func(t *rapid.T) filter {
		u := rapid.SampledFrom(all).Draw(t, "like")
		operator := store.Operator(rapid.IntRange(int(store.Equal), int(store.EndsWith)).Draw(t, "operator"))
		switch rapid.IntRange(0, 5).Draw(t, "comparison") {
		case 0:
			at := u.UpdatedAt.Add(rapid.SampledFrom([]time.Duration{0, -time.Millisecond, time.Microsecond, -time.Nanosecond}).Draw(t, "apart"))
			holds := func(have time.Time) bool { return slices.Contains(orders[operator], have.Compare(at)) }
			if rapid.Bool().Draw(t, "creation") {
				at = u.CreatedAt.Add(at.Sub(u.UpdatedAt))
				return filter{fmt.Sprint("created ", operator, at), store.CompareCreatedAt(operator, at), func(u store.User) bool { return holds(u.CreatedAt) }}
			}
			return filter{fmt.Sprint("updated ", operator, at), store.CompareUpdatedAt(operator, at), func(u store.User) bool { return holds(u.UpdatedAt) }}
		case 1:
			roles := u.Roles.Union(store.Roles(rapid.SampledFrom([]int64{1, 2, 3, 4, 12}).Draw(t, "role")))
			return filter{fmt.Sprint("roles ", roles), store.HasAnyRole(roles), func(u store.User) bool { return u.Roles&roles != 0 }}
		}
		text := store.Text(rapid.IntRange(int(store.TextUUID), int(store.TextMobile)).Draw(t, "text"))
		column := textsOf[text]
		if rapid.IntRange(0, 7).Draw(t, "presence") == 0 {
			return filter{fmt.Sprint("has ", text), store.HasText(text), func(u store.User) bool { return column.of(u) != "" }}
		}
		value := rapid.OneOf(rapid.Just(column.of(u)), rapid.SampledFrom(names), rapid.String()).Draw(t, "value")
		if parts[operator] != nil {
			whole := []rune(value)
			from := rapid.IntRange(0, len(whole)).Draw(t, "from")
			value = string(whole[from:rapid.IntRange(from, len(whole)).Draw(t, "to")])
		}
		value = rapid.SampledFrom([]string{value, strings.ToUpper(value), value + "\x00", value + "\x00a"}).Draw(t, "as")
		return filter{fmt.Sprintf("text %d %d %q", text, operator, value), store.CompareText(text, operator, value), func(u store.User) bool {
			have := column.of(u)
			if have == "" {
				return false
			}
			if part := parts[operator]; part != nil {
				forms := []string{column.fold(have)}
				if text == store.TextEmail {
					forms = store.EmailForms(have)
				}
				return slices.ContainsFunc(forms, func(form string) bool { return part(form, column.foldPart(value)) })
			}
			return slices.Contains(orders[operator], strings.Compare(column.fold(have), column.fold(value)))
		}}
	})
}

func TestListMatchesAllFilters(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		all := crowded(t, s)
		rapid.Check(t, func(t *rapid.T) {
			filters := rapid.SliceOfN(filterGen(s.Catalogue(), all), 0, 3).Draw(t, "filters")
			q := store.Query{Sort: sortGen().Draw(t, "sort"), Descending: rapid.Bool().Draw(t, "descending")}
			for _, f := range filters {
				q.Filters = append(q.Filters, f.filter)
			}
			w := store.Window{Offset: rapid.Int64Range(0, 70).Draw(t, "offset"), Limit: rapid.Int64Range(1, 70).Draw(t, "limit")}
			want, total := listed(all, q, func(u store.User) bool {
				return !slices.ContainsFunc(filters, func(f filter) bool { return !f.holds(u) })
			}, w)
			got, found, err := s.ListUsers(context.Background(), 3393, q, w)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(ids(got), ids(want)) || found != total {
				t.Errorf("%v: %v of %d, want %v of %d", filters, ids(got), found, ids(want), total)
			}
		})
	})
}

func TestSearchEscapesLIKE(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		all := crowded(t, s)
		for _, text := range []string{"%", "_", `\`, "100%", "0%", "a_b", "_b", `back\s`, `\\`, `\%`, "%%", "!", "!%", "!!", "a!_b", "a%b", "?", "*", "'"} {
			want, total := listed(all, store.Query{}, func(u store.User) bool {
				return strings.Contains(u.FirstName+"\n"+u.LastName, text)
			}, store.Window{Limit: 1000})
			got, found, err := s.ListUsers(context.Background(), 3393, store.Query{Filters: []store.Filter{store.Mentions(text)}}, store.Window{Limit: 1000})
			if err != nil || !slices.Equal(ids(got), ids(want)) || found != total {
				t.Errorf("%s: %v of %d, want %v of %d, %v", text, ids(got), found, ids(want), total, err)
			}
		}
	})
}

func TestWindowAfterUser(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		all := crowded(t, s)
		for _, q := range []store.Query{{}, {Filters: []store.Filter{store.Not(store.HasStatus(store.StatusInvited))}}} {
			want, total := listed(all, q, func(u store.User) bool { return len(q.Filters) == 0 || u.Status != store.StatusInvited }, store.Window{Limit: 1000})
			var seen []int64
			for after := int64(0); ; after = seen[len(seen)-1] {
				page, found, err := s.ListUsers(context.Background(), 3393, q, store.Window{After: after, Limit: 7})
				if err != nil || found != total || len(page) > 7 {
					t.Fatalf("%d of %d, want %d, %v", len(page), found, total, err)
				}
				if len(page) == 0 {
					break
				}
				seen = append(seen, ids(page)...)
			}
			if !slices.Equal(seen, ids(want)) {
				t.Errorf("%v, want %v", seen, ids(want))
			}
		}
	})
}

func TestWindowBeyondEndIsEmpty(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		for _, w := range []store.Window{
			{Offset: 2, Limit: 1}, {Offset: 3, Limit: 1000}, {Offset: math.MaxInt64, Limit: 1}, {Offset: math.MaxInt64, Limit: math.MaxInt64}, {},
		} {
			users, total, err := s.ListUsers(context.Background(), 3393, store.Query{}, w)
			if err != nil || len(users) != 0 || total != 2 {
				t.Errorf("%+v: %v of %d, %v", w, ids(users), total, err)
			}
		}
		all, _, err := s.ListUsers(context.Background(), 3393, store.Query{}, store.Window{Limit: math.MaxInt64})
		if err != nil || !slices.Equal(ids(all), []int64{6860, 6861}) {
			t.Errorf("without an end: %v, %v", ids(all), err)
		}
		none, total, err := s.ListUsers(context.Background(), 1, store.Query{}, store.Window{Limit: 1})
		if err != nil || len(none) != 0 || total != 0 {
			t.Errorf("of no customer: %v of %d, %v", ids(none), total, err)
		}
	})
}

func TestListsOpenTheSecrets(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		u := store.User{CustomerID: 3393, Username: "secretive", Email: "secretive@example.com", Status: store.StatusActive, VCSPassword: new("hush")}
		if err := s.CreateUser(context.Background(), &u); err != nil {
			t.Fatal(err)
		}
		page, _, err := s.ListUsers(context.Background(), 3393, store.Query{}, store.Window{Offset: 2, Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		after, err := s.UsersAfter(context.Background(), 3393, 6861, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range [][]store.User{page, after} {
			if len(got) != 1 || got[0].AccessToken != u.AccessToken || *got[0].VCSPassword != "hush" {
				t.Errorf("%+v", got)
			}
		}
	})
}

func TestBatchedReadSeesEachUserOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		all := crowded(t, s)
		rapid.Check(t, func(t *rapid.T) {
			limit := rapid.IntRange(1, len(all)+1).Draw(t, "limit")
			var seen []int64
			for after := int64(0); ; after = seen[len(seen)-1] {
				batch, err := s.UsersAfter(context.Background(), 3393, after, limit)
				if err != nil {
					t.Fatal(err)
				}
				if len(batch) == 0 {
					break
				}
				if len(batch) > limit {
					t.Fatalf("%d users in a batch of %d", len(batch), limit)
				}
				seen = append(seen, ids(batch)...)
			}
			if !slices.Equal(seen, ids(all)) {
				t.Errorf("%v, want %v", seen, ids(all))
			}
		})
		last := all[len(all)-1]
		late := store.User{CustomerID: 3393, Username: "late", Email: "late@example.com", Status: store.StatusInvited}
		if err := s.CreateUser(context.Background(), &late); err != nil {
			t.Fatal(err)
		}
		if batch, err := s.UsersAfter(context.Background(), 3393, last.ID, 10); err != nil || !slices.Equal(ids(batch), []int64{late.ID}) {
			t.Errorf("%v, %v", ids(batch), err)
		}
	})
}

func TestListCanceledOrClosed(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s, err := store.Open(context.Background(), store.Config{URL: url, SecretKey: storetest.Key})
		if err != nil {
			t.Fatal(err)
		}
		cancelled, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := s.UsersAfter(cancelled, 3393, 0, 1); err == nil {
			t.Error("a batch under a cancelled context")
		}
		if _, _, err := s.ListUsers(cancelled, 3393, store.Query{}, store.Window{Limit: 1}); err == nil {
			t.Error("a list under a cancelled context")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.UsersAfter(context.Background(), 3393, 0, 1); err == nil {
			t.Error("a batch of a closed store")
		}
		if _, _, err := s.ListUsers(context.Background(), 3393, store.Query{}, store.Window{Limit: 1}); err == nil {
			t.Error("a list of a closed store")
		}
	})
}
