package main

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"modernc.org/sqlite"
)

// importUsers fills a directory by the program's import: customer 1 with the users 1 to n, and customer 2 with the user whose id is
// only.
func (b *bench) importUsers(ctx context.Context, database string, n, only int) error {
	for _, c := range []struct{ id, uuid string }{{"1", customerUUID}, {"2", smallCustomer}} {
		_, err := b.output(ctx, database, "customer", "add", "--name", "Bench "+c.id, "--id", c.id, "--uuid", c.uuid, "--company", c.id+"=Bench "+c.id)
		if err != nil {
			return err
		}
	}
	var file bytes.Buffer
	file.WriteString("id,uuid,customer,first_name,last_name,username,email,roles,status\n")
	line := func(id, customer int) {
		fmt.Fprintf(&file, "%d,%s,%d,Ada,Lovelace,user%d,user%d@example.com,ROLE_USER,ACTIVE\n", id, userUUID(id), customer, id, id)
	}
	for id := 1; id <= n; id++ {
		line(id, 1)
	}
	line(only, 2)
	if err := os.WriteFile(b.file("users.csv"), file.Bytes(), 0o600); err != nil {
		return err
	}
	if _, err := b.output(ctx, database, "import", b.file("users.csv")); err != nil {
		return err
	}
	return settle(ctx, database)
}

// settle runs the maintenance that Postgres would run by itself some time after many rows were written.
func settle(ctx context.Context, database string) error {
	if engineOf(database) == "sqlite" {
		return nil
	}
	if err := execute(ctx, database, "VACUUM ANALYZE users", "VACUUM ANALYZE user_changes", "VACUUM ANALYZE claims",
		"VACUUM ANALYZE user_search", "VACUUM search_pending", "VACUUM ANALYZE feed", "VACUUM feed_pending"); err != nil {
		return err
	}
	// This needs a privilege. Without it, the first measurements include the cost of writing the filled rows to disk.
	_ = execute(ctx, database, "CHECKPOINT")
	return nil
}

// imported is the maximum number of users that are imported. An import of a million users takes minutes, and of ten million an hour,
// so the others are made by copying user 1's rows. A test checks that this leaves the same rows as an import. It does, because the
// user of customer 2 has the highest id, which reserves the lower ones, and because no change has a number in the feed yet.
const imported = 10_000

// copies describes users to make by copying user 1.
type copies struct {
	secret      []byte // the program's secret key
	first, last int    // the new users' ids
	tables      []copiedTable
}

// copiedTable is a table with as many rows for each user, and its column with the user's id.
type copiedTable struct{ name, key string }

// value returns a column's text for the user with this id, given user 1's text.
func (c *copies) value(column, text string, id int) string {
	switch column {
	case "id", "user_id":
		return strconv.Itoa(id)
	case "access_token_sealed":
		return sealedToken(c.secret, id)
	case "value": // of a claim to an id, or to something else
		if text == "1" {
			return strconv.Itoa(id)
		}
		fallthrough
	default:
		return strings.ReplaceAll(strings.ReplaceAll(text, "user1", "user"+strconv.Itoa(id)), userUUID(1), userUUID(id))
	}
}

// copyUsers adds the users first to last of customer 1 to the imported ones.
func (b *bench) copyUsers(ctx context.Context, database string, first, last int) error {
	if last < first {
		return nil
	}
	c := copies{secret: b.secret, first: first, last: last, tables: []copiedTable{
		{name: "users", key: "id"}, {name: "user_changes", key: "user_id"}, {name: "feed_pending", key: "user_id"},
		{name: "claims", key: "user_id"},
	}}
	var err error
	if engineOf(database) == "sqlite" {
		err = c.intoSQLite(ctx, strings.TrimPrefix(database, "sqlite:"))
	} else {
		err = c.intoPostgres(ctx, database)
	}
	if err != nil {
		return fmt.Errorf("make users: %w", err)
	}
	return settle(ctx, database)
}

// countCopies returns the statements that add the users with these ids to the program's stored user counts.
func countCopies(first, last int) []string {
	return []string{
		fmt.Sprintf("UPDATE user_counts SET users = users + %d WHERE customer_id = 1 AND slot = 0", last-first+1),
		fmt.Sprintf("INSERT INTO user_blocks (customer_id, block, slot, users) SELECT customer_id, id >> 12, 0, count(*) FROM users "+
			"WHERE id BETWEEN %d AND %d GROUP BY customer_id, id >> 12 "+
			"ON CONFLICT (customer_id, block, slot) DO UPDATE SET users = user_blocks.users + excluded.users", first, last),
	}
}

// intoPostgres writes each table with COPY, in its text format, in which tabs separate the values of a row.
func (c *copies) intoPostgres(ctx context.Context, database string) error {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, t := range c.tables {
		var columns []string
		err := conn.QueryRow(ctx, "SELECT array_agg(column_name::text ORDER BY ordinal_position) FROM information_schema.columns "+
			"WHERE table_schema = current_schema() AND table_name = $1", t.name).Scan(&columns)
		if err != nil {
			return err
		}
		var old bytes.Buffer
		names := strings.Join(columns, ", ")
		if _, err := conn.PgConn().CopyTo(ctx, &old, "COPY (SELECT "+names+" FROM "+t.name+" WHERE "+t.key+" = 1) TO STDOUT"); err != nil {
			return err
		}
		var rows [][]string
		for line := range strings.Lines(old.String()) {
			values := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
			if len(values) != len(columns) {
				return fmt.Errorf("user 1 has %d values in %s, of %d", len(values), t.name, len(columns))
			}
			rows = append(rows, values)
		}
		lines, write := io.Pipe()
		go func() { write.CloseWithError(c.writeLines(write, columns, rows)) }()
		_, err = conn.PgConn().CopyFrom(ctx, lines, "COPY "+t.name+" ("+names+") FROM STDIN")
		_ = lines.Close()
		if err != nil {
			return err
		}
	}
	for _, statement := range countCopies(c.first, c.last) {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func (c *copies) writeLines(w io.Writer, columns []string, rows [][]string) error {
	var batch []byte
	for id := c.first; id <= c.last; id++ {
		for _, values := range rows {
			for i, column := range columns {
				if i > 0 {
					batch = append(batch, '\t')
				}
				batch = append(batch, c.value(column, values[i], id)...)
			}
			batch = append(batch, '\n')
		}
		if len(batch) > 1<<16 || id == c.last {
			if _, err := w.Write(batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return nil
}

// sealedFunction is the name of an SQL function in SQLite that calls sealedToken with a key and an id.
const sealedFunction = "bench_sealed"

var registerSealed = sync.OnceValue(func() error {
	return sqlite.RegisterScalarFunction(sealedFunction, 2, func(_ *sqlite.FunctionContext, given []driver.Value) (driver.Value, error) {
		secret, ok1 := given[0].([]byte)
		id, ok2 := given[1].(int64)
		if !ok1 || !ok2 {
			return nil, fmt.Errorf("%s wants a key and an id", sealedFunction)
		}
		return sealedToken(secret, int(id)), nil
	})
})

// intoSQLite makes the rows with few INSERT ... SELECT statements, because the driver would prepare a statement for every single row
// anew. It waits for the disk only at the end.
func (c *copies) intoSQLite(ctx context.Context, file string) (err error) {
	if err := registerSealed(); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=synchronous(OFF)&_pragma=cache_size(-1000000)&_pragma=temp_store(MEMORY)")
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()
	const batch = 50_000
	for first := c.first; first <= c.last; first += batch {
		if err := c.insert(ctx, db, first, min(first+batch-1, c.last)); err != nil {
			return err
		}
	}
	for _, s := range []string{"PRAGMA synchronous = FULL", "PRAGMA wal_checkpoint(TRUNCATE)"} {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// insert adds users in one transaction.
func (c *copies) insert(ctx context.Context, db *sql.DB, first, last int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // no-op after a commit
	for _, t := range c.tables {
		columns, err := sqliteColumns(ctx, tx, t.name)
		if err != nil {
			return err
		}
		copied := make([]string, len(columns))
		for i, column := range columns {
			copied[i] = copiedColumn(column)
		}
		// #nosec G202 -- our own names
		statement := "WITH RECURSIVE new (id) AS (SELECT :first UNION ALL SELECT id + 1 FROM new WHERE id < :last) INSERT INTO " + t.name +
			" (" + strings.Join(columns, ", ") + ") SELECT " + strings.Join(copied, ", ") + " FROM new, " + t.name + " old WHERE old." + t.key + " = 1"
		_, err = tx.ExecContext(ctx, statement, sql.Named("first", first), sql.Named("last", last), sql.Named("secret", c.secret))
		if err != nil {
			return err
		}
	}
	for _, statement := range countCopies(first, last) {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// copiedColumn returns an SQL expression for what copies.value returns.
func copiedColumn(column string) string {
	switch column {
	case "id", "user_id":
		return "new.id"
	case "access_token_sealed":
		return sealedFunction + "(:secret, new.id)"
	case "value":
		return "CASE kind WHEN 'id' THEN CAST(new.id AS TEXT) ELSE " + copiedText(column) + " END"
	case "uuid", "username", "username_fold", "email", "email_fold", "fields":
		return copiedText(column)
	default:
		return "old." + column
	}
}

// copiedText returns an SQL expression for a text of user 1 with the new user's name and UUID in place of its own.
func copiedText(column string) string {
	return "replace(replace(old." + column + ", 'user1', 'user' || new.id), '" + userUUID(1) + "', printf('" + uuidFormat + "', new.id))"
}

func sqliteColumns(ctx context.Context, tx *sql.Tx, table string) (columns []string, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT name FROM pragma_table_info(?) ORDER BY cid", table)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		columns = append(columns, name)
	}
	return columns, nil
}

// sealedToken returns a new access token, sealed for a user as the store seals it; see store/seal.go.
func sealedToken(secret []byte, id int) string {
	block, err := aes.NewCipher(secret)
	if err != nil {
		panic(err) // cannot happen: the key has 32 bytes
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // cannot happen: AES has blocks of 16 bytes
	}
	sum := sha256.Sum256(append([]byte("dragoman secret key id\x00"), secret...))
	name := hex.EncodeToString(sum[:4])
	place := []byte("dragoman sealed value\x00")
	place = append(place, userUUIDBytes(id)...)
	for _, part := range []string{"access_token", name} {
		place = binary.BigEndian.AppendUint32(place, uint32(len(part))) // #nosec G115 -- a few bytes
		place = append(place, part...)
	}
	// #nosec G407 -- no nonce is given, because the AEAD takes a random one itself
	sealed := aead.Seal(nil, nil, []byte(hex.EncodeToString(key(16))), place)
	return name + "." + base64.RawURLEncoding.EncodeToString(sealed)
}

func userUUIDBytes(id int) []byte {
	raw, err := hex.DecodeString(strings.ReplaceAll(userUUID(id), "-", ""))
	if err != nil {
		panic(err) // cannot happen: a UUID consists of hexadecimal digits
	}
	return raw
}

// sizeOf returns the size of a database on disk, in bytes. For Postgres it counts only the tables and their indexes.
func sizeOf(ctx context.Context, database string) (n int64, err error) {
	if engineOf(database) == "sqlite" {
		info, err := os.Stat(strings.TrimPrefix(database, "sqlite:"))
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
	err = query(ctx, database, "SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c "+
		"WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'", &n)
	return n, err
}
