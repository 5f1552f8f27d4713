package worth_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/gen/worthapi"
	"github.com/getkin/kin-openapi/openapi3"
)

const vendorsDocument = "../../openapi/worth.yaml"

// TestDocumentIsTheVendors: what is to be said beside it belongs into the overlay.
func TestDocumentIsTheVendors(t *testing.T) {
	document, err := os.ReadFile(vendorsDocument)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(document)
	if got, want := hex.EncodeToString(sum[:]), "7707765e628e8a8b49087ca188505f205123bc097457cf339957a70cbf06f56f"; got != want {
		t.Errorf("openapi/worth.yaml is not Worth's file byte for byte: its SHA-256 is %s, not %s", got, want)
	}
}

// formatOfEmail is where the vendor's document has a format that the overlay's pattern replaces.
const formatOfEmail = "/paths//customers/{customerID}/users/{userID}/patch/requestBody/content/application/json/schema/properties/email/format"

// TestOverlayOnlyAdds: what the vendor's document says, the served one says too, but for the OpenAPI version, the host and the
// format of an e-mail, and the examples in the schemas of errors.
func TestOverlayOnlyAdds(t *testing.T) {
	vendors, err := openapi3.NewLoader().LoadFromFile(vendorsDocument)
	if err != nil {
		t.Fatal(err)
	}
	text, err := vendors.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var said, served map[string]any
	if err := json.Unmarshal(text, &said); err != nil {
		t.Fatal(err)
	}
	if text, err = worthapi.GetSpecJSON(); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &served); err != nil {
		t.Fatal(err)
	}
	delete(said, "openapi")
	delete(said, "servers")
	for _, place := range lost(said, resolved(served, served), "") {
		// One schema of errors takes the place of the vendor's inline ones, whose examples are of their members.
		if place == formatOfEmail || strings.HasPrefix(place, "/components/responses/") && strings.HasSuffix(place, "/example") {
			continue
		}
		t.Errorf("the served document does not say what Worth's says at %s", place)
	}
}

// resolved puts the schemas of a document in the place of references to them.
func resolved(value any, document map[string]any) any {
	switch value := value.(type) {
	case map[string]any:
		if ref, ok := value["$ref"].(string); ok && strings.HasPrefix(ref, "#/components/schemas/") {
			schemas := document["components"].(map[string]any)["schemas"].(map[string]any)
			return resolved(schemas[strings.TrimPrefix(ref, "#/components/schemas/")], document)
		}
		whole := map[string]any{}
		for name, member := range value {
			whole[name] = resolved(member, document)
		}
		return whole
	case []any:
		var whole []any
		for _, item := range value {
			whole = append(whole, resolved(item, document))
		}
		return whole
	}
	return value
}

// lost gives the places where said says something that served does not. Objects and arrays may have more in served, and
// text may go on.
func lost(said, served any, place string) (places []string) {
	switch said := said.(type) {
	case map[string]any:
		members, _ := served.(map[string]any)
		for name, value := range said {
			places = append(places, lost(value, members[name], place+"/"+name)...)
		}
		return places
	case []any:
		items, _ := served.([]any)
		for _, value := range said {
			if !slices.ContainsFunc(items, func(item any) bool { return lost(value, item, "") == nil }) {
				places = append(places, place)
			}
		}
		return places
	case string:
		if text, ok := served.(string); ok && strings.HasPrefix(text, said) {
			return nil
		}
	}
	if reflect.DeepEqual(said, served) {
		return nil
	}
	return []string{place}
}
