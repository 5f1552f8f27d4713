package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/engine"
	"github.com/dragoman-id/dragoman/store/postgres"
	"github.com/dragoman-id/dragoman/store/sqlite"
)

// Searches for a part of a name or an e-mail use an index of trigrams, the table user_search. It is computed in the background, so that
// it costs writers no more than a row in search_pending, which a trigger inserts. A search considers the users that the index finds and
// those that are pending, and compares each with the text, so it never depends on how far the index is behind, except for its speed.

const (
	// gramLength is the length of the runs of characters that are indexed. Shorter texts are searched for without the index.
	gramLength = 3
	// Of the trigrams of a text, the rarest are looked up: minGramsAsked of them, and up to maxGramsAsked of those that are in fewer than
	// rareFrequency of the rows. If the rarest is in more than scanFrequency, the customer's users are scanned.
	minGramsAsked = 4
	maxGramsAsked = 8
	rareFrequency = 0.005
	scanFrequency = 0.1
	// commonGramsFor is how long the common trigrams are cached.
	commonGramsFor = time.Minute
	// defaultMaxCandidates is how many users are looked at one by one. If a text finds more, its customer's users are scanned, which is
	// then faster.
	defaultMaxCandidates = 4000
	// indexedAtOnce is how many pending rows one transaction takes. On SQLite all other writers wait for it.
	indexedAtOnce = 250
	// indexingPeriod is how often the indexer looks for pending users.
	indexingPeriod = 500 * time.Millisecond
	// indexingTimeout is when a step that a dead connection holds up is given up.
	indexingTimeout = 10 * time.Second
)

// The parts of a user that are indexed, as bits of search_pending.parts and as values of user_search.part.
const (
	partNames = 1
	partEmail = 2
)

// grams returns the hashes of all trigrams of texts, sorted and without duplicates. Each hash includes the customer's id, so that the
// index leads with it.
func grams(customerID int64, texts ...string) []int32 {
	var hashes []int32
	for _, text := range texts {
		for start := range text {
			end, n := start, 0
			for ; n < gramLength && end < len(text); n++ {
				_, size := utf8.DecodeRuneInString(text[end:])
				end += size
			}
			if n < gramLength {
				break
			}
			hashes = append(hashes, gramHash(customerID, text[start:end]))
		}
	}
	slices.Sort(hashes)
	return slices.Compact(hashes)
}

// gramHash is FNV-1a. It is stored, so it must never change without a migration that empties user_search and makes all users pending.
func gramHash(customerID int64, gram string) int32 {
	const offset, prime = 2166136261, 16777619
	var id [8]byte
	binary.LittleEndian.PutUint64(id[:], uint64(customerID)) // #nosec G115 -- the bits only
	h := uint32(offset)
	for _, b := range id {
		h = (h ^ uint32(b)) * prime
	}
	for i := range len(gram) {
		h = (h ^ uint32(gram[i])) * prime
	}
	return int32(h) // #nosec G115 -- the bits only
}

// searchIndex has the statements of user_search that differ by engine.
type searchIndex struct {
	// find returns up to ? ids of users of a customer, some of them twice, whose row has all grams.
	find      string
	arguments func(customerID int64, grams []int32, limit int) []any
	// within is a condition for users whose ids are in a list, as list formats it.
	within string
	list   func(ids []int64) string
	// common returns the hashes that are in many rows, and in which part of them, as the database estimates. Nil if it cannot tell.
	common func(db *gorm.DB) (map[int32]float64, error)
	// join follows a list of pending rows p, and joins to each its user u, if there is one, by the primary key.
	join string
	// write replaces rows. forget deletes rows from search_pending that were read in the same transaction, all those after a key up to
	// the last of them. Neither is given two equal keys.
	write  func(tx *gorm.DB, rows []indexRow) error
	forget func(tx *gorm.DB, after pendingUser, rows []pendingUser) error
	// remove makes the statement that deletes a user's rows.
	remove func(u *User) engine.SQL
}

// indexRow is a row of user_search.
type indexRow struct {
	customerID, userID int64
	part               int
	grams              []int32
}

var searchIndexes = map[string]searchIndex{
	sqlite.Name: {
		find: "SELECT rowid / 2 FROM user_search WHERE user_search MATCH ? LIMIT ?",
		arguments: func(_ int64, grams []int32, limit int) []any {
			return []any{gramWords(grams, " AND "), limit}
		},
		within: "id IN (SELECT value FROM json_each(?))",
		list:   func(ids []int64) string { return "[" + joined(ids) + "]" },
		join:   "LEFT JOIN users u ON u.customer_id = p.customer_id AND u.id = p.user_id",
		write: func(tx *gorm.DB, rows []indexRow) error {
			list := []byte("[")
			for i, r := range rows {
				if i > 0 {
					list = append(list, ',')
				}
				// The words need no escapes in JSON.
				list = fmt.Appendf(list, `[%d,"%s"]`, 2*r.userID+int64(r.part-1), gramWords(r.grams, " "))
			}
			return tx.Exec("INSERT OR REPLACE INTO user_search (rowid, grams) SELECT value ->> 0, value ->> 1 FROM json_each(?)", string(append(list, ']'))).Error
		},
		forget: func(tx *gorm.DB, after pendingUser, rows []pendingUser) error {
			// No other writer has added a row between them.
			last := rows[len(rows)-1]
			return tx.Exec("DELETE FROM search_pending WHERE (customer_id, user_id, version) > (?, ?, ?) AND (customer_id, user_id, version) <= (?, ?, ?)",
				after.CustomerID, after.UserID, after.Version, last.CustomerID, last.UserID, last.Version).Error
		},
		remove: func(u *User) engine.SQL {
			return engine.SQL{Text: "DELETE FROM user_search WHERE rowid IN (?, ?)", Arguments: []any{2 * u.ID, 2*u.ID + 1}}
		},
	},
	postgres.Name: {
		// Without MATERIALIZED the limit would make the planner prefer a scan of the table.
		find: "WITH found AS MATERIALIZED (SELECT user_id FROM user_search WHERE customer_id = ? AND grams @> CAST(? AS integer[])) " +
			"SELECT user_id FROM found LIMIT ?",
		arguments: func(customerID int64, grams []int32, limit int) []any {
			return []any{customerID, "{" + joined(grams) + "}", limit}
		},
		common: func(db *gorm.DB) (map[int32]float64, error) {
			var rows []struct {
				Gram      int32
				Frequency float64
			}
			err := db.Raw("SELECT * FROM (SELECT unnest(CAST(CAST(most_common_elems AS text) AS integer[])) AS gram, unnest(most_common_elem_freqs) AS frequency " +
				"FROM pg_stats WHERE schemaname = current_schema() AND tablename = 'user_search' AND attname = 'grams') s WHERE gram IS NOT NULL").Scan(&rows).Error
			common := make(map[int32]float64, len(rows))
			for _, r := range rows {
				common[r.Gram] = r.Frequency
			}
			return common, err
		},
		within: "id = ANY (CAST(? AS bigint[]))",
		list:   func(ids []int64) string { return "{" + joined(ids) + "}" },
		// The planner would read the whole table to join it, if that is small. The limit prevents it.
		join: "LEFT JOIN LATERAL (SELECT * FROM users WHERE customer_id = p.customer_id AND id = p.user_id LIMIT 1) u ON TRUE",
		write: func(tx *gorm.DB, rows []indexRow) error {
			var customers, users, parts []int64
			var grams []string
			for _, r := range rows {
				customers, users, parts = append(customers, r.customerID), append(users, r.userID), append(parts, int64(r.part))
				grams = append(grams, `"{`+joined(r.grams)+`}"`)
			}
			return tx.Exec("INSERT INTO user_search (customer_id, user_id, part, grams) SELECT c, u, p, CAST(g AS integer[]) "+
				"FROM unnest(CAST(? AS bigint[]), CAST(? AS bigint[]), CAST(? AS smallint[]), CAST(? AS text[])) AS r (c, u, p, g) "+
				"ON CONFLICT (customer_id, user_id, part) DO UPDATE SET grams = excluded.grams",
				"{"+joined(customers)+"}", "{"+joined(users)+"}", "{"+joined(parts)+"}", "{"+strings.Join(grams, ",")+"}").Error
		},
		forget: func(tx *gorm.DB, _ pendingUser, rows []pendingUser) error {
			var customers, users, versions []int64
			for _, p := range rows {
				customers, users, versions = append(customers, p.CustomerID), append(users, p.UserID), append(versions, p.Version)
			}
			return tx.Exec("DELETE FROM search_pending p USING unnest(CAST(? AS bigint[]), CAST(? AS bigint[]), CAST(? AS bigint[])) AS r (c, u, v) "+
				"WHERE p.customer_id = r.c AND p.user_id = r.u AND p.version = r.v",
				"{"+joined(customers)+"}", "{"+joined(users)+"}", "{"+joined(versions)+"}").Error
		},
		remove: func(u *User) engine.SQL {
			return engine.SQL{Text: "DELETE FROM user_search WHERE customer_id = ? AND user_id = ?", Arguments: []any{u.CustomerID, u.ID}}
		},
	},
}

func joined[T int32 | int64](numbers []T) string {
	text := make([]byte, 0, 12*len(numbers))
	for i, n := range numbers {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendInt(text, int64(n), 10)
	}
	return string(text)
}

// gramWords writes hashes as words of an SQLite index.
func gramWords(grams []int32, separator string) string {
	words := make([]string, len(grams))
	for i, g := range grams {
		words[i] = strconv.FormatUint(uint64(uint32(g)), 36) // #nosec G115 -- the bits only
	}
	return strings.Join(words, separator)
}

// narrow adds to found, a query for the users of a customer that contain a folded text, a condition that makes it cheap, if few users
// contain the text: their ids.
func (s *Store) narrow(ctx context.Context, from reader, customerID int64, text string, found *gorm.DB) (*gorm.DB, error) {
	if s.distributed {
		return found, nil // nothing is indexed; see Distribute
	}
	ids, few, err := s.candidates(ctx, from, customerID, text)
	if err != nil {
		return nil, err
	}
	if !few {
		// The scan ends early if the text is in many of the users.
		if err := found.Select("id").Limit(s.maxCandidates + 1).Scan(&ids).Error; err != nil {
			return nil, databaseError(ctx, "searching users", err)
		}
		few = len(ids) <= s.maxCandidates
	}
	if few {
		index := searchIndexes[s.db.Name()]
		found = found.Where(index.within, index.list(ids)).Session(&gorm.Session{})
	}
	return found, nil
}

// candidates returns the ids of all users of a customer that may contain a folded text, if they are few.
func (s *Store) candidates(ctx context.Context, from reader, customerID int64, text string) (ids []int64, few bool, err error) {
	asked := grams(customerID, text)
	if len(asked) == 0 {
		return nil, false, nil
	}
	db := from.db.WithContext(ctx)
	// Pending users are read first: those that are indexed meanwhile are then found twice, instead of not at all.
	err = db.Table("search_pending").Where("customer_id = ?", customerID).Limit(s.maxCandidates+1).Pluck("user_id", &ids).Error
	if err != nil {
		return nil, false, databaseError(ctx, "searching users", err)
	}
	if len(ids) > s.maxCandidates {
		return nil, false, nil
	}
	index := searchIndexes[s.db.Name()]
	if asked, err = s.rarest(ctx, from, asked); err != nil || len(asked) == 0 {
		return nil, false, err
	}
	var found []int64
	limit := 2*s.maxCandidates + 1 // a user has two rows
	err = db.Raw(index.find, index.arguments(customerID, asked, limit)...).Scan(&found).Error
	if err != nil {
		return nil, false, databaseError(ctx, "searching users", err)
	}
	if len(found) == limit {
		return nil, false, nil
	}
	ids = append(ids, found...)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	return ids, len(ids) <= s.maxCandidates, nil
}

// rarest returns those of the hashes that are worth looking up, or none if all are too common.
func (s *Store) rarest(ctx context.Context, from reader, asked []int32) ([]int32, error) {
	common, err := s.commonGrams(ctx, from)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(asked, func(a, b int32) int { return cmp.Compare(common[a], common[b]) })
	if common[asked[0]] > scanFrequency {
		return nil, nil
	}
	n := 1
	for n < min(len(asked), maxGramsAsked) && (n < minGramsAsked || common[asked[n]] < rareFrequency) {
		n++
	}
	return asked[:n], nil
}

// commonGrams are the trigrams that are in many rows of user_search.
type commonGrams struct {
	frequency map[int32]float64
	read      time.Time
}

func (s *Store) commonGrams(ctx context.Context, from reader) (map[int32]float64, error) {
	read := searchIndexes[s.db.Name()].common
	if read == nil {
		return nil, nil
	}
	cached := s.common.Load()
	if cached != nil && s.clock().Sub(cached.read) < commonGramsFor {
		return cached.frequency, nil
	}
	common, err := read(from.db.WithContext(ctx))
	if err != nil {
		return nil, databaseError(ctx, "asking for common trigrams", err)
	}
	s.common.Store(&commonGrams{common, s.clock()})
	return common, nil
}

// KeepIndexing does what [Store.IndexUsers] does until ctx is done, at least twice a second. When indexing fails it is tried again;
// report is called with the first error of a series, and with nil once it works again.
func (s *Store) KeepIndexing(ctx context.Context, report func(error)) {
	if s.distributed {
		return // nobody is ever pending, and to ask for that would ask every shard; see Distribute
	}
	var after pendingUser
	keep(ctx, report, nil, func() (pause time.Duration, err error) {
		if after, err = s.indexWithin(ctx, indexingTimeout, after); after != (pendingUser{}) {
			return 0, err
		}
		return indexingPeriod, err
	})
}

func (s *Store) indexWithin(ctx context.Context, d time.Duration, after pendingUser) (next pendingUser, err error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	_, next, err = s.indexSome(ctx, after)
	return next, err
}

// IndexUsers indexes all users who are pending when it is called, and returns how many changes it took from search_pending. Any number
// of programs may call it at the same time: one of them works, the others wait for it.
func (s *Store) IndexUsers(ctx context.Context) (changes int64, err error) {
	var after pendingUser
	for {
		n, next, err := s.indexSome(ctx, after)
		changes += int64(n)
		if err != nil || next == (pendingUser{}) {
			return changes, err
		}
		after = next
	}
}

// pendingUser is a row of search_pending, and the texts of its user.
type pendingUser struct {
	CustomerID, UserID, Version int64
	Parts                       int

	FirstNameFold, LastNameFold, EmailFold, EmailSearch string
}

// pendingUsers makes the statement that reads rows of search_pending, from the first after a key, and their users as they are. One
// statement does both, so that it sees the change for which a user is pending.
func (i searchIndex) pendingUsers() string {
	return `SELECT p.customer_id, p.user_id, p.version, p.parts, coalesce(u.first_name_fold, '') AS first_name_fold,
	coalesce(u.last_name_fold, '') AS last_name_fold, coalesce(u.email_fold, '') AS email_fold, coalesce(u.email_search, '') AS email_search
FROM (SELECT customer_id, user_id, version, parts FROM search_pending WHERE (customer_id, user_id, version) > (?, ?, ?)
	ORDER BY customer_id, user_id, version LIMIT ?) p ` + i.join + ` ORDER BY p.customer_id, p.user_id, p.version`
}

// indexSome indexes the users of the rows of search_pending after a key, indexedAtOnce rows at most, and returns how many rows it took.
// next is the last of them, or the zero value if there are no more.
func (s *Store) indexSome(ctx context.Context, after pendingUser) (changes int, next pendingUser, err error) {
	var pending bool
	err = s.read.WithContext(ctx).Raw("SELECT EXISTS (SELECT 1 FROM search_pending)").Scan(&pending).Error
	if err != nil || !pending {
		return 0, next, databaseErrorOrNil(ctx, "looking for users to index", err)
	}
	var batch []pendingUser
	err = s.transaction(ctx, func(tx *gorm.DB) error {
		if err := s.db.Lock(tx, "dragoman.search"); err != nil {
			return databaseError(ctx, "waiting for the indexer", err)
		}
		index := searchIndexes[s.db.Name()]
		err := tx.Raw(index.pendingUsers(), after.CustomerID, after.UserID, after.Version, indexedAtOnce).Scan(&batch).Error
		if err != nil || len(batch) == 0 {
			return databaseErrorOrNil(ctx, "reading users to index", err)
		}
		if err := index.write(tx, indexRows(batch)); err != nil {
			return databaseError(ctx, "indexing users", err)
		}
		return databaseErrorOrNil(ctx, "indexing users", index.forget(tx, after, batch))
	})
	if err == nil && len(batch) == indexedAtOnce {
		next = batch[len(batch)-1]
	}
	return len(batch), next, err
}

// indexRows returns the rows of user_search for users, who come several times if several changes of theirs are pending.
func indexRows(pending []pendingUser) (rows []indexRow) {
	parts := 0
	for i, p := range pending {
		parts |= p.Parts
		if i+1 < len(pending) && pending[i+1].CustomerID == p.CustomerID && pending[i+1].UserID == p.UserID {
			continue
		}
		if parts&partNames != 0 {
			rows = append(rows, indexRow{p.CustomerID, p.UserID, partNames, grams(p.CustomerID, p.FirstNameFold, p.LastNameFold)})
		}
		if parts&partEmail != 0 {
			rows = append(rows, indexRow{p.CustomerID, p.UserID, partEmail, grams(p.CustomerID, p.EmailFold, p.EmailSearch)})
		}
		parts = 0
	}
	return rows
}

// indexUsers is [Store.IndexUsers] for a database on which no store is open.
func indexUsers(ctx context.Context, d engine.Database) error {
	s := &Store{db: d, pools: d.Pools(), committed: make(chan struct{}, 1)}
	var err error
	if s.write, err = session(d, s.pools.Write); err != nil {
		return err
	}
	if s.read, err = session(d, s.pools.Read); err != nil {
		return err
	}
	_, err = s.IndexUsers(ctx)
	return err
}
