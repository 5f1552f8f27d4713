package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dragoman-id/dragoman/store/engine"
)

// columnKinds are the kinds of the types that a copied table can have.
var columnKinds = map[string]engine.ColumnKind{
	"int2": engine.Integer, "int4": engine.Integer, "int8": engine.Integer, "text": engine.Text, "bool": engine.Boolean,
	"uuid": engine.UUID, "jsonb": engine.JSON,
}

// tables has a row for each column of each table of the schema: its place in the primary key, from 1, and the tables that the table
// refers to.
const tables = `SELECT c.relname, a.attname, t.typname,
	coalesce(array_position(p.indkey::int2[], a.attnum) + 1, 0),
	coalesce((SELECT string_agg(DISTINCT r.relname, ',') FROM pg_constraint f JOIN pg_class r ON r.oid = f.confrelid
		WHERE f.conrelid = c.oid AND f.contype = 'f'), '')
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_index p ON p.indrelid = c.oid AND p.indisprimary
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY c.relname, a.attnum`

// Tables describes the tables of the schema but those named.
func (d *Database) Tables(ctx context.Context, except ...string) (found []engine.Table, err error) {
	rows, err := d.pools.Read.QueryContext(ctx, tables)
	if err != nil {
		return nil, wrap(ctx, "reading the schema", err)
	}
	defer func() {
		if ended := errors.Join(rows.Err(), rows.Close()); err == nil && ended != nil {
			err = wrap(ctx, "reading the schema", ended)
		}
	}()
	for rows.Next() {
		var table, column, typeName, references string
		var place int
		if err := rows.Scan(&table, &column, &typeName, &place, &references); err != nil {
			return nil, wrap(ctx, "reading the schema", err)
		}
		if slices.Contains(except, table) {
			continue
		}
		if len(found) == 0 || found[len(found)-1].Name != table {
			found = append(found, engine.Table{Name: table})
			if references != "" {
				found[len(found)-1].References = strings.Split(references, ",")
			}
		}
		t := &found[len(found)-1]
		kind, ok := columnKinds[typeName]
		if !ok {
			return nil, fmt.Errorf("reading the schema: %s.%s has the unknown type %s", table, column, typeName)
		}
		t.Columns = append(t.Columns, engine.Column{Name: column, Kind: kind})
		if place > 0 {
			for len(t.Key) < place {
				t.Key = append(t.Key, "")
			}
			t.Key[place-1] = column
		}
	}
	return found, nil
}
