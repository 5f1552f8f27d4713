package store

import (
	"context"
	"fmt"
	"time"

	"github.com/dragoman-id/dragoman/store/engine"
)

// PersonalData is what the directory keeps of one person beside the history; see [Store.UserHistory] and [Store.ChangesBy].
type PersonalData struct {
	User     User
	Customer Customer
	// Fields are the user's fields in declaration order, with their values as the history has them.
	Fields []FieldValue
	// Erasure tells that the personal data were erased. It is nil if they were not.
	Erasure *PastErasure
	// ReservedNames are the usernames and e-mails, folded, that nobody else can take because of the user.
	ReservedNames []ReservedName
	// KeptAnswers are the times of the writes to the user whose answers are kept for an idempotency key.
	KeptAnswers []time.Time
	// IssuedTokens are the provisioning tokens that the person has issued, as far as the subject tells.
	IssuedTokens []ProvisioningToken
	// TokensAbout are the provisioning tokens of the customer whose notes contain a name or another value of the person.
	TokensAbout []ProvisioningToken
}

// FieldValue is the value of a field: a string, a bool, nil, or the names of roles. For a secret it is "set" or "not set".
type FieldValue struct {
	Field Field `json:"field"`
	Value any   `json:"value"`
}

// secretNotSet stands for a secret that a user does not have.
const secretNotSet = "not set"

// PastErasure is an erasure that took place.
type PastErasure struct {
	At     time.Time
	Reason string
}

// ReservedName is a name that is not free.
type ReservedName struct {
	Kind  string // username or email
	Value string // folded
}

// Values returns a user's fields in declaration order, with their values as the history has them.
func (c *Catalogue) Values(u *User) []FieldValue {
	values := make([]FieldValue, len(editable))
	for i := range editable {
		value := editable[i].show(u, c)
		if value == any(secretCleared) && editable[i].secret {
			value = secretNotSet
		}
		values[i] = FieldValue{editable[i].name, value}
	}
	return values
}

// PersonalData returns what is kept of a user beside the history. The error is ErrNotFound if the customer has no such user, or
// ErrUnavailable.
func (s *Store) PersonalData(ctx context.Context, key UserKey) (data PersonalData, err error) {
	const doing = "reading personal data"
	if data.User, err = s.FindUser(ctx, key); err != nil {
		return PersonalData{}, fmt.Errorf("%s: %w", doing, err)
	}
	u := &data.User
	data.Fields = s.catalogue.Values(u)
	if data.Customer, err = s.FindCustomer(ctx, CustomerByID(u.CustomerID)); err != nil {
		return PersonalData{}, fmt.Errorf("%s: %w", doing, err)
	}
	db := s.read.WithContext(ctx)
	var erasures []struct {
		At     int64
		Reason string
	}
	err = db.Raw("SELECT at, reason FROM erasures WHERE customer_id = ? AND user_id = ?", u.CustomerID, u.ID).Scan(&erasures).Error
	for _, e := range erasures {
		data.Erasure = &PastErasure{time.UnixMilli(e.At).UTC(), e.Reason}
	}
	if err == nil {
		err = db.Raw("SELECT kind, value FROM claims WHERE customer_id = ? AND user_id = ? AND kind IN ('username', 'email') "+
			"UNION SELECT field, fold FROM reserved_folds WHERE customer_id = ? AND user_id = ? ORDER BY 1 DESC, 2", u.CustomerID, u.ID, u.CustomerID, u.ID).Scan(&data.ReservedNames).Error
	}
	var answers []int64
	if err == nil {
		err = db.Raw("SELECT at FROM idempotency_records WHERE customer_id = ? AND user_id = ? ORDER BY at", u.CustomerID, u.ID).Scan(&answers).Error
	}
	for _, at := range answers {
		data.KeptAnswers = append(data.KeptAnswers, time.UnixMilli(at).UTC())
	}
	if err != nil {
		return PersonalData{}, databaseError(ctx, doing, err)
	}
	of, err := s.subjectsOf(db, u)
	if err != nil {
		return PersonalData{}, databaseError(ctx, doing, err)
	}
	if data.IssuedTokens, err = tokensBy(db, of); err == nil {
		data.TokensAbout, err = tokensAbout(db, u.CustomerID, of)
	}
	return data, databaseErrorOrNil(ctx, doing, err)
}

// ChangesBy calls each with the changes of other users that a person made: those with the person as the actor, and those whose subject is a
// present or past name or identifier of the person. They are in the order of customer, user and version. It reads the whole history of the
// directory.
func (s *Store) ChangesBy(ctx context.Context, u *User, each func(UserChange) error) error {
	const doing = "looking for changes that a user made"
	release, err := engine.AcquireReader(ctx, s.pools.Searches, u.CustomerID)
	if err != nil {
		return databaseError(ctx, doing, err)
	}
	defer release()
	db := s.read.WithContext(ctx)
	of, err := s.subjectsOf(db, u)
	if err != nil {
		return databaseError(ctx, doing, err)
	}
	made, arguments, err := of.changesBy(allSubjects(db))
	if err != nil {
		return databaseError(ctx, doing, err)
	}
	rows, err := db.Model(&UserChange{}).Where("NOT (customer_id = ? AND user_id = ?)", u.CustomerID, u.ID).Where(made, arguments...).
		Order("customer_id, user_id, version").Rows()
	if err != nil {
		return databaseError(ctx, doing, err)
	}
	defer rows.Close()
	for rows.Next() {
		var c UserChange
		if err := db.ScanRows(rows, &c); err != nil {
			return databaseError(ctx, doing, err)
		}
		if err := each(c); err != nil {
			return err
		}
	}
	return databaseErrorOrNil(ctx, doing, rows.Err())
}
