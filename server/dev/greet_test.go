package dev_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dev"
)

// TestGreetingWithoutToken checks that rules which cannot express the sandbox's token do not keep the server from starting.
func TestGreetingWithoutToken(t *testing.T) {
	t.Parallel()
	apis := maps.All(map[string]string{"Worth": "/auth"})
	for _, test := range []struct {
		rules auth.Rules
		says  string
	}{
		{auth.Rules{Customers: auth.Claim{Name: "/org/ids", Map: []auth.Mapping{{Theirs: "acme", Ours: "3393"}}}}, "TOKEN='ey"},
		{auth.Rules{Customers: auth.Claim{Map: []auth.Mapping{{Theirs: "acme", Ours: "2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1"}}}}, "TOKEN='ey"},
		{auth.Rules{Customers: auth.Claim{Map: []auth.Mapping{{Theirs: "acme", Ours: "1"}}}}, "None is made here: no value of the claim customer_id means"},
	} {
		var b strings.Builder
		issuer := auth.Issuer{Secret: []byte(strings.Repeat("a", 32)), Rules: test.rules}
		if err := dev.Greet(&b, "127.0.0.1:1", apis, true, issuer, time.Now()); err != nil || !strings.Contains(b.String(), test.says) {
			t.Errorf("%v: %s", err, b.String())
		}
	}
}
