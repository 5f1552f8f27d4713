package metrics

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dragoman-id/dragoman/server/docs/generated"
)

// description is how a prometheus.Desc prints itself, which has no other methods.
var description = regexp.MustCompile(`^Desc\{fqName: "(.*)", help: "(.*)", unit: "[^"]*", constLabels: \{.*\}, variableLabels: \{(.*)\}\}$`)

// TestGeneratedMetrics: the guide's page on operating has a table of all series.
func TestGeneratedMetrics(t *testing.T) {
	t.Parallel()
	m := New("", "", "")
	m.Watch(Sources{})
	all := make(chan *prometheus.Desc)
	go func() {
		defer close(all)
		m.registry.Describe(all)
	}()
	var rows []string
	for d := range all {
		parts := description.FindStringSubmatch(d.String())
		if parts == nil {
			t.Fatalf("this description has another form: %s", d)
		}
		if !strings.HasPrefix(parts[1], namespace+"_") {
			continue // of the Go runtime and the process
		}
		labels := ""
		if parts[3] != "" {
			labels = "`" + strings.ReplaceAll(parts[3], ",", "`, `") + "`"
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |\n", parts[1], labels, parts[2]))
	}
	slices.Sort(rows)
	if len(rows) < 25 {
		t.Errorf("there are only %d series", len(rows))
	}
	generated.Check(t, "../docs/guide/operating.md", "metrics", "| series | labels | what |\n|---|---|---|\n"+strings.Join(rows, ""))
}
