package store

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// spellings returns the forms of a text in which a person's names are compared: those of an e-mail, and the text folded, in Unicode's
// compatibility forms and without what is invisible.
func spellings(text string) []string {
	visible := strings.Map(func(r rune) rune {
		if Invisible(r) {
			return -1
		}
		return r
	}, fullStops.Replace(text))
	forms := append([]string{Fold(norm.NFKC.String(visible))}, EmailForms(visible)...)
	slices.Sort(forms)
	return slices.Compact(forms)
}

// mentionedIn reports whether a text has one of a person's words, which may be several, or a telephone number in any form. A single character
// is in many texts.
func (s subjects) mentionedIn(text string) bool {
	digits := digitsOf(text)
	for _, form := range spellings(text) {
		for _, words := range s.words {
			if utf8.RuneCountInString(words) > 1 && hasWords(form, words, continuesWord) {
				return true
			}
		}
	}
	return slices.ContainsFunc(s.phones, func(phone string) bool { return strings.Contains(digits, phone) })
}

// hasWords reports whether a text has words that are not part of longer ones. continues tells whether a character beside them continues the word
// that has the other, which is their first or last.
func hasWords(text, words string, continues func(beside, edge rune) bool) bool {
	first, size := utf8.DecodeRuneInString(words)
	last, _ := utf8.DecodeLastRuneInString(words)
	for from := 0; ; {
		at := strings.Index(text[from:], words)
		if at < 0 {
			return false
		}
		start, end := from+at, from+at+len(words)
		before, _ := utf8.DecodeLastRuneInString(text[:start])
		after, _ := utf8.DecodeRuneInString(text[end:])
		if (start == 0 || !continues(before, first)) && (end == len(text) || !continues(after, last)) {
			return true
		}
		from = start + size
	}
}

// continuesWord is for the words of a language.
func continuesWord(beside, edge rune) bool {
	return isLetter(beside) && !unicode.In(beside, unspaced...) && !unicode.In(edge, unspaced...)
}

// continuesName is for e-mails and UUIDs.
func continuesName(beside, _ rune) bool {
	return isLetter(beside) || strings.ContainsRune(".+-_'@", beside)
}

func isLetter(r rune) bool { return unicode.In(r, unicode.L, unicode.M, unicode.N) }

// unspaced are the scripts that write words without spaces between them.
var unspaced = []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar}

// minPhoneDigits is the length of what is looked for as a telephone number.
const minPhoneDigits = 7

// phoneOf returns the digits of a text that may be a telephone number, or "".
func phoneOf(text string) string {
	digits := digitsOf(text)
	if len(digits) < minPhoneDigits || strings.ContainsFunc(text, unicode.IsLetter) {
		return ""
	}
	return digits
}

// digitsOf removes what stands between the digits of a telephone number.
func digitsOf(text string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" +()-./\u00a0", r) {
			return -1
		}
		return r
	}, norm.NFKC.String(text))
}
