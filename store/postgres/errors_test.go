package postgres_test

import (
	"database/sql/driver"
	"testing"

	"github.com/dragoman-id/dragoman/store/engine"
	"github.com/dragoman-id/dragoman/store/postgres"
)

// raise is a statement that fails with this code.
func raise(code string) string { return "DO $$BEGIN RAISE SQLSTATE '" + code + "'; END$$" }

func TestErrorKinds(t *testing.T) {
	t.Parallel()
	db := open(t, 1).Pools().Write
	for statement, want := range map[string]error{
		"SELECT pg_terminate_backend(pg_backend_pid())": engine.ErrUnavailable,
		"SET statement_timeout = 1; SELECT pg_sleep(5)": engine.ErrUnavailable,
		"BEGIN READ ONLY; DELETE FROM things":           engine.ErrUnavailable,
		raise("40001"):                                  engine.ErrBusy,
		raise("55P03"):                                  engine.ErrBusy,
		raise("08006"):                                  engine.ErrUnavailable,
		raise("25006"):                                  engine.ErrUnavailable,
		raise("25P03"):                                  engine.ErrUnavailable,
		raise("25P04"):                                  engine.ErrUnavailable,
		raise("28P01"):                                  engine.ErrUnavailable,
		raise("3D000"):                                  engine.ErrUnavailable,
		raise("40003"):                                  engine.ErrUnavailable,
		raise("53100"):                                  engine.ErrUnavailable,
		raise("53300"):                                  engine.ErrUnavailable,
		raise("57P03"):                                  engine.ErrUnavailable,
		raise("58030"):                                  engine.ErrUnavailable,
		raise("XX001"):                                  engine.ErrUnavailable,
		raise("42P01"):                                  nil,
		"SELECT 1/0":                                    nil,
	} {
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = conn.ExecContext(t.Context(), statement)
		if got := postgres.Kind(err); err == nil || got != want {
			t.Errorf("%s: %v is of kind %v", statement, err, got)
		}
		// What was set must not stay in the pool.
		conn.Raw(func(any) error { return driver.ErrBadConn })
		conn.Close()
	}
}
