package server_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/servertest"
	"go.yaml.in/yaml/v4"
)

// The dashboard and the alerts in .monitoring/ are held against a server that does all that they look at.

const monitoring = "../.monitoring"

// grafana is as much of a dashboard as is looked at.
type grafana struct {
	Title  string
	Panels []struct {
		ID      int
		Type    string
		Title   string
		GridPos struct{ H, W, X, Y int }
		Targets []struct{ Expr, LegendFormat string }
	}
	Templating struct {
		List []struct{ Name, Definition string }
	}
}

func readDashboard(t *testing.T) (d grafana) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(monitoring, "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// rules is a file of rules.
type rules struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert       string
			Expr        string
			Labels      map[string]string
			Annotations map[string]string
		}
	}
}

func readRules(t *testing.T) (r rules) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(monitoring, "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// exposed are a server's series: which labels each has, and which values those have or may have.
type exposed struct {
	labels map[string]map[string]bool
	values map[string]map[string]bool
}

var (
	seriesLine = regexp.MustCompile(`(?m)^([a-z_]+)(?:\{(.*)\})? `)
	labelPair  = regexp.MustCompile(`([a-z_]+)="([^"]*)"`)
)

func expose(metrics string) exposed {
	e := exposed{map[string]map[string]bool{}, map[string]map[string]bool{}}
	for _, line := range seriesLine.FindAllStringSubmatch(metrics, -1) {
		name := line[1]
		if e.labels[name] == nil {
			// Prometheus itself says where it has a series from.
			e.labels[name] = map[string]bool{"job": true, "instance": true}
		}
		for _, pair := range labelPair.FindAllStringSubmatch(line[2], -1) {
			e.labels[name][pair[1]] = true
			e.may(pair[1], pair[2])
		}
	}
	return e
}

func (e exposed) may(label string, values ...string) {
	if e.values[label] == nil {
		e.values[label] = map[string]bool{}
	}
	for _, v := range values {
		e.values[label][v] = true
	}
}

var (
	duration  = regexp.MustCompile(`\[[^\]]*\]`)
	selector  = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}`)
	matcher   = regexp.MustCompile(`([a-z_]+)(=~|!=|!~|=)"([^"]*)"`)
	grouping  = regexp.MustCompile(`\b(by|without|on|ignoring)\s*\(([^)]*)\)`)
	function  = regexp.MustCompile(`[a-z_]+\s*\(`)
	name      = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
	oneOf     = regexp.MustCompile(`^[a-z_]+(\|[a-z_]+)*$`)
	operators = []string{"or", "and", "unless", "bool", "group_left", "group_right", "offset"}
)

// check tells what of an expression no server has. Each series that the expression names must stand with its matchers, {job="..."}
// at least; up is Prometheus's own.
func (e exposed) check(expression string) (wrong []string) {
	rest := duration.ReplaceAllString(expression, "")
	known := map[string]bool{}
	for _, s := range selector.FindAllStringSubmatch(rest, -1) {
		labels, ok := e.labels[s[1]]
		if s[1] == "up" {
			labels, ok = map[string]bool{"job": true, "instance": true}, true
		}
		if !ok {
			wrong = append(wrong, "there is no series "+s[1])
		}
		maps.Copy(known, labels)
		for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
			if !labels[m[1]] {
				wrong = append(wrong, fmt.Sprintf("%s has no label %s", s[1], m[1]))
			}
			if m[1] == "job" || m[1] == "instance" || !oneOf.MatchString(m[3]) {
				continue
			}
			for _, v := range strings.Split(m[3], "|") {
				if !e.values[m[1]][v] {
					wrong = append(wrong, fmt.Sprintf("no %s is %q", m[1], v))
				}
			}
		}
	}
	rest = selector.ReplaceAllString(rest, "")
	for _, g := range grouping.FindAllStringSubmatch(rest, -1) {
		for _, label := range strings.Split(g[2], ",") {
			if label = strings.TrimSpace(label); !known[label] {
				wrong = append(wrong, "no series of the expression has a label "+label)
			}
		}
	}
	rest = function.ReplaceAllString(grouping.ReplaceAllString(rest, ""), "(")
	for _, n := range name.FindAllString(rest, -1) {
		if !slices.Contains(operators, n) {
			wrong = append(wrong, fmt.Sprintf("what is %s? A series stands with its matchers", n))
		}
	}
	return wrong
}

// observedSeries gives the series of a server that has done a bit of everything.
func observedSeries(t *testing.T) exposed {
	t.Helper()
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		ours, _ := walkKeys()
		fmt.Fprint(w, walkKeySet("ours", &ours.PublicKey))
	}))
	t.Cleanup(keys.Close)
	s := servertest.StartWith(t, admin())
	answers(t, s)
	c := admin()
	c.Auth = auth.Config{Issuers: []auth.Issuer{{JWKSURL: keys.URL, Rules: walkRules()}}}
	c.TLS = certify(t).files
	withKeySet := servertest.StartWith(t, c)
	eventually(t, "the key set is read", func() bool {
		return value(t, scrape(t, withKeySet.Admin), `dragoman_key_set_keys{issuer="`+walkIssuer+`"}`) == 1
	})
	e := expose(scrape(t, s.Admin) + scrape(t, withKeySet.Admin))
	for k := dialect.Internal; k <= dialect.Unavailable; k++ {
		e.may("kind", k.String())
	}
	e.may("kind", "select", "insert", "update", "delete", "begin", "commit", "rollback")
	e.may("outcome", "ok", "duplicate", "busy", "unavailable", "timed_out", "canceled", "failed", "good")
	for _, f := range []auth.TokenFault{auth.FaultMissing, auth.FaultMalformed, auth.FaultSignature, auth.FaultUnknownKey, auth.FaultIssuer,
		auth.FaultAudience, auth.FaultNotYetValid, auth.FaultExpired, auth.FaultType, auth.FaultUnknown, auth.FaultClaims} {
		e.may("outcome", string(f))
	}
	e.may("pool", "find", "read", "write", "read_write")
	return e
}

var legendLabel = regexp.MustCompile(`\{\{ ?\$?(?:labels\.)?([a-z_]+) ?\}\}`)

func TestDashboardSeriesExist(t *testing.T) {
	t.Parallel()
	e := observedSeries(t)
	d := readDashboard(t)
	ids, targets := map[int]bool{}, 0
	for _, p := range d.Panels {
		if ids[p.ID] || p.GridPos.X+p.GridPos.W > 24 || p.Title == "" {
			t.Errorf("panel %d, %q, is there twice, too wide or without a title", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			targets++
			for _, wrong := range e.check(target.Expr) {
				t.Errorf("%q: %s, in %s", p.Title, wrong, target.Expr)
			}
			for _, label := range legendLabel.FindAllStringSubmatch(target.LegendFormat, -1) {
				if !strings.Contains(target.Expr, label[1]) && label[1] != "instance" {
					t.Errorf("%q: the legend has %s, which %s does not keep", p.Title, label[1], target.Expr)
				}
			}
		}
	}
	if targets < 20 {
		t.Errorf("only %d expressions were found", targets)
	}
	// A selector in a variable's query stands in label_values.
	for _, v := range d.Templating.List {
		if v.Definition != "" && !strings.Contains(v.Definition, "label_values(dragoman_build_info") {
			t.Errorf("the variable %s asks for %s", v.Name, v.Definition)
		}
	}
}

func TestAlertSeriesExist(t *testing.T) {
	t.Parallel()
	e := observedSeries(t)
	names := map[string]bool{}
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			if names[r.Alert] || r.Alert == "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" {
				t.Errorf("%q is there twice, or lacks a name, a severity or a summary", r.Alert)
			}
			names[r.Alert] = true
			for _, wrong := range e.check(r.Expr) {
				t.Errorf("%s: %s, in %s", r.Alert, wrong, r.Expr)
			}
			for _, label := range legendLabel.FindAllStringSubmatch(r.Annotations["summary"], -1) {
				if label[1] != "value" && label[1] != "instance" && !strings.Contains(r.Expr, label[1]) {
					t.Errorf("%s: the summary has %s, which the expression does not keep", r.Alert, label[1])
				}
			}
		}
	}
	if len(names) < 10 {
		t.Errorf("only %d alerts were found", len(names))
	}
}

// TestExpressionCheckFindsFaults what is wrong with each of these.
func TestExpressionCheckFindsFaults(t *testing.T) {
	t.Parallel()
	e := observedSeries(t)
	for expression, want := range map[string]string{
		`sum(rate(dragoman_http_requests_total{job="x"}[5m]))`:           "there is no series dragoman_http_requests_total",
		`sum by (tenant) (dragoman_draining{job="x"})`:                   "no series of the expression has a label tenant",
		`dragoman_draining{customer="3393"}`:                             "dragoman_draining has no label customer",
		`rate(dragoman_db_update_retries_total{reason="givenup"}[5m])`:   `no reason is "givenup"`,
		`rate(dragoman_tokens_total{outcome=~"signature|audiense"}[5m])`: `no outcome is "audiense"`,
		`dragoman_draining`: "what is dragoman_draining? A series stands with its matchers",
		`histogram_quantile(0.9, sum by (le) (rate(dragoman_tokens_total{job="x"}[5m]))) or up{job="x"} == 0`: "no series of the expression has a label le",
	} {
		if got := e.check(expression); !slices.Contains(got, want) {
			t.Errorf("%s: %q, want %q", expression, got, want)
		}
	}
	if wrong := e.check(`(sum(rate(go_goroutines{job=~"$job"}[$__rate_interval])) or vector(0)) / time() > 1`); len(wrong) > 0 {
		t.Errorf("what is right is told wrong: %q", wrong)
	}
}
