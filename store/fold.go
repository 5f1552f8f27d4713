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

// foldRules names what [Fold] and [FoldEmail] compute, with the version of Unicode whose tables they use. Folds are
// stored: whoever changes what one of them returns for any text raises the number, and the next start computes the stored
// ones again. See refold.
const foldRules = "1, Unicode " + norm.Version

// Fold returns s without distinctions of case and of canonically equivalent spellings: "É", "é", and "e" with U+0301 have
// the same fold. It is the canonical caseless match of the Unicode Standard (3.13, D145), composed (NFC), and the same on
// every engine and in every locale. Folding a fold changes nothing.
func Fold(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	return norm.NFC.String(strings.Map(foldCherokee, cases.Fold().String(norm.NFD.String(s))))
}

// FoldEmail returns the form in which e-mails are compared: the fold of the local part, and the domain's labels as IDNA
// encodes them, in lower case. So "René@Bücher.example" and "rené@XN--BCHER-KVA.example" are one e-mail, while
// "straße.example" and "strasse.example", which are two domains, make two. A label that IDNA refuses is folded as text.
// Folding a fold changes nothing.
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

// domainLabels maps labels as clients do before they look a domain up (UTS #46, nontransitional). Labels that no registry
// would accept are mapped all the same where that is possible: the question is which domains are the same.
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
		// Some characters are mapped to several, a space or a dot among them, which make no label.
		if ascii, err := domainLabels.ToASCII(spelling); err == nil && asciiLabel.MatchString(ascii) {
			return ascii
		}
	}
	return folded
}

// acePrefix begins the label of a domain that IDNA has encoded.
const acePrefix = "xn--"

// maxEncodedLabel is the greatest length of a label that IDNA has encoded (RFC 5890, section 2.3.2.1).
const maxEncodedLabel = 63

// checkEncodedLabels returns why the domain of an e-mail is none: a label begins with "xn--", as written or once it is mapped, and
// is not what IDNA encodes its own decoded form to, or that form has characters that are refused where they stand as themselves.
// It returns "" where nothing is wrong.
func checkEncodedLabels(email string) string {
	fold := FoldEmail(email)
	for label := range strings.SplitSeq(fold[strings.LastIndexByte(fold, '@')+1:], ".") {
		if !strings.HasPrefix(label, acePrefix) {
			continue
		}
		text, err := domainLabels.ToUnicode(label)
		if err != nil || len(label) > maxEncodedLabel {
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

// searchableEmail returns the text in which a part of an e-mail is looked for beside its fold, in which labels of the domain
// cannot be read; nil if that is the fold itself.
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

// SameMailbox reports whether two e-mails certainly name the same mailbox: they differ at most in the case of ASCII letters.
// E-mails with the same [FoldEmail] need not: a mail server may tell "ß" from "ss", or one spelling of "é" from the other.
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

// foldCherokee completes cases.Fold of x/text 0.43 (golang/go#46101), which swaps the cases of Cherokee where Unicode folds
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

// Invisible reports whether r shows nothing of itself where text is displayed, or changes the order in which other characters
// are: Unicode's Default_Ignorable_Code_Point and Bidi_Control, controls, other format characters, and symbols whose glyph
// is blank. White space is not among them.
func Invisible(r rune) bool {
	return r >= utf8.RuneSelf && unicode.Is(invisible, r) || r < utf8.RuneSelf && isControl(r)
}

// isControl reports whether an ASCII character is a control that is no white space.
func isControl(r rune) bool { return r < ' ' && !('\t' <= r && r <= '\r') || r == 0x7F }

// invisible has the characters beyond ASCII. Default_Ignorable_Code_Point is derived by Unicode (DerivedCoreProperties.txt)
// from the first three tables, Bidi_Control is a part of the format characters.
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
		// Prepended concatenation marks, such as the Arabic number sign, are format characters that are seen.
		if !unicode.In(r, unicode.Prepended_Concatenation_Mark, unicode.White_Space) {
			hidden = append(hidden, r)
		}
	})
	return rangetable.New(hidden...)
}()
