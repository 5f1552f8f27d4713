package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// warm has the system read all of a directory, so that what is measured next finds it in the system's cache of files, as it is where a
// server runs day and night. One that has waited for its turn may not be there any more: some machines take unused pages of files away,
// however much memory is free.
func (b *bench) warm(ctx context.Context, database string) error {
	var err error
	if path, ok := strings.CutPrefix(database, "sqlite:"); ok {
		err = readThrough(path)
	} else if b.prewarm != "" {
		err = query(ctx, database, "SELECT coalesce(sum("+b.prewarm+"(c.oid::regclass, 'read')), 0)::bigint FROM pg_class c"+
			" WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'i')", new(int64))
	}
	if err != nil {
		return fmt.Errorf("read the directory before it is measured: %w", err)
	}
	return nil
}

func readThrough(path string) error {
	f, err := os.Open(path) // #nosec G304 -- the file is the benchmark's own
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, f)
	return errors.Join(err, f.Close())
}

// findPrewarm finds what has Postgres read its files, and makes it, in the schema of a URL and with which it goes, if need be. Not
// everybody may, and not everywhere is it installed: then Postgres's directories are measured as they are.
func (b *bench) findPrewarm(ctx context.Context, database string) {
	_ = execute(ctx, database, "CREATE EXTENSION IF NOT EXISTS pg_prewarm")
	const function = "SELECT quote_ident(n.nspname) || '.pg_prewarm' FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace" +
		" WHERE e.extname = 'pg_prewarm'"
	if query(ctx, database, function, &b.prewarm) != nil {
		b.prewarm = ""
	}
}
