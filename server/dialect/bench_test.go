package dialect

import (
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/dragoman-id/dragoman/gen/testiniumapi"
	"github.com/dragoman-id/dragoman/gen/worthapi"
)

// stageBodies are bodies of the two updates, as clients send them, with the operations that take them.
var stageBodies = []struct {
	name, path, method, body string
	document                 func() (*openapi3.T, error)
}{
	{"patch", "/customers/{customerID}/users/{userID}", "PATCH", `{"first_name":"Ada","mobile":"+44 20 7946 0000"}`, worthapi.GetSpec},
	{"put", "/customers/{id}/users/{userId}", "PUT", `{"name":"Ada","surname":"Lovelace","username":"adalovelace","email":"ada.lovelace@example.com",` +
		`"enabled":true,"accountNonExpired":true,"accountNonLocked":true,"credentialNonExpired":true,"authorities":[{"name":"ROLE_USER"}]}`, testiniumapi.GetSpec},
}

// BenchmarkStageDecode reads a body, strictly.
func BenchmarkStageDecode(b *testing.B) {
	for _, s := range stageBodies {
		b.Run(s.name, func(b *testing.B) {
			body := []byte(s.body)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := decodeJSON(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkStageValidate validates a decoded body and looks for members that the document does not name.
func BenchmarkStageValidate(b *testing.B) {
	for _, s := range stageBodies {
		b.Run(s.name, func(b *testing.B) {
			document, err := s.document()
			if err != nil {
				b.Fatal(err)
			}
			operation := document.Paths.Value(s.path).GetOperation(s.method)
			schema := operation.RequestBody.Value.Content.Get("application/json").Schema.Value
			value, err := decodeJSON([]byte(s.body))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if wrong, unknown := validate(schema, value, ""), unknownMembers(schema, value, ""); len(wrong)+len(unknown) > 0 {
					b.Fatal(wrong, unknown)
				}
			}
		})
	}
}
