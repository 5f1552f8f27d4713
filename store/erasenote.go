package store

import (
	"slices"

	"gorm.io/gorm"
)

// eraseNotes erases the notes of a customer's provisioning tokens that have a person's words, and then deletes the customer's kept answers
// that are about no user, some of which show them. The customer must be locked, so that no token is added meanwhile.
func (s *Store) eraseNotes(tx *gorm.DB, customerID int64, of subjects) error {
	tokens, err := tokensAbout(tx, customerID, of)
	if err != nil || len(tokens) == 0 {
		return err
	}
	for _, t := range tokens {
		if err := tx.Exec("UPDATE provisioning_tokens SET note = ? WHERE hash = ?", erasedValue, t.Hash).Error; err != nil {
			return err
		}
	}
	return tx.Exec("DELETE FROM idempotency_records WHERE customer_id = ? AND user_id = 0", customerID).Error
}

// tokensAbout returns the provisioning tokens of a customer whose notes have a person's words, oldest first.
func tokensAbout(db *gorm.DB, customerID int64, of subjects) (tokens []ProvisioningToken, err error) {
	err = db.Where("customer_id = ? AND note <> ''", customerID).Order("created_at, id").Find(&tokens).Error
	return slices.DeleteFunc(tokens, func(t ProvisioningToken) bool { return !of.mentionedIn(t.Note) }), err
}

// tokensBy returns the provisioning tokens of all customers that a person has issued, oldest first of each customer.
func tokensBy(db *gorm.DB, of subjects) (tokens []ProvisioningToken, err error) {
	issuers, err := of.among(tokenIssuers(db))
	if err == nil {
		err = db.Where("created_by IN ?", issuers).Order("customer_id, created_at, id").Find(&tokens).Error
	}
	return tokens, err
}

// tokenIssuers finds the subjects of those who issued provisioning tokens.
func tokenIssuers(db *gorm.DB) *gorm.DB {
	return db.Raw("SELECT DISTINCT created_by FROM provisioning_tokens")
}

// eraseIssuer erases who issued the provisioning tokens that a person has issued.
func eraseIssuer(tx *gorm.DB, of subjects) error {
	issuers, err := of.among(tokenIssuers(tx))
	if err != nil {
		return err
	}
	return tx.Exec("UPDATE provisioning_tokens SET created_by = ? WHERE created_by IN ?", erasedValue, issuers).Error
}
