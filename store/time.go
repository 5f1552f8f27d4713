package store

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"gorm.io/gorm/schema"
)

// Times are kept as BIGINT milliseconds since the epoch: one precision and no zone, the same on both engines, where the
// engines' own types would answer with microseconds in the session's zone and with text.
func init() { schema.RegisterSerializer("epochms", epochSerializer{}) }

// inMillis is the one place where times get the model's precision and zone.
func inMillis(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }

func epochMillis(t *time.Time) *int64 {
	if t == nil {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}

// epochSerializer maps time.Time and *time.Time fields to BIGINT columns.
type epochSerializer struct{}

// Scan sets the field from the column's value.
func (epochSerializer) Scan(ctx context.Context, f *schema.Field, dst reflect.Value, value any) error {
	switch v := value.(type) {
	case nil:
		return f.Set(ctx, dst, nil)
	case int64:
		return f.Set(ctx, dst, time.UnixMilli(v).UTC())
	}
	return fmt.Errorf("column %s: %T is no integer", f.DBName, value)
}

// Value returns the column's value of the field.
func (epochSerializer) Value(_ context.Context, f *schema.Field, _ reflect.Value, value any) (any, error) {
	switch v := value.(type) {
	case time.Time:
		return v.UnixMilli(), nil
	case *time.Time:
		if v == nil {
			return nil, nil
		}
		return v.UnixMilli(), nil
	}
	return nil, fmt.Errorf("column %s: %T is no time", f.DBName, value)
}
