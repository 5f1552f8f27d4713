package server_test

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/server/servertest/toy"
	"github.com/dragoman-id/dragoman/server/servertest/toy/gen/toyapi"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
	"github.com/getkin/kin-openapi/openapi3"
)

// spoiled is the toy without something that a dialect needs, and what is said then.
var spoiled = map[string]struct {
	document func(path *openapi3.PathItem)                                                         // changes the document
	api      func(*description.API)                                                                // changes the description
	dialect  func(*dialect.Dialect)                                                                // changes what is mounted
	handler  func(whole toyapi.StrictServerInterface, s *store.Store) toyapi.StrictServerInterface // takes the handlers' place
	says     string
}{
	// Mount refuses these.
	"no Render":       {dialect: func(d *dialect.Dialect) { d.Render = nil }, says: "the dialect has no Render"},
	"no FieldName":    {dialect: func(d *dialect.Dialect) { d.FieldName = nil }, says: "the dialect has no FieldName"},
	"no TakenMessage": {dialect: func(d *dialect.Dialect) { d.TakenMessage = nil }, says: "the dialect has no TakenMessage"},
	"no Tenant":       {dialect: func(d *dialect.Dialect) { d.Tenant = nil }, says: "the dialect has no Tenant"},
	"no permission":   {dialect: func(d *dialect.Dialect) { delete(d.Permissions, "putPerson") }, says: "Permissions has none for PUT /shops/{shop}/people/{person} (putPerson)"},
	"no document":     {api: func(a *description.API) { a.Spec = nil }, says: "the dialect has no Spec"},
	"no If-Match": {
		document: func(p *openapi3.PathItem) { p.Parameters = without(p.Parameters, "If-Match") },
		says:     "the document has no parameter If-Match of PATCH /shops/{shop}/people/{person} (patchPerson)",
	},
	"no ETag in the document of a write": {
		document: func(p *openapi3.PathItem) { delete(p.Patch.Responses.Status(200).Value.Headers, "ETag") },
		says:     "the document has no header ETag in the answer 200 to PATCH /shops/{shop}/people/{person} (patchPerson)",
	},
	"no ETag in the document of a read": {
		document: func(p *openapi3.PathItem) { delete(p.Get.Responses.Status(200).Value.Headers, "ETag") },
		says:     "the document has no header ETag in the answer 200 to GET /shops/{shop}/people/{person}, whose version",
	},
	"no read": {document: func(p *openapi3.PathItem) { p.Get = nil }, says: "the document has no GET /shops/{shop}/people/{person}"},
	"no 412":  {document: func(p *openapi3.PathItem) { p.Put.Responses.Delete("412") }, says: "the document has no answer 412 to PUT"},
	"no 415":  {document: func(p *openapi3.PathItem) { p.Patch.Responses.Delete("415") }, says: "the document has no answer 415 to PATCH"},
	"no request id in the document": {
		document: func(p *openapi3.PathItem) { delete(p.Get.Responses.Status(200).Value.Headers, "X-Request-Id") },
		says:     "the document has no header X-Request-Id in the answer 200 to GET",
	},
	"no mark of dry runs in the document": {
		document: func(p *openapi3.PathItem) { delete(p.Put.Responses.Status(200).Value.Headers, "Dragoman-Dry-Run") },
		says:     "the document has no header Dragoman-Dry-Run in the answer 200 to PUT",
	},
	"no Prefer": {
		document: func(p *openapi3.PathItem) { p.Put.Parameters = without(p.Put.Parameters, "Prefer") },
		says:     "the document has no parameter Prefer of PUT",
	},
	"no list of conflicts in the document": {
		document: func(p *openapi3.PathItem) { delete(p.Put.Responses.Status(412).Value.Headers, "Dragoman-Conflict") },
		says:     "the document has no header Dragoman-Conflict in the answer 412 to PUT",
	},
	"no present ETag in the document": {
		document: func(p *openapi3.PathItem) { delete(p.Put.Responses.Status(412).Value.Headers, "ETag") },
		says:     "the document has no header ETag in the answer 412 to PUT",
	},
	"no path of what has changed": {
		api:  func(a *description.API) { a.ChangedField = "" },
		says: "toy: the description has no ChangedField",
	},
	"a wrong path of what has changed": {
		api:  func(a *description.API) { a.ChangedState = "meanwhile[].state" },
		says: `toy: "meanwhile[].state" is no member of every error's body`,
	},
	"no server of dry runs": {
		api: func(a *description.API) {
			a.Spec = func() (*openapi3.T, error) {
				document, err := toyapi.GetSpec()
				document.Servers = document.Servers[:1]
				return document, err
			}
		},
		says: "the document has no server /dry-run/toys/v3, where its dry runs are served",
	},

	// The check of the description finds these.
	"a member that is not described": {
		api:  func(a *description.API) { a.Bodies[0].Members = a.Bodies[0].Members[1:] },
		says: `toy: patchPerson's request: given is not in the table "The patch"`,
	},
	"an answer that is not described": {
		api:  func(a *description.API) { a.Bodies = slices.Delete(a.Bodies, 2, 3) },
		says: "toy: getPerson's answer 200 is in no table of Bodies",
	},
	"no sample of a member": {
		api: func(a *description.API) {
			a.Samples = func(unique string) map[string]any {
				all := toy.Description.Samples(unique)
				delete(all, "phone")
				return all
			}
		},
		says: "toy: Samples has no value for phone of patchPerson",
	},
	"roles without a name": {
		api: func(a *description.API) {
			a.Bodies[0].Members = slices.Clone(a.Bodies[0].Members)
			a.Bodies[0].Members[0].Field = "Roles"
		},
		says: "toy: patchPerson's request: given sets Roles, and no member in it has the effect Names",
	},
	"a status that may be any text": {
		api: func(a *description.API) {
			a.Bodies[0].Members = slices.Clone(a.Bodies[0].Members)
			a.Bodies[0].Members[0].Field = "Status"
		},
		says: "toy: patchPerson's request: give given an enum in the document",
	},
	"an update that is not named": {
		api:  func(a *description.API) { a.Updates = a.Updates[:1] },
		says: "toy: PUT /toys/v3/shops/{shop}/people/{person} (putPerson) changes users: true; that it is in Updates or is Create: false",
	},
	"an id that cannot be written": {
		api: func(a *description.API) {
			a.Parameters = map[string]func(description.Subject) string{"shop": a.Parameters["shop"]}
		},
		says: "toy: Parameters does not say how to write person of getPerson",
	},
	"no way to read errors": {
		api:  func(a *description.API) { a.ErrorField = "errors[].field" },
		says: `toy: "errors[].field" is no member of every error's body`,
	},

	// The tests of what is served find these.
	"a stale If-Match that is not checked": {handler: pastPreconditions, says: "patchPerson: a stale If-Match was answered 200"},
	"an undeclared status":                 {handler: answering(http.StatusAccepted, func(http.Header) {}), says: "the document has no status 202"},
	"no ETag in an answer":                 {handler: answering(0, func(h http.Header) { h.Del("ETag") }), says: "ETag"},
	"no request id in an answer":           {handler: answering(0, func(h http.Header) { h.Del("X-Request-Id") }), says: "the answer has no X-Request-Id"},
	"a header that no document has":        {handler: answering(0, func(h http.Header) { h.Set("X-Toy", "1") }), says: "the document names no header X-Toy for status 200"},
	"a member that is not written":         {handler: forgetful, says: "patchPerson: family was set to King, and is shown as [Jackson]"},
	"a tenant that is always the same": {
		dialect: func(d *dialect.Dialect) {
			d.Tenant = func(dialect.Parameters) dialect.Tenant { return dialect.Tenant{ID: servertest.Sandbox} }
		},
		says: "patchPerson: about a foreign customer: 200",
	},
}

func without(parameters openapi3.Parameters, name string) openapi3.Parameters {
	return slices.DeleteFunc(slices.Clone(parameters), func(p *openapi3.ParameterRef) bool { return p.Value.Name == name })
}

// patched is the toy with another patch.
type patched struct {
	toyapi.StrictServerInterface
	patch func(ctx context.Context, r toyapi.PatchPersonRequestObject) (toyapi.PatchPersonResponseObject, error)
}

// PatchPerson is the other patch.
func (p patched) PatchPerson(ctx context.Context, r toyapi.PatchPersonRequestObject) (toyapi.PatchPersonResponseObject, error) {
	return p.patch(ctx, r)
}

// pastPreconditions patches the user by itself, without asking what the request's preconditions are.
func pastPreconditions(whole toyapi.StrictServerInterface, s *store.Store) toyapi.StrictServerInterface {
	return patched{whole, func(ctx context.Context, r toyapi.PatchPersonRequestObject) (toyapi.PatchPersonResponseObject, error) {
		id, err := strconv.ParseInt(r.Person[1:], 10, 64)
		if err != nil {
			return nil, err
		}
		user, _, err := s.UpdateUser(ctx, store.UserByID(dialect.CallFrom(ctx).Customer.ID, id), store.Change{Edit: func(u *store.User) error {
			u.FirstName = *r.Body.Given
			return nil
		}})
		return toyapi.PatchPerson200JSONResponse{
			Body:    toyapi.PersonAnswer{Person: toyapi.Person{Tag: r.Person, Given: user.FirstName, Grants: []toyapi.Grant{}}},
			Headers: toyapi.PatchPerson200ResponseHeaders{ETag: dialect.ETag(user.Version), CacheControl: dialect.CacheControl},
		}, err
	}}
}

// forgetful patches all but the family name.
func forgetful(whole toyapi.StrictServerInterface, _ *store.Store) toyapi.StrictServerInterface {
	return patched{whole, func(ctx context.Context, r toyapi.PatchPersonRequestObject) (toyapi.PatchPersonResponseObject, error) {
		r.Body.Family = nil
		return whole.PatchPerson(ctx, r)
	}}
}

// answering has patches answered with another status, unless it is 0, and other headers.
func answering(status int, change func(http.Header)) func(toyapi.StrictServerInterface, *store.Store) toyapi.StrictServerInterface {
	return func(whole toyapi.StrictServerInterface, _ *store.Store) toyapi.StrictServerInterface {
		return patched{whole, func(ctx context.Context, r toyapi.PatchPersonRequestObject) (toyapi.PatchPersonResponseObject, error) {
			answer, err := whole.PatchPerson(ctx, r)
			return spoiledAnswer{answer, status, change}, err
		}}
	}
}

type spoiledAnswer struct {
	whole  toyapi.PatchPersonResponseObject
	status int
	change func(http.Header)
}

// VisitPatchPersonResponse writes the answer.
func (a spoiledAnswer) VisitPatchPersonResponse(w http.ResponseWriter) error {
	return a.whole.VisitPatchPersonResponse(spoiledWriter{w, a})
}

type spoiledWriter struct {
	http.ResponseWriter
	answer spoiledAnswer
}

// WriteHeader writes the status and the headers.
func (w spoiledWriter) WriteHeader(status int) {
	w.answer.change(w.Header())
	w.ResponseWriter.WriteHeader(cmp.Or(w.answer.status, status))
}

// TestIncompleteDialectsAreFound mutilates a dialect in one way after another: each is found, and what is said names what is missing.
func TestIncompleteDialectsAreFound(t *testing.T) {
	t.Parallel()
	for name, c := range spoiled {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := toy.Description
			api.Bodies = slices.Clone(api.Bodies)
			if c.document != nil {
				api.Spec = func() (*openapi3.T, error) {
					document, err := toyapi.GetSpec() // one of its own to spoil
					if err == nil {
						c.document(document.Paths.Value("/shops/{shop}/people/{person}"))
					}
					return document, err
				}
			}
			if c.api != nil {
				c.api(&api)
			}
			d := toy.Spoiled{API: api, Dialect: c.dialect, Handler: c.handler}
			said := record(t, func(t testing.TB) { checkDialect(t, server.Dialect{API: api, Mount: d.Mount}) })
			if !slices.ContainsFunc(said, func(text string) bool { return strings.Contains(text, c.says) }) {
				t.Errorf("%q was not said, but %q", c.says, said)
			}
		})
	}
}

// TestDialectsAreComplete by the same checks.
func TestDialectsAreComplete(t *testing.T) {
	t.Parallel()
	for _, d := range servertest.Dialects() {
		t.Run(d.Name, func(t *testing.T) {
			t.Parallel()
			checkDialect(t, d)
		})
	}
}

// checkDialect mounts a dialect, checks its description, asks it to refuse who does not belong, and updates a user through it.
func checkDialect(t testing.TB, d server.Dialect) {
	t.Helper()
	if _, err := server.Mounted(storetest.Open(t, "sqlite:"+t.TempDir()+"/mounted.db"), []server.Dialect{d}); err != nil {
		t.Fatal(err)
	}
	if lacks := faultsOf(d.API); len(lacks) > 0 {
		t.Fatal(strings.Join(lacks, "\n"))
	}
	s := servertest.StartWith(t, server.Config{Dialects: []server.Dialect{d}})
	for _, operation := range d.Updates {
		newUpdate(t, s, d.API, operation).check(t, s)
	}
	for _, p := range walkOf(t, s.Store, []server.Dialect{d}) {
		if tenancyOf(p.Operation) != byPath {
			continue
		}
		if a := s.Ask(servertest.Manager(), p.about(t, of(elsewhere, ada))); a.Status != http.StatusForbidden {
			t.Errorf("%s: about a foreign customer: %d %s, want 403", p.OperationID, a.Status, a.Body)
		}
	}
	asked := servertest.StartWith(t, server.Config{Dialects: []server.Dialect{d}, Auth: auth.Config{Issuers: []auth.Issuer{{PublicKeyPEM: walkPEM(t), Rules: walkRules()}}}})
	for _, p := range walkOf(t, asked.Store, []server.Dialect{d}) {
		p.refusesTheUnauthorized(t, asked)
	}
}
