package cli

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/provisioning"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// Secrets of an operator's, which no command may print.
const (
	secretOfTokens = "CanaryJWTSecret-of-more-than-32-bytes"
	secretTooShort = "CanaryShortSecret"
	secretOfUser   = "Canary-vcs-password"
	secretOfFile   = "CanaryPasswordInAFile"
	secretOfDSN    = "canary-dsn-password"
	secretOfClient = "drg_9ZUqwwZSUuiTCTYNuyYNCdLki5ztUpIZOwxGxAVIrs64DSMhi"
)

var (
	keyOfBefore = base64.StdEncoding.EncodeToString([]byte("CanaryOldSecretKey-of-32-bytes--"))
	keyOfNow    = base64.StdEncoding.EncodeToString(storetest.Key)
)

// commandLines are command lines of every command, to be run with good settings, and the first with bad ones as well.
var commandLines = map[string][]string{
	"serve":          {"--listen=256.0.0.1:1 --log-level=debug", "--listen=256.0.0.1:1 --log-format=json", "--jwt-public-key-file=secrets.csv", "--jwks-url=secrets.csv --issuer=i --audience=a", "--tls-cert=secrets.csv --tls-key=secrets.csv"},
	"config":         {"", "--format=json --log-level=debug", "--format=yaml --tls-cert=secrets.csv --tls-key=secrets.csv", "--config=secrets.yaml", "--config=broken.yaml", "--config=secrets.csv", "--dev"},
	"migrate":        {"", "--config=secrets.yaml", "--config=broken.yaml"},
	"customer add":   {"--name=Acme", "--name=Acme --id=3393", "--name=Acme --uuid=x"},
	"import":         {"secrets.csv", "--dry-run secrets.csv", "none.csv"},
	"export":         {"", "--format=ndjson", "--customer=4711", "--output=out.csv", "--user=6860", "--user=4711"},
	"history":        {"--user=6860", "--json --user=6860", "--user=4711"},
	"restore":        {"--user=6860 --version=1", "--user=6860 --version=99"},
	"backup":         {"backup.db", "secrets.csv", "none/backup.db"},
	"copy":           {"--from=sqlite:none.db --to=postgres://u:" + secretOfDSN + "@127.0.0.1:1/d --database-wait=0s", "--from=postgres://u:p@" + secretOfDSN + "@h/d --to=sqlite:none.db", "--from=sqlite:a.db --to=" + secretOfFile + ":"},
	"rekey":          {""},
	"erase":          {"--user=6860", "--user=4711", "--replay=secrets.csv"},
	"legal-hold set": {"--user=4711"}, "legal-hold lift": {"--user=4711"},
	"changes number": {""},
	"collisions":     {""},
	"token sign":     {"", "--customer=x", "--expires=1ns", "--permission=customer_user:read"},
	"token create":   {"--scim --customer=3393", "--scim --customer=" + secretOfFile, "--scim --customer=3393 --role=" + secretOfFile},
	"token list":     {"", "--customer=" + secretOfFile},
	"token revoke":   {"2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1", secretOfTokens, secretOfClient},
	"token explain":  {"", secretOfClient, strings.ToLower(secretOfClient), "--format=json", "--jwks-url=secrets.csv --issuer=i --audience=a", "--idp=okta", "--config=secrets.yaml", "--config=broken.yaml", secretOfTokens},
	"webhook add":    {"--url=https://webhook.invalid/a --customer=3393", "--url=https://u:" + secretOfDSN + "@webhook.invalid/a", "--url=" + secretOfFile},
	"webhook list":   {""}, "webhook rotate": {"1", "1 --overlap=0s", "4711"}, "webhook disable": {"1"}, "webhook replay": {"1", "1 --from=1"}, "webhook remove": {"1"},
	"ready":          {"--listen=127.0.0.1:1", "--listen=nowhere"},
	"version":        {"", "--format=json"},
	"pull worth":     {"--source=http://127.0.0.1:1 --customer=x --token-file=secrets.csv", "--source=http://u:" + secretOfDSN + "@127.0.0.1:1 --customer=x --token-file=secrets.csv"},
	"pull testinium": {"--source=http://127.0.0.1:1 --customer=1 --company=1 --token-command=exit --retry-for=1ms", "--source=http://127.0.0.1:1 --customer=1 --company=1 --token-file=secrets.csv --retry-for=1ms"},
	"merge":          {"secrets.csv secrets.csv", "none.ndjson secrets.csv --mapping=secrets.csv"},
	"compare":        {"--dialect=worth --source=http://127.0.0.1:1 --target=http://127.0.0.1:1 --customer=x --token-file=secrets.csv --target-token-file=secrets.csv"},
	"shadow":         {"--dialect=worth --source=http://u:" + secretOfDSN + "@127.0.0.1:1 --target=http://127.0.0.1:1", "--dialect=worth --source=http://127.0.0.1:1 --target=http://127.0.0.1:1 --listen=256.0.0.1:1"},
	"check": {"--list", checkOfAda + " --target=http://127.0.0.1:1", checkOfAda + " --target=http://u:" + secretOfDSN + "@127.0.0.1:1",
		checkOfAda + " --target=" + secretOfFile, checkOfAda + " --target=http://127.0.0.1:1 --other-token=" + secretOfTokens},
}

const checkOfAda = "--dialect=testinium --customer=3393 --company=5251 --user=6860 --token=" + secretOfTokens

// TestCommandsHideSecrets runs every command with secrets in all of its settings, good ones and bad ones, on a directory
// that is full of them.
func TestCommandsHideSecrets(t *testing.T) {
	t.Parallel()
	parser, err := newParser(&commandLine{})
	if err != nil {
		t.Fatal(err)
	}
	storetest.EachURL(t, func(t *testing.T, database string) {
		s := servertest.StartWith(t, server.Config{Database: database})
		secrets := plantSecrets(t, s)
		dir := t.TempDir()
		settings := "jwt-secret: " + secretOfTokens + "\nold-secret-key: [" + keyOfBefore + "]\njwks-url: https://u:" + secretOfDSN + "@keys.example.com/\n"
		for name, text := range map[string]string{
			"secrets.yaml": settings, "broken.yaml": settings + "jwt-secret: " + secretOfTokens + "\nsecret-key: [" + keyOfNow + ", " + secretTooShort + "]\nsecret-key-file: secrets.csv\ndatabase: {" + secretOfDSN + ": 1}\n",
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		file := "customer,first_name,last_name,email,password\n3393,A,B,a@example.com," + secretOfFile + "\n"
		if err := os.WriteFile(filepath.Join(dir, "secrets.csv"), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		database = strings.Replace(database, "postgres://postgres@", "postgres://postgres:"+secretOfDSN+"@", 1)
		good := []string{"DRAGOMAN_DATABASE=" + database, "DRAGOMAN_SECRET_KEY=" + keyOfNow, "DRAGOMAN_OLD_SECRET_KEY=" + keyOfBefore, "DRAGOMAN_JWT_SECRET=" + secretOfTokens}
		run := func(command *kong.Node, line, setting string) {
			args := append(strings.Fields(command.Path()), strings.Fields(line)...)
			variables := good
			if setting != "" {
				variables = append(slices.Clone(good), setting) // of two of one name the last counts
			}
			status, out, said := configured(t, dir, variables, "", args...)
			findSecrets(t, secrets, fmt.Sprintf("%q with %s, status %d,", args, setting, status), out+said)
		}
		for _, command := range parser.Model.Leaves(false) {
			lines, ok := commandLines[command.Path()]
			if !ok {
				t.Errorf("say in commandLines how to run %s", command.Path())
				continue
			}
			for _, line := range lines {
				run(command, line, "")
			}
			run(command, lines[0], "DRAGOMAN_SECRET_KEY="+keyOfBefore)
			if strings.HasPrefix(database, "postgres:") {
				continue // what follows is refused before the database is opened
			}
			for _, line := range []string{"--help", "--no-such-flag=" + secretOfFile} {
				run(command, line, "")
			}
			for _, bad := range []string{
				"DRAGOMAN_DATABASE=postgres://u:p@" + secretOfDSN + "@127.0.0.1:9/d", "DRAGOMAN_DATABASE=mysql://u:" + secretOfDSN + "@127.0.0.1:9/d",
				"DRAGOMAN_SECRET_KEY=" + secretTooShort, "DRAGOMAN_OLD_SECRET_KEY=" + secretTooShort, "DRAGOMAN_JWT_SECRET=" + secretTooShort,
				"DRAGOMAN_JWT_SECRET_FILE=secrets.csv", "DRAGOMAN_DATABASE=u:" + secretOfDSN + "@127.0.0.1",
			} {
				run(command, lines[0], bad)
			}
		}
		exported, err := os.ReadFile(filepath.Join(dir, "out.csv"))
		if err != nil {
			t.Fatal(err)
		}
		findSecrets(t, secrets, "the export", string(exported))
	})
}

// plantSecrets gives the users secrets, and gives all that nobody may print.
func plantSecrets(t *testing.T, s *servertest.Server) []string {
	t.Helper()
	secrets := []string{secretOfTokens, secretTooShort, secretOfFile, secretOfDSN, secretOfUser, secretOfClient, provisioning.Hash(secretOfClient), keyOfBefore, keyOfNow, "CanaryOldSecretKey", string(storetest.Key)}
	hash, err := auth.NewCheapPasswords().Hash(context.Background(), "Canary-password")
	if err != nil {
		t.Fatal(err)
	}
	row := store.ProvisioningToken{
		Hash: provisioning.Hash(secretOfClient), CustomerID: servertest.Sandbox, Role: "ROLE_USER", ExpiresAt: time.Now().Add(time.Hour),
	}
	if err := s.Store.CreateProvisioningToken(context.Background(), &row); err != nil {
		t.Fatal(err)
	}
	for _, id := range []int64{servertest.Ada, servertest.Grace} {
		u, _, err := s.Store.UpdateUser(context.Background(), store.UserByID(servertest.Sandbox, id), store.Change{Edit: func(u *store.User) error {
			u.PasswordHash, u.VCSPassword, u.FirstName = &hash, new(secretOfUser), "Changed"
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, hash, u.AccessToken, u.AccessTokenSealed, *u.VCSPasswordSealed)
	}
	return secrets
}

func findSecrets(t *testing.T, secrets []string, where, text string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
			t.Errorf("%s tells %s: %s", where, secret, text)
		}
	}
}

// TestServeHidesSecrets runs the server as it is run in earnest, and in development, until it is told to stop.
func TestServeHidesSecrets(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json", "dev"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			args := []string{"serve", "--listen=127.0.0.1:0", "--log-level=debug", "--log-format=" + format}
			variables := []string{"DRAGOMAN_SECRET_KEY=" + keyOfNow, "DRAGOMAN_OLD_SECRET_KEY=" + keyOfBefore, "DRAGOMAN_JWT_SECRET=" + secretOfTokens}
			if format == "dev" {
				args, variables = []string{"serve", "--dev", "--listen=127.0.0.1:0", "--log-level=debug"}, nil
			}
			token, err := auth.Sign([]byte(secretOfTokens), auth.Claims{Subject: "somebody", Customers: []string{auth.AllCustomers}, Authorities: []string{"ROLE_ADMIN"}, Expires: time.Hour}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			said := serve(t, dir, variables, args, func(address string) {
				for _, path := range []string{"/directory/v1/changes", "/directory/v1/changes?token=" + token, "/" + secretOfFile, "/readyz"} {
					r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, strings.NewReader(secretOfFile))
					if err != nil {
						t.Fatal(err)
					}
					r.Header.Set("Authorization", "Bearer "+token)
					answer, err := http.DefaultClient.Do(r)
					if err != nil {
						t.Fatal(err)
					}
					answer.Body.Close()
				}
			})
			secrets := []string{secretOfTokens, secretOfFile, keyOfNow, keyOfBefore, token[strings.LastIndex(token, "."):]}
			for _, name := range []string{"jwt-secret", "secret-key"} {
				if key, err := os.ReadFile(filepath.Join(dir, ".dragoman", name)); err == nil {
					secrets = append(secrets, strings.TrimSpace(string(key)))
				} else if format == "dev" {
					t.Error(err)
				}
			}
			findSecrets(t, secrets, "the server", said)
		})
	}
}

var listening = regexp.MustCompile(`address"?[=:]"?(127\.0\.0\.1:\d+)`)

// serve runs the program until it listens and f has asked it, and gives all that it printed once it has stopped.
func serve(t *testing.T, dir string, variables, args []string, f func(address string)) string {
	t.Helper()
	return serveBy(t, dir, variables, exec.CommandContext(t.Context(), program(t), args...), f)
}

// serveBy is serve with a command that runs the program.
func serveBy(t *testing.T, dir string, variables []string, c *exec.Cmd, f func(address string)) string {
	t.Helper()
	c.Dir, c.Env = dir, append([]string{"HOME=" + dir}, variables...)
	read, ended := startPiped(t, c)
	var said strings.Builder
	asked := false
	lines := bufio.NewScanner(read)
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if address := listening.FindStringSubmatch(lines.Text()); address != nil && !asked {
			asked = true
			go func() {
				f(address[1])
				if err := c.Process.Signal(syscall.SIGTERM); err != nil {
					t.Error(err)
				}
			}()
		}
	}
	if err := <-ended; err != nil || !asked {
		t.Errorf("the server ends with %v: %s", err, said.String())
	}
	return said.String()
}
