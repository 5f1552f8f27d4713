package dialect

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// entityTags is the value of an If-Match or If-None-Match header (RFC 9110, section 13.1). The zero value means no header.
type entityTags struct {
	present bool
	any     bool // the header was *
	strong  []string
	weak    []string
}

// parseEntityTags parses * or a list of entity tags, and reports whether it is valid.
func parseEntityTags(header string) (entityTags, bool) {
	tags := entityTags{present: true}
	// A list may have empty elements (RFC 9110, section 5.6.1.2).
	rest := strings.Trim(header, blanks+",")
	if rest == "*" {
		tags.any = true
		return tags, true
	}
	for {
		opaque, after, ok := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(rest, "W/"), `"`), `"`)
		if !ok || !strings.HasPrefix(strings.TrimPrefix(rest, "W/"), `"`) || strings.ContainsAny(opaque, blanks) {
			return entityTags{}, false
		}
		if strings.HasPrefix(rest, "W/") {
			tags.weak = append(tags.weak, opaque)
		} else {
			tags.strong = append(tags.strong, opaque)
		}
		after = strings.TrimLeft(after, blanks)
		if rest = strings.TrimLeft(after, blanks+","); rest == "" {
			return tags, true
		}
		if !strings.HasPrefix(after, ",") {
			return entityTags{}, false
		}
	}
}

const blanks = " \t"

// allow reports whether an If-Match header is true for this version. It uses strong comparison: a weak tag never matches.
func (t entityTags) allow(version int64) bool {
	return !t.present || t.any || slices.Contains(t.strong, strconv.FormatInt(version, 10))
}

// before returns the greatest version below this one that an If-Match header names, or 0.
func (t entityTags) before(version int64) (latest int64) {
	for _, tag := range t.strong {
		v, err := strconv.ParseInt(tag, 10, 64)
		if err == nil && strconv.FormatInt(v, 10) == tag && v < version {
			latest = max(latest, v)
		}
	}
	return latest
}

// allowUnversioned reports whether an If-Match header is true for a resource that exists and has no entity tag.
func (t entityTags) allowUnversioned() bool { return !t.present || t.any }

// have reports whether an If-None-Match header names this version. It uses weak comparison.
func (t entityTags) have(version int64) bool {
	opaque := strconv.FormatInt(version, 10)
	return t.any || slices.Contains(t.strong, opaque) || slices.Contains(t.weak, opaque)
}

// ETag returns the strong entity tag of a user's version.
func ETag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// The limits of a list of names in a header. The client chooses the names, a percent-encoded character takes up to twelve bytes,
// and many proxies limit all headers together to 8 KiB.
const (
	maxListedNames = 32
	maxNameLength  = 64 // in characters
	maxListBytes   = 4 << 10
)

// listNames returns names as a header value: at most maxListedNames names, each cut to maxNameLength characters, and at most
// maxListBytes bytes, then "..." if names were omitted. Bytes that are not token characters (RFC 9110, section 5.6.2) are
// percent-encoded.
func listNames(names []string) string {
	listed := make([]string, 0, min(len(names), maxListedNames)+1)
	size := 0
	for i, name := range names {
		if i == maxListedNames {
			return strings.Join(append(listed, "..."), ", ")
		}
		if len(name) > maxNameLength { // the number of bytes, which is at least that of characters
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
	var b strings.Builder
	for _, c := range []byte(name) {
		if isTokenByte(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func isTokenByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
