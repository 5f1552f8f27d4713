package testinium

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/dragoman-id/dragoman/gen/testiniumapi"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// converting is the handler without the store: all that remains of it is to convert.
type converting struct {
	*handler
	roles *store.Catalogue
	user  store.User
}

func (h *converting) UpdateUser(_ context.Context, r testiniumapi.UpdateUserRequestObject) (testiniumapi.UpdateUserResponseObject, error) {
	applyPut(&h.user, r.Body, h.roles)
	return testiniumapi.UpdateUser200JSONResponse{
		Body:    toAPIUser(h.user, h.roles, true),
		Headers: testiniumapi.UpdateUser200ResponseHeaders{ETag: dialect.ETag(1), CacheControl: dialect.CacheControl, DragomanChanged: "name"},
	}, nil
}

func (h *converting) GetUser(context.Context, testiniumapi.GetUserRequestObject) (testiniumapi.GetUserResponseObject, error) {
	return testiniumapi.GetUser200JSONResponse{
		Body:    toAPIUser(h.user, h.roles, true),
		Headers: testiniumapi.GetUser200ResponseHeaders{ETag: dialect.ETag(1), CacheControl: dialect.CacheControl},
	}, nil
}

// validated is a body as the stages leave it.
type validated struct {
	io.ReadCloser
	value any
}

func (b validated) ValidatedValue() any { return b.value }

// BenchmarkStageConvert is what lies between the validated body and the model, and between the model and the answer's bytes.
func BenchmarkStageConvert(b *testing.B) {
	s := storetest.Open(b, "sqlite:"+b.TempDir()+"/dragoman.db")
	h := &converting{roles: s.Catalogue(), user: store.User{FirstName: "Ada", Roles: store.Roles(3), Status: store.StatusActive}}
	strict := testiniumapi.NewStrictHandler(h, nil)
	body := validated{http.NoBody, map[string]any{
		"name": "Augusta", "surname": "Lovelace", "username": "adalovelace", "email": "ada.lovelace@example.com", "enabled": true,
		"accountNonExpired": true, "accountNonLocked": true, "credentialNonExpired": true, "authorities": []any{map[string]any{"name": "ROLE_USER"}},
	}}
	for _, stage := range []struct {
		name string
		run  func(c echo.Context) error
	}{
		{"put", func(c echo.Context) error {
			c.Request().Body = body
			return strict.UpdateUser(c, 3393, 6860, testiniumapi.UpdateUserParams{})
		}},
		{"get_testinium", func(c echo.Context) error { return strict.GetUser(c, 3393, 6860, testiniumapi.GetUserParams{}) }},
	} {
		b.Run(stage.name, func(b *testing.B) {
			e, request := echo.New(), httptest.NewRequest(http.MethodGet, "/", nil)
			answer := httptest.NewRecorder()
			c := e.NewContext(request, answer)
			b.ReportAllocs()
			for b.Loop() {
				answer.Body.Reset()
				c.Reset(request, answer)
				if err := stage.run(c); err != nil || c.Response().Status != http.StatusOK || answer.Body.Len() == 0 {
					b.Fatal(err, c.Response().Status, answer.Body)
				}
			}
		})
	}
	if h.user.FirstName != "Augusta" {
		b.Error("the update was not applied")
	}
}
