package engine

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/pressly/goose/v3"
)

// VersionTable is the table that holds the numbers of the migrations that were applied.
const VersionTable = goose.DefaultTablename

// Apply applies those of an engine's migrations that db lacks, each in a transaction of its own, and returns the file names of those
// applied. They go forward only.
func (s Schema) Apply(ctx context.Context, engine string, dialect goose.Dialect, db *sql.DB) ([]string, error) {
	files, err := fs.Sub(s.Migrations, engine)
	if err != nil {
		return nil, fmt.Errorf("reading migrations: %w", err)
	}
	provider, err := goose.NewProvider(dialect, db, files, goose.WithDisableGlobalRegistry(true))
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
	return applied, err
}

// Latest returns the number of the newest of an engine's migrations.
func (s Schema) Latest(engine string) (latest int64, err error) {
	files, err := fs.Glob(s.Migrations, engine+"/*.sql")
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
