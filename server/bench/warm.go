package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// warm reads all of a directory into the operating system's page cache, where it would be on a server in production. While other
// subjects were measured, some machines may have evicted it, however much memory was free.
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

// findPrewarm finds the function pg_prewarm, which makes Postgres read its files. If necessary it creates the extension in the schema of
// the URL, and the extension is dropped with the schema. If the extension is not installed or the user may not create it, directories
// on Postgres are measured without warming.
func (b *bench) findPrewarm(ctx context.Context, database string) {
	_ = execute(ctx, database, "CREATE EXTENSION IF NOT EXISTS pg_prewarm")
	const function = "SELECT quote_ident(n.nspname) || '.pg_prewarm' FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace" +
		" WHERE e.extname = 'pg_prewarm'"
	if query(ctx, database, function, &b.prewarm) != nil {
		b.prewarm = ""
	}
}
