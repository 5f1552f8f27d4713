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

// maxExcerpt is how many bytes of a body a report shows.
const maxExcerpt = 1500

// unimportant are headers that say nothing about a law.
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

// excerpt gives the beginning of a body, in quotes if it has what a terminal should not be given.
func excerpt(body []byte) string {
	text, cut := string(body), ""
	if len(text) > maxExcerpt {
		text, cut = text[:maxExcerpt], fmt.Sprintf("... (%d bytes)", len(text))
	}
	return printable(strings.TrimSuffix(text, "\n")) + cut
}

// printable gives text as it is, or in quotes if there is more in it than can be printed.
func printable(text string) string {
	odd := func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\t' }
	if !utf8.ValidString(text) || strings.ContainsFunc(text, odd) {
		return strconv.Quote(text)
	}
	return text
}

// secretMembers are those that answers show to those who may see them, and that a report is not for.
var secretMembers = regexp.MustCompile(`("(?:accessToken|vcsPassword|password|newPassword|verificationToken|resetPasswordToken)"\s*:\s*)"[^"]*"`)

// redact takes out of a text what must not stand in a report.
func (c *client) redact(text string) string {
	for _, secret := range c.secrets {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return secretMembers.ReplaceAllString(text, `$1"***"`)
}
