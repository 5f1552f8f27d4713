package store

import (
	"database/sql"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// What the tests outside of the package see of it.

var (
	WrittenColumns = writtenColumns
	Migrations     = migrations
	LockSQLite     = lockSQLite
	KindOf         = kindOf
)

// Pools returns the reading and the writing pool.
func (s *Store) Pools() (read, write *sql.DB) { return s.db.read, s.db.write }

// Gorm returns the writing gorm.DB, to put callbacks into.
func (s *Store) Gorm() *gorm.DB { return s.write }

// Schema returns what gorm makes of a model's type.
func (s *Store) Schema(model any) (*schema.Schema, error) {
	stmt := &gorm.Statement{DB: s.write}
	err := stmt.Parse(model)
	return stmt.Schema, err
}
