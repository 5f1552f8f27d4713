package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/ledger"
)

// Purge removes from the database's files what was overwritten and deleted. On PostgreSQL it does nothing, as only VACUUM does that. The
// error is ErrBusy while others read or write.
func (s *Store) Purge(ctx context.Context) error {
	return databaseErrorOrNil(ctx, "purging the database", s.db.Purge(ctx))
}

// sweepAfter is when changes are looked at once more that an erased user may have made while another server did not know of the erasure
// yet: authorization sees it within five seconds.
const sweepAfter = time.Minute

// erasingPeriod is how often erasures are settled.
const erasingPeriod = 20 * time.Second

// KeepErasing calls [Store.SweepErasures] until ctx is done, three times a minute, and [Store.Purge] after an erasure of this store. When it
// fails it is tried again; report is called with the first error of a series, and with nil once it works again.
func (s *Store) KeepErasing(ctx context.Context, report func(error)) {
	keep(ctx, report, s.erased, func() (time.Duration, error) { return erasingPeriod, s.settleErasures(ctx) })
}

func (s *Store) settleErasures(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, erasingPeriod)
	defer cancel()
	settled, err := s.SweepErasures(ctx)
	if err != nil || settled == 0 && !s.purgeDue.Load() {
		return err
	}
	s.purgeDue.Store(false)
	if err := s.Purge(ctx); err != nil {
		s.purgeDue.Store(true)
		return err
	}
	return nil
}

// SweepErasures erases what was written of erased users while servers did not know of the erasure yet: subjects in changes that they made,
// and idempotency records. It returns how many users are settled now. Any number of programs may do so at once.
func (s *Store) SweepErasures(ctx context.Context) (settled int64, err error) {
	const doing = "settling erasures"
	var due []struct {
		CustomerID, UserID, SweepFrom int64
		UUID                          uuid.UUID
	}
	err = s.read.WithContext(ctx).Raw("SELECT customer_id, user_id, uuid, sweep_from FROM erasures WHERE sweep_from IS NOT NULL AND at < ? ORDER BY at LIMIT ?",
		s.now().Add(-sweepAfter).UnixMilli(), prunedAtOnce).Scan(&due).Error
	if err != nil {
		return 0, databaseError(ctx, doing, err)
	}
	for _, d := range due {
		u := User{ID: d.UserID, CustomerID: d.CustomerID, UUID: d.UUID}
		err := s.transaction(ctx, func(tx *gorm.DB) error {
			// The person's names are gone, but the actor is still there.
			_, err := s.eraseSubjects(tx, &u, subjects{id: u.UUID, names: spellings(u.UUID.String())}, othersChanges{upTo: d.SweepFrom})
			if err == nil {
				// The record of a write that changed nothing may have been stored after the erasure.
				err = tx.Exec("DELETE FROM idempotency_records WHERE customer_id = ? AND user_id = ?", u.CustomerID, u.ID).Error
			}
			if err == nil {
				err = tx.Exec("UPDATE erasures SET sweep_from = NULL WHERE customer_id = ? AND user_id = ?", u.CustomerID, u.ID).Error
			}
			return databaseErrorOrNil(ctx, doing, err)
		})
		if err != nil {
			return settled, err
		}
		settled++
	}
	return settled, nil
}

// notErased returns the UUIDs of the ledger whose users are in a database and not erased.
func notErased(ctx context.Context, db *gorm.DB, l *ledger.Ledger) (ids []uuid.UUID, err error) {
	entries, err := l.Entries()
	if err != nil {
		return nil, err
	}
	for some := range slices.Chunk(entries, maxSubjectsRead) {
		texts := make([]string, len(some))
		for i, e := range some {
			texts[i] = e.UUID.String()
		}
		var known, erased []uuid.UUID
		db := db.WithContext(ctx)
		err := db.Raw("SELECT value FROM claims WHERE kind = 'uuid' AND value IN ?", texts).Scan(&known).Error
		if err == nil {
			err = db.Raw("SELECT uuid FROM erasures WHERE uuid IN ?", texts).Scan(&erased).Error
		}
		if err != nil {
			return nil, databaseError(ctx, "comparing the database with the erasure ledger", err)
		}
		for _, id := range known {
			if !slices.Contains(erased, id) && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}

// CheckErasures returns ErrNotErased if the ledger lists a user whose personal data are in the database, and an error if a ledger that
// [Config.ErasureLedger] names cannot be written: it may be on a volume that is missing.
func (s *Store) CheckErasures(ctx context.Context) error {
	if s.ledger == nil {
		return nil
	}
	if s.namedLedger {
		if err := s.ledger.CheckWritable(); err != nil {
			return err
		}
	}
	return checkErasures(ctx, s.read, s.ledger)
}

// CompleteLedger appends to the ledger the erasures of the database that it lacks, and returns how many: a ledger that was lost, emptied or
// replaced by an older one would let a backup bring these people back. The error is ErrNoLedger if there is no ledger and somebody was erased.
func (s *Store) CompleteLedger(ctx context.Context) (added int, err error) {
	const doing = "comparing the erasure ledger with the database"
	var erased []struct {
		UUID uuid.UUID
		At   int64
	}
	if err := s.read.WithContext(ctx).Raw("SELECT uuid, at FROM erasures ORDER BY at, uuid").Scan(&erased).Error; err != nil {
		return 0, databaseError(ctx, doing, err)
	}
	if len(erased) == 0 || s.ledger == nil && s.inMemory {
		return 0, nil
	}
	if s.ledger == nil {
		return 0, ErrNoLedger
	}
	entries, err := s.ledger.Entries()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", doing, err)
	}
	listed := make(map[uuid.UUID]bool, len(entries))
	for _, e := range entries {
		listed[e.UUID] = true
	}
	var lacking []ledger.Entry
	for _, e := range erased {
		if !listed[e.UUID] {
			lacking = append(lacking, ledger.Entry{UUID: e.UUID, At: time.UnixMilli(e.At)})
		}
	}
	if len(lacking) == 0 {
		return 0, nil
	}
	return len(lacking), s.ledger.Append(ctx, lacking...)
}

// LedgerPath returns the path of the ledger, or "" if there is none.
func (s *Store) LedgerPath() string {
	if s.ledger == nil {
		return ""
	}
	return s.ledger.Path()
}

// checkErasures returns ErrNotErased if a ledger lists a user whose personal data are in a database.
func checkErasures(ctx context.Context, db *gorm.DB, l *ledger.Ledger) error {
	ids, err := notErased(ctx, db, l)
	if err != nil || len(ids) == 0 {
		return err
	}
	return fmt.Errorf("%w: %d users of %s: run `dragoman erase --replay %[3]s` on it", ErrNotErased, len(ids), l.Path())
}

// ReplayErasures erases the users that the ledger at path lists and that are in the database with their personal data, on nobody's behalf, and
// calls report with each. It does what was decided before, so neither a legal hold nor the rule of the last administrator is against
// it. It can be repeated: whoever is erased already stays so.
func (s *Store) ReplayErasures(ctx context.Context, path string, report func(Erased)) error {
	const doing = "replaying erasures"
	ids, err := notErased(ctx, s.read, ledger.At(path))
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	var own []ledger.Entry
	if s.ledger != nil {
		if own, err = s.ledger.Entries(); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
	for _, id := range ids {
		listed := slices.ContainsFunc(own, func(e ledger.Entry) bool { return e.UUID == id })
		keys, err := claimants(ctx, s.read, "uuid", id.String())
		if err != nil {
			return err
		}
		for _, key := range keys {
			done, err := s.EraseUser(ctx, Erasure{Key: key, again: true, listed: listed})
			if err != nil {
				return fmt.Errorf("%s: user %s: %w", doing, id, err)
			}
			report(done)
		}
	}
	return nil
}
