package store_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"github.com/dragoman-id/dragoman/store"
)

// markedText generates text in which combining marks are frequent.
func markedText() *rapid.Generator[string] {
	marks := rapid.SampledFrom([]rune("\u0300\u0301\u0307\u0308\u030c\u0323\u0327\u0345\u0342\u05b4\u1161\u11a8\u3099"))
	letters := rapid.SampledFrom([]rune("eEiIsSßẞſıİKÅåΐΰᾳᾼςσΣᏸꭰﬁŉǰẖ각\u1100\u0390\u1fd3か\u212b"))
	return rapid.StringOf(rapid.OneOf(marks, letters, rapid.Rune()))
}

func TestFold(t *testing.T) {
	t.Parallel()
	for a, b := range map[string]string{
		"Straße": "STRASSE", "ẞ": "ss", "ΣΑΣ": "σας", "K": "k", "ﬁ": "FI", "ДА": "да", "Ǆ": "ǆ", "Ꭰ": "ꭰ", "Ᏸ": "ᏸ",
		// Canonically equivalent spellings, before and after the case is folded.
		"é": "e\u0301", "É": "E\u0301", "ΐ": "\u1fd3", "ᾴ": "α\u0345\u0301", "Å": "\u212b", "ệ": "e\u0302\u0323", "각": "\u1100\u1161\u11a8",
	} {
		if store.Fold(a) != store.Fold(b) {
			t.Errorf("%q folds to %q, %q to %q", a, store.Fold(a), b, store.Fold(b))
		}
	}
	for a, b := range map[string]string{"é": "e", "①": "1", "i": "ı", "a": "b", "İ": "i"} {
		if store.Fold(a) == store.Fold(b) {
			t.Errorf("%q and %q both fold to %q", a, b, store.Fold(a))
		}
	}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		// Letters that are one under simple folding, which package unicode has, are one under full folding.
		f := unicode.SimpleFold(r)
		if f == r {
			continue
		}
		if store.Fold(string(f)) != store.Fold(string(r)) {
			t.Errorf("%q folds to %q, %q to %q", r, store.Fold(string(r)), f, store.Fold(string(f)))
		}
		if once := store.Fold(string(r)); store.Fold(once) != once {
			t.Errorf("%q folds to %q, that to %q", r, once, store.Fold(once))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := markedText().Draw(t, "s")
		for _, same := range []string{norm.NFC.String(s), norm.NFD.String(s)} {
			if store.Fold(same) != store.Fold(s) {
				t.Fatalf("%+q folds to %+q, %+q to %+q", s, store.Fold(s), same, store.Fold(same))
			}
		}
		if once := store.Fold(s); store.Fold(once) != once {
			t.Fatalf("%q folds to %q, that to %q", s, once, store.Fold(once))
		}
	})
}

// TestFoldRules fails when a fold changes and its rules keep their name: stored folds would then not be computed again.
func TestFoldRules(t *testing.T) {
	t.Parallel()
	const rules, want = "1, Unicode 15.0.0", "31e3fe9e49c92dd7b9323b67b33e50abf0b27f33a3c3c09051597701e7d8d28e"
	if store.FoldRules != rules {
		t.Skipf("the rules are %q, pinned are those of %q", store.FoldRules, rules)
	}
	sum := sha256.New()
	w := bufio.NewWriter(sum)
	for r := rune(0); r < 0x20000; r++ {
		if unicode.In(r, unicode.Han, unicode.Hangul, unicode.Tangut, unicode.Co) { // thousands of letters that have no case
			continue
		}
		_, _ = w.WriteString(store.Fold(string(r)) + "\n" + store.FoldEmail(string(r)+"@"+string(r)+".example") + "\n")
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		t.Errorf("the folds are %s, pinned are %s: raise the number of foldRules, and pin these", got, want)
	}
}

func TestFoldEmail(t *testing.T) {
	t.Parallel()
	for a, b := range map[string]string{
		"Ada@Example.com":               "ada@example.COM",
		"ren\u00e9@example.com":         "RENE\u0301@example.com",
		"max@b\u00fccher.example":       "Max@XN--BCHER-KVA.example",
		"max@bu\u0308cher.example":      "max@xn--bcher-kva.example",
		"max@B\u00dcCHER.example":       "max@xn--bcher-kva.EXAMPLE",
		"max@stra\u00dfe.example":       "max@xn--strae-oqa.example",
		"max@example\u3002com":          "max@example.com",
		"max@\uff45xample.com":          "max@example.com",
		"stra\u00dfe@example.com":       "STRASSE@example.com",
		"max@\U0001f600.example":        "max@xn--e28h.example",
		"\u00fc@a\u2260b.example":       "\u00dc@A\u2260B.example", // one that IDNA may refuse
		"\u00fc@xn--a.example":          "\u00dc@XN--A.example",    // no encoded label, though it begins like one
		"x@" + strings.Repeat("ü", 100): "X@" + strings.Repeat("Ü", 100),
	} {
		if store.FoldEmail(a) != store.FoldEmail(b) {
			t.Errorf("%q folds to %q, %q to %q", a, store.FoldEmail(a), b, store.FoldEmail(b))
		}
	}
	for a, b := range map[string]string{
		"max@stra\u00dfe.example":  "max@strasse.example",
		"max@\u03b1\u03c2.example": "max@\u03b1\u03c3.example",
		"rene@example.com":         "ren\u00e9@example.com",
	} {
		if store.FoldEmail(a) == store.FoldEmail(b) {
			t.Errorf("%q and %q both fold to %q", a, b, store.FoldEmail(a))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		label := rapid.OneOf(markedText(), rapid.String(), rapid.SampledFrom([]string{"xn--", "xn--a", "-", "_", "\u00ad", "\u200d", "\u2488", "\uff3f", "xn--bcher-kva"}))
		s := label.Draw(t, "local") + "@" + strings.Join(rapid.SliceOf(label).Draw(t, "labels"), ".")
		if once := store.FoldEmail(s); store.FoldEmail(once) != once {
			t.Fatalf("%+q folds to %+q, that to %+q", s, once, store.FoldEmail(once))
		}
	})
}

func TestSameMailbox(t *testing.T) {
	t.Parallel()
	for a, b := range map[string]string{"Ada@Example.com": "aDA@eXAMPLE.COM", "ü@x": "ü@X", "": ""} {
		if !store.SameMailbox(a, b) {
			t.Errorf("%q and %q differ", a, b)
		}
	}
	for _, other := range otherMailboxes {
		if store.SameMailbox(other[0], other[1]) || store.SameMailbox(other[1], other[0]) {
			t.Errorf("%q and %q are the same", other[0], other[1])
		}
	}
	if store.SameMailbox("a@x", "a@x.") || store.SameMailbox("[@x", "{@x") || store.SameMailbox("@@x", "`@x") {
		t.Error("punctuation counts as letters")
	}
}

// otherMailboxes are pairs of e-mails that some mail server may tell apart, though they look or fold alike.
var otherMailboxes = [][2]string{
	{"max@strasse.example", "max@stra\u00dfe.example"},
	{"strasse@example.com", "stra\u00dfe@example.com"},
	{"max@stra\u1e9ee.example", "max@stra\u00dfe.example"},
	{"\u03c3\u03c3@example.com", "\u03c3\u03c2@example.com"},             // final sigma
	{"kim@example.com", "\u212aim@example.com"},                          // Kelvin sign
	{"sam@example.com", "\u017fam@example.com"},                          // long s
	{"fin@example.com", "\ufb01n@example.com"},                           // ligature
	{"ilk@example.com", "\u0131lk@example.com"},                          // dotless i
	{"ilk@example.com", "\u0130lk@example.com"},                          // dotted I
	{"i\u0307lk@example.com", "\u0130lk@example.com"},                    // that, decomposed
	{"ren\u00e9@example.com", "rene\u0301@example.com"},                  // NFC and NFD
	{"ren\u00e9@example.com", "REN\u00c9@example.com"},                   // case beyond ASCII
	{"max@b\u00fccher.example", "max@xn--bcher-kva.example"},             // U-label and A-label
	{"\u00e5@example.com", "\u212b@example.com"},                         // Angstrom sign
	{"\u043c\u0430\u043a@example.com", "\u041c\u0410\u041a@example.com"}, // Cyrillic case
}

func TestInvisible(t *testing.T) {
	t.Parallel()
	for _, r := range "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e" +
		"\u2060\u2061\u2062\u2063\u2064\u2065\u2066\u2067\u2068\u2069\u206a\u206f\u2800\u3164\ufe00\ufe0f\ufeff\uffa0\ufff0\ufff8\ufff9\ufffa\ufffb" +
		"\U0001bca0\U0001bca3\U0001d159\U0001d173\U0001d17a\U000e0000\U000e0001\U000e0020\U000e007f\U000e0080\U000e0100\U000e01ef\U000e0fff" +
		"\x01\x08\x0e\x1b\x7f\u0080\u009f" {
		if !store.Invisible(r) {
			t.Errorf("%U is visible", r)
		}
	}
	for _, r := range " \t\n\u0085\u00a0\u2028\u3000aZ09~ßé\u0301\u0600\u06dd\u070f\u08e2\U000110bd李👩\U0001f3fd\ue000\ufffd\U000e1000" {
		if store.Invisible(r) {
			t.Errorf("%U is invisible", r)
		}
	}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if unicode.Is(unicode.Bidi_Control, r) && !store.Invisible(r) || unicode.IsLetter(r) && store.Invisible(r) && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) {
			t.Errorf("%U: %t", r, store.Invisible(r))
		}
	}
}
