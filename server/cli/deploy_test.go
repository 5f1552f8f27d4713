package cli

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// compose reads docker-compose.yml as docker does, with no variable set.
func compose(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{root + "docker-compose.yml"})
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// replicas are the services that are Dragoman, in the order of their names.
func replicas(project *types.Project) (services []types.ServiceConfig) {
	for _, name := range project.ServiceNames() {
		if s := project.Services[name]; s.Image == "dragoman" {
			services = append(services, s)
		}
	}
	return services
}

// variables gives a service's environment.
func variables(s types.ServiceConfig) map[string]string {
	all := map[string]string{}
	for name, value := range s.Environment {
		if value != nil {
			all[name] = *value
		}
	}
	return all
}

func TestContainersHardened(t *testing.T) {
	t.Parallel()
	project := compose(t)
	for name, s := range project.Services {
		if s.HealthCheck == nil || len(s.HealthCheck.Test) < 2 || s.HealthCheck.Disable {
			t.Errorf("%s has no health check", name)
		}
		if s.Deploy == nil || s.Deploy.Resources.Limits == nil {
			t.Errorf("%s has no limits", name)
		} else if l := s.Deploy.Resources.Limits; l.NanoCPUs <= 0 || l.MemoryBytes <= 0 || l.Pids <= 0 {
			t.Errorf("%s has the limits %+v", name, l)
		}
		if s.Privileged || !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 ||
			!slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.Pid != "" || s.NetworkMode != "" || len(s.Devices) > 0 {
			t.Errorf("%s has more rights than it needs: %+v", name, s)
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind {
				t.Errorf("%s sees this machine's %s", name, v.Source)
			}
		}
		if s.Restart != types.RestartPolicyUnlessStopped {
			t.Errorf("%s is restarted %q", name, s.Restart)
		}
		if (name == "balancer") != (len(s.Ports) > 0) {
			t.Errorf("%s publishes %v", name, s.Ports)
		}
		if s.Build == nil && strings.Contains(s.Image, "/") {
			t.Errorf("%s is of %s, which is no official image", name, s.Image)
		}
	}
}

// pinned are images that do not change: by digest, or by full version and version of the system below. Postgres has versions of two
// numbers.
var pinned = regexp.MustCompile(`^(scratch|\S+@sha256:[0-9a-f]{64}|postgres:\d+\.\d+-[a-z]+[\d.]*|[a-z/]+:\d+\.\d+\.\d+-[a-z]+[\d.]*)$`)

// TestImagesPinned: no tag that moves, such as postgres:17, latest or 3.2-alpine.
func TestImagesPinned(t *testing.T) {
	t.Parallel()
	for _, moving := range []string{"postgres", "postgres:17", "postgres:latest", "haproxy:3.2-alpine", "golang:1.26", "golang:1.26-bookworm", "golang:1.26.8"} {
		if pinned.MatchString(moving) {
			t.Errorf("%s is taken to be pinned", moving)
		}
	}
	var images []string
	for _, s := range compose(t).Services {
		if s.Build == nil {
			images = append(images, s.Image)
		}
	}
	text, err := os.ReadFile(root + "Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range regexp.MustCompile(`(?mi)^FROM\s+(?:--\S+\s+)*(\S+)`).FindAllStringSubmatch(string(text), -1) {
		images = append(images, from[1])
	}
	if len(images) < 4 {
		t.Fatalf("there are the images %q", images)
	}
	for _, image := range images {
		if !pinned.MatchString(image) {
			t.Errorf("%s is not pinned", image)
		}
	}
}

// TestComposeExplainsPlaintext: an operator who copies the file elsewhere must know.
func TestComposeExplainsPlaintext(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(root + "docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "sslmode=disable") && !strings.Contains(string(text), "sslmode=verify-full") {
		t.Error("it does not say why there is no TLS to Postgres, and how there is")
	}
}

func TestReplicasAlike(t *testing.T) {
	t.Parallel()
	servers := replicas(compose(t))
	if len(servers) != 2 {
		t.Fatalf("there are %d servers", len(servers))
	}
	first, second := servers[0], servers[1]
	second.Name = first.Name
	if !reflect.DeepEqual(first, second) {
		t.Errorf("they differ: %+v and %+v", first, second)
	}
	if _, ok := first.DependsOn["postgres"]; !ok || first.DependsOn["postgres"].Condition != types.ServiceConditionHealthy {
		t.Errorf("they wait for %v", first.DependsOn)
	}
}

// TestComposeSecrets: of a folder that git and docker ignore, and no variable holds one.
func TestComposeSecrets(t *testing.T) {
	t.Parallel()
	project := compose(t)
	named := map[string]bool{}
	for name, s := range project.Services {
		mounted := map[string]bool{}
		for _, secret := range s.Secrets {
			mounted["/run/secrets/"+secret.Source] = true
			named[secret.Source] = true
		}
		for variable, value := range variables(s) {
			sounds := slices.ContainsFunc([]string{"PASSWORD", "SECRET", "KEY", "DATABASE"}, func(word string) bool { return strings.Contains(variable, word) })
			if sounds && (!strings.HasSuffix(variable, "_FILE") || !mounted[value]) {
				t.Errorf("%s has %s=%s, which is no secret of its own", name, variable, value)
			}
			delete(mounted, value)
		}
		if len(mounted) > 0 {
			t.Errorf("%s is given %v and does not use it", name, mounted)
		}
	}
	ignored, err := os.ReadFile(root + ".gitignore")
	if err != nil || !slices.Contains(strings.Split(string(ignored), "\n"), "/.secrets/") {
		t.Errorf("git does not ignore .secrets, %v", err)
	}
	for name, secret := range project.Secrets {
		if !named[name] || filepath.Base(filepath.Dir(secret.File)) != ".secrets" {
			t.Errorf("the secret %s is %+v", name, secret)
		}
	}
	if len(project.Secrets) != 4 {
		t.Errorf("there are %d secrets", len(project.Secrets))
	}
}

// TestComposeConfiguration: with the variables of docker-compose.yml and secrets as its head says.
func TestComposeConfiguration(t *testing.T) {
	t.Parallel()
	head, err := os.ReadFile(root + "docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var script strings.Builder
	for _, line := range strings.Split(string(head), "\n") {
		if command, found := strings.CutPrefix(line, "#   "); found {
			fmt.Fprintln(&script, command)
		}
	}
	tool(t, "openssl")
	c := exec.CommandContext(t.Context(), "sh", "-e", "-c", script.String())
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var environment []string
	for name, value := range variables(replicas(compose(t))[0]) {
		environment = append(environment, name+"="+strings.ReplaceAll(value, "/run/secrets/", ".secrets/"))
	}
	all := effective(t, dir, environment)
	database := all["database"]
	if database.Value != "postgres://***@postgres:5432/dragoman?***" || database.From != "DRAGOMAN_DATABASE_FILE (.secrets/database)" {
		t.Errorf("the database is %+v", database)
	}
	for _, name := range []string{"secret-key", "jwt-secret"} {
		if !strings.HasSuffix(all[name].From, "_FILE (.secrets/"+name+")") {
			t.Errorf("%s is from %s", name, all[name].From)
		}
	}
}

// balancer is what haproxy.cfg says, as far as others must agree with it.
type balancer struct {
	text          string
	servers       []string // host:port
	inter, answer time.Duration
	fall, rise    int
	asks          string
}

func readBalancer(t *testing.T, project *types.Project) balancer {
	t.Helper()
	text, err := os.ReadFile(project.Configs["haproxy"].File)
	if err != nil {
		t.Fatal(err)
	}
	b := balancer{text: string(text)}
	one := func(pattern string) string {
		found := regexp.MustCompile(pattern).FindAllStringSubmatch(b.text, -1)
		if len(found) != 1 {
			t.Fatalf("haproxy.cfg says %s %d times", pattern, len(found))
		}
		return found[0][1]
	}
	duration := func(text string) time.Duration {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, server := range regexp.MustCompile(`(?m)^ +server \S+ (\S+)$`).FindAllStringSubmatch(b.text, -1) {
		b.servers = append(b.servers, server[1])
	}
	b.asks = one(`(?m)^ +http-check send meth GET uri (\S+) `)
	b.inter, b.fall, b.rise = duration(one(` inter (\S+) `)), number(one(` fall (\d+) `)), number(one(` rise (\d+) `))
	b.answer = duration(one(`(?m)^ +timeout server (\S+)`))
	return b
}

// TestBalancerConfiguration: where they are, how they say that they are about to stop, and that they give it the time.
func TestBalancerConfiguration(t *testing.T) {
	t.Parallel()
	project := compose(t)
	b := readBalancer(t, project)
	var hosts []string
	for _, s := range replicas(project) {
		hosts = append(hosts, s.Name+":8080")
	}
	if !slices.Equal(b.servers, hosts) || b.asks != "/readyz" || !strings.Contains(b.text, "\n    option forwardfor\n") {
		t.Errorf("it sends to %v, there are %v; it asks for %s", b.servers, hosts, b.asks)
	}
	config := project.Services["balancer"].Configs
	if len(config) != 1 || config[0].Source != "haproxy" || config[0].Target != "/usr/local/etc/haproxy/haproxy.cfg" {
		t.Errorf("its configuration is %+v", config)
	}
	server := replicas(project)[0]
	drain, err := time.ParseDuration(variables(server)["DRAGOMAN_DRAIN_DELAY"])
	if err != nil {
		t.Fatal(err)
	}
	if notice := b.inter * time.Duration(b.fall); drain <= notice {
		t.Errorf("it notices within %s, and a server drains for %s", notice, drain)
	}
	if b.rise >= b.fall-1 {
		t.Errorf("a server is back after %d checks, when one that stops may be gone after %d", b.rise, b.fall)
	}
	defaults := map[string]time.Duration{}
	for _, flag := range serveFlags(t) {
		if d, err := time.ParseDuration(flag.Default); err == nil {
			defaults[flag.Name] = d
		}
	}
	if grace := time.Duration(*server.StopGracePeriod); grace <= drain+defaults["shutdown-timeout"] {
		t.Errorf("a server may drain for %s and stop within %s, and is killed after %s", drain, defaults["shutdown-timeout"], grace)
	}
	if b.answer <= defaults["write-timeout"] {
		t.Errorf("it gives up after %s, before the server does after %s", b.answer, defaults["write-timeout"])
	}
}

// TestTrustedBalancer: its address is fixed, and no other container is given it.
func TestTrustedBalancer(t *testing.T) {
	t.Parallel()
	project := compose(t)
	own, err := netip.ParseAddr(project.Services["balancer"].Networks["front"].Ipv4Address)
	if err != nil {
		t.Fatal(err)
	}
	pool := project.Networks["front"].Ipam.Config[0]
	subnet, dynamic := netip.MustParsePrefix(pool.Subnet), netip.MustParsePrefix(pool.IPRange)
	if !subnet.Contains(own) || dynamic.Contains(own) || !subnet.Overlaps(dynamic) {
		t.Errorf("the balancer is %s of %s, of which %s is given to others", own, subnet, dynamic)
	}
	for _, s := range replicas(project) {
		if trusted := variables(s)["DRAGOMAN_TRUSTED_PROXY"]; trusted != netip.PrefixFrom(own, 32).String() {
			t.Errorf("%s trusts %s", s.Name, trusted)
		}
	}
	if !project.Networks["data"].Internal || len(project.Services["postgres"].Networks) != 1 {
		t.Error("the database can be reached from outside")
	}
}

// TestMemoryLimit compares GOMEMLIMIT with the limit of the process, in which SQLite's memory must have room too.
func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	unit, err := os.ReadFile(root + ".deploy/dragoman.service")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^Environment=GOMEMLIMIT=(\d+)MiB\nMemoryMax=(\d+)M$`).FindStringSubmatch(string(unit))
	if found == nil {
		t.Fatal("the unit does not set GOMEMLIMIT and MemoryMax")
	}
	server := replicas(compose(t))[0]
	for name, limits := range map[string][2]string{
		"dragoman.service":   {found[1], found[2]},
		"docker-compose.yml": {strings.TrimSuffix(variables(server)["GOMEMLIMIT"], "MiB"), fmt.Sprint(int64(server.Deploy.Resources.Limits.MemoryBytes) >> 20)},
	} {
		soft, err1 := strconv.Atoi(limits[0])
		hard, err2 := strconv.Atoi(limits[1])
		if err1 != nil || err2 != nil || soft < hard/2 || soft > hard*4/5 {
			t.Errorf("%s: GOMEMLIMIT is %s MiB and the limit of memory %s MiB, want half to four fifths of it: %v, %v", name, limits[0], limits[1], err1, err2)
		}
	}
}

// tool gives the path of a program that this test is about. Without it the test is skipped; if CI is true it fails.
func tool(t *testing.T, name string) string {
	t.Helper()
	for _, candidate := range []string{name, "/usr/sbin/" + name} { // Debian has it there, which is not on everybody's path
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed, and CI is true", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}

// TestServiceUnit: it is written without a mistake, and lets the program do little.
func TestServiceUnit(t *testing.T) {
	t.Parallel()
	analyze := tool(t, "systemd-analyze")
	text, err := os.ReadFile(root + ".deploy/dragoman.service")
	if err != nil {
		t.Fatal(err)
	}
	dir := writeFiles(t, map[string]string{"dragoman.service": strings.ReplaceAll(string(text), "/usr/local/bin/dragoman", program(t))})
	unit := filepath.Join(dir, "dragoman.service")
	// It also tells of this machine's other units, which are not ours.
	if out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || strings.Contains(string(out), "dragoman.service") {
		t.Errorf("%v: %s", err, out)
	}
	const threshold = 20 // tenths: systemd calls up to 5.0 "ok", and a unit without any of it 9.6
	out, err := exec.CommandContext(t.Context(), analyze, "security", "--offline=true", "--no-pager", fmt.Sprint("--threshold=", threshold), unit).CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	for _, line := range []string{"DynamicUser=yes", "RestartPreventExitStatus=80", "Environment=DRAGOMAN_SECRET_KEY_FILE=%d/secret-key", "LoadCredential=secret-key:/etc/dragoman/secret-key"} {
		if !strings.Contains(string(text), "\n"+line+"\n") {
			t.Errorf("it does not say %s", line)
		}
	}
}
