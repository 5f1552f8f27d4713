package worth

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/gen/worthapi"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/store"
	"pgregory.net/rapid"
)

// TestAnswersAreWhatEncodingJSONWrites holds the written answers against the generated types' tags. A member that is new in a
// document is missing here until it is written.
func TestAnswersAreWhatEncodingJSONWrites(t *testing.T) {
	t.Parallel()
	t.Run("one user", func(t *testing.T) {
		t.Parallel()
		holdAnswer(t, encodeUserAnswer)
	})
	t.Run("list", func(t *testing.T) {
		t.Parallel()
		holdAnswer(t, encodeUserListAnswer)
	})
	if want, _ := json.Marshal(worthapi.Success{Status: "success", Message: "User details updated successfully"}); updatedBody != string(want) {
		t.Errorf("an update is answered %s, want %s", updatedBody, want)
	}
}

// TestATimeIsInTheStoresLayout holds the short way against the long one.
func TestATimeIsInTheStoresLayout(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := time.UnixMilli(rapid.Int64Range(-1e14, 1e15).Draw(t, "ms")).Add(time.Duration(rapid.IntRange(0, 999999).Draw(t, "ns")))
		for _, at := range []time.Time{at.UTC(), at.In(time.FixedZone("", 3600))} {
			if got, want := toAPITime(at), at.Format(store.TimeLayout); got != want {
				t.Fatalf("%s, want %s", got, want)
			}
		}
	})
}

func holdAnswer[T any](t *testing.T, encode func(*dialect.Encoder, *T)) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Make[T]().Draw(t, "answer")
		want, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var e dialect.Encoder
		if encode(&e, &v); string(e.Bytes()) != string(want) {
			t.Fatalf("written as %s\nwant       %s", e.Bytes(), want)
		}
	})
}
