//go:build !unix

package postgres

import "github.com/jackc/pgx/v5/pgconn"

func watchSocket(*pgconn.PgConn) {}

func hasNews(*pgconn.PgConn) bool { return false }
