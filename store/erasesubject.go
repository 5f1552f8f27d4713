package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/engine"
)

// subjects are what a person may be called: names in the column subject of user_changes, words and telephone numbers in what others have
// written. Names and words are in the forms of [spellings]: an identity provider may spell a name otherwise than the directory does.
type subjects struct {
	id     uuid.UUID // the actor whose subject it is in any case
	names  []string
	words  []string
	phones []string // digits
}

func (s *subjects) add(text string, isName bool) {
	for _, form := range spellings(text) {
		if isName && !slices.Contains(s.names, form) {
			s.names = append(s.names, form)
		}
		if !slices.Contains(s.words, form) {
			s.words = append(s.words, form)
		}
	}
	if phone := phoneOf(text); phone != "" && !slices.Contains(s.phones, phone) {
		s.phones = append(s.phones, phone)
	}
}

// subjectsOf returns the subjects of a user: its names, identifiers and other texts, those that it had included.
func (s *Store) subjectsOf(db *gorm.DB, u *User) (subjects, error) {
	of := subjects{id: u.UUID, names: spellings(u.UUID.String())}
	add := func(f *userField, value any) {
		text, ok := value.(string)
		if !ok || text == "" || text == erasedValue || !f.tellsPerson() {
			return
		}
		of.add(text, f.named)
	}
	for i := range editable {
		add(&editable[i], editable[i].show(u, s.catalogue))
	}
	// Each of two names may be too short to be looked for.
	of.add(u.FirstName+u.LastName, false)
	of.add(u.LastName+u.FirstName, false)
	for after := int64(0); ; {
		var changes []UserChange
		err := db.Where("customer_id = ? AND user_id = ? AND version > ?", u.CustomerID, u.ID, after).Order("version").Limit(maxSubjectsRead).Find(&changes).Error
		if err != nil || len(changes) == 0 {
			return of, err
		}
		for _, c := range changes {
			for _, f := range c.Fields {
				if row := editableNamed[f.Field]; row != nil {
					add(row, f.Old)
					add(row, f.New)
				}
			}
			after = c.Version
		}
	}
}

// maxSubjectsRead is how many changes are read at once.
const maxSubjectsRead = 500

// has reports whether a subject identifies the person. It does if it is a name of the person, alone, after the issuer's name and a space,
// or in a form of identity providers such as auth0|NAME or DOMAIN\NAME; or if it contains an e-mail or the UUID of the person, which no
// one else can have.
func (s subjects) has(subject string) bool {
	for _, form := range spellings(subject) {
		_, bare, _ := strings.Cut(form, " ")
		for _, name := range []string{form, bare, form[strings.LastIndexAny(form, `|\`)+1:]} {
			if slices.Contains(s.names, strings.TrimSpace(name)) {
				return true
			}
		}
		for _, name := range s.names {
			if (strings.Contains(name, "@") || uuid.Validate(name) == nil) && hasWords(form, name, continuesName) {
				return true
			}
		}
	}
	return false
}

// made reports whether the person made a change. The subject of a command is the name of a system account, which may be another person's
// although it equals a name of this one, so it does not count.
func (s subjects) made(actor *uuid.UUID, dialect, subject string) bool {
	return s.id == orNil(actor) || dialect != "cli" && s.has(subject)
}

// among returns the subjects that a query finds and that identify the person.
func (s subjects) among(found *gorm.DB) (own []string, err error) {
	rows, err := found.Rows()
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var subject string
		if err := rows.Scan(&subject); err != nil {
			return nil, err
		}
		if s.has(subject) {
			own = append(own, subject)
		}
	}
	return own, rows.Err()
}

// changesBy returns the condition for a change that the person made, among those that have one of the subjects that a query finds.
func (s subjects) changesBy(found *gorm.DB) (condition string, arguments []any, err error) {
	own, err := s.among(found)
	return "(actor = ? OR dialect <> 'cli' AND subject IN ?)", []any{s.id, own}, err
}

// allSubjects finds all subjects of the history except those of commands.
func allSubjects(db *gorm.DB) *gorm.DB {
	return db.Raw("SELECT DISTINCT subject FROM user_changes WHERE dialect <> 'cli'")
}

// toErase is the condition for a change whose subject is neither empty nor erased.
const toErase = "subject NOT IN ('', '" + erasedValue + "')"

// othersChanges are changes of other users that a person made.
type othersChanges struct {
	keys []changeKey
	upTo int64 // the changes up to this number of the feed were searched
}

type changeKey struct{ CustomerID, UserID, Version int64 }

// findSubjects looks for changes of other users whose subject identifies u. It reads the whole history of the directory.
func (s *Store) findSubjects(ctx context.Context, u *User) (found othersChanges, err error) {
	const doing = "looking for changes that a user made"
	release, err := engine.AcquireReader(ctx, s.pools.Searches, u.CustomerID)
	if err != nil {
		return othersChanges{}, databaseError(ctx, doing, err)
	}
	defer release()
	db := s.read.WithContext(ctx)
	of, err := s.subjectsOf(db, u)
	if err == nil {
		err = db.Raw(selectPublished).Scan(&found.upTo).Error
	}
	if err != nil {
		return othersChanges{}, databaseError(ctx, doing, err)
	}
	made, arguments, err := of.changesBy(allSubjects(db))
	if err == nil {
		err = db.Raw("SELECT customer_id, user_id, version FROM user_changes WHERE NOT (customer_id = ? AND user_id = ?) AND "+toErase+" AND "+made,
			append([]any{u.CustomerID, u.ID}, arguments...)...).Scan(&found.keys).Error
	}
	return found, databaseErrorOrNil(ctx, doing, err)
}

// eraseSubjects erases the subject of a user in changes of other users: those that were found, and those that were written since.
func (s *Store) eraseSubjects(tx *gorm.DB, u *User, of subjects, others othersChanges) (erased int64, err error) {
	keys := others.keys
	for _, recent := range []string{
		"SELECT customer_id, user_id, version FROM feed_pending",
		fmt.Sprintf("SELECT customer_id, user_id, version FROM feed WHERE number > %d", others.upTo),
	} {
		var since []UserChange
		err := tx.Raw("SELECT c.customer_id, c.user_id, c.version, c.actor, c.dialect, c.subject FROM (" + recent + ") r JOIN user_changes c " +
			"ON c.customer_id = r.customer_id AND c.user_id = r.user_id AND c.version = r.version WHERE " + toErase).Scan(&since).Error
		if err != nil {
			return erased, err
		}
		for _, c := range since {
			if of.made(c.Actor, c.Dialect, c.Subject) {
				keys = append(keys, changeKey{c.CustomerID, c.UserID, c.Version})
			}
		}
	}
	for _, k := range keys {
		if k.CustomerID == u.CustomerID && k.UserID == u.ID {
			continue
		}
		done := tx.Exec("UPDATE user_changes SET subject = ? WHERE customer_id = ? AND user_id = ? AND version = ? AND subject <> ?",
			erasedValue, k.CustomerID, k.UserID, k.Version, erasedValue)
		if done.Error != nil {
			return erased, done.Error
		}
		erased += done.RowsAffected
	}
	return erased, nil
}

// eraseOwnSubjects erases the subject of a user in changes that the user made of itself.
func eraseOwnSubjects(tx *gorm.DB, u *User, of subjects) error {
	const its = "customer_id = ? AND user_id = ?"
	made, arguments, err := of.changesBy(tx.Raw("SELECT DISTINCT subject FROM user_changes WHERE dialect <> 'cli' AND "+its, u.CustomerID, u.ID))
	if err != nil {
		return err
	}
	return tx.Exec("UPDATE user_changes SET subject = ? WHERE "+its+" AND "+toErase+" AND "+made, append([]any{erasedValue, u.CustomerID, u.ID}, arguments...)...).Error
}
