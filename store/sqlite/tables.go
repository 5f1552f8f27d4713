package sqlite

import (
	"context"

	"github.com/dragoman-id/dragoman/store/engine"
)

// columnKinds maps the column types that may be copied to their kinds.
var columnKinds = map[string]engine.ColumnKind{"INTEGER": engine.Integer, "TEXT": engine.Text}

// tables lists every column of every table, except the tables of SQLite itself and virtual tables with their shadow tables: the names of
// the table and the column, the type, the position in the primary key (from 1; 0 if it is not part of it), and the tables that the table
// refers to.
const tables = `SELECT t.name, c.name, c.type, c.pk, coalesce((SELECT group_concat(DISTINCT f."table") FROM pragma_foreign_key_list(t.name) f), '')
FROM pragma_table_list t JOIN pragma_table_info(t.name) c
WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY t.name, c.cid`

// Tables describes all tables except those named.
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
