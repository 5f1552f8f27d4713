package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/driver/postgres"

	"github.com/dragoman-id/dragoman/store/engine"
)

// Kind returns the kind of an error, as [engine.Kind] does.
func Kind(err error) error { return engine.Kind(err, OwnKind) }

func wrap(ctx context.Context, doing string, err error) error {
	return engine.Wrap(ctx, doing, err, Kind)
}

// translate turns Postgres errors into gorm errors where gorm has one, such as gorm.ErrDuplicatedKey.
func translate(err error) error { return postgres.Dialector{}.Translate(err) }

// readOnlyTransaction is the code of a write where none is possible, as on a standby.
const readOnlyTransaction = "25006"

// OwnKind returns the kind of an error of Postgres or of its driver, or ErrUnavailable if err already has that kind, and nil for any other
// error. The codes are explained in PostgreSQL's documentation, appendix A.
func OwnKind(err error) error {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) || errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, engine.ErrUnavailable) {
		return engine.ErrUnavailable
	}
	var e *pgconn.PgError
	if !errors.As(err, &e) || len(e.Code) != 5 {
		return nil
	}
	switch e.Code {
	case "40001", "40P01", "55P03": // serialization failure, deadlock, lock not available
		return engine.ErrBusy
	case readOnlyTransaction, "25P03", "25P04": // idle for too long in a transaction, transaction took too long
		return engine.ErrUnavailable
	case duplicatePreparedStatement, invalidStatementName: // the connection is closed, and its transaction rolled back
		return engine.ErrUnavailable
	case "40003", "3D000": // whether a statement was completed is unknown, no such database
		return engine.ErrUnavailable
	case "XX001", "XX002": // data or index corrupted, as by a bad disk
		return engine.ErrUnavailable
	}
	switch e.Code[:2] {
	// Connection, authorization of it, insufficient resources, operator intervention, errors of the system such as I/O.
	case "08", "28", "53", "57", "58":
		return engine.ErrUnavailable
	}
	return nil
}

// RolledBack reports whether Postgres rolled a transaction back because of another one and expects it to be tried again.
func RolledBack(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == "40001" || e.Code == "40P01")
}

// IsReadOnly reports whether Postgres refused a write because it takes none, as a standby.
func IsReadOnly(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == readOnlyTransaction
}
