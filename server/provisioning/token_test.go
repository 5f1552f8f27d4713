package provisioning_test

import (
	"bytes"
	"crypto/rand"
	"regexp"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/provisioning"
)

func generate(t *testing.T) string {
	t.Helper()
	token, err := provisioning.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTokenForm(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^drg_[0-9A-Za-z]{49}$`)
	seen := map[string]bool{}
	for range 100 {
		token := generate(t)
		if !form.MatchString(token) || !provisioning.WellFormed(token) || !provisioning.Is(token) || seen[token] {
			t.Errorf("%s", token)
		}
		seen[token] = true
	}
	for _, secret := range [][]byte{make([]byte, 32), bytes.Repeat([]byte{0xFF}, 32)} {
		token, err := provisioning.Generate(bytes.NewReader(secret))
		if err != nil || !form.MatchString(token) || !provisioning.WellFormed(token) {
			t.Errorf("%x: %q, %v", secret, token, err)
		}
	}
	if token, err := provisioning.Generate(bytes.NewReader(make([]byte, 31))); err == nil {
		t.Errorf("31 bytes made %s", token)
	}
}

func TestMalformedTokens(t *testing.T) {
	t.Parallel()
	token := generate(t)
	for i := range token {
		wrong := []byte(token)
		if wrong[i]++; provisioning.WellFormed(string(wrong)) {
			t.Errorf("%s has another character at %d", wrong, i)
		}
	}
	for _, wrong := range []string{"", "drg_", token + "0", token[:len(token)-1], strings.ToUpper(token), " " + token, token[len("drg_"):]} {
		if provisioning.WellFormed(wrong) {
			t.Errorf("%q is well-formed", wrong)
		}
	}
}
