package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/engine"
)

// Change says what to do to a user, and on whose behalf.
type Change struct {
	// Edit changes the user it is given, a copy of the stored one. It must be pure and must not use the store: after a conflict
	// with another writer it is called again with the current user, while the row, on SQLite the database, is
	// locked. When it returns an error nothing is written, and UpdateUser returns that error, alone or joined with others.
	//
	// Edit cannot change the fields that the store maintains, which are restored after it: ID, UUID, CustomerID, the folded and
	// the sealed columns, CreatedAt, CreatedBy, UpdatedAt, UpdatedBy, Version.
	Edit func(u *User) error
	// Actor becomes UpdatedBy, if anything changes. Nil means unknown.
	Actor *uuid.UUID
	// UsernameFollowsEmail makes the username follow the e-mail of a user who signs in by e-mail: if the username was the e-mail byte for
	// byte, and Edit changes only the e-mail, the username becomes the new e-mail. It stays if another user has that name, ignoring case.
	UsernameFollowsEmail bool

	// Base, if it is not nil, returns the version that the change was made for if that is older than the version of u, and 0 otherwise. For
	// an older version Merge is called in place of Edit, by the same rules. It is also given the user's past since that version, nil if
	// there is none; see [Store.UserPast].
	Base  func(u *User) int64
	Merge func(u *User, past *Past) error

	// restores says that Edit writes an older state back, EmailVerified included.
	restores bool
}

// maxAttempts is the maximum number of attempts of UpdateUser. After the first attempt it locks the row, so that only a write to another
// user that takes the same e-mail or username can still cause a conflict.
const maxAttempts = 4

// UpdateUser changes one user atomically: the user that Edit was given is the one that its result replaces, even with concurrent writers.
// It returns the changed user and the fields that changed, in declaration order. If none did, nothing is written, and the user keeps its
// version and the time of its last write.
//
// The model applies its own rules after Edit: an e-mail that changes in more than the case of its ASCII letters is no longer verified
// (see [SameMailbox]); empty text in Mobile and VCSPassword means nil; and every field that changes is checked for its length and syntax.
//
// The error is ErrNotFound when the customer has no such user; ErrErased when its personal data were erased; a *[FieldErrors] when
// the edited user is invalid, or was the last who could administer the customer; a *[ConflictError] with the changed fields whose
// values another user has; ErrBusy; ErrUnavailable; or what Edit returned. If Edit returns a *FieldErrors, or the store finds one, the other
// fields are still checked, the new e-mail and username for conflicts too if they are valid. The error then includes all violations, so
// that one response can list them: errors.As finds the *FieldErrors and the *ConflictError in it.
func (s *Store) UpdateUser(ctx context.Context, key UserKey, c Change) (after User, changed []Field, err error) {
	by := means{db: s.read, cached: s.remembered(key)}
	for attempt := 0; attempt < maxAttempts; {
		after, changed, err = s.attempt(ctx, by, key, c)
		if err == nil && len(changed) == 0 && !by.locked && !s.db.ReadsSettled(ctx) {
			// The caller is told that the user has the requested values, which must be as durable as if they had been written now.
			by.locked = true
			continue
		}
		if err == nil {
			return after, changed, nil
		}
		if errors.Is(err, errMayBeStale) {
			by.cached = nil
			continue
		}
		why, again := retryReason(err)
		if !again {
			return User{}, nil, err
		}
		if by.cached != nil && why == RetryConflict && !errors.Is(err, errNameFree) {
			// The cached user was stale, which says nothing about other writers.
			s.forget(by.cached)
			s.observer.retry(ctx, RetryStale)
			by.cached = nil
			continue
		}
		s.observer.retry(ctx, why)
		by.cached, by.locked = nil, true
		attempt++
	}
	s.observer.retry(ctx, RetryGivenUp)
	return User{}, nil, fmt.Errorf("updating user: %w: other writers were first %d times", ErrBusy, maxAttempts)
}

// RehearseUpdate carries out UpdateUser in a transaction that locks the user, with as many attempts, and rolls it back. It returns the
// error for which UpdateUser would fail, nil if only the commit could still fail. Unlike PreviewUpdate it detects that the database
// refuses the write, and repeated conflicts with other writers.
func (s *Store) RehearseUpdate(ctx context.Context, key UserKey, c Change) error {
	for range maxAttempts {
		_, _, err := s.attempt(ctx, means{locked: true, rehearsal: true}, key, c)
		if errors.Is(err, errRehearsed) {
			return nil
		}
		why, again := retryReason(err)
		if !again {
			return err
		}
		s.observer.retry(ctx, why)
	}
	s.observer.retry(ctx, RetryGivenUp)
	return fmt.Errorf("rehearsing an update: %w: other writers were first %d times", ErrBusy, maxAttempts)
}

// errRehearsed rolls back the transaction of a successful rehearsal.
var errRehearsed = errors.New("the update was rehearsed")

// attempt is one attempt to update a user, within a transaction if the user is to be locked.
func (s *Store) attempt(ctx context.Context, by means, key UserKey, c Change) (after User, changed []Field, err error) {
	if by.locked {
		err = s.transactionOnce(ctx, func(tx *gorm.DB) (err error) {
			after, changed, err = s.updateUser(ctx, means{db: tx, locked: true}, key, c)
			switch {
			case err == nil && by.rehearsal:
				return errRehearsed
			case err == nil && len(changed) == 0:
				return s.settle(ctx, tx)
			}
			return err
		})
	} else {
		after, changed, err = s.updateUser(ctx, by, key, c)
	}
	err = s.explainDuplicate(ctx, err)
	if len(changed) > 0 && err == nil {
		s.remember(&after)
		s.wroteStanding(&after, changed)
	}
	return after, changed, err
}

// settle makes the commit of tx confirm what tx has read, where that may be less durable than a commit.
func (s *Store) settle(ctx context.Context, tx *gorm.DB) error {
	if s.db.ReadsSettled(ctx) {
		return nil
	}
	if err := s.db.Settle(tx); err != nil {
		return databaseError(ctx, "confirming that the user is as asked", err)
	}
	return nil
}

// errConflicting: the stored user is no longer the one that the update started from. Nothing was written.
var errConflicting = errors.New("another writer was first")

// errNameFree: the database refused a name because another user had it, but no user has it any more.
var errNameFree = fmt.Errorf("%w: a name was taken and no longer is", errConflicting)

// errMustLock: whether this write is allowed can only be decided while the user and the customer are locked.
var errMustLock = errors.New("the user must be locked")

// errMayBeStale: the user came from the cache, and only a write would find out whether it is stale.
var errMayBeStale = errors.New("the cached user may be stale")

// means says how one attempt reads and writes the user. If it is locked, db is a transaction that locks the user before anything else;
// else db only reads, and the write fails with errConflicting if another writer was first.
type means struct {
	db     *gorm.DB
	locked bool
	// rehearsal rolls the transaction back; the error is then errRehearsed.
	rehearsal bool
	// cached is the user from the cache. Nil means that it must be read. An attempt may start from it only if it ends in a write, which
	// fails if the user is stale; otherwise the attempt returns errMayBeStale.
	cached *User
	// lost, if it is not nil, collects the users who lose their administration by the write; the caller then checks whether one is left.
	lost *administratorsLost
	// prepared, if it is not nil, is given the step that would write the user, which is then not run.
	prepared *Prepared
}

// duplicate: the database refused a user because another user has one of its unique values.
type duplicate struct {
	user     User
	followed bool // the username was set by UsernameFollowsEmail
	cause    error
}

func (d *duplicate) Error() string { return fmt.Sprintf("user %d: %v", d.user.ID, d.cause) }

// explainDuplicate returns what conflict does for a *duplicate, and any other error as it is. It must be called outside of the transaction
// that failed, since Postgres runs no further statement in one.
func (s *Store) explainDuplicate(ctx context.Context, err error) error {
	if d := (*duplicate)(nil); errors.As(err, &d) {
		return s.conflict(ctx, d)
	}
	return err
}

// conflict returns a *ConflictError with the fields whose values the database refused. If no user has these values any longer, or the
// only such field is a username that followed the e-mail, it returns errNameFree.
func (s *Store) conflict(ctx context.Context, d *duplicate) error {
	among := changeable
	if d.followed {
		among = []Field{FieldEmail, FieldExternalID}
	}
	fields, err := taken(ctx, s.read.WithContext(ctx), d.user.ID, &d.user, among...)
	if err != nil {
		return err
	}
	if len(fields) == 0 {
		return errNameFree
	}
	return fmt.Errorf("updating user: %w", &ConflictError{fields})
}

// updateUser is one attempt.
func (s *Store) updateUser(ctx context.Context, by means, key UserKey, c Change) (User, []Field, error) {
	before, err := s.before(ctx, by, key)
	if err != nil {
		return User{}, nil, err
	}
	if c, err = s.withPast(ctx, by.db, c, &before); err != nil {
		return User{}, nil, err
	}
	var after User
	invalid, refused := s.edit(c, &before, &after)
	if refused != nil || len(invalid) > 0 {
		if by.cached != nil {
			return User{}, nil, errMayBeStale
		}
		return User{}, nil, s.refusal(ctx, by.db, &before, &after, refused, invalid)
	}
	switch {
	case by.lost != nil:
		by.lost.add(&before, &after)
	case losesAdministrator(&before, &after):
		if err := s.checkLastAdministrator(ctx, by, &before, &after); err != nil {
			return User{}, nil, err
		}
	}
	followed, err := follow(ctx, by.db, c, &before, &after)
	if err != nil {
		return User{}, nil, err
	}
	changed := Diff(&before, &after)
	if len(changed) == 0 {
		if by.cached != nil {
			return User{}, nil, errMayBeStale
		}
		return before, nil, nil
	}
	if by.prepared != nil {
		if err := checkNames(ctx, by.db, &before, &after, followed); err != nil {
			return User{}, nil, err
		}
	}
	s.keys.sealSecrets(&before, &after)
	s.stamp(&before, &after, c.Actor)
	err = s.replaceUser(ctx, by, &before, &after, s.catalogue.change(ctx, &before, &after, changed, after.UpdatedAt))
	if errors.Is(err, gorm.ErrDuplicatedKey) {
		err = &duplicate{after, followed, err}
	}
	if err != nil {
		return User{}, nil, err
	}
	return after, changed, nil
}

// edit makes after of before by a change's Edit, in the form that the model has for it. It returns what the model forbids about the
// fields that differ, and Edit's error.
func (s *Store) edit(c Change, before, after *User) (invalid FieldErrors, refused error) {
	*after = *before
	after.unshare()
	refused = c.Edit(after)
	if before.Erased() && (refused == nil || errors.As(refused, new(*FieldErrors))) {
		refused = fmt.Errorf("updating user: %w", ErrErased)
	}
	keepBookkeeping(before, after)
	normalize(after)
	after.fold(before)
	edited := Diff(before, after)
	// Fields that an edit leaves alone are not validated: an older program, or a newer one with more roles, may have stored them.
	return s.catalogue.validate(after, func(f Field) bool { return slices.Contains(edited, f) }), refused
}

// follow changes what follows from an edit: whether the e-mail is verified, and the username that follows it. It reports whether the
// username did.
func follow(ctx context.Context, db *gorm.DB, c Change, before, after *User) (followed bool, err error) {
	if !SameMailbox(before.Email, after.Email) && !c.restores {
		after.EmailVerified = false
	}
	if !c.UsernameFollowsEmail {
		return false, nil
	}
	return followEmail(ctx, db, before, after)
}

// stamp makes after the version that follows before.
func (s *Store) stamp(before, after *User, actor *uuid.UUID) {
	after.Version++
	after.UpdatedAt, after.UpdatedBy = s.now(), actor
	if after.UpdatedAt.Before(before.UpdatedAt) {
		// The clocks of two servers differ, but a user's history does not go back in time.
		after.UpdatedAt = before.UpdatedAt
	}
}

// before returns the user that an attempt starts from.
func (s *Store) before(ctx context.Context, by means, key UserKey) (User, error) {
	switch {
	case by.cached != nil:
		return *by.cached, nil
	case by.locked:
		return s.lockUser(ctx, by.db, key)
	}
	return s.loadUser(ctx, key)
}

// replaceUser replaces before by after and records the change, if before is still what is stored; else it returns errConflicting.
func (s *Store) replaceUser(ctx context.Context, by means, before, after *User, change UserChange) error {
	step, err := updateStep(before, after, &change, s.distributed)
	if err != nil {
		return err
	}
	if by.prepared != nil {
		by.prepared.step = step
		return nil
	}
	var changed int64
	if by.locked {
		changed, err = runIn(by.db, step)
	} else if changed, err = s.db.Run(ctx, step); err == nil {
		s.wakeSequencer()
	}
	switch {
	case err != nil:
		return databaseError(ctx, "updating user", err)
	case changed == 0:
		return errConflicting
	}
	return nil
}

// runIn runs a step in a transaction, as [engine.Database.Run] does in one of its own.
func runIn(tx *gorm.DB, step engine.Step) (changed int64, err error) {
	return step.Run(func(statement engine.SQL) (int64, error) {
		done := tx.Exec(statement.Text, statement.Arguments...)
		return done.RowsAffected, done.Error
	})
}

// execute runs a statement in a transaction.
func execute(tx *gorm.DB, statement engine.SQL) error {
	return tx.Exec(statement.Text, statement.Arguments...).Error
}

// checkLastAdministrator returns an error if the write would leave the customer without an administrator.
func (s *Store) checkLastAdministrator(ctx context.Context, by means, before, after *User) error {
	if !by.locked {
		return errMustLock
	}
	if err := lockCustomer(ctx, by.db, before.CustomerID); err != nil {
		return err
	}
	wrong, err := lastAdministrator(ctx, by.db, before, after)
	if err != nil || len(wrong) == 0 {
		return err
	}
	return s.refusal(ctx, by.db, before, after, nil, nil)
}

// refusal returns all reasons for which a write is refused: Edit's error, if any, the violations of the model's rules, and the conflicts
// with other users. If Edit's error is not a *FieldErrors, it is the only reason.
func (s *Store) refusal(ctx context.Context, db *gorm.DB, before, after *User, refused error, invalid FieldErrors) error {
	wrong := &invalid
	if refused != nil && !errors.As(refused, &wrong) {
		return refused
	}
	var among []Field
	for _, f := range changeable {
		is := func(e FieldError) bool { return e.Field == f }
		if !slices.ContainsFunc(invalid, is) && !slices.ContainsFunc(*wrong, is) {
			among = append(among, f)
		}
	}
	all := []error{refused}
	var last FieldErrors
	if losesAdministrator(before, after) {
		var err error
		if last, err = lastAdministrator(ctx, db, before, after); err != nil {
			return err
		}
	}
	if found := slices.Concat(*wrong, last); refused == nil && len(found) > 0 || len(last) > 0 {
		// Before Edit's *FieldErrors, which it includes, so that errors.As finds the complete one.
		all = []error{fmt.Errorf("updating user: %w", &found), refused}
	}
	conflicts, err := taken(ctx, db, before.ID, after, among...)
	if err != nil {
		return err
	}
	if len(conflicts) > 0 {
		all = append(all, &ConflictError{conflicts})
	}
	return errors.Join(all...)
}

// keepBookkeeping restores the fields that an Edit cannot change.
func keepBookkeeping(before, after *User) {
	after.ID, after.UUID, after.CustomerID = before.ID, before.UUID, before.CustomerID
	after.AccessTokenSealed, after.VCSPasswordSealed = before.AccessTokenSealed, before.VCSPasswordSealed
	after.CreatedAt, after.CreatedBy = before.CreatedAt, before.CreatedBy
	after.UpdatedAt, after.UpdatedBy = before.UpdatedAt, before.UpdatedBy
	after.Version = before.Version
}

// followEmail carries out Change.UsernameFollowsEmail and reports whether the username followed.
func followEmail(ctx context.Context, db *gorm.DB, before, after *User) (bool, error) {
	if before.Username != before.Email || after.Username != before.Username || after.Email == before.Email {
		return false, nil
	}
	// An e-mail that is valid is a valid username as well.
	named := *after
	named.Username, named.UsernameFold = after.Email, Fold(after.Email)
	others, err := taken(ctx, db, after.ID, &named, FieldUsername)
	if err != nil || len(others) > 0 {
		return false, err
	}
	*after = named
	return true, nil
}
