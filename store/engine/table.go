package engine

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Table is a table of a database, as the database describes it.
type Table struct {
	Name       string
	Columns    []Column
	Key        []string // the columns of the primary key, in its order
	References []string // the other tables that its foreign keys refer to
}

// Column is a column of a table.
type Column struct {
	Name string
	Kind ColumnKind
}

// ColumnKind says how the values of a column are to be converted for another engine.
type ColumnKind int

// The kinds of columns. SQLite knows the first two.
const (
	Integer ColumnKind = iota // int64
	Text                      // string
	Boolean
	UUID
	JSON
)

// ScanTables reads tables from rows, which it closes. A row describes a column, in the order of tables and their columns: the names of
// the table, the column and its type, its place in the primary key (from 1; 0 if it is not part of it), and the tables that the table
// refers to, separated by commas. kinds are the kinds of the types; another type is an error. The tables in except are left out.
func ScanTables(rows *sql.Rows, kinds map[string]ColumnKind, except []string) (found []Table, err error) {
	defer func() {
		if ended := errors.Join(rows.Err(), rows.Close()); err == nil {
			err = ended
		}
	}()
	for rows.Next() {
		var table, column, typeName, references string
		var place int
		if err := rows.Scan(&table, &column, &typeName, &place, &references); err != nil {
			return nil, err
		}
		if slices.Contains(except, table) {
			continue
		}
		if len(found) == 0 || found[len(found)-1].Name != table {
			found = append(found, Table{Name: table})
			if references != "" {
				found[len(found)-1].References = strings.Split(references, ",")
			}
		}
		t := &found[len(found)-1]
		kind, ok := kinds[typeName]
		if !ok {
			return nil, fmt.Errorf("%s.%s has the unknown type %s", table, column, typeName)
		}
		t.Columns = append(t.Columns, Column{Name: column, Kind: kind})
		if place > 0 {
			for len(t.Key) < place {
				t.Key = append(t.Key, "")
			}
			t.Key[place-1] = column
		}
	}
	return found, nil
}

// ByReference sorts tables so that each comes after those that it refers to.
func ByReference(tables []Table) ([]Table, error) {
	var sorted []Table
	done := map[string]bool{}
	known := map[string]bool{}
	for _, t := range tables {
		known[t.Name] = true
	}
	for len(sorted) < len(tables) {
		before := len(sorted)
		for _, t := range tables {
			if done[t.Name] {
				continue
			}
			ready := true
			for _, r := range t.References {
				ready = ready && (r == t.Name || done[r] || !known[r])
			}
			if ready {
				sorted, done[t.Name] = append(sorted, t), true
			}
		}
		if len(sorted) == before {
			return nil, fmt.Errorf("sorting tables: %d refer to each other in a circle", len(tables)-before)
		}
	}
	return sorted, nil
}
