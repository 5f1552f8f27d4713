package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/engine"
	"github.com/dragoman-id/dragoman/store/postgres"
)

// Copy copies a directory from one database to another, of the same engine or the other one: customers, users, history, numbers of the
// feed and sealed secrets, as they are. It needs no secret key. Nothing may write to the source meanwhile.
type Copy struct {
	From, To string // the URLs, as Config.URL
	// ErasureLedger is a ledger beside those that the databases have by default; see [Config.ErasureLedger]. It may be empty. A source that has
	// personal data of a user whom one of these lists is not copied.
	ErasureLedger string
	Wait          Wait
	// Progress is called with the name of a table and how many of its rows were copied or compared so far. It may be nil.
	Progress func(table string, rows int64)
}

// CopiedTable says how many rows of a table both databases have.
type CopiedTable struct {
	Name string
	Rows int64
}

var (
	// ErrNotEmpty: the database to copy to has customers, and is not the unfinished copy of the same directory.
	ErrNotEmpty = errors.New("the database to copy to has customers of its own")
	// ErrCopying: the database is the target of a copy that is not complete.
	ErrCopying = errors.New("the database is an incomplete copy: run the same `dragoman copy` again, which continues it")
	// ErrSourceChanged: the databases differ after a copy.
	ErrSourceChanged = errors.New("the databases differ, as something wrote to one of them during the copy: empty the target and copy again while no server runs")
	// ErrSchemasDiffer: the source lacks migrations, or has newer ones.
	ErrSchemasDiffer = errors.New("the databases have different schemas: run `dragoman migrate` of this version on the source first")
)

// notCopied are the tables that are computed from others, or that belong to one database.
var notCopied = []string{engine.VersionTable, "user_search", "search_pending", "incomplete_copy"}

// copiedAtOnce is how many rows one transaction copies, and rowsPerInsert how many one statement inserts.
const (
	copiedAtOnce  = 1000
	rowsPerInsert = 50
)

// Run copies what the target lacks, compares all rows of both databases, and returns how many there are. If it is interrupted, a further
// run continues; until then [Open] refuses the target with ErrCopying.
func (c Copy) Run(ctx context.Context) (done []CopiedTable, err error) {
	from, closeFrom, err := c.open(ctx, c.From, true)
	if err != nil {
		return nil, fmt.Errorf("copying from --from: %w", err)
	}
	defer func() { err = errors.Join(err, closeFrom()) }()
	to, closeTo, err := c.open(ctx, c.To, false)
	if err != nil {
		return nil, fmt.Errorf("copying to --to: %w", err)
	}
	defer func() { err = errors.Join(err, closeTo()) }()
	if _, err := to.db.Migrate(ctx); err != nil {
		return nil, fmt.Errorf("copying to --to: %w", err)
	}
	tables, err := pairTables(ctx, from, to)
	if err != nil {
		return nil, err
	}
	if err := c.checkErasures(ctx, from); err != nil {
		return nil, fmt.Errorf("copying from --from: %w", err)
	}
	if err := c.begin(ctx, from, to, tables); err != nil {
		return nil, err
	}
	for _, t := range tables {
		if err := c.copyTable(ctx, from, to, t); err != nil {
			return nil, fmt.Errorf("copying %s: %w", t.name, err)
		}
	}
	for _, t := range tables {
		rows, err := c.compareTable(ctx, from, to, t)
		if err != nil {
			return nil, fmt.Errorf("comparing %s: %w", t.name, err)
		}
		done = append(done, CopiedTable{t.name, rows})
	}
	return done, finish(ctx, to)
}

// checkErasures returns ErrNotErased if the source has personal data of a user whom a ledger of either database lists.
func (c Copy) checkErasures(ctx context.Context, from *copyEnd) error {
	for _, of := range []Config{{URL: c.From}, {URL: c.To}, {ErasureLedger: c.ErasureLedger}} {
		if l := ledgerOf(of); l != nil {
			if err := checkErasures(ctx, from.read, l); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyEnd is the source or the target of a copy.
type copyEnd struct {
	db          engine.Database
	read, write *gorm.DB
	version     int64 // the number of its newest migration
}

func (c Copy) open(ctx context.Context, url string, existing bool) (end *copyEnd, closeEnd func() error, err error) {
	err = c.Wait.retry(ctx, func() error {
		d, err := openDatabase(ctx, Config{URL: url, Existing: existing})
		if err != nil {
			return err
		}
		end = &copyEnd{db: d}
		if end.read, err = session(d, d.Pools().Read); err == nil {
			end.write, err = session(d, d.Pools().Write)
		}
		if err != nil {
			return errors.Join(err, d.Close())
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return end, end.db.Close, nil
}

// copiedTable is a table of both databases. Its columns, and their kinds, are those that the more exact of the two describes.
type copiedTable struct {
	name    string
	columns []engine.Column
	key     []int // indexes of columns
}

// pairTables returns the tables to copy, each after those that it refers to.
func pairTables(ctx context.Context, from, to *copyEnd) (pairs []copiedTable, err error) {
	for _, end := range []*copyEnd{from, to} {
		err := end.read.WithContext(ctx).Raw("SELECT max(version_id) FROM " + engine.VersionTable + " WHERE is_applied").Row().Scan(&end.version)
		if err != nil {
			return nil, databaseError(ctx, "asking for the schema's version", err)
		}
	}
	if from.version != to.version {
		return nil, fmt.Errorf("%w: migration %d and %d", ErrSchemasDiffer, from.version, to.version)
	}
	source, err := from.db.Tables(ctx, notCopied...)
	if err != nil {
		return nil, fmt.Errorf("copying from --from: %w", err)
	}
	target, err := to.db.Tables(ctx, notCopied...)
	if err == nil {
		target, err = engine.ByReference(target)
	}
	if err != nil {
		return nil, fmt.Errorf("copying to --to: %w", err)
	}
	if len(source) != len(target) {
		return nil, ErrSchemasDiffer
	}
	for _, t := range target {
		i := slices.IndexFunc(source, func(s engine.Table) bool { return s.Name == t.Name })
		if i < 0 || len(source[i].Columns) != len(t.Columns) || len(t.Key) == 0 {
			return nil, fmt.Errorf("%w: table %s", ErrSchemasDiffer, t.Name)
		}
		pair := copiedTable{name: t.Name, columns: slices.Clone(t.Columns)}
		for n, column := range t.Columns {
			k := slices.IndexFunc(source[i].Columns, func(other engine.Column) bool { return other.Name == column.Name })
			if k < 0 {
				return nil, fmt.Errorf("%w: column %s of table %s", ErrSchemasDiffer, column.Name, t.Name)
			}
			pair.columns[n].Kind = max(column.Kind, source[i].Columns[k].Kind)
		}
		for _, name := range t.Key {
			pair.key = append(pair.key, slices.IndexFunc(t.Columns, func(c engine.Column) bool { return c.Name == name }))
		}
		pairs = append(pairs, pair)
	}
	return pairs, nil
}

// begin marks the target as an incomplete copy of the source, unless it is so marked, and removes what migrations have inserted.
func (c Copy) begin(ctx context.Context, from, to *copyEnd, tables []copiedTable) error {
	if marked, err := copyingFrom(ctx, from.read); err != nil || marked != "" {
		return fmt.Errorf("copying from --from: %w", cmp.Or(err, ErrCopying))
	}
	source, err := fingerprintOf(ctx, from.read)
	if err != nil {
		return fmt.Errorf("copying from --from: %w", err)
	}
	marked, err := copyingFrom(ctx, to.write)
	if err != nil {
		return fmt.Errorf("copying to --to: %w", err)
	}
	if marked == source {
		return nil
	}
	var customers int64
	if err := to.write.WithContext(ctx).Model(&Customer{}).Count(&customers).Error; err != nil {
		return databaseError(ctx, "copying to --to", err)
	}
	if customers > 0 || marked != "" {
		return fmt.Errorf("copying to --to: %w", ErrNotEmpty)
	}
	distributed, err := isDistributed(to.write.WithContext(ctx))
	if err != nil {
		return databaseError(ctx, "copying to --to", err)
	}
	err = to.write.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if distributed {
			// After shards were written to in parallel, Citus refuses to write to tables that their foreign keys refer to.
			if err := tx.Exec(writeShardsInTurn).Error; err != nil {
				return err
			}
		}
		if err := tx.Exec("INSERT INTO incomplete_copy (id, source) VALUES (1, ?)", source).Error; err != nil {
			return err
		}
		for _, t := range slices.Backward(tables) {
			if err := tx.Exec("DELETE FROM " + t.name).Error; err != nil {
				return err
			}
		}
		return nil
	})
	return databaseErrorOrNil(ctx, "copying to --to", err)
}

// copyingFrom returns the fingerprint of the directory that a database is an incomplete copy of, or "".
func copyingFrom(ctx context.Context, db *gorm.DB) (source string, err error) {
	err = db.WithContext(ctx).Raw("SELECT coalesce(max(source), '') FROM incomplete_copy").Row().Scan(&source)
	return source, databaseErrorOrNil(ctx, "asking whether the database is an incomplete copy", err)
}

// fingerprintOf returns a text by which a directory is recognized. The canaries of keys are different in each.
func fingerprintOf(ctx context.Context, db *gorm.DB) (string, error) {
	sum := sha256.New()
	var keys []secretKey
	var customers []Customer
	err := db.WithContext(ctx).Order("id").Find(&keys).Error
	if err == nil {
		err = db.WithContext(ctx).Order("id").Limit(1).Find(&customers).Error
	}
	if err != nil {
		return "", databaseError(ctx, "identifying the directory", err)
	}
	slices.SortFunc(keys, func(a, b secretKey) int { return strings.Compare(a.ID, b.ID) })
	for _, k := range keys {
		fmt.Fprintf(sum, "%s %s\n", k.ID, k.Canary)
	}
	for i := range customers {
		fmt.Fprintf(sum, "%s\n", customers[i].UUID)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// finish unmarks the target.
func finish(ctx context.Context, to *copyEnd) error {
	err := to.write.WithContext(ctx).Exec("DELETE FROM incomplete_copy").Error
	return databaseErrorOrNil(ctx, "finishing the copy", err)
}

// copyTable copies the rows whose keys are above the highest in the target, in the order of their keys.
func (c Copy) copyTable(ctx context.Context, from, to *copyEnd, t copiedTable) error {
	last, err := to.lastKey(ctx, t)
	if err != nil {
		return err
	}
	for rows := int64(0); ; {
		batch, err := from.rowsAfter(ctx, t, last)
		if err != nil || len(batch) == 0 {
			return err
		}
		if err := to.insert(ctx, t, batch); err != nil {
			return err
		}
		last = t.keyOf(batch[len(batch)-1])
		rows += int64(len(batch))
		c.progress(t.name, rows)
	}
}

// compareTable returns an error unless both databases have the same rows, and how many they have.
func (c Copy) compareTable(ctx context.Context, from, to *copyEnd, t copiedTable) (rows int64, err error) {
	for last := []any(nil); ; {
		source, err := from.rowsAfter(ctx, t, last)
		if err != nil {
			return rows, err
		}
		target, err := to.rowsAfter(ctx, t, last)
		if err != nil {
			return rows, err
		}
		if !slices.EqualFunc(source, target, slices.Equal[[]any]) {
			return rows, ErrSourceChanged
		}
		if len(source) == 0 {
			return rows, nil
		}
		last = t.keyOf(source[len(source)-1])
		rows += int64(len(source))
		c.progress(t.name, rows)
	}
}

func (c Copy) progress(table string, rows int64) {
	if c.Progress != nil {
		c.Progress(table, rows)
	}
}

func (t copiedTable) keyOf(row []any) []any {
	key := make([]any, len(t.key))
	for i, k := range t.key {
		key[i] = row[k]
	}
	return key
}

// names returns the columns' names, separated by commas.
func (t copiedTable) names() string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.Name
	}
	return strings.Join(names, ", ")
}

// keys returns the columns of the key, as both engines order them, separated by a text.
func (e *copyEnd) keys(t copiedTable, separator string) string {
	keys := make([]string, len(t.key))
	for i, k := range t.key {
		keys[i] = t.columns[k].Name
		if e.db.Name() == postgres.Name && t.columns[k].Kind == engine.Text {
			keys[i] += ` COLLATE "C"`
		}
	}
	return strings.Join(keys, separator)
}

// lastKey returns the highest key of a table, or nil if it is empty.
func (e *copyEnd) lastKey(ctx context.Context, t copiedTable) ([]any, error) {
	rows, err := e.query(ctx, t, "SELECT "+t.names()+" FROM "+t.name+" ORDER BY "+e.keys(t, " DESC, ")+" DESC LIMIT 1")
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return t.keyOf(rows[0]), nil
}

// rowsAfter returns the next rows after a key, or the first ones if it is nil, by ascending keys.
func (e *copyEnd) rowsAfter(ctx context.Context, t copiedTable, key []any) ([][]any, error) {
	where := ""
	if key != nil {
		where = " WHERE (" + e.keys(t, ", ") + ") > (?" + strings.Repeat(", ?", len(t.key)-1) + ")"
	}
	return e.query(ctx, t, fmt.Sprintf("SELECT %s FROM %s%s ORDER BY %s LIMIT %d", t.names(), t.name, where, e.keys(t, ", "), copiedAtOnce), key...)
}

// query returns rows of a table. Their values are of type int64, string or nil, the same for both engines.
func (e *copyEnd) query(ctx context.Context, t copiedTable, text string, values ...any) (all [][]any, err error) {
	rows, err := e.read.WithContext(ctx).Raw(text, values...).Rows()
	if err != nil {
		return nil, databaseError(ctx, "reading rows", err)
	}
	defer func() {
		if ended := errors.Join(rows.Err(), rows.Close()); err == nil {
			err = databaseErrorOrNil(ctx, "reading rows", ended)
		}
	}()
	into := make([]any, len(t.columns))
	for rows.Next() {
		row := make([]any, len(t.columns))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, databaseError(ctx, "reading rows", err)
		}
		for i, c := range t.columns {
			if row[i], err = canonical(row[i], c.Kind); err != nil {
				return nil, fmt.Errorf("reading %s: %w", c.Name, err)
			}
		}
		all = append(all, row)
	}
	return all, nil
}

// canonical returns a value as both engines can be given it, except for a Boolean.
func canonical(value any, kind engine.ColumnKind) (any, error) {
	switch v := value.(type) {
	case bool:
		if v {
			return int64(1), nil
		}
		return int64(0), nil
	case []byte:
		value = string(v)
	}
	if text, ok := value.(string); ok && kind == engine.JSON {
		var decoded any
		if err := json.Unmarshal([]byte(text), &decoded); err != nil {
			return nil, err
		}
		encoded, err := json.Marshal(decoded)
		return string(encoded), err
	}
	return value, nil
}

// insert writes rows in one transaction.
func (e *copyEnd) insert(ctx context.Context, t copiedTable, rows [][]any) error {
	one := "(?" + strings.Repeat(", ?", len(t.columns)-1) + ")"
	err := e.write.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		for some := range slices.Chunk(rows, rowsPerInsert) {
			values := make([]any, 0, len(some)*len(t.columns))
			for _, row := range some {
				for i, v := range row {
					if n, ok := v.(int64); ok && t.columns[i].Kind == engine.Boolean && e.db.Name() == postgres.Name {
						v = n != 0
					}
					values = append(values, v)
				}
			}
			// #nosec G202 -- names of tables and columns, and question marks
			err := tx.Exec("INSERT INTO "+t.name+" ("+t.names()+") VALUES "+one+strings.Repeat(", "+one, len(some)-1), values...).Error
			if err != nil {
				return err
			}
		}
		return nil
	})
	return databaseErrorOrNil(ctx, "writing rows", err)
}
