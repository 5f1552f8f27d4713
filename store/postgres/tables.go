package postgres

import (
	"context"

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
func (d *Database) Tables(ctx context.Context, except ...string) ([]engine.Table, error) {
	rows, err := d.pools.Read.QueryContext(ctx, tables)
	if err != nil {
		return nil, wrap(ctx, "reading the schema", err)
	}
	found, err := engine.ScanTables(rows, columnKinds, except)
	if err != nil {
		return nil, wrap(ctx, "reading the schema", err)
	}
	return found, nil
}
