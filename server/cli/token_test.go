package cli

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

func TestTokenCustomers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args  []string
		claim string // "": it is absent
		error string
	}{
		{nil, "", ""},
		{[]string{"--customer", "*"}, `"*"`, ""},
		{[]string{"--customer=*"}, `"*"`, ""},
		{[]string{"--customer", "3393"}, `[3393]`, ""},
		{[]string{"--customer", "*", "--customer", "3393"}, "", "so give it alone"},
		{[]string{"--customer", "3393,*"}, "", "so give it alone"},
		{[]string{"--customer", "*", "--customer", "*"}, "", "so give it alone"},
		{[]string{"--customer", "* "}, "", "neither a UUID nor an integer"},
	} {
		status, token, stderr := dragoman(t, t.TempDir(), "", append([]string{"token", "--mock", "--authority", "ROLE_ADMIN"}, c.args...)...)
		if c.error != "" {
			if status == 0 || token != "" || !strings.Contains(stderr, c.error) {
				t.Errorf("%q: status %d, %q, want %q", c.args, status, stderr, c.error)
			}
			continue
		}
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		var claims map[string]json.RawMessage
		if err := json.Unmarshal(payload, &claims); err != nil {
			t.Fatal(err)
		}
		if got := string(claims["customer_id"]); got != c.claim {
			t.Errorf("%q: customer_id is %q, want %q", c.args, got, c.claim)
		}
	}
}
