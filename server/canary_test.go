package server_test

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/directory"
	"github.com/dragoman-id/dragoman/server/provisioning"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
	"github.com/dragoman-id/dragoman/store/userfile"
)

// kind says where a planted text may be seen.
type kind int

const (
	// secret: nowhere.
	secret kind = iota
	// own: the client's own words about the shape of its request, which the answer to that very request may repeat.
	own
	// personal: what the directory is about. Answers, histories and exports tell it; the log does not.
	personal
)

// The planted texts, by what they are or where they are put. None of them is changed by JSON, a URL or a header.
const (
	memberName = "CanaryMemberName"
	roleName   = "ROLE_CANARY"
	queryName  = "CanaryQueryName"
	pathPart   = "CanaryPathPart"

	memberValue = "CanaryMemberValue"
	queryValue  = "CanaryQueryValue"
	headerValue = "CanaryHeaderValue"
	methodName  = "CANARYMETHOD"

	presentPassword = "Canary-present-password"
	wrongPassword   = "Canary-wrong-password"
	newPassword     = "Canary-new-password"
	vcsPassword     = "Canary-vcs-password"
	memberSecret    = "Canary-secret-member"
	dsnPassword     = "Canary-dsn-password"
	oldSecretKey    = "CanaryOldSecretKey-of-32-bytes--"
	keySetSecret    = "CanaryKeySetSecret"
	unsealed        = "CanaryUnsealed"

	personalText = "CanaryPersonalText"
	subject      = "CanarySubject"
)

var planted = map[string]kind{
	memberName: own, roleName: own, queryName: own, pathPart: own,
	memberValue: secret, queryValue: secret, headerValue: secret, methodName: secret,
	presentPassword: secret, wrongPassword: secret, newPassword: secret, vcsPassword: secret, memberSecret: secret,
	dsnPassword: secret, keySetSecret: secret, unsealed: secret,
	oldSecretKey: secret, base64.StdEncoding.EncodeToString([]byte(oldSecretKey)): secret,
	string(storetest.Key): secret, base64.StdEncoding.EncodeToString(storetest.Key): secret,
	string(servertest.Secret): secret, base64.StdEncoding.EncodeToString(servertest.Secret): secret,
	personalText: personal, subject: personal,
	"Lovelace": personal, "ada.lovelace@example.com": personal, "adalovelace": personal, "gracehopper": personal, "Turing": personal,
}

// TestSecretsStaySecret plants secrets wherever there is a place for one, asks every operation for everything that its
// document says it answers, and looks for them in all that comes out of the server: answers, log, history, export, and
// the database itself.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, database string) {
		a := &aviary{T: t, database: database, planted: maps.Clone(planted), statuses: map[string]bool{}}
		a.serve()
		a.waitForKeys()
		a.tire()
		a.breakDown()
		a.listen()
	})
}

// aviary is where the canaries are: all that was planted, and all that was heard.
type aviary struct {
	*testing.T
	database string
	planted  map[string]kind
	heard    []heard
	log      servertest.Log
	admins   []http.Handler
	requests int
	client   string // the token of a provisioning client
	all      []operation
	statuses map[string]bool // those that were seen, as an operation's name and one
}

// heard is something that came out.
type heard struct {
	where, text string
	personal    bool   // whether personal texts may be in it
	stored      bool   // whether what is hashed or sealed may be in it
	request     string // whose own words may be in it
}

// start runs a server on the one database, whose log is heard in both its forms, at its lowest level.
func (a *aviary) start(c server.Config) *servertest.Server {
	a.Helper()
	options := &slog.HandlerOptions{Level: slog.LevelDebug}
	c.Log = slog.New(slog.NewMultiHandler(slog.NewTextHandler(&a.log, options), slog.NewJSONHandler(&a.log, options)))
	c.OldSecretKeys = [][]byte{[]byte(oldSecretKey)}
	c.CORS = []string{"https://app.example.com"}
	c.Database = a.database
	if u, err := url.Parse(a.database); err == nil && u.User != nil {
		if _, has := u.User.Password(); !has {
			u.User = url.UserPassword(u.User.Username(), dsnPassword)
		}
		c.Database = u.String()
	}
	c.Admin = server.Admin{Listen: "127.0.0.1:0", Level: new(slog.LevelVar)}
	s := servertest.StartWith(a.T, c)
	a.admins = append(a.admins, s.Admin)
	return s
}

// authorize gives an Authorization header, and plants its token.
func (a *aviary) authorize(token string) []string {
	for _, part := range strings.Split(token, ".")[1:] {
		if len(part) > 24 {
			a.planted[part[len(part)-24:]] = secret
		}
	}
	return []string{"Bearer " + token}
}

// callers of the sandbox: one who may do what an operation does, and one of a lower rank.
func (a *aviary) callers(s *servertest.Server) (manager func(operation) []string, herself []string) {
	claims := auth.Claims{Subject: subject, Customers: []string{"3393"}, Expires: time.Hour, Authorities: []string{"ROLE_COMPANY_ADMIN"}}
	tokens := map[bool][]string{}
	for erases, p := range map[bool]step{false: {}, true: {permission: auth.PermissionErase}} {
		tokens[erases] = a.authorize(s.Token(p.raised(claims)))
	}
	claims.Permissions, claims.Authorities = []auth.Permission{auth.PermissionRead, auth.PermissionWrite, auth.PermissionCreate}, []string{"ROLE_USER"}
	return func(o operation) []string { return tokens[o.permission == auth.PermissionErase] }, a.authorize(s.Token(claims))
}

// send sends r, and keeps what is heard. The answer may show access tokens if the caller manages.
func (a *aviary) send(s *servertest.Server, o operation, r servertest.Request, manages bool) {
	a.Helper()
	answer := s.Send(r)
	a.requests++
	if r.Method == o.Method {
		a.statuses[fmt.Sprint(o.name, " ", answer.Status)] = true
	}
	a.revive(s, o, answer)
	body := answer.Body
	if r.Method == o.Method && o.OperationID == issuesTokens && answer.Status == http.StatusCreated {
		body = strings.Replace(body, a.plantToken(answer), "", 1)
	}
	for _, once := range webhookSecret.FindAllString(body, -1) {
		// The answers that show one do so alone.
		a.planted[once] = secret
		body = strings.ReplaceAll(body, once, "")
	}
	if manages && answer.Status == http.StatusOK {
		for _, name := range o.dialect.NamesOf("AccessToken") {
			body = regexp.MustCompile(`"`+name+`":"[0-9a-f]{32}"`).ReplaceAllString(body, "")
		}
	}
	var header strings.Builder
	if err := answer.Header.Write(&header); err != nil {
		a.Fatal(err)
	}
	a.heard = append(a.heard, heard{
		where: fmt.Sprintf("the answer %d to %s %s", answer.Status, r.Method, r.Path), text: header.String() + body,
		personal: true, request: r.Path + r.Body,
	})
}

// issuesTokens is the operation whose answers may show a provisioning token, each its own one.
const issuesTokens = "createProvisioningToken"

// plantToken plants the provisioning token in an answer, and gives it.
func (a *aviary) plantToken(answer servertest.Answer) string {
	a.Helper()
	var issued struct{ Token string }
	answer.Decode(a, &issued)
	if !provisioning.WellFormed(issued.Token) {
		a.Fatalf("no token is issued: %d %s", answer.Status, answer.Body)
	}
	a.planted[issued.Token], a.planted[provisioning.Hash(issued.Token)] = secret, secret
	return issued.Token
}

// sendHalf sends a request of which the end never comes.
func (a *aviary) sendHalf(s *servertest.Server, o operation, r servertest.Request) {
	a.Helper()
	c := dial(a.T, strings.TrimPrefix(s.URL, "http://"))
	var header strings.Builder
	if err := r.Header.Write(&header); err != nil {
		a.Fatal(err)
	}
	say(a.T, c, "%s %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %d\r\n\r\n%s", r.Method, r.Path, header.String(), len(r.Body)+1, r.Body)
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		a.Fatal(err)
	}
	text := rest(a.T, c)
	a.requests++
	if strings.HasPrefix(text, "HTTP/1.1 408 ") {
		a.statuses[o.name+" 408"] = true
	}
	a.heard = append(a.heard, heard{where: fmt.Sprintf("the answer to half of %s %s", r.Method, r.Path), text: text, personal: true, request: r.Path + r.Body})
}

// serve asks a server that works for all that does not need it to fail.
func (a *aviary) serve() {
	passwords := auth.NewCheapPasswords()
	s := a.start(server.Config{Passwords: passwords})
	hash, err := passwords.Hash(context.Background(), presentPassword)
	if err != nil {
		a.Fatal(err)
	}
	rewrite(a.T, s, servertest.Ada, func(u *store.User) { u.PasswordHash, u.VCSPassword = &hash, new(vcsPassword) })
	a.plantUsers(s.Store)
	callers, herself := a.callers(s)
	issue := servertest.Operation(a, directory.Description, issuesTokens)
	path, _ := issue.About(servertest.AdaSubject)
	a.client = a.plantToken(s.Send(servertest.Request{
		Method: issue.Method, Path: path, Header: http.Header{"Authorization": callers(operation{}), "Idempotency-Key": {headerValue}}, Body: `{}`,
	}))
	a.requests++
	for _, o := range a.operations(s) {
		manager := callers(o)
		for _, body := range o.bodies {
			a.send(s, o, o.ask(herself, body), true)
			a.send(s, o, o.ask(manager, body), true)
		}
		a.knock(s, o, manager)
		a.misspell(s, o, manager)
		for _, body := range o.malformed(a.T) {
			a.send(s, o, o.ask(herself, body), true)
			a.send(s, o, o.ask(manager, body), true)
			a.send(s, o, o.request(manager, body, o.subject, map[string]string{"Prefer": "handling=strict"}), true)
		}
	}
	a.askAround(s)
	a.plantUsers(s.Store)
	a.export(s.Store)
	a.dump()
}

// revive makes Ada active again, and brings an endpoint back, if the answer is that to the removal.
func (a *aviary) revive(s *servertest.Server, o operation, answer servertest.Answer) {
	switch {
	case answer.Status != http.StatusNoContent || dialect.IsDryRun(o.Path):
	case slices.Contains(o.dialect.Removals, o.OperationID):
		rewrite(a.T, s, servertest.Ada, func(u *store.User) { u.Status = store.StatusActive })
	case o.OperationID == "deleteWebhook":
		s.RestoreWebhook(a.T)
	}
}

// webhookSecret is a secret of an endpoint.
var webhookSecret = regexp.MustCompile(`whsec_[A-Za-z0-9+/=]+`)

// askAround asks for what there is beside the operations, and once more for what has come to be known of all that was done.
func (a *aviary) askAround(s *servertest.Server) {
	a.Helper()
	platform := a.authorize(s.Token(auth.Claims{Subject: subject, Customers: []string{auth.AllCustomers}, Authorities: []string{"ROLE_ADMIN"}, Expires: time.Hour}))
	for _, path := range []string{
		"/livez", "/readyz", "/", "/" + pathPart, "/livez/" + pathPart, "/readyz?" + queryName + "=" + queryValue, "/auth/" + pathPart, "/account/api/v1/" + pathPart,
		"/directory/v1/changes?limit=1000", "/directory/v1/customers/3393/users/6860/history?limit=1000",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			a.send(s, operation{}, servertest.Request{Method: method, Path: path, Header: http.Header{"Authorization": platform}, Body: memberValue}, false)
		}
	}
	for _, id := range []int64{servertest.Ada, servertest.Grace} {
		changes, err := s.Store.UserHistory(context.Background(), store.UserByID(servertest.Sandbox, id), 0, 100_000)
		if err != nil {
			a.Fatal(err)
		}
		text, err := json.Marshal(changes)
		if err != nil {
			a.Fatal(err)
		}
		a.heard = append(a.heard, heard{where: fmt.Sprintf("the history of %d", id), text: string(text), personal: true})
	}
}

// plantUsers plants what is stored of all users that nobody may see.
func (a *aviary) plantUsers(s *store.Store) {
	a.Helper()
	for _, customer := range []int64{servertest.Sandbox, servertest.Elsewhere} {
		users, err := s.UsersAfter(context.Background(), customer, 0, 100_000)
		if err != nil {
			a.Fatal(err)
		}
		for _, u := range users {
			if u.Erased() {
				continue // who has none
			}
			a.planted[u.AccessToken], a.planted[u.AccessTokenSealed] = secret, secret
			for _, text := range []*string{u.PasswordHash, u.VCSPassword, u.VCSPasswordSealed} {
				if text != nil {
					a.planted[*text] = secret
				}
			}
		}
	}
}

func (a *aviary) export(s *store.Store) {
	a.Helper()
	for _, format := range []userfile.Format{userfile.CSV, userfile.NDJSON} {
		var out strings.Builder
		if n, err := (userfile.Export{Store: s, Format: format}).Run(context.Background(), &out); err != nil || n < 4 {
			a.Fatal(n, err)
		}
		a.heard = append(a.heard, heard{where: "the export as " + string(format), text: out.String(), personal: true})
	}
}

// dump reads the database as a thief would.
func (a *aviary) dump() {
	a.Helper()
	var all strings.Builder
	if file, ok := strings.CutPrefix(a.database, "sqlite:"); ok {
		for _, name := range []string{file, file + "-wal"} {
			content, err := os.ReadFile(name)
			if err != nil {
				a.Fatal(err)
			}
			all.Write(content)
		}
	} else {
		db := a.open()
		var tables string
		if err := db.QueryRow("SELECT string_agg(tablename, ' ') FROM pg_tables WHERE schemaname = current_schema()").Scan(&tables); err != nil {
			a.Fatal(err)
		}
		for _, table := range strings.Fields(tables) {
			var rows string
			if err := db.QueryRow("SELECT coalesce(string_agg(t::text, chr(10)), '') FROM " + table + " AS t").Scan(&rows); err != nil {
				a.Fatal(err)
			}
			all.WriteString(rows)
		}
	}
	a.heard = append(a.heard, heard{where: "the database", text: all.String(), personal: true, stored: true})
}

// open opens the database behind the servers' back.
func (a *aviary) open() *sql.DB {
	a.Helper()
	driver, name := "pgx", a.database
	if file, ok := strings.CutPrefix(a.database, "sqlite:"); ok {
		driver, name = "sqlite", file
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		a.Fatal(err)
	}
	a.Cleanup(func() { db.Close() })
	return db
}

// listen looks for every canary in everything that was heard, once all of it was.
func (a *aviary) listen() {
	for _, o := range a.operations(servertest.Start(a.T)) {
		success, _ := description.Success(o.Operation.Operation)
		for status := range o.Responses.Map() {
			if status == "422" && dialect.IsDryRun(o.Path) || status == "412" && success == 0 {
				continue // it has no keys, or is always refused for another reason
			}
			if !a.statuses[o.name+" "+status] {
				a.Errorf("%s was never brought to answer %s", o.name, status)
			}
		}
	}
	log := a.log.String()
	if text, lines := strings.Count(log, "msg=request "), strings.Count(log, `"msg":"request"`); text != a.requests || lines != a.requests {
		a.Errorf("the log has %d and %d lines about %d requests", text, lines, a.requests)
	}
	a.heard = append(a.heard, heard{where: "the log", text: log})
	for _, admin := range a.admins {
		metrics := scrape(a.T, admin)
		if !strings.Contains(metrics, "dragoman_http_request_duration_seconds_count{") {
			a.Errorf("nothing was measured: %s", metrics)
		}
		a.heard = append(a.heard, heard{where: "a server's metrics", text: metrics})
	}
	told := map[string]bool{} // where it may be
	// By their first characters, so that each text is gone through once for all of them.
	const start = 4
	canaries := map[string][]string{}
	for canary := range a.planted {
		if len(canary) < start {
			a.Fatalf("%q is too short to be looked for", canary)
		}
		first := strings.ToLower(canary)[:start]
		canaries[first] = append(canaries[first], canary)
	}
	for _, h := range a.heard {
		text := strings.ToLower(h.text)
		for at := range len(text) - start + 1 {
			for _, canary := range canaries[text[at:at+start]] {
				low, is := strings.ToLower(canary), a.planted[canary]
				switch {
				case !strings.HasPrefix(text[at:], low):
				case is == personal && h.personal, is == own && strings.Contains(strings.ToLower(h.request), low), h.stored && storedForm.MatchString(canary):
					told[canary] = true
				default:
					a.Errorf("%s tells %q: %q", h.where, canary, h.text[max(0, at-80):min(len(h.text), at+len(low)+80)])
				}
			}
		}
	}
	for canary, is := range planted {
		if is != secret && !told[canary] {
			a.Errorf("%s came out nowhere, so it has not been where it belongs", canary)
		}
	}
}

// storedForm is that of a password's hash, of a provisioning token's, and of a sealed value.
var storedForm = regexp.MustCompile(`^(\$argon2id\$.*|[0-9a-f]{64}|[0-9a-f]{8}\.[A-Za-z0-9_-]+)$`)
