package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/ledger"
	"github.com/dragoman-id/dragoman/store/postgres"
	"github.com/dragoman-id/dragoman/store/sqlite"
)

// The row of an erased user remains, so that ids, versions and the feed do, but what it tells of the person does not: each field has its
// zero value, but the names, which are made of the UUID, and the status. A user is erased if, and only if, it has these names, as no
// other user can take a name in erasedDomain.

// erasedDomain is the domain of the usernames and e-mails of erased users. It never resolves (RFC 2606, section 2).
const erasedDomain = "erased.invalid"

// erasedValue stands in the history for a value, or a subject, that was erased.
const erasedValue = "erased"

// OperationErased is the operation of the last change of an erased user.
const OperationErased = "erased"

func erasedName(id uuid.UUID) string { return id.String() + "@" + erasedDomain }

// Erased reports whether the user's personal data were erased.
func (u *User) Erased() bool { return u.Username == erasedName(u.UUID) }

// tombstone returns what remains of a user, as the version that follows it. Its secrets are not sealed.
func (s *Store) tombstone(before *User, actor *uuid.UUID) User {
	after := *before
	after.unshare()
	for i := range editable {
		editable[i].erase(&after)
	}
	after.ComputeFolds()
	s.stamp(before, &after, actor)
	// So that provisioning clients do not see the user again.
	after.DeprovisionedAt = clone(&after.UpdatedAt)
	return after
}

// erasure returns the last change of an erased user. It tells which fields had a value, but none that tells of the person. It also names
// what the tombstone has and the history does not keep, changed or not, so that whoever applies all changes has the tombstone.
func (s *Store) erasure(ctx context.Context, before, after *User) UserChange {
	var fields []Field
	for i := range editable {
		f := &editable[i]
		if !f.same(before, after) || !f.kept && !f.secret && !isEmpty(f.show(after, s.catalogue)) {
			fields = append(fields, f.name)
		}
	}
	change := s.catalogue.change(ctx, before, after, fields, after.UpdatedAt)
	change.Operation = OperationErased
	for i := range change.Fields {
		f := &change.Fields[i]
		if row := editableNamed[f.Field]; !row.kept && !isEmpty(f.Old) {
			f.Old = erasedValue
		}
	}
	return change
}

// isEmpty reports whether a value of the history is none or the empty text. Such a value tells nothing of a person, so it is never erased.
func isEmpty(value any) bool { return value == nil || value == "" }

// Erasure says whose personal data to erase, and on whose behalf.
type Erasure struct {
	Key   UserKey
	Actor *uuid.UUID
	// Reason is kept with the erasure. It must not tell who the person is.
	Reason string
	// Allow may refuse the erasure of a user, whose error is then returned. It is called at first, and again with the user locked. It may be
	// nil.
	Allow func(u *User) error

	// again says that the erasure was decided on before: the directory's rules do not refuse it. listed says that the ledger has it.
	again, listed bool
}

// Erased describes an erasure.
type Erased struct {
	User User // what remains
	// Done says that the user's personal data had been erased before, and nothing was written.
	Done bool
	// Fields are those of the user that have another value now.
	Fields []Field
	// Changes is how many entries of the user's history have values that are erased; Subjects how many changes of other users, which
	// the person made, have the person's subject.
	Changes, Subjects int64
	// Records is how many idempotency records of writes to the user there are.
	Records int64
}

var (
	// ErrNoLedger: there is no ledger to list an erased user in.
	ErrNoLedger = errors.New("there is no erasure ledger, which brings an erasure back after a restore: name its file in --erasure-ledger (DRAGOMAN_ERASURE_LEDGER)")
	// ErrNotErased: the ledger lists users whose personal data are in the database.
	ErrNotErased = errors.New("the database has personal data of erased users, as one has that was restored from a backup")
)

// The reasons for which a user is not erased.
const (
	reasonLegalHold = "must be lifted before the user can be erased"
	maxReasonLength = 500
)

// FieldReason is the name of Erasure.Reason in errors.
const FieldReason Field = "Reason"

// ledgerOf returns the ledger of a Config, or nil if there is none.
func ledgerOf(c Config) *ledger.Ledger {
	if c.ErasureLedger != "" {
		return ledger.At(c.ErasureLedger)
	}
	if path, isFile := strings.CutPrefix(c.URL, sqliteScheme); isFile {
		// The database has one ledger, whichever link leads to it.
		if target, err := filepath.EvalSymlinks(path); err == nil {
			path = target
		}
		return ledger.At(path + ".erasures")
	}
	return nil
}

// checkLedger returns ErrNoLedger unless there is a ledger, or none is needed, as nothing brings back a database in memory.
func (s *Store) checkLedger() error {
	if s.ledger == nil {
		if s.inMemory {
			return nil
		}
		return ErrNoLedger
	}
	return s.ledger.CheckWritable()
}

// EraseUser erases the personal data of a user, in one transaction: those in its row, in its history, in idempotency records of writes to
// it, in the index for searches, and its subject in the history of others. The username and the e-mail are free again. A last change,
// with the operation [OperationErased], tells the feed. Neither versions nor numbers of the feed change. Whoever is erased already stays
// so, and nothing is written.
//
// The user's UUID is appended to the ledger, durably, before the transaction is committed: if that fails then, the ledger says that
// [Store.ReplayErasures] has to finish it.
//
// The error is ErrNotFound if the customer has no such user; a *[FieldErrors] if there is a legal hold, if the user is the customer's last
// administrator, or if the reason is too long or has a value that the user has or had; what Allow returned; ErrNoLedger; ErrBusy; or
// ErrUnavailable.
func (s *Store) EraseUser(ctx context.Context, e Erasure) (Erased, error) {
	const doing = "erasing a user"
	for range maxAttempts {
		done, err := s.eraseUser(ctx, e)
		if why, again := retryReason(err); again {
			s.observer.retry(ctx, why)
			continue
		}
		if err != nil {
			return Erased{}, fmt.Errorf("%s: %w", doing, err)
		}
		s.remember(&done.User)
		s.wroteStanding(&done.User, nil)
		s.purgeSoon()
		return done, nil
	}
	s.observer.retry(ctx, RetryGivenUp)
	return Erased{}, fmt.Errorf("%s: %w: other writers were first %d times", doing, ErrBusy, maxAttempts)
}

// PreviewErasure returns what EraseUser would return at the moment. It writes nothing, and locks nothing.
func (s *Store) PreviewErasure(ctx context.Context, e Erasure) (Erased, error) {
	const doing = "previewing an erasure"
	u, err := s.loadUser(ctx, e.Key)
	if err != nil {
		return Erased{}, fmt.Errorf("%s: %w", doing, err)
	}
	done, err := s.checkErasure(ctx, s.read, e, &u)
	if err != nil {
		return Erased{}, fmt.Errorf("%s: %w", doing, err)
	}
	if done.Done {
		return done, nil
	}
	db := s.read.WithContext(ctx)
	changes, err := s.changesWithValues(db, &u)
	if err == nil {
		var others othersChanges
		others, err = s.findSubjects(ctx, &u)
		done.Subjects = int64(len(others.keys))
	}
	if err == nil {
		err = db.Raw("SELECT count(*) FROM idempotency_records WHERE customer_id = ? AND user_id = ?", u.CustomerID, u.ID).Scan(&done.Records).Error
	}
	done.Changes = changes
	return done, databaseErrorOrNil(ctx, doing, err)
}

// checkErasure returns what the erasure of a user would make of it, or why it is refused. db must have locked the user's customer, if
// the answer is to hold.
func (s *Store) checkErasure(ctx context.Context, db *gorm.DB, e Erasure, u *User) (Erased, error) {
	if e.Allow != nil {
		if err := e.Allow(u); err != nil {
			return Erased{}, err
		}
	}
	if u.Erased() {
		return Erased{User: *u, Done: true}, nil
	}
	after := s.tombstone(u, e.Actor)
	done := Erased{User: after, Fields: Diff(u, &after)}
	if e.again {
		return done, s.checkLedger()
	}
	var wrong FieldErrors
	if u.LegalHoldAt != nil {
		wrong.add(FieldLegalHoldAt, reasonLegalHold)
	}
	if e.Reason != "" {
		of, err := s.subjectsOf(db.WithContext(ctx), u)
		if err != nil {
			return Erased{}, databaseError(ctx, "looking for what the user was called", err)
		}
		wrong.add(FieldReason, checkReason(e.Reason, of))
	}
	if losesAdministrator(u, &after) {
		last, err := lastAdministrator(ctx, db, u, &after)
		if err != nil {
			return Erased{}, err
		}
		if len(last) > 0 {
			wrong.add(FieldStatus, lastAdministratorReason)
		}
	}
	if err := wrong.errorOrNil(); err != nil {
		return Erased{}, err
	}
	return done, s.checkLedger()
}

// checkReason returns what is wrong with the reason for an erasure of a person, if anything is.
func checkReason(reason string, of subjects) string {
	if wrong := checkText(reason, maxReasonLength); wrong != "" {
		return wrong
	}
	within := slices.ContainsFunc(spellings(reason), func(form string) bool {
		return slices.ContainsFunc(of.words, func(words string) bool {
			// Two characters are in many words.
			return utf8.RuneCountInString(words) > 2 && strings.Contains(form, words)
		})
	})
	if within || of.mentionedIn(reason) {
		return "must not have a value that the user has or had, as it is kept"
	}
	return ""
}

func (s *Store) eraseUser(ctx context.Context, e Erasure) (done Erased, err error) {
	u, err := s.loadUser(ctx, e.Key)
	if err != nil {
		return Erased{}, err
	}
	foreseen, err := s.checkErasure(ctx, s.read, e, &u)
	if err != nil {
		return Erased{}, err
	}
	var others othersChanges
	if !foreseen.Done {
		// Before the transaction, since it may take long.
		if others, err = s.findSubjects(ctx, &u); err != nil {
			return Erased{}, err
		}
	}
	err = s.transactionOnce(ctx, func(tx *gorm.DB) error {
		before, err := s.lockUser(ctx, tx, e.Key)
		if err != nil {
			return err
		}
		if err := lockCustomer(ctx, tx, before.CustomerID); err != nil {
			return err
		}
		if done, err = s.checkErasure(ctx, tx, e, &before); err != nil {
			return err
		}
		if done.Done {
			return s.settle(ctx, tx)
		}
		if s.ledger != nil && !e.listed {
			if err := s.ledger.Append(ctx, ledger.Entry{UUID: before.UUID, At: done.User.UpdatedAt}); err != nil {
				return err
			}
		}
		return s.erase(ctx, tx, e, &before, &done, others)
	})
	return done, err
}

// erase writes what done.User is to be instead of before, and erases the values of before everywhere else.
func (s *Store) erase(ctx context.Context, tx *gorm.DB, e Erasure, before *User, done *Erased, others othersChanges) error {
	const doing = "erasing a user"
	after := &done.User
	s.keys.sealSecrets(before, after)
	var err error
	if done.Changes, err = s.changesWithValues(tx, before); err != nil {
		return databaseError(ctx, doing, err)
	}
	named, err := s.subjectsOf(tx, before)
	if err != nil {
		return databaseError(ctx, doing, err)
	}
	change := s.erasure(ctx, before, after)
	if named.made(change.Actor, change.Dialect, change.Subject) {
		change.Subject = erasedValue
	}
	step, err := updateStep(before, after, &change, s.distributed)
	if err != nil {
		return err
	}
	if changed, err := runIn(tx, step); err != nil {
		return databaseError(ctx, doing, err)
	} else if changed == 0 {
		return errConflicting
	}
	if err := s.releaseNames(tx, before); err != nil {
		return databaseError(ctx, doing, err)
	}
	of := []any{before.CustomerID, before.ID}
	erased := tx.Exec("UPDATE user_changes SET fields = "+s.erasedFields()+" WHERE customer_id = ? AND user_id = ? AND version <= ?", append(of, before.Version)...)
	if erased.Error != nil {
		return databaseError(ctx, doing, erased.Error)
	}
	if err := eraseOwnSubjects(tx, before, named); err != nil {
		return databaseError(ctx, doing, err)
	}
	if done.Subjects, err = s.eraseSubjects(tx, before, named, others); err != nil {
		return databaseError(ctx, doing, err)
	}
	if err := eraseIssuer(tx, named); err != nil {
		return databaseError(ctx, doing, err)
	}
	if err := s.eraseNotes(tx, before.CustomerID, named); err != nil {
		return databaseError(ctx, doing, err)
	}
	records := tx.Exec("DELETE FROM idempotency_records WHERE customer_id = ? AND user_id = ?", of...)
	done.Records = records.RowsAffected
	if records.Error != nil {
		return databaseError(ctx, doing, records.Error)
	}
	if !s.distributed {
		// What the indexer writes for the user from now on is computed from what remains.
		if err := execute(tx, searchIndexes[s.db.Name()].remove(before)); err != nil {
			return databaseError(ctx, doing, err)
		}
	}
	err = tx.Exec("INSERT INTO erasures (customer_id, user_id, uuid, at, reason, sweep_from) VALUES (?, ?, ?, ?, ?, ?)",
		before.CustomerID, before.ID, before.UUID, after.UpdatedAt.UnixMilli(), e.Reason, others.upTo).Error
	return databaseErrorOrNil(ctx, doing, err)
}

func orNil(id *uuid.UUID) uuid.UUID {
	if id == nil {
		return uuid.Nil
	}
	return *id
}

// releaseNames ends what a collision keeps of the names of a user who has none any longer.
func (s *Store) releaseNames(tx *gorm.DB, before *User) error {
	present := *before
	present.ComputeFolds()
	if err := tx.Exec("DELETE FROM reserved_folds WHERE customer_id = ? AND user_id = ?", before.CustomerID, before.ID).Error; err != nil {
		return err
	}
	for _, f := range names {
		for _, value := range slices.Compact([]string{f.value(before), f.value(&present)}) {
			c, err := lockClaim(tx, f.kind, value)
			if err != nil {
				return err
			}
			if c == nil || !c.Shared {
				continue
			}
			err = tx.Exec("UPDATE claims SET customer_id = NULL, user_id = NULL WHERE kind = ? AND value = ? AND user_id = ? AND shared", f.kind, value, before.ID).Error
			if err != nil {
				return err
			}
			var reserved int64
			if err := tx.Model(&reservedFold{}).Where("field = ? AND fold = ?", f.kind, value).Count(&reserved).Error; err != nil {
				return err
			}
			if reserved > 0 {
				continue
			}
			if err := tx.Exec("DELETE FROM claims WHERE kind = ? AND value = ? AND shared AND user_id IS NULL", f.kind, value).Error; err != nil {
				return err
			}
		}
	}
	return nil
}

// keptInHistory lists the fields whose values an erasure leaves in the history, as text in SQL. Of secrets the history has none.
var keptInHistory = func() string {
	var names []string
	for _, f := range editable {
		if f.kept || f.secret {
			names = append(names, "'"+string(f.name)+"'")
		}
	}
	return strings.Join(names, ", ")
}()

// erasedFields is an expression for the column fields of user_changes with its values erased. The last change of an erased user has none
// to erase: its values are those of the tombstone.
func (s *Store) erasedFields() string {
	return "CASE WHEN operation = '" + OperationErased + "' THEN fields ELSE " + erasedFields[s.db.Name()] + " END"
}

var erasedFields = map[string]string{
	sqlite.Name: func() string {
		value := func(of string) string {
			return fmt.Sprintf(`json(CASE WHEN value ->> '$.field' IN (%s) OR coalesce(value ->> '$.%s', '') = '' THEN value -> '$.%[2]s' ELSE '"%[3]s"' END)`,
				keptInHistory, of, erasedValue)
		}
		return "(SELECT json_group_array(json_object('field', value ->> '$.field', 'old', " + value("old") + ", 'new', " + value("new") + ") ORDER BY key) " +
			"FROM json_each(user_changes.fields))"
	}(),
	postgres.Name: func() string {
		value := func(of string) string {
			return fmt.Sprintf(`CASE WHEN c ->> 'field' IN (%s) OR coalesce(c ->> '%s', '') = '' THEN c -> '%[2]s' ELSE '"%[3]s"' END`, keptInHistory, of, erasedValue)
		}
		return "(SELECT coalesce(jsonb_agg(jsonb_build_object('field', c -> 'field', 'old', " + value("old") + ", 'new', " + value("new") + ") ORDER BY n), '[]') " +
			"FROM jsonb_array_elements(user_changes.fields) WITH ORDINALITY AS f (c, n))"
	}(),
}

// changesWithValues returns how many entries of a user's history have a value that an erasure would erase.
func (s *Store) changesWithValues(db *gorm.DB, u *User) (n int64, err error) {
	err = db.Raw("SELECT count(*) FROM user_changes WHERE customer_id = ? AND user_id = ? AND fields <> "+s.erasedFields(), u.CustomerID, u.ID).Scan(&n).Error
	return n, err
}
