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
func (t postgresTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	return &traced{ctx, data.SQL, time.Now()}
}

// TraceQueryEnd tells of the statement, unless it is one of the pool's own signs of life, which are comments.
func (t postgresTracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	if s, ok := ctx.Value(tracedKey{}).(*traced); ok && !strings.HasPrefix(s.text, "--") {
		t.observer.tell(ctx, s.text, s.began, data.Err)
	}
}
