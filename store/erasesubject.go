package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/engine"
	"github.com/dragoman-id/dragoman/store/postgres"
	"github.com/dragoman-id/dragoman/store/sqlite"
)

// subjects are what a person may be called: names in the column subject of user_changes, words in what others have written.
type subjects struct {
	id    uuid.UUID // the actor whose subject it is in any case
	names []string
	words []string // folded
}

// subjectsOf returns the subjects of a user: its names, identifiers and other texts, those that it had included.
func (s *Store) subjectsOf(db *gorm.DB, u *User) (subjects, error) {
	of := subjects{id: u.UUID, names: []string{u.UUID.String()}}
	add := func(f *userField, value any) {
		text, ok := value.(string)
		if !ok || text == "" || text == erasedValue || !f.tellsPerson() {
			return
		}
		if f.named && !slices.Contains(of.names, text) {
			of.names = append(of.names, text)
		}
		if folded := Fold(text); !slices.Contains(of.words, folded) {
			of.words = append(of.words, folded)
		}
	}
	for i := range editable {
		add(&editable[i], editable[i].show(u, s.catalogue))
	}
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

// matching is the condition for a column that has a subject of the person's, of two arguments, both the names. With several issuers a
// subject is that of its token after the issuer's name and a space.
func (s subjects) matching(engineName, column string) string {
	place := map[string]string{sqlite.Name: "instr(%[1]s, ' ')", postgres.Name: "strpos(%[1]s, ' ')"}[engineName]
	return fmt.Sprintf("(%[1]s IN (?) OR substr(%[1]s, "+place+" + 1) IN (?))", column)
}

// made is the condition for a change that the person made. A name of a user may be that of another person's system account, which is the
// subject of a command.
func (s subjects) made(engineName string) string {
	return "(actor = ? OR dialect <> 'cli' AND " + s.matching(engineName, "subject") + ")"
}

// condition is made for a change that has a subject to erase.
func (s subjects) condition(engineName string) string {
	return "subject NOT IN ('', '" + erasedValue + "') AND " + s.made(engineName)
}

func (s subjects) arguments() []any { return []any{s.id, s.names, s.names} }

// has reports whether a subject is the person's.
func (s subjects) has(dialect, subject string) bool {
	_, bare, found := strings.Cut(subject, " ")
	if !found {
		bare = subject
	}
	return dialect != "cli" && (slices.Contains(s.names, subject) || slices.Contains(s.names, bare))
}

// othersChanges are changes of other users that a person made.
type othersChanges struct {
	keys []changeKey
	upTo int64 // the changes up to this number of the feed were searched
}

type changeKey struct{ CustomerID, UserID, Version int64 }

// findSubjects looks for changes of other users that have a subject of the user's. It reads the whole history of the directory.
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
		err = db.Raw("SELECT published FROM feed_state").Scan(&found.upTo).Error
	}
	if err == nil {
		err = db.Raw("SELECT customer_id, user_id, version FROM user_changes WHERE NOT (customer_id = ? AND user_id = ?) AND "+of.condition(s.db.Name()),
			append([]any{u.CustomerID, u.ID}, of.arguments()...)...).Scan(&found.keys).Error
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
		var since []changeKey
		err := tx.Raw("SELECT c.customer_id, c.user_id, c.version FROM ("+recent+") r JOIN user_changes c "+
			"ON c.customer_id = r.customer_id AND c.user_id = r.user_id AND c.version = r.version WHERE "+of.condition(s.db.Name()), of.arguments()...).Scan(&since).Error
		if err != nil {
			return erased, err
		}
		keys = append(keys, since...)
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
