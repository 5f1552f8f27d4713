package store

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/unicode/rangetable"
)

// foldRules identifies the rules of [Fold] and [FoldEmail] by a number and the version of their Unicode tables. Folds are stored: a
// change of what either function returns for any text must raise the number, so that the next start recomputes the stored folds.
// See refold.
const foldRules = "1, Unicode " + norm.Version

// Fold returns a form of s that is equal for texts that differ only in case or in canonically equivalent spellings: "É", "é", and "e"
// with U+0301 have the same fold. It implements canonical caseless matching of the Unicode Standard (3.13, D145), composed (NFC), and
// does not depend on the engine or the locale. Fold is idempotent.
func Fold(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	return norm.NFC.String(strings.Map(foldCherokee, cases.Fold().String(norm.NFD.String(s))))
}

// FoldEmail returns the form in which e-mails are compared: the fold of the local part, and the domain's labels as IDNA
// encodes them, in lower case. So "René@Bücher.example" and "rené@XN--BCHER-KVA.example" are one e-mail, while
// "straße.example" and "strasse.example", which are two domains, make two. A label that IDNA refuses is folded as text.
// FoldEmail is idempotent.
func FoldEmail(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return Fold(s)
	}
	return Fold(s[:at]) + "@" + foldDomain(s[at+1:])
}

// domainLabels maps labels as clients do before they look a domain up (UTS #46, nontransitional). Where possible it also maps labels
// that no registry would accept, because it is used to decide which domains are equal, not which are valid.
var domainLabels = idna.New(
	idna.MapForLookup(), idna.Transitional(false), idna.CheckHyphens(false), idna.CheckJoiners(false),
)

var asciiLabel = regexp.MustCompile(`^[a-z0-9-]+$`)

// fullStops are the characters that IDNA reads as the dot between two labels.
var fullStops = strings.NewReplacer("\u3002", ".", "\uFF0E", ".", "\uFF61", ".")

func foldDomain(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	labels := strings.Split(fullStops.Replace(s), ".")
	for i, label := range labels {
		labels[i] = foldLabel(label)
	}
	return strings.Join(labels, ".")
}

func foldLabel(label string) string {
	if isASCII(label) {
		return strings.ToLower(label)
	}
	folded := Fold(label)
	for _, spelling := range []string{label, folded} {
		// Some characters map to several, among them spaces or dots, which a label cannot contain.
		if ascii, err := domainLabels.ToASCII(spelling); err == nil && asciiLabel.MatchString(ascii) {
			return ascii
		}
	}
	return folded
}

// acePrefix is the prefix of a label encoded by IDNA.
const acePrefix = "xn--"

// maxEncodedLabel is the maximum length of a label encoded by IDNA (RFC 5890, section 2.3.2.1).
const maxEncodedLabel = 63

// checkEncodedLabels returns the reason why an encoded label of an e-mail's domain is invalid, or "" if all are valid. A label is
// encoded if it begins with "xn--", as written or once it is mapped. It is invalid if it is too long, if decoding and encoding it
// again gives another label, or if its decoded form contains invisible characters.
func checkEncodedLabels(email string) string {
	fold := FoldEmail(email)
	for label := range strings.SplitSeq(fold[strings.LastIndexByte(fold, '@')+1:], ".") {
		if !strings.HasPrefix(label, acePrefix) {
			continue
		}
		if len(label) > maxEncodedLabel {
			return reasonLongLabel
		}
		text, err := domainLabels.ToUnicode(label)
		if err != nil {
			return reasonEncoded
		}
		if encoded, err := domainLabels.ToASCII(text); err != nil || encoded != label {
			return reasonEncoded
		}
		if strings.ContainsFunc(text, Invisible) {
			return reasonInvisible
		}
	}
	return ""
}

// searchableEmail returns the fold of an e-mail with the labels of its domain decoded, or nil if that equals the fold. Searches look
// for text in both, because an encoded label does not contain the characters that it stands for.
func searchableEmail(fold string) *string {
	if isASCII(fold) && !strings.Contains(fold, acePrefix) {
		return nil
	}
	at := strings.LastIndexByte(fold, '@')
	if at < 0 {
		return nil
	}
	labels := strings.Split(fold[at+1:], ".")
	for i, label := range labels {
		if !strings.HasPrefix(label, acePrefix) {
			continue
		}
		if text, err := domainLabels.ToUnicode(label); err == nil {
			labels[i] = Fold(text)
		}
	}
	text := fold[:at+1] + strings.Join(labels, ".")
	if text == fold {
		return nil
	}
	return &text
}

// EmailForms returns the forms of an e-mail that searches look for text in: its [FoldEmail] and, if that hides letters of the domain,
// the one with the domain's labels decoded.
func EmailForms(email string) []string {
	forms := []string{FoldEmail(email)}
	if decoded := searchableEmail(forms[0]); decoded != nil {
		forms = append(forms, *decoded)
	}
	return forms
}

// SameMailbox reports whether two e-mails certainly name the same mailbox: they differ at most in the case of ASCII letters.
// E-mails with the same [FoldEmail] may name different ones: a mail server may distinguish "ß" from "ss", or two spellings of "é".
func SameMailbox(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lowerASCII(a[i]) != lowerASCII(b[i]) {
			return false
		}
	}
	return true
}

func lowerASCII(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// foldCherokee corrects cases.Fold of x/text 0.43 (golang/go#46101), which swaps the cases of Cherokee letters, whereas Unicode folds
// small letters to capital ones.
func foldCherokee(r rune) rune {
	switch {
	case 0xAB70 <= r && r <= 0xABBF:
		return r - 0xAB70 + 0x13A0
	case 0x13F8 <= r && r <= 0x13FD:
		return r - 0x13F8 + 0x13F0
	}
	return r
}

// Invisible reports whether r is invisible in displayed text or changes the order in which other characters are displayed. These are
// Unicode's Default_Ignorable_Code_Point and Bidi_Control, control characters, other format characters, and symbols with a blank
// glyph. White space is not among them.
func Invisible(r rune) bool {
	return r >= utf8.RuneSelf && unicode.Is(invisible, r) || r < utf8.RuneSelf && isControl(r)
}

// isControl reports whether an ASCII character is a control character other than white space.
func isControl(r rune) bool { return r < ' ' && !('\t' <= r && r <= '\r') || r == 0x7F }

// invisible contains the invisible characters outside ASCII. Unicode derives Default_Ignorable_Code_Point (DerivedCoreProperties.txt)
// from the first three tables; Bidi_Control is a subset of the format characters.
var invisible = func() *unicode.RangeTable {
	all := rangetable.Merge(
		unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point, unicode.Bidi_Control, unicode.Cc,
		rangetable.New(
			0x2800,  // BRAILLE PATTERN BLANK
			0x1D159, // MUSICAL SYMBOL NULL NOTEHEAD
		),
	)
	var hidden []rune
	rangetable.Visit(all, func(r rune) {
		// Prepended concatenation marks, such as the Arabic number sign, are visible format characters.
		if !unicode.In(r, unicode.Prepended_Concatenation_Mark, unicode.White_Space) {
			hidden = append(hidden, r)
		}
	})
	return rangetable.New(hidden...)
}()
