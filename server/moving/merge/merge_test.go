package merge_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/moving/merge"
)

const (
	adaUUID   = "94520740-d63c-4e02-85ca-c4e138801e73"
	graceUUID = "0cfecc31-e3f4-4fce-9a27-f36ea6256a10"
	customer  = `"customer":"2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1"`

	adaAtWorth     = `{"uuid":"` + adaUUID + `",` + customer + `,"first_name":"Ada","last_name":"Lovelace","email":"Ada@Example.com","mobile":"1","roles":["ROLE_USER"],"status":"INVITED","created_at":"2024-01-01T00:00:00.000Z"}`
	graceAtWorth   = `{"uuid":"` + graceUUID + `",` + customer + `,"first_name":"Grace","last_name":"Hopper","email":"grace@navy.example.com","roles":[],"status":"ACTIVE"}`
	adaAtTestinium = `{"id":6860,"customer":3393,"first_name":"Ada","last_name":"Lovelace","username":"ada","email":"Ada@EXAMPLE.com","roles":["ROLE_USER","ROLE_REPORT"],"status":"INACTIVE","created_at":"2024-01-01T00:00:00.000Z"}`
	graceElsewhere = `{"id":6861,"customer":3393,"first_name":"Grace","last_name":"Hopper","username":"grace","email":"grace@example.com","roles":[],"status":"ACTIVE"}`
)

// outcome is what came of a merge.
type outcome struct {
	lines  []map[string]any
	people []merge.Person
	result merge.Result
	err    error
}

func run(t *testing.T, m merge.Merge, worth, testinium string) (o outcome) {
	t.Helper()
	dir := t.TempDir()
	m.Worth, m.Testinium = filepath.Join(dir, "worth"), filepath.Join(dir, "testinium")
	for name, text := range map[string]string{m.Worth: worth, m.Testinium: testinium} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.Report = func(p merge.Person) error {
		for i := range p.LeftOut {
			p.LeftOut[i] = strings.ReplaceAll(p.LeftOut[i], dir+string(filepath.Separator), "")
		}
		o.people = append(o.people, p)
		return nil
	}
	var out bytes.Buffer
	o.result, o.err = m.Run(t.Context(), &out)
	for line := range bytes.Lines(out.Bytes()) {
		var columns map[string]any
		if err := json.Unmarshal(line, &columns); err != nil {
			t.Fatal(err)
		}
		o.lines = append(o.lines, columns)
	}
	return o
}

func TestMergeMatchesAndKeepsBothIDs(t *testing.T) {
	t.Parallel()
	o := run(t, merge.Merge{Prefer: map[string]merge.Vendor{"email": merge.Worth}}, adaAtWorth+"\n"+graceAtWorth+"\n", graceElsewhere+"\n"+adaAtTestinium+"\n")
	if o.err != nil || o.result != (merge.Result{Both: 1, Worth: 1, Testinium: 1, Contradictions: 1}) || len(o.lines) != 3 {
		t.Fatalf("%+v", o)
	}
	ada := o.lines[0]
	for name, want := range map[string]any{"uuid": adaUUID, "id": 6860.0, "username": "ada", "mobile": "1", "email": "Ada@Example.com", "status": "INVITED",
		"roles": []any{"ROLE_USER", "ROLE_REPORT"}, "customer": "2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1"} {
		if !reflect.DeepEqual(ada[name], want) {
			t.Errorf("%s is %v, want %v", name, ada[name], want)
		}
	}
	want := "94520740-d63c-4e02-85ca-c4e138801e73 is 6860, by e-mail\n    email: worth has \"Ada@Example.com\", testinium \"Ada@EXAMPLE.com\"; worth's is taken"
	if got := o.people[0].String(); got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
	if got := o.people[1].String() + "|" + o.people[2].String(); got != graceUUID+" is only at Worth|6861 is only at Testinium" {
		t.Errorf("it says %q", got)
	}
}

// TestMergeLineBreaks: a file that an editor has saved with other line breaks, or without the last, is the same file.
func TestMergeLineBreaks(t *testing.T) {
	t.Parallel()
	prefer := map[string]merge.Vendor{"email": merge.Worth}
	want := run(t, merge.Merge{Prefer: prefer}, adaAtWorth+"\n"+graceAtWorth+"\n", graceElsewhere+"\n"+adaAtTestinium+"\n")
	got := run(t, merge.Merge{Prefer: prefer}, adaAtWorth+"\r\n\r\n"+graceAtWorth, graceElsewhere+"\r\n"+adaAtTestinium)
	if want.err != nil || got.err != nil || !reflect.DeepEqual(got.lines, want.lines) || fmt.Sprint(got.people) != fmt.Sprint(want.people) || got.result != want.result {
		t.Errorf("it is %+v, want %+v", got, want)
	}
}

func TestMergeByMapping(t *testing.T) {
	t.Parallel()
	prefer := map[string]merge.Vendor{"email": merge.Testinium}
	o := run(t, merge.Merge{Mapping: map[string]int64{graceUUID: 6861}, Prefer: prefer}, graceAtWorth, graceElsewhere)
	if o.err != nil || o.result != (merge.Result{Both: 1, ByMapping: 1, Contradictions: 1}) || o.lines[0]["email"] != "grace@example.com" {
		t.Errorf("%+v", o)
	}
}

// TestMergeContradictions: each is found, and decided by whose value is preferred.
func TestMergeContradictions(t *testing.T) {
	t.Parallel()
	for column, tc := range map[string]struct {
		from, to         string
		worth, testinium any
	}{
		"first_name": {`"first_name":"Grace"`, `"first_name":"Amazing"`, "Grace", "Amazing"},
		"last_name":  {`"last_name":"Hopper"`, `"last_name":"Murray"`, "Hopper", "Murray"},
		"status":     {`"status":"ACTIVE"`, `"status":"INACTIVE"`, "ACTIVE", "INACTIVE"},
		"roles":      {`"roles":[]`, `"roles":["ROLE_COMPANY_ADMIN","ROLE_REPORT"]`, []any{"ROLE_REPORT"}, []any{"ROLE_COMPANY_ADMIN", "ROLE_REPORT"}},
		"created_at": {`"status"`, `"created_at":"2020-01-01T00:00:00.000Z","status"`, "2021-01-01T00:00:00.000Z", "2020-01-01T00:00:00.000Z"},
	} {
		worth := strings.NewReplacer(`"email":"grace@navy.example.com"`, `"email":"grace@example.com"`).Replace(graceAtWorth)
		if column == "created_at" {
			worth = strings.Replace(worth, `"status"`, `"created_at":"2021-01-01T00:00:00.000Z","status"`, 1)
		}
		testinium := strings.Replace(graceElsewhere, tc.from, tc.to, 1)
		if o := run(t, merge.Merge{}, worth, testinium); o.err != nil || o.result.Open != 1 || len(o.people[0].Contradictions) != 1 || o.people[0].Contradictions[0].Column != column {
			t.Errorf("%s: %+v", column, o)
		}
		for vendor, want := range map[merge.Vendor]any{merge.Worth: tc.worth, merge.Testinium: tc.testinium} {
			o := run(t, merge.Merge{Prefer: map[string]merge.Vendor{column: vendor}}, worth, testinium)
			if o.err != nil || o.result.Open != 0 || !reflect.DeepEqual(o.lines[0][column], want) {
				t.Errorf("%s of %s: %+v, want %v", column, vendor, o, want)
			}
		}
	}
}

func TestMergeRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		mapping          map[string]int64
		worth, testinium string
		want             string
	}{
		"no JSON":                 {nil, "x", "", "worth, line 1: must be a JSON object"},
		"the files swapped":       {nil, adaAtTestinium, "", "uuid is required"},
		"the files swapped too":   {nil, "", adaAtWorth, "id is required"},
		"two of one e-mail":       {nil, "", adaAtTestinium + "\n" + strings.Replace(adaAtTestinium, "6860", "6862", 1), "testinium, line 2: an earlier line has the same email"},
		"two who are the same":    {map[string]int64{graceUUID: 6860}, adaAtWorth + "\n" + graceAtWorth, adaAtTestinium, "matched with two users of Worth"},
		"the mapping contradicts": {map[string]int64{adaUUID: 6861}, adaAtWorth, adaAtTestinium + "\n" + graceElsewhere, "correct one of them"},
		"an unknown id":           {map[string]int64{adaUUID: 4711}, adaAtWorth, adaAtTestinium, "no user 4711"},
		"half a line":             {nil, adaAtWorth[:60], "", "worth, line 1: must be a JSON object"},
		"two objects in a line":   {nil, "\n" + adaAtWorth + graceAtWorth, "", "worth, line 2: has more than one JSON object"},
		"an unknown member":       {nil, "", strings.Replace(adaAtTestinium, "username", "nickname", 1), `testinium, line 1: has the unknown member "nickname"`},
		"a line that is too long": {nil, strings.Replace(adaAtWorth, "Ada", strings.Repeat("a", 1<<16), 1), "", "worth, line 1: is longer than 64 KiB"},
		"an id beyond 2^63":       {nil, "", strings.Replace(adaAtTestinium, "6860", "92233720368547758080", 1), "testinium, line 1: id must be an integer"},
		"HTML":                    {nil, "<html>\n", "", "worth, line 1: must be a JSON object"},
		"another customer's":      {nil, "", adaAtTestinium + "\n" + strings.Replace(graceElsewhere, "3393", "4711", 1), "testinium, line 2: customer is 4711, and that of a line before is 3393"},
		"another customer's too":  {nil, adaAtWorth, strings.Replace(adaAtTestinium, "3393", `"0cfecc31-e3f4-4fce-9a27-f36ea6256a10"`, 1), "testinium, line 1: customer is 0cfecc31-e3f4-4fce-9a27-f36ea6256a10, and"},
		"no customer":             {nil, "", strings.Replace(adaAtTestinium, "3393", "null", 1), "testinium, line 1: customer is required"},
		"a customer by name":      {nil, strings.Replace(adaAtWorth, customer, `"customer":"Sandbox"`, 1), "", "worth, line 1: customer must be the id or the UUID"},
		"a customer beyond 2^53":  {nil, "", strings.Replace(adaAtTestinium, "3393", "9007199254740993", 1), "their customer cannot be imported: "},
		"a member twice":          {nil, strings.Replace(adaAtWorth, `"mobile":"1"`, `"mobile":"1","mobile":"2"`, 1), "", "worth, line 1: has a member twice"},
		"no Unicode":              {nil, "", strings.Replace(adaAtTestinium, "Ada", "\xff", 1), "testinium, line 1: has a member twice, or text that is not Unicode"},
		"an unknown UUID":         {map[string]int64{graceUUID: 6860}, "", adaAtTestinium, "no user " + graceUUID},
	} {
		o := run(t, merge.Merge{Mapping: tc.mapping}, tc.worth, tc.testinium)
		var bad *merge.BadInput
		if !errors.As(o.err, &bad) || !strings.Contains(o.err.Error(), tc.want) {
			t.Errorf("%s: it ends with %v, want %q", name, o.err, tc.want)
		}
	}
}

// TestMergeLeavesOut: whom an import would refuse is reported with the line and the reason, and the others are written.
func TestMergeLeavesOut(t *testing.T) {
	t.Parallel()
	worth := adaAtWorth + "\n" + graceAtWorth
	testinium := adaAtTestinium + "\n" + graceElsewhere
	for name, tc := range map[string]struct {
		worth, testinium string
		lines            int
		want             string
	}{
		"a username that is an e-mail of another": {worth, strings.Replace(testinium, `"username":"grace"`, `"username":"Grace@Navy.example.com"`, 1), 2,
			"6861 is only at Testinium\n    left out: testinium, line 2: username is also that of " + graceUUID + ", who comes before"},
		"a username that is another's": {worth, strings.Replace(testinium, `"username":"grace"`, `"username":"ADA"`, 1), 2,
			"left out: testinium, line 2: username is also that of " + adaUUID + ", who comes before"},
		"a UUID twice": {worth + "\n" + strings.Replace(graceAtWorth, "grace@", "hopper@", 1), testinium, 3,
			graceUUID + " is only at Worth\n    left out: worth, line 3: uuid is also that of " + graceUUID + ", who comes before"},
		"an id twice": {worth, testinium + "\n" + strings.NewReplacer("grace@", "hopper@", `"grace"`, `"hopper"`).Replace(graceElsewhere), 3,
			"left out: testinium, line 3: id is also that of 6861, who comes before"},
		"an id of somebody in both": {worth, testinium + "\n" + strings.NewReplacer("grace@", "hopper@", `"grace"`, `"hopper"`, "6861", "6860").Replace(graceElsewhere), 3,
			"left out: testinium, line 3: id is also that of " + adaUUID + ", who comes before"},
		"an e-mail twice": {worth + "\n" + strings.Replace(graceAtWorth, graceUUID, "94520740-d63c-4e02-85ca-c4e138801e74", 1), testinium, 3,
			"left out: worth, line 3: email is also that of " + graceUUID},
		"a status of neither": {strings.Replace(worth, `"status":"INVITED"`, `"status":"GONE"`, 1), testinium, 2,
			"left out: worth, line 1 and testinium, line 1: status must be"},
		"no name":        {worth, strings.Replace(testinium, `"first_name":"Grace",`, "", 1), 2, "left out: testinium, line 2: first_name is required"},
		"a text of true": {strings.Replace(worth, `"mobile":"1"`, `"mobile":true`, 1), testinium, 2, "left out: worth, line 1 and testinium, line 1: mobile must be"},
	} {
		o := run(t, merge.Merge{Prefer: map[string]merge.Vendor{"email": merge.Worth, "status": merge.Worth}}, tc.worth, tc.testinium)
		out := 0
		for _, p := range o.people {
			if len(p.LeftOut) > 0 {
				if out++; !strings.Contains(p.String(), tc.want) {
					t.Errorf("%s: it says %q, want %q", name, p, tc.want)
				}
			}
		}
		if o.err != nil || len(o.lines) != tc.lines || out != 1 || o.result.LeftOut != 1 || o.result.Written() != int64(tc.lines) {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

func TestReadMapping(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"# people\n\n" + adaUUID + " 6860\n" + graceUUID + ",6861\n": "",
		adaUUID:                             "line 1: must be a UUID of Worth's and an id",
		"x 1":                               "must begin with a UUID",
		adaUUID + " x":                      "must end with an id",
		adaUUID + " 1\n" + graceUUID + " 1": "line 2: names a user whom an earlier line names",
		adaUUID + " 1\n" + adaUUID + " 2":   "line 2: names a user",
	} {
		name := filepath.Join(t.TempDir(), "mapping")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		mapping, err := merge.ReadMapping(name)
		if want == "" && (err != nil || len(mapping) != 2 || mapping[graceUUID] != 6861) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, %v, want %q", text, mapping, err, want)
		}
	}
}
