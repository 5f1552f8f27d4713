package testinium

import (
	"encoding/json"
	"testing"

	"github.com/dragoman-id/dragoman/gen/testiniumapi"
	"github.com/dragoman-id/dragoman/server/dialect"
	"pgregory.net/rapid"
)

// TestAUserIsWhatEncodingJSONWrites holds the written user against the generated type's tags. A member that is new in the
// document is missing here until it is written.
func TestAUserIsWhatEncodingJSONWrites(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		u := rapid.Make[testiniumapi.User]().Draw(t, "user")
		if u.Authorities == nil {
			u.Authorities = []testiniumapi.Authority{} // as toAPIUser makes it
		}
		want, err := json.Marshal(u) // #nosec G117 -- invented
		if err != nil {
			t.Fatal(err)
		}
		var e dialect.Encoder
		if encodeUser(&e, &u); string(e.Bytes()) != string(want) {
			t.Fatalf("written as %s\nwant       %s", e.Bytes(), want)
		}
	})
}
