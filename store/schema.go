package store

import (
	"embed"
	"io/fs"

	"github.com/dragoman-id/dragoman/store/engine"
)

// A migration is never edited once it is released, and there is none without its twin of the same number and name for
// the other engine. They go forward only.
//
// Each is one statement to goose, which sends it as it is, in one round trip: splitting files into statements takes goose longer than
// the database takes to run them.
//
//go:embed migrations
var migrationFiles embed.FS

// databaseSchema is what the store keeps in a database.
var databaseSchema = engine.Schema{Migrations: migrations(), Tables: []string{engine.VersionTable, "users", "roles"}, Absent: ErrNoDirectory}

func migrations() fs.FS {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		panic(err) // the name is no valid path
	}
	return files
}
