package worth_test

import (
	"context"
	"testing"

	"github.com/dragoman-id/dragoman/gen/worthclient"
	"github.com/dragoman-id/dragoman/server/servertest"
)

func TestPatchReplacesWhatItNames(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		name := "Augusta"
		r, err := s.Worth(servertest.Manager()).UpdateCustomerUserWithResponse(context.Background(), servertest.SandboxUUID.String(), servertest.AdaUUID.String(), nil, worthclient.UserPatch{FirstName: &name})
		if err != nil {
			t.Fatal(err)
		}
		if r.StatusCode() != 200 {
			t.Fatalf("%d %s", r.StatusCode(), r.Body)
		}
	})
}
