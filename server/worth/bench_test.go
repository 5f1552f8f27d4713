package worth

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/dragoman-id/dragoman/gen/worthapi"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// converting is the handler without the store: all that remains of it is to convert.
type converting struct {
	*handler
	user store.User
}

func (h *converting) UpdateCustomerUser(_ context.Context, r worthapi.UpdateCustomerUserRequestObject) (worthapi.UpdateCustomerUserResponseObject, error) {
	applyPatch(&h.user, r.Body, h.roles)
	return worthapi.UpdateCustomerUser200JSONResponse{
		Body:    worthapi.Success{Status: "success", Message: "User details updated successfully"},
		Headers: worthapi.UpdateCustomerUser200ResponseHeaders{ETag: dialect.ETag(1), CacheControl: dialect.CacheControl, DragomanChanged: "first_name"},
	}, nil
}

func (h *converting) GetCustomerUser(context.Context, worthapi.GetCustomerUserRequestObject) (worthapi.GetCustomerUserResponseObject, error) {
	details := toAPIUserDetails(h.user, store.Customer{Name: "Analytical"}, h.roles)
	return worthapi.GetCustomerUser200JSONResponse{
		Body:    worthapi.UserAnswer{Status: "success", Message: "Success", Data: details},
		Headers: worthapi.GetCustomerUser200ResponseHeaders{ETag: dialect.ETag(1), CacheControl: dialect.CacheControl},
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
	h := &converting{&handler{roles: s.Catalogue()}, store.User{FirstName: "Ada", LastName: "Lovelace", Roles: store.Roles(3), Status: store.StatusActive}}
	strict := worthapi.NewStrictHandler(h, nil)
	id := uuid.New()
	body := validated{http.NoBody, map[string]any{"first_name": "Augusta", "mobile": "+44 20 7946 0000"}}
	for _, stage := range []struct {
		name string
		run  func(c echo.Context) error
	}{
		{"patch", func(c echo.Context) error {
			c.Request().Body = body
			return strict.UpdateCustomerUser(c, id.String(), id.String(), worthapi.UpdateCustomerUserParams{})
		}},
		{"get_worth", func(c echo.Context) error {
			return strict.GetCustomerUser(c, id, id, worthapi.GetCustomerUserParams{})
		}},
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
		b.Error("the patch was not applied")
	}
}
