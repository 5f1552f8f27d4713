package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dragoman-id/dragoman/store/engine"
)

// tables has a row for each column of each table but SQLite's own and those that belong to a virtual one: its place in the primary key,
// from 1, and the tables that the table refers to.
const tables = `SELECT t.name, c.name, c.type, c.pk, coalesce((SELECT group_concat(DISTINCT f."table") FROM pragma_foreign_key_list(t.name) f), '')
FROM pragma_table_list t JOIN pragma_table_info(t.name) c
WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY t.name, c.cid`

// Tables describes the tables but those named.
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
		kind := engine.Text
		switch typeName {
		case "INTEGER":
			kind = engine.Integer
		case "TEXT":
		default:
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
