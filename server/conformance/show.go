package conformance

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxExcerpt is the number of bytes of a body that a report shows.
const maxExcerpt = 1500

// unimportant are headers that a report leaves out, since no law is about them.
var unimportant = []string{"Date", "Content-Length", "Vary", "Referrer-Policy", "X-Content-Type-Options", "X-Frame-Options", "Content-Security-Policy", "Strict-Transport-Security"}

func writeHeader(w io.Writer, h http.Header) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if slices.Contains(unimportant, name) {
			continue
		}
		for _, value := range h[name] {
			fmt.Fprintf(w, "%s: %s\n", name, printable(value))
		}
	}
}

// excerpt returns the beginning of a body, quoted if it is unsafe to print on a terminal.
func excerpt(body []byte) string {
	text, cut := string(body), ""
	if len(text) > maxExcerpt {
		text, cut = text[:maxExcerpt], fmt.Sprintf("... (%d bytes)", len(text))
	}
	return printable(strings.TrimSuffix(text, "\n")) + cut
}

// printable returns text unchanged, or quoted if it has characters that cannot be printed.
func printable(text string) string {
	odd := func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\t' }
	if !utf8.ValidString(text) || strings.ContainsFunc(text, odd) {
		return strconv.Quote(text)
	}
	return text
}

// secretMembers matches members whose values are secret even if the caller may read them: reports end up in logs.
var secretMembers = regexp.MustCompile(`("(?:accessToken|vcsPassword|password|newPassword|verificationToken|resetPasswordToken)"\s*:\s*)"[^"]*"`)

// redact replaces tokens and secret members in a text.
func (c *client) redact(text string) string {
	for _, secret := range c.secrets {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return secretMembers.ReplaceAllString(text, `$1"***"`)
}
