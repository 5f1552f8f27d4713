package conformance_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/conformance"
	"github.com/dragoman-id/dragoman/server/docs/generated"
)

// TestGeneratedLaws: the guide has a table of all laws, each with its grade in the dialects that have it.
func TestGeneratedLaws(t *testing.T) {
	t.Parallel()
	type row struct {
		says   string
		grades map[string]conformance.Grade
	}
	var names []string
	rows := map[string]row{}
	for _, dialect := range dialects {
		for _, l := range conformance.Laws(describe(dialect)) {
			if _, ok := rows[l.Name]; !ok {
				names = append(names, l.Name)
				rows[l.Name] = row{l.Says, map[string]conformance.Grade{}}
			}
			rows[l.Name].grades[dialect] = l.Grade
		}
	}
	var table strings.Builder
	fmt.Fprintf(&table, "| law | what it says | %s |\n|---|---|%s\n", strings.Join(dialects, " | "), strings.Repeat("---|", len(dialects)))
	for _, name := range names {
		fmt.Fprintf(&table, "| `%s` | %s |", name, strings.ReplaceAll(rows[name].says, "|", `\|`))
		for _, dialect := range dialects {
			fmt.Fprintf(&table, " %s |", rows[name].grades[dialect])
		}
		table.WriteString("\n")
	}
	table.WriteString("\nThese laws do not hold of all updates:\n\n")
	for _, dialect := range dialects {
		for _, update := range describe(dialect).Updates {
			exempt := conformance.Exempt(describe(dialect), update)
			for _, name := range slices.Sorted(maps.Keys(exempt)) {
				fmt.Fprintf(&table, "* `%s` of `%s` of %s. %s.\n", name, update, dialect, exempt[name])
			}
		}
	}
	generated.Check(t, "../docs/guide/laws.md", "laws", table.String())
}
