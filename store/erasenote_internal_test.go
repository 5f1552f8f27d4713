package store

import "testing"

func TestMentions(t *testing.T) {
	t.Parallel()
	of := subjects{words: []string{Fold("Ada"), Fold("Lovelace"), Fold("Ada Lovelace"), Fold("ada@example.com"), Fold("Größe"), Fold("Li"), Fold("X"), Fold("+44 20")}}
	for text, want := range map[string]bool{
		"for Ada": true, "ADA's": true, "(ada)": true, "Ada": true, "ada@example.com, tablet": true, "GRÖSSE": true, "Li": true, "+44 20": true, "Canada, Ada": true,
		"Canada": false, "Kada, adaada": false, "adapter": false, "Ada2": false, "Plan X": false, "Lovelaces": false, "": false, "+44 207": false, "Oli Lin": false, "adá": false,
	} {
		if got := of.mentionedIn(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
