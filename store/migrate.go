package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/pressly/goose/v3"
)

// A migration is never edited once it is released, and there is none without its twin of the same number and name for
// the other engine. They go forward only.
//
//go:embed migrations
var migrations embed.FS

var migrationDirs = map[goose.Dialect]string{
	goose.DialectSQLite3:  "migrations/sqlite",
	goose.DialectPostgres: "migrations/postgres",
}

// migrate applies what db lacks, each migration in a transaction of its own, and returns the file names of those applied.
func migrate(ctx context.Context, dialect goose.Dialect, db *sql.DB, options ...goose.ProviderOption) ([]string, error) {
	files, err := fs.Sub(migrations, migrationDirs[dialect])
	if err != nil {
		return nil, fmt.Errorf("reading migrations: %w", err)
	}
	provider, err := goose.NewProvider(dialect, db, files, append(options, goose.WithDisableGlobalRegistry(true))...)
	if err != nil {
		return nil, fmt.Errorf("reading migrations: %w", err)
	}
	results, err := provider.Up(ctx)
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		results = partial.Applied
	}
	applied := make([]string, len(results))
	for i, r := range results {
		applied[i] = path.Base(r.Source.Path)
	}
	if err != nil {
		return applied, databaseError(ctx, "applying migrations", err)
	}
	return applied, nil
}

// latestMigration returns the number of the newest migration.
func latestMigration(dialect goose.Dialect) (latest int64, err error) {
	files, err := fs.Glob(migrations, migrationDirs[dialect]+"/*.sql")
	if err != nil {
		return 0, fmt.Errorf("reading migrations: %w", err)
	}
	for _, f := range files {
		number, err := goose.NumericComponent(f)
		if err != nil {
			return 0, fmt.Errorf("reading migrations: %w", err)
		}
		latest = max(latest, number)
	}
	return latest, nil
}
