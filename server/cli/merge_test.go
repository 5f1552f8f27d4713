package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// filesToMerge are the files of two vendors, of whom Ada is at both with two first names.
var filesToMerge = map[string]string{
	"worth.ndjson": `{"uuid":"94520740-d63c-4e02-85ca-c4e138801e73","customer":"2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1","first_name":"Ada","last_name":"Lovelace","email":"ada@example.com","roles":[],"status":"ACTIVE"}` + "\n" +
		`{"uuid":"0cfecc31-e3f4-4fce-9a27-f36ea6256a10","customer":"2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1","first_name":"Grace","last_name":"Hopper","email":"grace@example.com","roles":[],"status":"ACTIVE"}` + "\n",
	"testinium.ndjson": `{"id":6860,"customer":3393,"first_name":"Augusta","last_name":"Lovelace","username":"ada","email":"Ada@Example.com","roles":[],"status":"ACTIVE"}` + "\n" +
		`{"id":6861,"customer":3393,"first_name":"Grace","last_name":"Hopper","username":"grace","email":"hopper@example.com","roles":[],"status":"ACTIVE"}` + "\n",
	"clash.ndjson":  `{"id":6860,"customer":3393,"first_name":"Ada","last_name":"Lovelace","username":"grace@example.com","email":"ada@example.com","roles":[],"status":"ACTIVE"}` + "\n",
	"mapping":       "# Grace\n0cfecc31-e3f4-4fce-9a27-f36ea6256a10 6861\n",
	"wrong-mapping": "Grace 6861\n",
	"page.html":     "<html>We are back soon.</html>\n",
}

func TestMerge(t *testing.T) {
	t.Parallel()
	const (
		both  = "worth.ndjson testinium.ndjson"
		count = "in both: 1, by mapping 0 of them; only at Worth: 1; only at Testinium: 1; with contradictions: 1, undecided "
	)
	for name, tc := range map[string]struct {
		args           string
		variables      []string
		status         int
		stdout, stderr string // parts of it
		writes         bool
	}{
		"a report":              {both, nil, 0, "94520740-d63c-4e02-85ca-c4e138801e73 is 6860, by e-mail\n    first_name: worth has \"Ada\", testinium \"Augusta\"; say whose", count + "1 of them\nnothing was written: give --output FILE\n", false},
		"who is at one":         {both, nil, 0, "0cfecc31-e3f4-4fce-9a27-f36ea6256a10 is only at Worth\n6861 is only at Testinium\n", "", false},
		"undecided":             {both + " --output out.ndjson", nil, 2, "is 6860, by e-mail", "nothing was written: 1 people have contradictions that --prefer does not decide", false},
		"decided":               {both + " --output out.ndjson --prefer first_name=worth --prefer email=worth", nil, 0, "worth's is taken", count + "0 of them\n", true},
		"decided by variables":  {both, []string{"DRAGOMAN_MERGE_OUTPUT=out.ndjson", "DRAGOMAN_MERGE_PREFER=all=testinium"}, 0, "testinium's is taken", count + "0 of them\n", true},
		"a mapping":             {both + " --mapping mapping --prefer all=worth --output out.ndjson", nil, 0, "0cfecc31-e3f4-4fce-9a27-f36ea6256a10 is 6861, by mapping", "in both: 2, by mapping 1 of them", true},
		"one left out":          {"worth.ndjson clash.ndjson --output out.ndjson", nil, 2, "left out: worth.ndjson, line 2: username is also that of 94520740-d63c-4e02-85ca-c4e138801e73", "written: 1 users; left out, as the report says: 1", true},
		"one to be left out":    {"worth.ndjson clash.ndjson", nil, 0, "left out: worth.ndjson, line 2: username is also", "undecided 0 of them\nnothing was written", false},
		"no vendor":             {both + " --prefer first_name=me", nil, 2, "", "must be FIELD=worth or FIELD=testinium", false},
		"no field":              {both + " --prefer nickname=worth", nil, 2, "", "--prefer knows no field \"nickname\"", false},
		"no such file":          {"none.ndjson testinium.ndjson --output out.ndjson", nil, 2, "", "none.ndjson: ", false},
		"no such other file":    {"worth.ndjson none.ndjson --output out.ndjson", nil, 2, "", "none.ndjson: ", false},
		"a folder":              {"worth.ndjson . --output out.ndjson", nil, 2, "", "is a directory", false},
		"HTML":                  {"page.html testinium.ndjson --output out.ndjson", nil, 2, "", "page.html, line 1: must be a JSON object, as 'dragoman pull' writes it", false},
		"one file twice":        {"worth.ndjson worth.ndjson --output out.ndjson", nil, 2, "", "is this the file of 'dragoman pull testinium'?", false},
		"no such mapping":       {both + " --mapping none", nil, 2, "", "none: ", false},
		"a wrong mapping":       {both + " --mapping wrong-mapping", nil, 2, "", "wrong-mapping, line 1: must begin with a UUID of Worth's", false},
		"no folder to write in": {both + " --output none/out.ndjson", nil, 2, "", "--output cannot be written", false},
		"over an input":         {both + " --prefer all=worth --output worth.ndjson", nil, 2, "", "--output is one of the files that are merged", false},
		"an unknown format":     {both + " --format xml", nil, 80, "", `--format must be one of text, json, not "xml"`, false},
		"one file only":         {"worth.ndjson", nil, 80, "", "add TESTINIUM", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := writeFiles(t, filesToMerge)
			status, stdout, stderr := configured(t, dir, tc.variables, "", append([]string{"merge"}, strings.Fields(tc.args)...)...)
			if status != tc.status || !strings.Contains(stdout, tc.stdout) || !strings.Contains(stderr, tc.stderr) {
				t.Errorf("status %d, want %d\n%s\n%s", status, tc.status, stdout, stderr)
			}
			_, err := os.Stat(filepath.Join(dir, "out.ndjson"))
			if written := err == nil; written != tc.writes {
				t.Errorf("there is a file: %t, want %t", written, tc.writes)
			}
			if got := string(read(t, filepath.Join(dir, "worth.ndjson"))); got != filesToMerge["worth.ndjson"] {
				t.Errorf("the input is now %s", got)
			}
		})
	}
}

// TestMergeWrites looks at the report in JSON, and at the file, which can be imported.
func TestMergeWrites(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, filesToMerge)
	status, stdout, stderr := dragoman(t, dir, "", "merge", "worth.ndjson", "testinium.ndjson", "--prefer", "all=worth", "--format", "json", "--output", "out.ndjson")
	if status != 0 {
		t.Fatalf("status %d\n%s", status, stderr)
	}
	var people []map[string]any
	for line := range strings.Lines(stdout) {
		var p map[string]any
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		people = append(people, p)
	}
	if len(people) != 3 || people[0]["testinium"] != 6860.0 || people[0]["by"] != "e-mail" || people[0]["contradictions"].([]any)[0].(map[string]any)["taken"] != "worth" {
		t.Errorf("%v", people)
	}
	if out := string(read(t, filepath.Join(dir, "out.ndjson"))); strings.Count(out, "\n") != 3 || !strings.Contains(out, `"first_name":"Ada"`) || strings.Contains(out, "Augusta") {
		t.Error(out)
	}
	for _, args := range []string{
		"customer add --dev --id 3393 --uuid 2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1 --name Sandbox",
		"import out.ndjson",
	} {
		if status, stdout, stderr := dragoman(t, dir, "", strings.Fields(args)...); status != 0 {
			t.Errorf("%s: status %d\n%s%s", args, status, stdout, stderr)
		}
	}
}
