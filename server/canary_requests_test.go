package server_test

import (
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/provisioning"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/golang-jwt/jwt/v5"
)

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
