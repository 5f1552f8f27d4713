package postgres

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dragoman-id/dragoman/store/engine"
)

// tracer reports the statements that pgx sends, except batches.
type tracer struct{ reporter engine.Reporter }

type tracedKey struct{}

// traced is the context of a running statement. It is a single object to save an allocation for every statement.
type traced struct {
	context.Context
	text  string
	began time.Time
}

// Value returns the statement itself for tracedKey.
func (t *traced) Value(key any) any {
	if key == (tracedKey{}) {
		return t
	}
	return t.Context.Value(key)
}

// TraceQueryStart notes when a statement began (pgx.QueryTracer).
func (t tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	return &traced{ctx, data.SQL, time.Now()}
}

// TraceQueryEnd reports the statement, unless it begins with a comment, as the pool's pings do.
func (t tracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	if s, ok := ctx.Value(tracedKey{}).(*traced); ok && !strings.HasPrefix(s.text, "--") {
		t.reporter.Report(ctx, s.text, s.began, data.Err)
	}
}
