package server_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
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
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/golang-jwt/jwt/v5"
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

// canaryBodies are bodies of an operation with secrets in their places, made of one that is accepted. The first is accepted.
func canaryBodies(t testing.TB, s *servertest.Server, d description.API, o description.Operation) []string {
	t.Helper()
	b, ok := d.Request(o.OperationID)
	if !ok {
		t.Fatalf("the description of %s has no table of the request of %s", d.Name, o.OperationID)
	}
	if b.Own {
		unique := personalText + "-" + o.OperationID
		if dialect.IsDryRun(o.Path) {
			unique += "-dry"
		}
		// The other one has what is another user's.
		return []string{servertest.Encode(t, d.Everything(o.OperationID, unique)), servertest.Encode(t, d.Everything(o.OperationID, "gracehopper"))}
	}
	encode := func(members map[string]any) string { return b.Around(servertest.Encode(t, members)) }
	base := b.In(d.Everything(o.OperationID, personalText+"-"+o.OperationID))
	if o.OperationID != d.Create {
		base = idle(t, s, d, o.OperationID, servertest.Administrator(), servertest.AdaSubject)
	}
	for _, field := range []string{"FirstName", "Mobile"} {
		if m, ok := b.Member(field); ok {
			description.Set(base, m.Path, personalText)
		}
	}
	schema := o.RequestBody.Value.Content.Get("application/json").Schema.Value
	// with gives the body with a text for each member that pick gives one for, if it gives any.
	with := func(pick func(m description.Member) (text string)) []string {
		body, any := servertest.Copy(t, base), false
		for _, m := range b.Members {
			if text := pick(m); text != "" {
				description.Set(body, m.Path, text)
				any = true
			}
		}
		if !any {
			return nil
		}
		return []string{encode(body)}
	}
	proving := func(proof, changed string) func(description.Member) string {
		return func(m description.Member) string {
			switch {
			case m.Effect == description.Proves:
				return proof
			case m.Effect == description.Replaces && m.Field == "PasswordHash":
				return changed
			case m.Effect == description.Replaces && m.Field == "VCSPassword" && changed != "":
				return vcsPassword
			}
			return ""
		}
	}
	all := with(proving(presentPassword, newPassword))
	if all == nil {
		all = []string{encode(base)}
	}
	return slices.Concat(all, with(proving(wrongPassword, newPassword)), with(proving(wrongPassword, "")),
		with(func(m description.Member) string {
			property := description.PropertyAt(schema, m.Path)
			if m.Effect == description.Owned && property != nil && property.Type.Is("string") {
				return memberSecret
			}
			return ""
		}),
		with(func(m description.Member) string {
			of, _, nested := strings.Cut(m.Field, ".")
			switch {
			case m.Effect == description.Names:
				return roleName
			case m.Effect == description.Ignored && (of == "Role" && nested || m.Field == "") && strings.HasSuffix(strings.ToLower(m.Path), "name"):
				return memberValue
			}
			return ""
		}),
		with(func(m description.Member) string {
			if m.Effect == description.Replaces && m.Field == "Email" {
				return "grace.hopper@example.com"
			}
			return ""
		}))
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
	log      notes
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

// notes are what was logged so far.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
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

// operation is one of a document, as it is to be asked.
type operation struct {
	step
	bodies  []string            // that it takes, or one that nobody reads
	subject description.Subject // Ada, or whoever need not remain
}

func (a *aviary) operations(s *servertest.Server) []operation {
	a.Helper()
	if a.all == nil {
		for _, p := range walk(a.T, s.Store) {
			bodies := []string{`{"` + memberName + `":"` + memberValue + `"}`}
			if p.RequestBody != nil {
				bodies = canaryBodies(a.T, servertest.Start(a.T), p.dialect, p.Operation)
			}
			subject := servertest.AdaSubject
			if p.permission == auth.PermissionErase {
				subject = a.whoMayGo(s)
			}
			a.all = append(a.all, operation{p, bodies, subject})
		}
	}
	return a.all
}

// whoMayGo gives a user of its own to be erased.
func (a *aviary) whoMayGo(s *servertest.Server) description.Subject {
	u := s.CreateUser(a.T, store.User{FirstName: personalText, Username: personalText, Email: personalText + "@example.com", Status: store.StatusActive})
	return of(sandbox, party{id: u.ID, uuid: u.UUID.String()})
}

// request asks the operation about a subject, with these values instead of what it has for its parameters.
func (o operation) request(authorization []string, body string, subject description.Subject, values map[string]string) servertest.Request {
	r := servertest.Request{Method: o.Method, Body: body}
	r.Path, r.Header = o.About(subject)
	r.Header["Authorization"] = authorization
	query := url.Values{}
	for _, p := range o.Parameters {
		value, ok := values[p.Name]
		switch {
		case !ok:
		case p.In == openapi3.ParameterInPath:
			changed := o.Operation
			changed.Path = strings.ReplaceAll(o.Path, "{"+p.Name+"}", url.PathEscape(value))
			r.Path, _ = changed.About(subject)
		case p.In == openapi3.ParameterInQuery:
			query.Set(p.Name, value)
		default:
			r.Header.Set(p.Name, value)
		}
	}
	if len(query) > 0 {
		r.Path += "?" + query.Encode()
	}
	return r
}

// ask is request about the operation's own subject.
func (o operation) ask(authorization []string, body string) servertest.Request {
	return o.request(authorization, body, o.subject, nil)
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

// knock comes as everybody who is not let in, or not to everything.
func (a *aviary) knock(s *servertest.Server, o operation, manager []string) {
	a.Helper()
	ours, others := walkKeys()
	good := auth.Claims{Subject: subject, Customers: []string{"3393"}, Authorities: []string{"ROLE_COMPANY_ADMIN"}, Expires: time.Hour}
	token := s.Token(good)
	expired, err := auth.Sign(servertest.Secret, good, time.Now().Add(-2*time.Hour))
	if err != nil {
		a.Fatal(err)
	}
	unknown, err := provisioning.Generate(rand.Reader)
	if err != nil {
		a.Fatal(err)
	}
	a.planted[unknown], a.planted[provisioning.Hash(unknown)], a.planted[a.client[:len(a.client)-1]] = secret, secret, secret
	foreign, powerless := good, good
	foreign.Customers, powerless.Authorities = []string{"3394"}, []string{"ROLE_REPORT"}
	for _, authorization := range [][]string{
		nil, {""}, {"Basic " + headerValue}, {"Bearer"}, {"Bearer " + headerValue}, {headerValue}, {token, token},
		a.authorize(headerValue + "." + headerValue + "." + headerValue),
		a.authorize(expired),
		a.authorize(s.Token(foreign)),
		a.authorize(s.Token(powerless)),
		a.authorize(token + "x"),
		a.authorize(token + strings.Repeat("x", 16<<10)),
		{"Bearer " + a.client}, {"Bearer " + a.client[:len(a.client)-1] + "!"}, {"Bearer " + unknown}, {"bearer " + a.client}, {a.client},
		a.authorize(walkToken(a.T, jwt.SigningMethodRS256, ours, nil)),
		a.authorize(walkToken(a.T, jwt.SigningMethodHS256, others.D.Bytes(), nil)),
		a.authorize(walkToken(a.T, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil)),
		a.authorize(walkToken(a.T, jwt.SigningMethodHS256, servertest.Secret, func(_ *jwt.Token, c jwt.MapClaims) { c["customer_id"] = headerValue })),
		a.authorize(walkToken(a.T, jwt.SigningMethodHS256, servertest.Secret, func(_ *jwt.Token, c jwt.MapClaims) { c["authorities"] = map[string]any{headerValue: 1} })),
	} {
		r := o.ask(authorization, o.bodies[0])
		r.Header["Cookie"] = []string{"token=" + headerValue}
		a.send(s, o, r, false)
	}
	theirCompany := o.subject
	theirCompany.Company = 2760
	for _, subject := range []description.Subject{of(elsewhere, ada), of(nobody, ada), of(sandbox, alan), of(sandbox, nobody), theirCompany} {
		a.send(s, o, o.request(manager, o.bodies[0], subject, nil), true)
	}
	fresh := func(what string) string {
		success, _ := description.Success(o.Operation.Operation)
		if o.OperationID != o.dialect.Create && success != http.StatusCreated {
			return o.bodies[0]
		}
		return servertest.Encode(a.T, o.dialect.Everything(o.OperationID, personalText+"-"+what+"-"+o.OperationID))
	}
	if tenancyOf(o.Operation) == byThing {
		s.RestoreWebhook(a.T)
	}
	for _, values := range []map[string]string{{"If-None-Match": "*"}, {"If-Match": `"99"`}} {
		a.send(s, o, o.request(manager, fresh("conditional"), o.subject, values), true)
	}
	// Twice the same request and then another one under a key, which no document but that of a write has.
	repeated := fresh("repeated")
	for i, body := range []string{repeated, repeated, repeated + " "} {
		values := map[string]string{"Idempotency-Key": headerValue + "-of-" + o.OperationID}
		if i == 2 && o.RequestBody == nil {
			values["Prefer"] = "handling=strict" // a body that is ignored does not make it another one
		}
		a.send(s, o, o.request(manager, body, o.subject, values), true)
	}
}

// misspell puts secrets where a request has something else.
func (a *aviary) misspell(s *servertest.Server, o operation, manager []string) {
	a.Helper()
	body := o.bodies[0]
	for _, p := range o.Parameters {
		value := map[string]string{openapi3.ParameterInPath: pathPart, openapi3.ParameterInQuery: queryValue}[p.In]
		if value == "" {
			value = headerValue
		}
		for _, v := range []string{value, `"` + value + `"`, value + "\u00ff", "1 " + value} {
			a.send(s, o, o.request(manager, body, o.subject, map[string]string{p.Name: v}), true)
		}
	}
	for _, suffix := range []string{
		"?" + queryName + "=" + queryValue, "?" + queryName + "=" + queryValue + ";x", "?" + strings.Repeat(queryName, 9) + "=" + queryValue,
		"?password=" + queryValue, "?access_token=" + queryValue, "?%zz=" + queryValue,
		"/" + pathPart, "/" + pathPart + "/" + pathPart, "%2F" + pathPart,
	} {
		r := o.ask(manager, body)
		r.Path += suffix
		a.send(s, o, r, true)
	}
	for name, value := range map[string]string{
		"Content-Type": "text/" + headerValue, "Content-Encoding": headerValue, "User-Agent": headerValue, "Referer": "https://example.com/?" + headerValue,
		"X-Request-Id": headerValue + " is no id", "X-Forwarded-For": headerValue, "Origin": "https://" + strings.ToLower(headerValue) + ".example.com",
		"Accept": headerValue, "Accept-Language": headerValue, "X-Api-Key": headerValue, "Prefer": "handling=" + headerValue, "Forwarded": "for=" + headerValue,
	} {
		r := o.ask(manager, body)
		r.Header.Set(name, value)
		a.send(s, o, r, true)
	}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, methodName} {
		if o.Item.Operations()[method] == nil {
			r := o.ask(manager, body)
			r.Method = method
			a.send(s, o, r, true)
		}
	}
}

// malformed are bodies that hold secrets where they do not belong. Some of them are accepted.
func (o operation) malformed(t *testing.T) []string {
	t.Helper()
	if o.RequestBody == nil {
		return nil
	}
	good := o.bodies[0]
	begun := strings.TrimSuffix(good, "}")
	member := `"` + memberName + `":"` + memberValue + `"`
	bodies := []string{
		`{` + member + `}`, begun + `,` + member + `}`, begun + `,"x":{` + member + `,"y":["` + memberValue + `"]}}`,
		begun + `,` + member + `,` + member + `}`, begun + `,"x":{` + member + `,` + member + `}}`, begun + `,"` + strings.Repeat(memberName, 9) + `":1}`,
		begun, begun + `,` + member, begun + `,"` + memberName, begun + `,"password":"` + wrongPassword, good + memberValue, good + good,
		memberValue, `"` + memberValue + `"`, `["` + memberValue + `"]`, `{"` + memberName + `"}`, `{` + memberName + `:1}`, "",
		begun + `,` + `"` + memberName + `":"` + memberValue + `\u0000"}`, begun + `,"vcsPassword":"` + vcsPassword + `\u0000"}`,
		begun + `,"` + memberName + `\u0000":"` + memberValue + `"}`, begun + `,"newPassword":"` + newPassword + "\xff\"}",
		begun + `,"newPassword":"` + newPassword + `\ud800"}`, begun + `,"\ud800` + memberName + `":1}`,
		strings.Repeat(`{"`+memberName+`":`, 40) + `"` + memberValue + `"` + strings.Repeat("}", 40),
		"password=" + wrongPassword + "&name=" + memberValue, strings.Repeat(memberValue, 20_000), begun + strings.Repeat(" ", 256<<10) + `,` + member + `}`,
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(good), &members); err != nil {
		t.Fatal(err)
	}
	for name := range o.RequestBody.Value.Content.Get("application/json").Schema.Value.Properties {
		text := personalText
		if low := strings.ToLower(name); strings.Contains(low, "password") || strings.Contains(low, "token") {
			text = memberSecret
		}
		inside := `{"name":"` + roleName + `","id":"` + memberValue + `","code":"` + memberValue + `","label":"` + memberValue + `",` + member + `}`
		for _, value := range []string{
			`"` + text + `"`, `"` + text + ` ` + text + `@"`, `"` + strings.Repeat(text, 30) + `"`, `["` + text + `"]`, `{"` + memberName + `":"` + text + `"}`,
			inside, `[` + inside + `]`, `null`, `{}`, `1e400`,
		} {
			changed := maps.Clone(members)
			changed[name] = json.RawMessage(value)
			body, err := json.Marshal(changed)
			if err != nil {
				body = []byte(`{"` + name + `":` + value + `}`)
			}
			bodies = append(bodies, string(body))
		}
	}
	return bodies
}

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

// breakDown asks servers whose database is broken in one way or another, and leaves it so.
func (a *aviary) breakDown() {
	db := a.open()
	for _, broken := range []struct{ name, by, mended string }{
		{"without a history", "ALTER TABLE user_changes RENAME TO gone", "ALTER TABLE gone RENAME TO user_changes"},
		{"with a hash that is none", "UPDATE users SET password_hash = '$argon2id$v=19$m=" + unsealed + ",t=1,p=1$" + unsealed + "$" + unsealed + "'", ""},
		{"with a password that is none", "UPDATE users SET password_hash = '" + unsealed + "'", ""},
		{"with secrets in the clear", "UPDATE users SET access_token_sealed = '" + unsealed + "." + unsealed + "', vcs_password_sealed = '" + unsealed + "'", ""},
		{"closed", "", ""},
	} {
		s := a.start(server.Config{})
		operations := a.operations(s)
		manager, herself := a.callers(s)
		if broken.by == "" {
			if err := s.Store.Close(); err != nil {
				a.Fatal(err)
			}
		} else if _, err := db.Exec(broken.by); err != nil {
			a.Fatal(err)
		}
		before := len(a.log.String())
		for _, o := range operations {
			for _, body := range o.bodies {
				a.send(s, o, o.ask(herself, body), true)
				a.send(s, o, o.ask(manager(o), body), true)
			}
		}
		a.send(s, operation{}, servertest.Request{Method: http.MethodGet, Path: "/readyz"}, false)
		if !strings.Contains(a.log.String()[before:], "level=ERROR") {
			a.Errorf("%s: no fault was logged", broken.name)
		}
		if broken.mended != "" {
			if _, err := db.Exec(broken.mended); err != nil {
				a.Fatal(err)
			}
		}
	}
}

// waitForKeys asks servers that cannot have the issuer's keys, or not all of them.
func (a *aviary) waitForKeys() {
	ours, _ := walkKeys()
	token := a.authorize(walkToken(a.T, jwt.SigningMethodRS256, ours, nil))
	private := base64.RawURLEncoding.EncodeToString(ours.D.Bytes())
	a.planted[private] = secret
	oct := `{"kty":"oct","kid":"` + keySetSecret + `","k":"` + keySetSecret + `"}`
	for _, answer := range []string{
		"", keySetSecret, `{"keys":[` + oct + `]}`, `{"keys":[],"` + keySetSecret + `":1,"` + keySetSecret + `":2}`, `{"` + keySetSecret + `":"` + keySetSecret,
		strings.Replace(walkKeySet(keySetSecret, &ours.PublicKey), `"kty"`, `"d":"`+private+`","kty"`, 1),
		`{"keys":[` + oct + `,` + strings.TrimPrefix(walkKeySet(walkKid, &ours.PublicKey), `{"keys":[`),
	} {
		keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if answer == "" {
				http.Error(w, keySetSecret, http.StatusTeapot)
			}
			fmt.Fprint(w, answer)
		}))
		a.Cleanup(keys.Close)
		s := a.start(server.Config{Auth: auth.Config{Issuers: []auth.Issuer{{JWKSURL: keys.URL + "/" + keySetSecret + "?key=" + keySetSecret, Rules: walkRules()}}}})
		for _, o := range a.operations(s) {
			a.send(s, o, o.ask(token, o.bodies[0]), true)
		}
		a.send(s, operation{}, servertest.Request{Method: http.MethodGet, Path: "/readyz"}, false)
	}
}

// tire asks servers that reject requests beyond a limit or a timeout.
func (a *aviary) tire() {
	limited := a.start(server.Config{Limits: server.Limits{Principal: dialect.Rate{PerSecond: 1e-3, Burst: 1}}})
	busy := a.start(server.Config{Passwords: auth.NewBusyPasswords(), Timeouts: server.Timeouts{Request: 50 * time.Millisecond}})
	for _, s := range []*servertest.Server{limited, busy} {
		callers, herself := a.callers(s)
		for _, o := range a.operations(s) {
			manager := callers(o)
			if s == busy && o.RequestBody == nil {
				continue // a list may be truncated
			}
			a.send(s, o, o.ask(manager, o.bodies[0]), true)
			a.send(s, o, o.ask(herself, o.bodies[0]), true)
			if o.RequestBody != nil {
				a.sendHalf(s, o, o.ask(manager, o.bodies[0]))
			}
		}
	}
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
	for _, h := range a.heard {
		text := strings.ToLower(h.text)
		for canary, is := range a.planted {
			low := strings.ToLower(canary)
			at := strings.Index(text, low)
			switch {
			case at < 0:
			case is == personal && h.personal, is == own && strings.Contains(strings.ToLower(h.request), low), h.stored && storedForm.MatchString(canary):
				told[canary] = true
			default:
				a.Errorf("%s tells %q: %q", h.where, canary, h.text[max(0, at-80):min(len(h.text), at+len(low)+80)])
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

// idle is a body that an update accepts and that changes nothing of the user.
func idle(t testing.TB, s *servertest.Server, d description.API, operation string, claims auth.Claims, subject description.Subject) map[string]any {
	t.Helper()
	b, ok := d.Request(operation)
	if !ok {
		t.Fatalf("%s has no table of the request of %s", d.Name, operation)
	}
	_, user := s.Show(t, d, claims, subject)
	body := servertest.Project(t, b, user)
	for _, m := range b.Members {
		// What may be null in an answer may not be in a request.
		if value, ok := body[m.Path]; ok && value == nil {
			delete(body, m.Path)
		}
	}
	return body
}
