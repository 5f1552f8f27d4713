package server_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/getkin/kin-openapi/openapi3"
)

// TestServedDocumentIsValidator: a client that keeps to what /openapi/ says is held against nothing else.
func TestServedDocumentIsValidator(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	dialects, err := server.Mounted(s.Store, servertest.Dialects())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dialects {
		want := normalized(t, d.Document)
		for _, file := range []string{d.Name + ".yaml", d.Name + ".json"} {
			a := s.Send(servertest.Request{Method: http.MethodGet, Path: "/openapi/" + file})
			if a.Status != http.StatusOK {
				t.Fatalf("/openapi/%s: %d", file, a.Status)
			}
			served, err := openapi3.NewLoader().LoadFromData([]byte(a.Body))
			if err != nil {
				t.Fatal(err)
			}
			if got := normalized(t, served); !bytes.Equal(got, want) {
				t.Errorf("/openapi/%s is not the document that %s validates with", file, d.Name)
			}
		}
	}
}

// normalized writes a document with its members sorted, and without what means nothing, such as `required: false`.
func normalized(t *testing.T, document *openapi3.T) []byte {
	t.Helper()
	text, err := document.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	sorted, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return sorted
}
