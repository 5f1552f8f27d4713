package dialect

import (
	"slices"
	"strconv"
	"strings"
)

// entityTags is what an If-Match or an If-None-Match header holds (RFC 9110, section 13.1). The zero value is no header.
type entityTags struct {
	present bool
	any     bool // the header was *
	strong  []string
	weak    []string
}

// parseEntityTags reads a list of entity tags.
func parseEntityTags(header string) (entityTags, bool) {
	tags := entityTags{present: true}
	// A list may have empty elements (RFC 9110, section 5.6.1.2).
	rest := strings.Trim(header, blanks+",")
	if rest == "*" {
		tags.any = true
		return tags, true
	}
	for {
		opaque, behind, ok := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(rest, "W/"), `"`), `"`)
		if !ok || !strings.HasPrefix(strings.TrimPrefix(rest, "W/"), `"`) || strings.ContainsAny(opaque, blanks) {
			return entityTags{}, false
		}
		if strings.HasPrefix(rest, "W/") {
			tags.weak = append(tags.weak, opaque)
		} else {
			tags.strong = append(tags.strong, opaque)
		}
		behind = strings.TrimLeft(behind, blanks)
		if rest = strings.TrimLeft(behind, blanks+","); rest == "" {
			return tags, true
		}
		if !strings.HasPrefix(behind, ",") {
			return entityTags{}, false
		}
	}
}

const blanks = " \t"

// allow reports whether If-Match lets a request for this version go on. It compares strongly: a weak tag is never the same.
func (t entityTags) allow(version int64) bool {
	return !t.present || t.any || slices.Contains(t.strong, strconv.FormatInt(version, 10))
}

// allowUnversioned reports whether If-Match lets a request go on for what exists and has no entity tag.
func (t entityTags) allowUnversioned() bool { return !t.present || t.any }

// have tells whether If-None-Match names this version. It compares weakly.
func (t entityTags) have(version int64) bool {
	opaque := strconv.FormatInt(version, 10)
	return t.any || slices.Contains(t.strong, opaque) || slices.Contains(t.weak, opaque)
}

// ETag is the strong validator of a user's version, as every answer about a user carries it.
func ETag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// The bounds of a list of names in a header, as the names are the client's. A percent-encoded character has up to twelve
// bytes, and many proxies take a header of 8 KiB in all.
const (
	maxListedNames = 32
	maxNameLength  = 64
	maxListBytes   = 4 << 10
)

// listNames gives names as a header's value: at most maxListedNames of at most maxNameLength characters each, and at most
// maxListBytes in all, then "...". Bytes that are no token characters (RFC 9110, section 5.6.2) are percent-encoded.
func listNames(names []string) string {
	listed := make([]string, 0, min(len(names), maxListedNames)+1)
	size := 0
	for i, name := range names {
		if i == maxListedNames {
			return strings.Join(append(listed, "..."), ", ")
		}
		if len(name) > maxNameLength { // in bytes: else it has no more characters
			if runes := []rune(name); len(runes) > maxNameLength {
				name = string(runes[:maxNameLength])
			}
		}
		name = percentEncode(name)
		if size += len(name) + len(", "); size > maxListBytes {
			return strings.Join(append(listed, "..."), ", ")
		}
		listed = append(listed, name)
	}
	return strings.Join(listed, ", ")
}

func percentEncode(name string) string {
	if isToken(name) {
		return name // as are nearly all
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; isTokenByte(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

func isToken(name string) bool {
	for i := range len(name) {
		if !isTokenByte(name[i]) {
			return false
		}
	}
	return true
}

func isTokenByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
