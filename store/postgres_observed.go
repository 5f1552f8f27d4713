package store

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// postgresTracer tells an observer of the statements that pgx asks, whichever way they come to it.
type postgresTracer struct{ observer Observer }

type tracedKey struct{}

// traced is a statement that is under way.
type traced struct {
	text  string
	began time.Time
}

// TraceQueryStart notes when a statement began (pgx.QueryTracer).
func (t postgresTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	return context.WithValue(ctx, tracedKey{}, &traced{data.SQL, time.Now()})
}

// TraceQueryEnd tells of the statement, unless it is one of the pool's own signs of life, which are comments.
func (t postgresTracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	if s, ok := ctx.Value(tracedKey{}).(*traced); ok && !strings.HasPrefix(s.text, "--") {
		t.observer.tell(ctx, s.text, s.began, data.Err)
	}
}
