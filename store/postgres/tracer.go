package postgres

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dragoman-id/dragoman/store/engine"
)

// tracer reports the statements that pgx sends, but for batches.
type tracer struct{ reporter engine.Reporter }

type tracedKey struct{}

// traced is the context of a statement that is under way. It is one object, as every statement makes one.
type traced struct {
	context.Context
	text  string
	began time.Time
}

// Value gives the statement itself to who has its key.
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

// TraceQueryEnd reports the statement, unless it is one of the pool's own signs of life, which are comments.
func (t tracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	if s, ok := ctx.Value(tracedKey{}).(*traced); ok && !strings.HasPrefix(s.text, "--") {
		t.reporter.Report(ctx, s.text, s.began, data.Err)
	}
}
