package userfile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
	"github.com/dragoman-id/dragoman/store/userfile"
)

// header is the header of the least file there can be.
const header = "customer,first_name,last_name,email\n"

// from makes a source of a text.
func from(t testing.TB, text string) *userfile.Source {
	t.Helper()
	s, err := userfile.CopySource(context.Background(), strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// take imports a text and returns what was said of bad lines.
func take(t testing.TB, i userfile.Import, text string) (users int64, said []string, err error) {
	t.Helper()
	i.Refused = func(line *userfile.LineError) { said = append(said, line.Error()) }
	users, err = i.Run(context.Background(), from(t, text))
	return users, said, err
}

// mustTake imports a text that nothing is wrong with.
func mustTake(t testing.TB, s *store.Store, f userfile.Format, text string) {
	t.Helper()
	if _, said, err := take(t, userfile.Import{Store: s, Format: f}, text); err != nil {
		t.Fatal(err, said)
	}
}

// people returns all users of the sandbox's customers.
func people(t testing.TB, s *store.Store) []store.User {
	t.Helper()
	var all []store.User
	for _, customer := range []int64{3393, 3394} {
		for last := int64(0); ; {
			users, err := s.UsersAfter(context.Background(), customer, last, 1000)
			if err != nil {
				t.Fatal(err)
			}
			if len(users) == 0 {
				break
			}
			all, last = append(all, users...), users[len(users)-1].ID
		}
	}
	return all
}

// written exports a store.
func written(t testing.TB, s *store.Store, f userfile.Format) string {
	t.Helper()
	var out bytes.Buffer
	if _, err := (userfile.Export{Store: s, Format: f}).Run(context.Background(), &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestBadLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 256)
	cases := map[string]struct {
		format userfile.Format
		text   string
		want   []string
	}{
		"an empty file":    {userfile.CSV, "", []string{"line 1: must be a header, and the file is empty"}},
		"only line breaks": {userfile.CSV, "\n\r\n\n", []string{"line 1: must be a header, and the file is empty"}},
		"a column missing": {userfile.CSV, "customer,first_name,last_name\n3393,a,b\n", []string{
			"line 1: lacks the column email; as the header is wrong, nothing else was checked"}},
		"a column unknown": {userfile.CSV, "customer,first_name,last_name,email,password_hash\n3393,a,b,a@b,c\n", []string{
			`line 1: has the unknown column "password_hash"; as the header is wrong, nothing else was checked`}},
		"a column in capitals": {userfile.CSV, "customer,first_name,last_name,email,Mobile\n", []string{
			`line 1: has the unknown column "Mobile"; as the header is wrong, nothing else was checked`}},
		"a column repeated": {userfile.CSV, "customer,first_name,last_name,email,email\n3393,a,b,a@b,a@b\n", []string{
			"line 1: has the column email more than once; as the header is wrong, nothing else was checked"}},
		"another separator": {userfile.CSV, "customer;first_name;last_name;email\n", []string{
			"line 1: must separate the columns with commas; as the header is wrong, nothing else was checked"}},
		"UTF-16": {userfile.CSV, "\xff\xfec\x00u\x00", []string{
			`line 1: has the unknown column "\xff\xfec\x00u\x00"; lacks the column customer; lacks the column first_name; ` +
				"lacks the column last_name; lacks the column email; as the header is wrong, nothing else was checked"}},
		"too few and too many fields": {userfile.CSV, header + "3393,a,b\n3393,a,b,a@b,c\n\n", []string{
			"line 2: has 3 fields where the header has 4", "line 3: has 5 fields where the header has 4"}},
		"line numbers behind quoted line breaks": {userfile.CSV, "\ufeff" + header + "3393,\"a\nb\r\nc\",b,a@b\r\n\r\n3393,a,b,x\r\n", []string{
			"line 6: email must be an e-mail address"}},
		"an unclosed quote": {userfile.CSV, header + "3393,\"a,b,a@b\n3393,c,d,c@d\n", []string{
			"line 2: has a quote that is not closed: the file may be cut off"}},
		"an unclosed quote and much after it": {userfile.CSV, header + "3393,\"a\n" + strings.Repeat("3393,c,d,c@d\n", 6000), []string{
			"line 2: has a quote that is not closed within 65536 bytes; nothing after it was checked"}},
		"quotes where none belong": {userfile.CSV, header + "3393,a\"b,c,a@b\n3393,\"a\"b,c,a@b\n3393,a,b,x\n", []string{
			"line 2: has a quote inside a field that does not begin with one", "line 3: has text after a closing quote",
			"line 4: email must be an e-mail address"}},
		"a carriage return alone": {userfile.CSV, header + "3393,a\rb,c,a@b\n", []string{
			"line 2: has a carriage return outside of quotes"}},
		"a cut line": {userfile.CSV, header + "3393,a,b,a@b\n3393,a", []string{"line 3: has no line break at its end: the file may be cut off"}},
		"a huge line": {userfile.CSV, header + "3393," + strings.Repeat("a", 1<<20) + ",b,a@b\n3393,a,b,x\n", []string{
			"line 2: is longer than 65536 bytes", "line 3: email must be an e-mail address"}},
		"a huge header": {userfile.CSV, strings.Repeat("a", 1<<20), []string{"line 1: is longer than 65536 bytes"}},
		"a huge NDJSON line": {userfile.NDJSON, `{"email":"` + strings.Repeat("a", 1<<20) + "\"}\n[]", []string{
			"line 1: is longer than 65536 bytes", "line 2: must be a JSON object"}},
		"invalid UTF-8":           {userfile.CSV, header + "3393,\xff,b,a@b\n", []string{"line 2: first_name must be valid UTF-8"}},
		"U+0000":                  {userfile.CSV, header + "3393,a\x00,b,a@b\n", []string{"line 2: first_name must not contain U+0000"}},
		"invalid UTF-8 in NDJSON": {userfile.NDJSON, "{\"first_name\":\"\xff\"}", []string{"line 1: must be valid UTF-8"}},
		"U+0000 in NDJSON": {userfile.NDJSON, `{"customer":3393,"first_name":"a\u0000","last_name":"b","email":"a@b"}`, []string{
			"line 1: first_name must not contain U+0000"}},
		"a lone surrogate": {userfile.NDJSON, `{"customer":3393,"first_name":"\ud800","last_name":"b","email":"a@b"}`, []string{
			"line 1: is not valid JSON, at byte 30"}},
		"a member repeated": {userfile.NDJSON, `{"customer":3393,"first_name":"a","last_name":"b","email":"a@b","email":"c@d"}`, []string{
			`line 1: has the member "email" more than once`}},
		"a member repeated and unknown": {userfile.NDJSON, `{"x":[{"y":1,"y":1}]}`, []string{
			`line 1: has the member "y" more than once`}},
		"a member unknown": {userfile.NDJSON, `{"customer":3393,"first_name":"a","last_name":"b","email":"a@b","Mobile":"1"}`, []string{
			`line 1: has the unknown member "Mobile"`}},
		"members missing or null": {userfile.NDJSON, "{}\n" + `{"customer":null,"first_name":"a","last_name":"b","email":"a@b"}`, []string{
			"line 1: customer is required; first_name is required; last_name is required; email is required",
			"line 2: customer is required"}},
		"empty lines are counted": {userfile.NDJSON, "\n \r\n\t\n[]\n", []string{"line 4: must be a JSON object"}},
		"NDJSON cut off": {userfile.NDJSON, `{"customer":3393,"first_na`, []string{
			"line 1: is not a whole JSON object: the file may be cut off"}},
		"two objects on a line": {userfile.NDJSON, `{"customer":3393,"first_name":"a","last_name":"b","email":"a@b"}{}`, []string{
			"line 1: must be one JSON object and nothing else"}},
		"no JSON": {userfile.NDJSON, header + "{'a':1}\n", []string{
			"line 1: is not valid JSON, at byte 1", "line 2: is not valid JSON, at byte 2"}},
		"wrong types": {userfile.NDJSON, `{"id":"1","uuid":1,"customer":"3393","first_name":1,"last_name":[],"username":{},"email":true,"mobile":2,` +
			`"roles":"ROLE_USER","status":0,"account_non_expired":"true","created_at":1700000000000,"version":1.0}`, []string{
			"line 1: id must be an integer from 1 to 9007199254740991; uuid must be a UUID; customer must be the id or the UUID of a customer; " +
				"first_name must be a string; last_name must be a string; username must be a string; email must be a string; mobile must be a string; " +
				"roles must be an array of the names of roles; status must be a string; account_non_expired must be true or false; " +
				"created_at must be an RFC 3339 time from 1970 to 9999, such as 2024-02-29T18:59:59.000Z; version must be an integer from 1 to 9007199254740991"}},
		"roles that are none": {userfile.NDJSON, `{"customer":3393,"first_name":"a","last_name":"b","email":"a@b","roles":["ROLE_USER","ROLE_USER ROLE_ADMIN"]}` + "\n" +
			`{"customer":3393,"first_name":"a","last_name":"b","email":"b@b","roles":[null]}`, []string{
			`line 1: roles must be names of roles, and "ROLE_USER ROLE_ADMIN" is none`, `line 2: roles must be names of roles, and "" is none`}},
		"over-long values": {userfile.CSV, "customer,first_name,last_name,email,username,mobile\n" +
			fmt.Sprintf("3393,%s,%s,%s@b,%s,%s\n", long, long, long, long, long), []string{
			"line 2: first_name must have at most 255 characters; last_name must have at most 255 characters; username must have at most 254 characters; " +
				"email must have at most 254 characters; mobile must have at most 64 characters"}},
		"malformed values": {userfile.CSV, "customer,first_name,last_name,email,username,status,roles,uuid,id,email_verified,created_at,version,external_auth_id\n" +
			"x,a,b,a@,a b,active,ROLE_USER;ROLE_ADMIN,{94520740-d63c-4e02-85ca-c4e138801e73},01,yes,2024-02-30T00:00:00Z,0,00000000-0000-0000-0000-000000000000\n", []string{
			"line 2: customer must be the id or the UUID of a customer; " + `roles must be names of roles, and "ROLE_USER;ROLE_ADMIN" is none; uuid must be a UUID; ` +
				"id must be an integer from 1 to 9007199254740991; email_verified must be true or false; " +
				"created_at must be an RFC 3339 time from 1970 to 9999, such as 2024-02-29T18:59:59.000Z; " +
				"version must be an integer from 1 to 9007199254740991; external_auth_id must be a UUID; " +
				"username must be one or more characters without white space; email must be an e-mail address; status must be INVITED, ACTIVE or INACTIVE"}},
		"times out of range": {userfile.CSV, "customer,first_name,last_name,email,created_at\n" +
			"3393,a,b,a@b,1969-12-31T23:59:59.999Z\n3393,a,b,b@b,9999-12-31T23:59:59-01:00\n3393,a,b,c@b,\"2024-01-01T00:00:00,5Z\"\n", []string{
			"line 2: created_at must be an RFC 3339 time from 1970 to 9999, such as 2024-02-29T18:59:59.000Z",
			"line 3: created_at must be an RFC 3339 time from 1970 to 9999, such as 2024-02-29T18:59:59.000Z",
			"line 4: created_at must be an RFC 3339 time from 1970 to 9999, such as 2024-02-29T18:59:59.000Z"}},
		"integers out of range": {userfile.CSV, "customer,first_name,last_name,email,id,version\n" +
			"3393,a,b,a@b,9007199254740992,-1\n9223372036854775808,a,b,b@b,+1,1.0\n", []string{
			"line 2: id must be an integer from 1 to 9007199254740991; version must be an integer from 1 to 9007199254740991",
			"line 3: customer must be the id or the UUID of a customer; id must be an integer from 1 to 9007199254740991; " +
				"version must be an integer from 1 to 9007199254740991"}},
		"empty where something is required": {userfile.CSV, header + ",,,\n", []string{
			"line 2: customer is required; email is required"}},
		"unknown customers": {userfile.CSV, header + "1,a,b,a@b\n" + "94520740-d63c-4e02-85ca-c4e138801e73,a,b,b@b\n", []string{
			"line 2: customer must be a customer of this directory", "line 3: customer must be a customer of this directory"}},
		"what comes twice in the file": {userfile.CSV, "customer,first_name,last_name,email,username,id,uuid\n" +
			"3393,a,b,straße@b,ΣΑΣ,1,c4520740-d63c-4e02-85ca-c4e138801e73\n" +
			"3394,a,b,STRASSE@B,σας,1,C4520740-D63C-4E02-85CA-C4E138801E73\n" +
			"3394,a,b,c@b,c,2,\n3394,a,b,C@B,D,2,\n", []string{
			"line 3: id is already on line 2; uuid is already on line 2; username is already on line 2; email is already on line 2",
			"line 5: id is already on line 4; email is already on line 4"}},
		"what the directory has": {userfile.CSV, "customer,first_name,last_name,email,username,id,uuid\n" +
			"3394,a,b,ADA.Lovelace@example.com,AdaLovelace,6860,94520740-d63c-4e02-85ca-c4e138801e73\n" +
			"3393,a,b,new@b,gracehopper,,\n" +
			"3393,a,b,GRACE.HOPPER@example.com,,,\n", []string{
			"line 2: id is already taken; uuid is already taken; username is already taken; email is already taken",
			"line 3: username is already taken", "line 4: email is already taken"}},
		"a good line among bad ones": {userfile.CSV, header + "3393,a,b,x\n3393,a,b,good@example.com\n3393,a,b,y\n", []string{
			"line 2: email must be an e-mail address", "line 4: email must be an e-mail address"}},
	}
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		before := people(t, s)
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				_, said, err := take(t, userfile.Import{Store: s, Format: c.format}, c.text)
				if !slices.Equal(said, c.want) {
					t.Errorf("said\n%s\nwant\n%s", strings.Join(said, "\n"), strings.Join(c.want, "\n"))
				}
				var refused *userfile.RefusedError
				if !errors.As(err, &refused) || refused.Lines != int64(len(c.want)) {
					t.Errorf("got %v", err)
				}
			})
		}
		if after := people(t, s); !reflect.DeepEqual(before, after) {
			t.Errorf("the directory changed: %d users, then %d", len(before), len(after))
		}
	})
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		mustTake(t, s, userfile.CSV, "\ufeffemail,last_name,first_name,customer\r\na@example.com,\"Hop\r\n\"\"per\",,2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1\r\n\r\n")
		mustTake(t, s, userfile.NDJSON, `{"customer":3393,"first_name":"","last_name":"Hop\r\n\"per","email":"b@example.com","mobile":null,"status":null}`)
		for _, name := range []string{"a@example.com", "b@example.com"} {
			users, _, err := s.ListUsers(context.Background(), 3393, store.Query{Filters: []store.Filter{store.HasEmail(name)}}, store.Window{Limit: 2})
			if err != nil || len(users) != 1 {
				t.Fatal(len(users), err)
			}
			u := users[0]
			if u.ID <= 7001 || u.UUID == uuid.Nil || u.CustomerID != 3393 || u.FirstName != "" || u.LastName != "Hop\r\n\"per" || u.Username != name ||
				u.Mobile != nil || u.Roles != 0 || u.Status != store.StatusInvited || !u.AccountNonExpired || !u.AccountNonLocked ||
				!u.CredentialNonExpired || u.EmailVerified || !u.FirstLogin || u.ExternalAuthID != nil || u.PasswordHash != nil ||
				u.LastPasswordResetAt != nil || u.VCSPassword != nil || len(u.AccessToken) != 32 || u.CreatedAt.IsZero() ||
				u.UpdatedAt != u.CreatedAt || u.CreatedBy != nil || u.UpdatedBy != nil || u.Version != 1 {
				t.Errorf("%+v", u)
			}
		}
	})
}

func TestEquivalentForms(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		mustTake(t, s, userfile.CSV, "id,customer,first_name,last_name,email,roles,first_login,created_at,mobile\n"+
			"8000,3394,=1+1,\" b \",a@example.com,  ROLE_USER ROLE_REPORT ROLE_USER ,FALSE,2024-02-29T23:59:59.9999+05:00,\"\"")
		users, err := s.UsersAfter(context.Background(), 3394, 7999, 2)
		if err != nil || len(users) != 1 {
			t.Fatal(len(users), err)
		}
		u := users[0]
		if u.Roles != store.Roles(3, 12) || u.FirstLogin || u.CreatedAt.Format(store.TimeLayout) != "2024-02-29T18:59:59.999Z" ||
			u.FirstName != "=1+1" || u.LastName != " b " || u.Mobile != nil {
			t.Errorf("%+v", u)
		}
	})
}

func TestEmptyFile(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		before := people(t, s)
		mustTake(t, s, userfile.CSV, header)
		mustTake(t, s, userfile.CSV, strings.TrimSpace(header))
		mustTake(t, s, userfile.NDJSON, "")
		mustTake(t, s, userfile.NDJSON, "\n\n")
		if after := people(t, s); !reflect.DeepEqual(before, after) {
			t.Errorf("%d users became %d", len(before), len(after))
		}
	})
}

func TestDryRunWritesNothing(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		before := written(t, s, userfile.CSV)
		var done, total int64
		i := userfile.Import{Store: s, Format: userfile.CSV, DryRun: true, Progress: func(d, all int64) { done, total = d, all }}
		text := header + "3393,a,b,a@example.com\n3393,a,b,b@example.com\n"
		if users, said, err := take(t, i, text); err != nil || said != nil || users != 2 {
			t.Fatal(users, said, err)
		}
		if done != int64(len(text)) || total != done {
			t.Errorf("%d of %d bytes", done, total)
		}
		if after := written(t, s, userfile.CSV); after != before {
			t.Errorf("the directory changed:\n%s\n%s", before, after)
		}
		create := store.User{CustomerID: 3393, Username: "next", Email: "next@example.com", Status: store.StatusActive}
		if err := s.CreateUser(context.Background(), &create); err != nil || create.ID != 7002 {
			t.Errorf("the next id is %d, %v", create.ID, err)
		}
		if _, said, err := take(t, i, header+"3393,a,b,next@example.com\n"); err == nil || len(said) != 1 {
			t.Error(said, err)
		}
	})
}

// many is a file of n users, the first of them on line 2.
func many(n int) string {
	var text strings.Builder
	text.WriteString(header)
	for i := range n {
		fmt.Fprintf(&text, "3393,a,b,user.%d@example.com\n", i+2)
	}
	return text.String()
}

// between runs f once, when all lines of the file were checked and none is written.
func between(f func()) func(done, total int64) {
	done := false
	return func(read, total int64) {
		if !done && read >= total/2 {
			done = true
			f()
		}
	}
}

func TestConcurrentWriter(t *testing.T) {
	t.Parallel()
	const users = 1200
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		for name, c := range map[string]struct {
			batch int
			taken int // the line whose e-mail the other writer takes
			error string
			in    int
		}{
			"one transaction": {0, users, "nothing was imported: line 1200 has become bad", 0},
			"the last batch":  {500, 1101, "lines up to 1001 were imported (1000 users), later lines were not: line 1101 has become bad", 1000},
			"the first batch": {700, 3, "nothing was imported: line 3 has become bad", 0},
			"batches of one":  {1, 4, "lines up to 3 were imported (2 users), later lines were not: line 4 has become bad", 2},
		} {
			t.Run(name, func(t *testing.T) {
				domain := "@" + strings.ReplaceAll(name, " ", "-") + ".example.com"
				text := strings.ReplaceAll(many(users), "@example.com", domain)
				seeded, err := s.CountCustomers(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				if seeded == 0 {
					storetest.Directory(t, s)
				}
				before := len(people(t, s))
				_, said, err := take(t, userfile.Import{Store: s, Format: userfile.CSV, Batch: c.batch, Progress: between(func() {
					other := store.User{CustomerID: 3394, Username: "other" + domain, Email: fmt.Sprintf("USER.%d%s", c.taken, domain), Status: store.StatusActive}
					if err := s.CreateUser(context.Background(), &other); err != nil {
						t.Error(err)
					}
				})}, text)
				var stopped *userfile.StoppedError
				if !errors.As(err, &stopped) || err.Error() != c.error {
					t.Errorf("got %v\nwant %s", err, c.error)
				}
				if want := []string{fmt.Sprintf("line %d: email is already taken", c.taken)}; !slices.Equal(said, want) {
					t.Errorf("said %q, want %q", said, want)
				}
				if in := len(people(t, s)) - before - 1; in != c.in {
					t.Errorf("%d users are in, want %d", in, c.in)
				}
			})
		}
	})
}

func TestInterruption(t *testing.T) {
	t.Parallel()
	const users = 1200
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		for name, c := range map[string]struct {
			batch int
			after int64 // the share of the progress, in percent, after which the context ends
			in    int
		}{
			"while it checks": {0, 1, 0},
			"in between":      {0, 50, 0},
			"while it writes": {0, 60, 0},
			"in a batch":      {500, 95, 1000},
		} {
			t.Run(name, func(t *testing.T) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				before := len(people(t, s))
				i := userfile.Import{Store: s, Format: userfile.CSV, Batch: c.batch, Progress: func(done, total int64) {
					if done*100 >= total*c.after {
						cancel()
					}
				}}
				_, err := i.Run(ctx, from(t, strings.ReplaceAll(many(users), "user.", strings.ReplaceAll(name, " ", "."))))
				if !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
				var stopped *userfile.StoppedError
				if errors.As(err, &stopped) && (stopped.Users != int64(c.in) || !strings.HasSuffix(err.Error(), ": interrupted")) {
					t.Errorf("got %v", err)
				}
				if in := len(people(t, s)) - before; in != c.in {
					t.Errorf("%d users are in, want %d, after %v", in, c.in, err)
				}
			})
		}
	})
}

func TestBatches(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		for _, batch := range []int{1, 7, 30, 31, 1000} {
			before := len(people(t, s))
			text := strings.ReplaceAll(many(30), "@", fmt.Sprintf(".%d@", batch))
			users, said, err := take(t, userfile.Import{Store: s, Format: userfile.CSV, Batch: batch}, text)
			if err != nil || said != nil || users != 30 {
				t.Error(users, said, err)
			}
			if in := len(people(t, s)) - before; in != 30 {
				t.Errorf("batches of %d: %d users are in", batch, in)
			}
		}
	})
}

func TestFileChangedWhileRead(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		before := len(people(t, s))
		const changed = "nothing was imported: the file was changed while it was read"
		for name, c := range map[string]struct {
			change func(text string) string
			error  string
		}{
			"another value":  {func(text string) string { return strings.Replace(text, "user.30@", "user.3O@", 1) }, changed},
			"one field less": {func(text string) string { return strings.Replace(text, ",user.30@", "user.30@", 1) }, changed},
			"a bad line": {func(text string) string { return strings.Replace(text, "user.30@", "user.30.", 1) },
				"nothing was imported: line 30 has become bad"},
			"shorter": {func(text string) string { return text[:strings.Index(text, "3393,a,b,user.50@")] }, changed},
		} {
			file := filepath.Join(t.TempDir(), "users.csv")
			text := many(100)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			source, err := userfile.OpenSource(context.Background(), file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = userfile.Import{Store: s, Format: userfile.CSV, Progress: between(func() {
				if err := os.WriteFile(file, []byte(c.change(text)), 0o600); err != nil {
					t.Error(err)
				}
			})}.Run(context.Background(), source)
			if err == nil || err.Error() != c.error {
				t.Errorf("%s: got %v", name, err)
			}
			if err := source.Close(); err != nil {
				t.Error(err)
			}
		}
		if in := len(people(t, s)) - before; in != 0 {
			t.Errorf("%d users are in", in)
		}
	})
}

func TestMaxRefused(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		_, said, err := take(t, userfile.Import{Store: s, Format: userfile.CSV}, header+strings.Repeat("3393,a,b,x\n", 2500))
		if len(said) != userfile.MaxRefused || said[999] != "line 1001: email must be an e-mail address" {
			t.Errorf("%d lines are named", len(said))
		}
		if err == nil || err.Error() != "2500 lines are bad, the first 1000 are named: nothing was imported" {
			t.Errorf("got %v", err)
		}
	})
}

func TestGeneratedIDs(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		mustTake(t, s, userfile.CSV, "customer,first_name,last_name,email,id\n3394,a,b,a@example.com,\n3394,a,b,b@example.com,7002\n"+
			"3394,a,b,c@example.com,\n3394,a,b,d@example.com,12\n3394,a,b,e@example.com,7005\n3394,a,b,f@example.com,\n")
		ids := map[string]int64{}
		for _, u := range people(t, s) {
			ids[u.Email[:1]] = u.ID
		}
		if ids["b"] != 7002 || ids["d"] != 12 || ids["e"] != 7005 || ids["a"] <= 7005 || ids["c"] <= ids["a"] || ids["f"] <= ids["c"] {
			t.Errorf("%v", ids)
		}
		next := store.User{CustomerID: 3394, Username: "next", Email: "next@example.com", Status: store.StatusActive}
		if err := s.CreateUser(context.Background(), &next); err != nil || next.ID <= ids["f"] {
			t.Errorf("the next id is %d after %d, %v", next.ID, ids["f"], err)
		}
	})
}

func TestImportIsRecorded(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		ctx := store.WithOrigin(context.Background(), store.Origin{Subject: "somebody", Dialect: "cli", Operation: "import"})
		text := "customer,first_name,last_name,email,id,version,updated_by\n3394,a,b,a@example.com,8000,7,94520740-d63c-4e02-85ca-c4e138801e73\n"
		if _, err := (userfile.Import{Store: s, Format: userfile.CSV}).Run(ctx, from(t, text)); err != nil {
			t.Fatal(err)
		}
		changes, err := s.UserHistory(context.Background(), store.UserByID(3394, 8000), 0, 10)
		if err != nil || len(changes) != 1 {
			t.Fatal(len(changes), err)
		}
		if c := changes[0]; c.Version != 7 || c.Subject != "somebody" || c.Operation != "import" || c.Actor != nil || len(c.Fields) == 0 {
			t.Errorf("%+v", c)
		}
	})
}

func TestReadErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	if _, err := userfile.CopySource(context.Background(), iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("copying: %v", err)
	}
	if _, err := userfile.OpenSource(context.Background(), filepath.Join(t.TempDir(), "none.csv")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("opening: %v", err)
	}
	if _, err := userfile.OpenSource(context.Background(), t.TempDir()); err == nil {
		t.Error("a directory can be opened")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	never, end := io.Pipe()
	defer end.Close()
	if _, err := userfile.CopySource(ctx, never); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting: %v", err)
	}
	for _, f := range []userfile.Format{userfile.CSV, userfile.NDJSON} {
		r := userfile.NewReader(io.MultiReader(strings.NewReader(header), iotest.ErrReader(broken)), f, &store.Catalogue{})
		var err error
		for line := (*userfile.LineError)(nil); err == nil || errors.As(err, &line); {
			_, err = r.Next()
		}
		if !errors.Is(err, broken) {
			t.Errorf("reading %s: %v", f, err)
		}
	}
}
