package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Age is a number of days, weeks or years, such as 2y. The zero value is none.
type Age struct {
	n    int
	unit byte // d, w or y
}

// maxAge is how many years an Age is at most.
const maxAge = 100

// ParseAge returns the age that a text names: a whole number without zeros before it, and d, w or y.
func ParseAge(text string) (Age, error) {
	wrong := fmt.Errorf("must be a number of days, weeks or years, from 1d to %dy, such as 730d, 104w or 2y", maxAge)
	if len(text) < 2 {
		return Age{}, wrong
	}
	unit := text[len(text)-1]
	n, err := strconv.Atoi(text[:len(text)-1])
	most := map[byte]int{'d': maxAge * 365, 'w': maxAge * 52, 'y': maxAge}[unit]
	if err != nil || n < 1 || n > most || strconv.Itoa(n) != text[:len(text)-1] {
		return Age{}, wrong
	}
	return Age{n, unit}, nil
}

// UnmarshalText implements [encoding.TextUnmarshaler] by [ParseAge].
func (a *Age) UnmarshalText(text []byte) (err error) {
	*a, err = ParseAge(string(text))
	return err
}

// MarshalText implements [encoding.TextMarshaler] by String.
func (a Age) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// String returns the text that ParseAge takes, empty for the zero value.
func (a Age) String() string {
	if a.n == 0 {
		return ""
	}
	return strconv.Itoa(a.n) + string(a.unit)
}

// before returns the time that is this age before t, in UTC. A day has 24 hours, and a year is a calendar year.
func (a Age) before(t time.Time) time.Time {
	switch t = t.UTC(); a.unit {
	case 'y':
		return t.AddDate(-a.n, 0, 0)
	case 'w':
		return t.AddDate(0, 0, -7*a.n)
	}
	return t.AddDate(0, 0, -a.n)
}

const (
	// agedAtOnce is how many entries of the history one transaction looks at or erases. On SQLite all other writers wait for it.
	agedAtOnce = 100
	// agingPause is how long it rests between two transactions.
	agingPause = 50 * time.Millisecond
	// agingPeriod is how often entries that have become old are looked for.
	agingPeriod = time.Minute
	// agingTimeout is when a transaction that a dead connection holds up is given up.
	agingTimeout = 10 * time.Second
)

// KeepRetention calls [Store.EraseOldHistory] until ctx is done, once a minute. When it fails it is tried again; report is called with the
// first error of a series, and with nil once it works again.
func (s *Store) KeepRetention(ctx context.Context, report func(error)) {
	if s.historyRetention == (Age{}) {
		return
	}
	keep(ctx, report, nil, func() (time.Duration, error) {
		_, err := s.EraseOldHistory(ctx)
		return agingPeriod, err
	})
}

// OldHistoryErased returns how many entries of the history this store has erased values from, as they were old.
func (s *Store) OldHistoryErased() int64 { return s.aged.Load() }

// EraseOldHistory erases the values and subjects of the history's entries that are older than [Config.HistoryRetention], as an erasure
// does, some at a time, and returns of how many. Entries of users with a legal hold are left as they are until it is lifted.
//
// Any number of programs may call it at once: one works at a time, and the others do nothing meanwhile.
func (s *Store) EraseOldHistory(ctx context.Context) (erased int64, err error) {
	if s.historyRetention == (Age{}) {
		return 0, nil
	}
	for _, some := range []func(context.Context, time.Time) (int64, bool, error){s.eraseAged, s.eraseRetained} {
		for more := true; more; {
			var n int64
			if n, more, err = s.within(ctx, some); err != nil {
				return erased, err
			}
			erased += n
			select {
			case <-ctx.Done():
				return erased, ctx.Err()
			case <-time.After(agingPause):
			}
		}
	}
	return erased, nil
}

// within runs a step of EraseOldHistory, which reports how many entries it has erased and whether there may be more.
func (s *Store) within(ctx context.Context, some func(context.Context, time.Time) (int64, bool, error)) (erased int64, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, agingTimeout)
	defer cancel()
	erased, more, err = some(ctx, s.historyRetention.before(s.now()))
	if errors.Is(err, errOthersErase) {
		return 0, false, nil
	}
	if err == nil && erased > 0 {
		s.aged.Add(erased)
		s.purgeSoon()
	}
	return erased, more, databaseErrorOrNil(ctx, "erasing old values from the history", err)
}

// purgeSoon makes KeepErasing remove from the database's files what was overwritten.
func (s *Store) purgeSoon() {
	s.purgeDue.Store(true)
	select {
	case s.erased <- struct{}{}:
	default: // it is about to be done already
	}
}

// errOthersErase: another program is erasing old history.
var errOthersErase = errors.New("another program erases old history")

// historyRetention is the row of history_retention. Its lock lets one program work at a time.
type historyRetention struct {
	ID     int
	Number int64 // of the last entry of the feed that was looked at
}

// TableName returns the name of the table, for gorm.
func (historyRetention) TableName() string { return "history_retention" }

// lockRetention locks the row of history_retention until tx ends, and returns errOthersErase if another program has it.
func lockRetention(tx *gorm.DB) (row historyRetention, err error) {
	err = tx.Clauses(clause.Locking{Strength: "UPDATE", Options: "SKIP LOCKED"}).Take(&row).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		err = errOthersErase
	}
	return row, err
}

// agedEntry is an entry of the history in the order of the feed.
type agedEntry struct {
	Number, CustomerID, UserID, Version int64
	At                                  int64
}

// nextAged returns the entries behind a number of the feed that are to be looked at: the next ones, up to the last that is old. There is
// no index of times, which each write would have to keep; but the feed has the entries nearly by their time. An entry whose time is still
// to come was written by a clock that was wrong, and does not hold up those behind it.
func (s *Store) nextAged(db *gorm.DB, after int64, cutoff time.Time) (entries []agedEntry, err error) {
	err = s.feedPage(db, feedRange{after: after, upTo: published, all: true}, agedAtOnce).Joins(historyOfFeed).
		Select("feed.number, c.customer_id, c.user_id, c.version, c.at").Scan(&entries).Error
	for i, e := range slices.Backward(entries) {
		if e.At < cutoff.UnixMilli() || e.At > s.now().UnixMilli() {
			return entries[:i+1], err
		}
	}
	return nil, err
}

// eraseAged erases what is old of the next entries of the feed.
func (s *Store) eraseAged(ctx context.Context, cutoff time.Time) (erased int64, more bool, err error) {
	var row historyRetention
	db := s.read.WithContext(ctx)
	if err := db.Take(&row).Error; err != nil {
		return 0, false, err
	}
	// Most of the time there is nothing to do, and nothing is locked.
	if next, err := s.nextAged(db, row.Number, cutoff); err != nil || len(next) == 0 {
		return 0, false, err
	}
	err = s.transaction(ctx, func(tx *gorm.DB) error {
		erased = 0
		row, err := lockRetention(tx)
		if err != nil {
			return err
		}
		entries, err := s.nextAged(tx, row.Number, cutoff)
		if err != nil || len(entries) == 0 {
			return err
		}
		last := entries[len(entries)-1].Number
		for user, of := range byUser(entries) {
			n, err := s.eraseEntries(tx, user, of, cutoff)
			if err != nil {
				return err
			}
			erased += n
		}
		return tx.Exec("UPDATE history_retention SET number = ? WHERE id = 1", last).Error
	})
	return erased, err == nil, err
}

// userOfCustomer is a user by its ids.
type userOfCustomer struct{ CustomerID, UserID int64 }

// byUser yields the entries of each user, in the order in which users are locked.
func byUser(entries []agedEntry) iter.Seq2[userOfCustomer, []agedEntry] {
	return func(yield func(userOfCustomer, []agedEntry) bool) {
		slices.SortStableFunc(entries, func(a, b agedEntry) int {
			return cmp.Or(cmp.Compare(a.CustomerID, b.CustomerID), cmp.Compare(a.UserID, b.UserID))
		})
		for len(entries) > 0 {
			user, n := userOfCustomer{entries[0].CustomerID, entries[0].UserID}, 1
			for n < len(entries) && (userOfCustomer{entries[n].CustomerID, entries[n].UserID}) == user {
				n++
			}
			if !yield(user, entries[:n]) {
				return
			}
			entries = entries[n:]
		}
	}
}

// eraseEntries erases those of a user's entries that are old, and remembers the user for the others.
func (s *Store) eraseEntries(tx *gorm.DB, user userOfCustomer, entries []agedEntry, cutoff time.Time) (erased int64, err error) {
	held, err := s.hasLegalHold(tx, user)
	if err != nil {
		return 0, err
	}
	var old []int64
	for _, e := range entries {
		if !held && e.At < cutoff.UnixMilli() {
			old = append(old, e.Version)
			continue
		}
		err := tx.Exec("INSERT INTO history_retained (customer_id, user_id, at) VALUES (?, ?, ?) ON CONFLICT (customer_id, user_id) "+
			"DO UPDATE SET at = CASE WHEN excluded.at > history_retained.at THEN excluded.at ELSE history_retained.at END", user.CustomerID, user.UserID, e.At).Error
		if err != nil {
			return 0, err
		}
	}
	if len(old) == 0 {
		return 0, nil
	}
	return s.eraseValues(tx, user, "version IN ?", old)
}

// hasLegalHold reports whether a user has a legal hold, which cannot be set until tx ends.
func (s *Store) hasLegalHold(tx *gorm.DB, user userOfCustomer) (bool, error) {
	var held bool
	err := tx.Model(&User{}).Clauses(clause.Locking{Strength: "SHARE"}).Select("legal_hold_at IS NOT NULL").
		Where("customer_id = ? AND id = ?", user.CustomerID, user.UserID).Scan(&held).Error
	return held, err
}

// eraseValues erases the values and subjects of the entries of a user for which a condition is true, and returns of how many.
func (s *Store) eraseValues(tx *gorm.DB, user userOfCustomer, condition string, arguments ...any) (erased int64, err error) {
	done := tx.Exec("UPDATE user_changes SET fields = "+s.erasedFields()+", subject = CASE WHEN subject = '' THEN '' ELSE ? END "+
		"WHERE customer_id = ? AND user_id = ? AND "+s.hasValues()+" AND "+condition,
		append([]any{erasedValue, user.CustomerID, user.UserID}, arguments...)...)
	return done.RowsAffected, done.Error
}

// hasValues is the condition for an entry of user_changes from which something is to be erased.
func (s *Store) hasValues() string {
	return "(subject NOT IN ('', '" + erasedValue + "') OR fields <> " + s.erasedFields() + ")"
}

// eraseRetained erases what is old of the users that were remembered, if it has become old, or the legal hold was lifted.
func (s *Store) eraseRetained(ctx context.Context, cutoff time.Time) (erased int64, more bool, err error) {
	var due []userOfCustomer
	err = s.read.WithContext(ctx).Raw("SELECT r.customer_id, r.user_id FROM history_retained r JOIN users ON users.customer_id = r.customer_id AND users.id = r.user_id "+
		"WHERE users.legal_hold_at IS NULL AND r.at < ? ORDER BY r.customer_id, r.user_id LIMIT 1", cutoff.UnixMilli()).Scan(&due).Error
	if err != nil || len(due) == 0 {
		return 0, false, err
	}
	user := due[0]
	err = s.transaction(ctx, func(tx *gorm.DB) error {
		erased = 0
		if _, err := lockRetention(tx); err != nil {
			return err
		}
		held, err := s.hasLegalHold(tx, user)
		if err != nil || held {
			return err
		}
		erased, err = s.eraseValues(tx, user, "version IN (SELECT version FROM user_changes WHERE customer_id = ? AND user_id = ? AND at < ? AND "+s.hasValues()+
			" ORDER BY version LIMIT ?)", user.CustomerID, user.UserID, cutoff.UnixMilli(), agedAtOnce)
		if err != nil || erased == agedAtOnce {
			return err
		}
		return tx.Exec("DELETE FROM history_retained WHERE customer_id = ? AND user_id = ?", user.CustomerID, user.UserID).Error
	})
	return erased, err == nil, err
}
