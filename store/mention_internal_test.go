package store

import "testing"

func TestMentions(t *testing.T) {
	t.Parallel()
	var of subjects
	for _, text := range []string{"Ada", "Lovelace", "Ada Lovelace", "ada@example.com", "Größe", "Li", "X", "+44 20", "+49 (177) 077-00.01", "李小龍", "王", "伟", "王伟", "zoé@bücher.example"} {
		of.add(text, false)
	}
	for text, want := range map[string]bool{
		"for Ada": true, "ADA's": true, "(ada)": true, "Ada": true, "ada@example.com, tablet": true, "GRÖSSE": true, "Li": true, "+44 20": true, "Canada, Ada": true,
		"Canada": false, "Kada, adaada": false, "adapter": false, "Ada2": false, "Plan X": false, "Lovelaces": false, "": false, "+44 207": false, "Oli Lin": false, "adá": false,
		"call 491770770001": true, "0177 0770001": false, "call +49 177 077 00 01 now": true, "李小龍さんのトークン": true, "for 王伟": true, "王伟的": true, "国王": false,
		"\uff21\uff24\uff21": true, "A\u00adda": true, "L\u200bi": true, "ada@example\u3002com": true, "see zoé@xn--bcher-kva.example": true, "(ZOE\u0301@Bücher.example)": true,
	} {
		if got := of.mentionedIn(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestSubjectsOfPerson(t *testing.T) {
	t.Parallel()
	var of subjects
	for _, name := range []string{"ada", "Zoé.Kanarie@bücher.example", "94520740-d63c-4e02-85ca-c4e138801e73"} {
		of.add(name, true)
	}
	of.add("Lovelace", false)
	for subject, want := range map[string]bool{
		"ada": true, "ADA": true, "https://issuer.example.com ada": true, "auth0|ada": true, `CORP\Ada`: true, "ada ": true,
		"zoé.kanarie@bücher.example": true, "ZOE\u0301.KANARIE@xn--bcher-kva.example": true, "oidc|zoé.kanarie@bücher.example": true,
		"mailto:zoé.kanarie@xn--bcher-kva.example": true, "acct:zoé.kanarie@bücher.example ": true, "a b zoé.kanarie@bücher.example": true,
		"{94520740-D63C-4E02-85CA-C4E138801E73}": true, "urn:uuid:94520740-d63c-4e02-85ca-c4e138801e73": true,

		"": false, "lovelace": false, "ada.smith@example.com": false, "adam": false, "ada b": false, "b/ada": false, "smith ada.": false,
		"mary.zoé.kanarie@bücher.example": false, "mary-zoé.kanarie@bücher.example": false, "zoé.kanarie@bücher.example.org": false, "zoé.kanarie@bücher.examples": false,
		"94520740-d63c-4e02-85ca-c4e138801e73-2": false,
	} {
		if got := of.has(subject); got != want {
			t.Errorf("%q: %v", subject, got)
		}
	}
}
