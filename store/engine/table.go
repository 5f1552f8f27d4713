package engine

import "fmt"

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
