package server_test

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
)

// TestFeedIsNumberedWhileServing: nobody but the server numbers the changes.
func TestFeedIsNumberedWhileServing(t *testing.T) {
	t.Parallel()
	address := serve(t, server.Config{})
	token, err := auth.Sign(servertest.Secret, servertest.Manager(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, path, body string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	ask(http.MethodPatch, "/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users/94520740-d63c-4e02-85ca-c4e138801e73", `{"first_name":"Augusta"}`)
	for deadline := time.Now().Add(waitLimit); !strings.Contains(ask(http.MethodGet, "/directory/v1/changes", ""), "Augusta"); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the change does not come into the feed")
		}
	}
}
