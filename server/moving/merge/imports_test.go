package merge_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/dragoman-id/dragoman/server/moving/merge"
	"github.com/dragoman-id/dragoman/server/moving/screen"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/userfile"
)

// drawnFile is a file of users, most of whose lines are good by themselves.
func drawnFile(r *rapid.T, ids, usernames []string) string {
	of := func(values ...string) string { return rapid.SampledFrom(values).Draw(r, "value") }
	var file strings.Builder
	for range rapid.IntRange(0, 7).Draw(r, "lines") {
		members := map[string]string{
			"first_name": of(`"A"`, `"A"`, `"B"`, `""`), "last_name": `"C"`,
			"email":  `"` + of("a", "A", "b", "c", "d", "e") + of("@x.y", "@x.y", "@X.y", "") + `"`,
			"status": of(`"ACTIVE"`, `"ACTIVE"`, `"INVITED"`, `"INACTIVE"`, `"GONE"`), "roles": of(`[]`, `["ROLE_USER"]`, `["ROLE_COMPANY_ADMIN"]`, `["ROLE_PILOT"]`),
		}
		id, value, _ := strings.Cut(of(ids...), ":")
		members[id] = value
		members["customer"] = map[string]string{"id": "3393", "uuid": `"` + customerUUID + `"`}[id]
		if username := of(usernames...); username != "" {
			members["username"] = username
		}
		switch of("", "", "", "external", "mobile", "unknown", "other", "none") {
		case "external":
			members["external_id"] = of(`"e"`, `"f"`)
		case "mobile":
			members["mobile"] = of(`"1"`, `5`, `true`, `null`)
		case "unknown":
			members["created_at"] = of(`"2024-01-01T00:00:00Z"`, `"yesterday"`, `5`)
		case "other":
			members["customer"] = of(`3393`, `"`+customerUUID+`"`, `3393`)
		}
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(members)) {
			parts = append(parts, fmt.Sprintf("%q:%s", name, members[name]))
		}
		file.WriteString("{" + strings.Join(parts, ",") + "}" + of("\n", "\n", "\r\n", "\n\n"))
	}
	return file.String()
}

const customerUUID = "2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1"

// TestMergeWritesWhatImports: whatever two files have, an import takes all that a merge of them writes.
func TestMergeWritesWhatImports(t *testing.T) {
	t.Parallel()
	directory, err := screen.Directory(t.Context(), store.Customer{ID: 3393, UUID: uuid.MustParse(customerUUID), Name: "Sandbox"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { directory.Close() })
	dir := t.TempDir()
	m := merge.Merge{Worth: filepath.Join(dir, "worth"), Testinium: filepath.Join(dir, "testinium")}
	out := filepath.Join(dir, "out")
	merges, leftOut := 0, int64(0)
	rapid.Check(t, func(r *rapid.T) {
		m.Prefer = map[string]merge.Vendor{}
		for _, column := range merge.Columns {
			m.Prefer[column] = rapid.SampledFrom([]merge.Vendor{merge.Worth, merge.Testinium}).Draw(r, column)
		}
		m.Mapping = rapid.SampledFrom([]map[string]int64{nil, nil, {adaUUID: 1}, {graceUUID: 2, adaUUID: 3}}).Draw(r, "mapping")
		worth := drawnFile(r, []string{`uuid:"` + adaUUID + `"`, `uuid:"` + graceUUID + `"`, `uuid:"` + customerUUID + `"`, `uuid:"` + strings.ToUpper(adaUUID) + `"`}, []string{"", "", "", `"a@x.y"`})
		testinium := drawnFile(r, []string{"id:1", "id:2", "id:3", "id:4", "id:9007199254740993"}, []string{"", `"a"`, `"b"`, `"B"`, `"a@x.y"`, `"c@x.y"`, `"a b"`})
		for name, text := range map[string]string{m.Worth: worth, m.Testinium: testinium} {
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				r.Fatal(err)
			}
		}
		reported := int64(0)
		m.Report = func(p merge.Person) error {
			if len(p.LeftOut) > 0 {
				reported++
			}
			return nil
		}
		var merged bytes.Buffer
		result, err := m.Run(t.Context(), &merged)
		if bad := (*merge.BadInput)(nil); errors.As(err, &bad) {
			return
		}
		if err != nil {
			r.Fatal(err)
		}
		if err := os.WriteFile(out, merged.Bytes(), 0o600); err != nil {
			r.Fatal(err)
		}
		source, err := userfile.OpenSource(t.Context(), out)
		if err != nil {
			r.Fatal(err)
		}
		defer source.Close()
		i := userfile.Import{Store: directory, Format: userfile.NDJSON, DryRun: true, Refused: func(e *userfile.LineError) { r.Error(e) }}
		if n, err := i.Run(t.Context(), source); err != nil || n != result.Written() || reported != result.LeftOut {
			r.Fatalf("imported %d, %v; %+v, reported %d\nWorth:\n%s\nTestinium:\n%s\nmerged:\n%s", n, err, result, reported, worth, testinium, merged.String())
		}
		merges++
		leftOut += result.LeftOut
	})
	if merges == 0 || leftOut == 0 {
		t.Errorf("%d merges, %d left out", merges, leftOut)
	}
}
