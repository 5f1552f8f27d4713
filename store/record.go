package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/engine"
)

// A write can be made under an idempotency key. Its record, which has the answer to it, is then written in its transaction; see
// [Prepared]. A request that is repeated is given the recorded answer, and writes nothing.

// DefaultIdempotencyRetention is how long records are kept where a [Config] does not say.
const DefaultIdempotencyRetention = 24 * time.Hour

// RecordKey identifies the record of a write.
type RecordKey struct {
	CustomerID int64
	// Hash is that of everything else by which two writes are one and the same: the caller, the operation, the key that the caller chose.
	Hash [sha256.Size]byte
}

func (k RecordKey) hash() string { return base64.RawURLEncoding.EncodeToString(k.Hash[:]) }

// recordKey returns the key of a row.
func recordKey(customerID int64, hash string) (RecordKey, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(hash)
	if err != nil || len(raw) != sha256.Size {
		return RecordKey{}, fmt.Errorf("the hash of an idempotency record of customer %d is none", customerID)
	}
	return RecordKey{customerID, [sha256.Size]byte(raw)}, nil
}

// place is what the sealed part of the record is bound to, as [keyring.seal] takes it.
func (k RecordKey) place() (uuid.UUID, string) {
	return uuid.UUID(k.Hash[:16]), fmt.Sprintf("idempotency_record %d %s", k.CustomerID, k.hash())
}

// Record says what was asked by a write, and what it was answered.
type Record struct {
	Key RecordKey
	// Request is the SHA-256 of the request. A record that was read has none; see Matches.
	Request [sha256.Size]byte
	// Answer is what to repeat. It is sealed at rest, as the secrets of users are.
	Answer []byte

	fingerprintKey, fingerprint []byte
}

// Matches reports whether a record that was read is that of a request with this SHA-256.
func (r Record) Matches(request [sha256.Size]byte) bool {
	return hmac.Equal(fingerprint(r.fingerprintKey, request), r.fingerprint)
}

// fingerprint returns a keyed hash of a request: a body may have a password, which a plain hash would let be guessed.
func fingerprint(key []byte, request [sha256.Size]byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(request[:])
	return h.Sum(nil)
}

// sealRecord returns the sealed part of a record: the key of its fingerprint, the fingerprint, and the answer. The key is part of it so
// that it survives a change of the secret key: [Store.Rekey] does not have the request, to make another fingerprint.
func (k *keyring) sealRecord(r Record) string {
	user, column := r.Key.place()
	return k.seal(user, column, string(slices.Concat(k.fingerprintKey, fingerprint(k.fingerprintKey, r.Request), r.Answer)))
}

// resealRecord seals with the present key what another one of the keyring's has sealed.
func (k *keyring) resealRecord(key RecordKey, sealed string) (string, error) {
	user, column := key.place()
	text, err := k.open(user, column, sealed)
	if err != nil {
		return "", fmt.Errorf("opening an idempotency record of customer %d: %w", key.CustomerID, err)
	}
	return k.seal(user, column, text), nil
}

func (k *keyring) openRecord(key RecordKey, sealed string) (Record, error) {
	user, column := key.place()
	text, err := k.open(user, column, sealed)
	if err == nil && len(text) < 2*sha256.Size {
		err = errors.New("too short")
	}
	if err != nil {
		return Record{}, fmt.Errorf("opening an idempotency record of customer %d: %w", key.CustomerID, err)
	}
	parts := []byte(text)
	return Record{
		Key: key, fingerprintKey: parts[:sha256.Size], fingerprint: parts[sha256.Size : 2*sha256.Size], Answer: parts[2*sha256.Size:],
	}, nil
}

var insertRecords = newInsertion("idempotency_records", "customer_id", "hash", "user_id", "at", "sealed")

const (
	storeRecordOfUpdateStatement = "INSERT INTO idempotency_records (customer_id, hash, user_id, at, sealed) SELECT customer_id, ?, id, ?, ?" + ofUpdatedUser

	findRecordStatement   = "SELECT at, sealed FROM idempotency_records WHERE customer_id = ? AND hash = ?"
	deleteRecordStatement = "DELETE FROM idempotency_records WHERE customer_id = ? AND hash = ? AND at = ?"
)

// storeRecord makes the statement that adds a record.
func (s *Store) storeRecord(r Record, userID int64) engine.SQL {
	return insertRecords.of([]any{r.Key.CustomerID, r.Key.hash(), userID, s.now().UnixMilli(), s.keys.sealRecord(r)})
}

// storeRecordOfUpdate is storeRecord for the update of a user, if it is what was stored last.
func (s *Store) storeRecordOfUpdate(r Record, after *User) engine.SQL {
	return engine.SQL{Text: storeRecordOfUpdateStatement, Arguments: []any{
		r.Key.hash(), s.now().UnixMilli(), s.keys.sealRecord(r), after.ID, after.CustomerID, after.Version, after.UpdatedAt.UnixMilli(),
	}}
}

// FindRecord returns a record, which is then as durable as an acknowledged write. The error is ErrNotFound if there is none, or if its
// retention is over.
func (s *Store) FindRecord(ctx context.Context, key RecordKey) (Record, error) {
	const doing = "finding an idempotency record"
	var at int64
	var sealed string
	err := s.db.FindRow(ctx, []any{&at, &sealed}, engine.SQL{Text: findRecordStatement, Arguments: []any{key.CustomerID, key.hash()}})
	if errors.Is(err, sql.ErrNoRows) {
		return Record{}, fmt.Errorf("%s: %w", doing, ErrNotFound)
	}
	if err != nil {
		return Record{}, databaseError(ctx, doing, err)
	}
	if at <= s.recordsExpired() {
		// It would be in the way of its successor until it is pruned.
		step := engine.Step{Statements: []engine.SQL{{Text: deleteRecordStatement, Arguments: []any{key.CustomerID, key.hash(), at}}}}
		if _, err := s.db.Run(ctx, step); err != nil {
			return Record{}, databaseError(ctx, "deleting an expired idempotency record", err)
		}
		return Record{}, fmt.Errorf("%s: %w", doing, ErrNotFound)
	}
	if !s.db.ReadsSettled(ctx) {
		if err := s.settleRecord(ctx, key); err != nil {
			return Record{}, err
		}
	}
	return s.keys.openRecord(key, sealed)
}

// settleRecord makes a record that was read as durable as an acknowledged write. The error is ErrNotFound if it is gone meanwhile.
func (s *Store) settleRecord(ctx context.Context, key RecordKey) error {
	return s.transaction(ctx, func(tx *gorm.DB) error {
		var found int64
		err := tx.Raw("SELECT count(*) FROM idempotency_records WHERE customer_id = ? AND hash = ?", key.CustomerID, key.hash()).Scan(&found).Error
		if err != nil {
			return databaseError(ctx, "confirming an idempotency record", err)
		}
		if found == 0 {
			return fmt.Errorf("confirming an idempotency record: %w", ErrNotFound)
		}
		return s.settle(ctx, tx)
	})
}

// recordsExpired returns the time of the latest records whose retention is over.
func (s *Store) recordsExpired() int64 { return s.now().Add(-s.retention).UnixMilli() }

const (
	// prunedAtOnce is how many records one transaction deletes. On SQLite all other writers wait for it.
	prunedAtOnce = 250
	// pruningPause is how long pruning rests between two transactions.
	pruningPause = 50 * time.Millisecond
	// pruningPeriod is how often expired records are looked for.
	pruningPeriod = 30 * time.Second
	// pruningTimeout is when a transaction that a dead connection holds up is given up.
	pruningTimeout = 10 * time.Second
	// maxCountedRecords is how many records are counted at most, so that counting takes no long time.
	maxCountedRecords = 1_000_000
)

// RecordState is the state of the table of idempotency records.
type RecordState struct {
	Records int64     // a million at most are counted
	Oldest  time.Time // when the oldest was written; the zero time if there is none
}

// Records returns the state of the table of idempotency records as [Store.KeepPruning] found it last, and whether it did.
func (s *Store) Records() (state RecordState, known bool) {
	if found := s.records.Load(); found != nil {
		return *found, true
	}
	return RecordState{}, false
}

// KeepPruning calls [Store.PruneRecords] until ctx is done, twice a minute. When it fails it is tried again; report is called with the
// first error of a series, and with nil once it works again.
func (s *Store) KeepPruning(ctx context.Context, report func(error)) {
	keep(ctx, report, nil, func() (time.Duration, error) {
		_, err := s.PruneRecords(ctx)
		return pruningPeriod, err
	})
}

// PruneRecords deletes the idempotency records whose retention is over, some at a time, and returns how many it deleted. Any number of
// programs may do so at once.
func (s *Store) PruneRecords(ctx context.Context) (deleted int64, err error) {
	for {
		n, more, err := s.pruneSome(ctx)
		deleted += n
		if err != nil {
			return deleted, err
		}
		if !more {
			break
		}
		select {
		case <-ctx.Done():
			return deleted, ctx.Err()
		case <-time.After(pruningPause):
		}
	}
	return deleted, s.countRecords(ctx)
}

// pruneSome deletes prunedAtOnce expired records at most, the oldest first, and reports whether there may be more.
func (s *Store) pruneSome(ctx context.Context) (deleted int64, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, pruningTimeout)
	defer cancel()
	const doing = "deleting expired idempotency records"
	var expired []struct {
		CustomerID int64
		Hash       string
	}
	until := s.recordsExpired()
	err = s.read.WithContext(ctx).Raw("SELECT customer_id, hash FROM idempotency_records WHERE at <= ? ORDER BY at LIMIT ?", until, prunedAtOnce).
		Scan(&expired).Error
	if err != nil || len(expired) == 0 {
		return 0, false, databaseErrorOrNil(ctx, doing, err)
	}
	hashes := map[int64][]string{}
	for _, r := range expired {
		hashes[r.CustomerID] = append(hashes[r.CustomerID], r.Hash)
	}
	err = s.transaction(ctx, func(tx *gorm.DB) error {
		deleted = 0
		// In the same order everywhere, so that two programs do not deadlock.
		for _, customer := range slices.Sorted(maps.Keys(hashes)) {
			done := tx.Exec("DELETE FROM idempotency_records WHERE customer_id = ? AND hash IN ? AND at <= ?", customer, hashes[customer], until)
			if done.Error != nil {
				return databaseError(ctx, doing, done.Error)
			}
			deleted += done.RowsAffected
		}
		return nil
	})
	return deleted, err == nil && len(expired) == prunedAtOnce, err
}

// countRecords finds out the state of the table.
func (s *Store) countRecords(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pruningTimeout)
	defer cancel()
	var found struct{ Records, Oldest int64 }
	err := s.read.WithContext(ctx).Raw("SELECT (SELECT count(*) FROM (SELECT 1 FROM idempotency_records LIMIT ?) counted) AS records, "+
		"(SELECT CAST(coalesce(min(at), 0) AS BIGINT) FROM idempotency_records) AS oldest", maxCountedRecords).Scan(&found).Error
	if err != nil {
		return databaseError(ctx, "counting idempotency records", err)
	}
	state := RecordState{Records: found.Records}
	if found.Oldest > 0 {
		state.Oldest = time.UnixMilli(found.Oldest).UTC()
	}
	s.records.Store(&state)
	return nil
}
