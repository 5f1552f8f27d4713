package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/engine"
)

// Prepared is a write whose outcome is known and that was not executed yet, so that the answer to it can be recorded in its
// transaction. [Prepared.Commit] executes it as long as its outcome is the same. Close must be called in any case.
type Prepared struct {
	s      *Store
	step   engine.Step // no statements: the write changes nothing
	cached *User       // what the outcome was computed from, if that came from the cache
	user   User        // the outcome; the zero value if nobody is written
	// changed are the fields that an update changes.
	changed []Field
	several []written // the outcome of [Store.PrepareUpdates], which tx has
	created bool
	tx      *gorm.DB // with the rows locked that the outcome depends on; nil if they are not
	end     func()   // ends what begin has begun
}

// ErrPrepareAgain: another writer was first, or the user has to be locked. Nothing was written; prepare the write again, as the next
// attempt.
var ErrPrepareAgain = errors.New("the write has to be prepared again")

// MaxPrepared is how often a write is prepared at most, as [Store.UpdateUser] does.
const MaxPrepared = maxAttempts

// PrepareNothing prepares to record an answer without a write.
func (s *Store) PrepareNothing() *Prepared { return &Prepared{s: s} }

// PrepareUpdate prepares [Store.UpdateUser], and returns what that would return. The first attempt is number 0. Later ones lock the
// user's row until Commit or Close, so the caller must do nothing slow between.
func (s *Store) PrepareUpdate(ctx context.Context, key UserKey, c Change, attempt int) (after User, changed []Field, p *Prepared, err error) {
	p = &Prepared{s: s}
	by := means{db: s.read, prepared: p}
	if attempt > 0 {
		if p.tx, p.end, err = s.begin(ctx); err != nil {
			return User{}, nil, nil, err
		}
		by.db, by.locked = p.tx, true
	} else {
		by.cached = s.remembered(key)
	}
	after, changed, err = s.updateUser(ctx, by, key, c)
	if errors.Is(err, errMayBeStale) {
		by.cached = nil
		after, changed, err = s.updateUser(ctx, by, key, c)
	}
	if err != nil {
		p.Close()
		return User{}, nil, nil, s.again(ctx, err)
	}
	p.cached, p.user, p.changed = by.cached, after, changed
	return after, changed, p, nil
}

// PrepareUpdates prepares [Store.UpdateUsers], and returns what that would return. The users' rows are locked until Commit or Close, so the
// caller must do nothing slow between.
func (s *Store) PrepareUpdates(ctx context.Context, customerID int64, ids []int64, c Change) (changed []int64, p *Prepared, err error) {
	p = &Prepared{s: s}
	if p.tx, p.end, err = s.begin(ctx); err != nil {
		return nil, nil, err
	}
	if p.several, err = s.updateUsers(ctx, p.tx, customerID, distinct(ids), c); err != nil {
		p.Close()
		return nil, nil, s.again(ctx, s.explainDuplicate(ctx, err))
	}
	return idsOf(p.several), p, nil
}

// PrepareCreate prepares [Store.CreateUser]. It sets in u what that would set, and returns the errors that it would return.
func (s *Store) PrepareCreate(ctx context.Context, u *User) (*Prepared, error) {
	row, invalid := s.complete(u, s.now())
	if len(invalid) > 0 {
		return nil, fmt.Errorf("creating user: %w", &invalid)
	}
	if err := s.giveID(ctx, &row); err != nil {
		return nil, err
	}
	if err := s.creationConflict(ctx, u, &row); err != nil {
		return nil, err
	}
	p := &Prepared{s: s, created: true}
	err := s.createUser(ctx, &row, func(_ context.Context, step engine.Step) (int64, error) {
		p.step = step
		return 1, nil
	})
	if err != nil {
		return nil, err
	}
	p.user, *u = row, row
	return p, nil
}

// Commit executes the write and stores the record, in one transaction. If the record of another write has the same key, if a user is
// another by now, or if a value is no longer free, the error is ErrPrepareAgain. Otherwise it is as of [Store.UpdateUser]: after
// ErrUnavailable it is unknown whether both or neither was written.
func (p *Prepared) Commit(ctx context.Context, r Record) error {
	s := p.s
	step := p.step
	record := s.storeRecord(r, p.user.ID)
	switch {
	case len(step.Statements) == 0:
		// It is the first statement, which does not fail.
		record.Text += " ON CONFLICT (customer_id, hash) DO NOTHING"
		step.Together = true
	case step.Together && !p.created:
		record = s.storeRecordOfUpdate(r, &p.user)
	}
	step.Statements = append(slices.Clip(step.Statements), record)
	step.MayWait = true
	changed, err := p.run(ctx, step)
	switch {
	case err == nil && changed == 0:
		err = errConflicting
	case errors.Is(err, gorm.ErrDuplicatedKey):
		err = fmt.Errorf("%w: %w", errConflicting, err)
	}
	if err != nil {
		if p.cached != nil {
			s.forget(p.cached)
		}
		return s.again(ctx, err)
	}
	s.wakeSequencer()
	s.wrote(p.several)
	switch {
	case p.created:
		s.wroteStanding(&p.user, nil)
	case len(p.changed) > 0:
		s.remember(&p.user)
		s.wroteStanding(&p.user, p.changed)
	}
	return nil
}

// run runs the step, in the transaction that has the lock if there is one.
func (p *Prepared) run(ctx context.Context, step engine.Step) (changed int64, err error) {
	const doing = "executing a prepared write"
	if p.tx == nil {
		changed, err = p.s.db.Run(ctx, step)
		return changed, databaseErrorOrNil(ctx, doing, err)
	}
	if changed, err = runIn(p.tx, step); err == nil && changed > 0 {
		err = p.tx.Commit().Error
	}
	return changed, databaseErrorOrNil(ctx, doing, err)
}

// GiveUp returns the error of a write that was prepared [MaxPrepared] times, which is ErrBusy.
func (s *Store) GiveUp(ctx context.Context) error {
	s.observer.retry(ctx, RetryGivenUp)
	return fmt.Errorf("preparing a write: %w: other writers were first %d times", ErrBusy, MaxPrepared)
}

// Close ends what was not committed.
func (p *Prepared) Close() {
	if p == nil || p.end == nil {
		return
	}
	p.end()
	p.end = nil
}

// again returns ErrPrepareAgain for an error after which there is to be another attempt, and any other error as it is.
func (s *Store) again(ctx context.Context, err error) error {
	why, again := retryReason(err)
	if !again {
		return err
	}
	s.observer.retry(ctx, why)
	return fmt.Errorf("%w: %w", ErrPrepareAgain, err)
}

// begin begins a transaction of the writing pool. end must be called; it rolls back what was not committed.
func (s *Store) begin(ctx context.Context) (tx *gorm.DB, end func(), err error) {
	if s.transactions.Add(1) > engine.MaxQueued {
		s.transactions.Add(-1)
		return nil, nil, errTooManyWriters
	}
	tx = s.write.WithContext(ctx).Begin(&sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if tx.Error != nil {
		s.transactions.Add(-1)
		return nil, nil, databaseError(ctx, "beginning the transaction", tx.Error)
	}
	return tx, func() {
		tx.Rollback() // does nothing after a commit
		s.transactions.Add(-1)
	}, nil
}
