package store

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"gorm.io/gorm"
)

// eraseNotes erases the notes of a customer's provisioning tokens that have a person's words, and then deletes the customer's kept answers
// that are about no user, some of which show them. The customer must be locked, so that no token is added meanwhile.
func (s *Store) eraseNotes(tx *gorm.DB, customerID int64, of subjects) error {
	var tokens []ProvisioningToken
	if err := tx.Where("customer_id = ? AND note <> ''", customerID).Find(&tokens).Error; err != nil {
		return err
	}
	tokens = slices.DeleteFunc(tokens, func(t ProvisioningToken) bool { return !of.mentionedIn(t.Note) })
	if len(tokens) == 0 {
		return nil
	}
	for _, t := range tokens {
		if err := tx.Exec("UPDATE provisioning_tokens SET note = ? WHERE hash = ?", erasedValue, t.Hash).Error; err != nil {
			return err
		}
	}
	return tx.Exec("DELETE FROM idempotency_records WHERE customer_id = ? AND user_id = 0", customerID).Error
}

// mentionedIn reports whether a text has one of a person's words, which may be several. A single letter is in many texts.
func (s subjects) mentionedIn(text string) bool {
	folded := Fold(text)
	return slices.ContainsFunc(s.words, func(words string) bool { return utf8.RuneCountInString(words) > 1 && hasWords(folded, words) })
}

// hasWords reports whether a text has words that are not part of longer ones.
func hasWords(text, words string) bool {
	inWord := func(r rune, _ int) bool { return unicode.In(r, unicode.L, unicode.M, unicode.N) }
	for from := 0; ; {
		at := strings.Index(text[from:], words)
		if at < 0 {
			return false
		}
		start, end := from+at, from+at+len(words)
		if !inWord(utf8.DecodeLastRuneInString(text[:start])) && !inWord(utf8.DecodeRuneInString(text[end:])) {
			return true
		}
		_, size := utf8.DecodeRuneInString(words)
		from = start + size
	}
}
