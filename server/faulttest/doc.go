// Package faulttest tests how the program behaves under real faults. It builds the program, runs it against its own Postgres
// cluster or a SQLite file, sends HTTP requests, and meanwhile stops, freezes, disconnects or kills the database or the program, or fills
// the disk. server/docs/guide/faults.md specifies the behavior for each fault. It also runs the program beside a real identity
// provider, Keycloak, whose roles and keys change meanwhile.
//
// The package contains only tests. It does not know the server's code: it uses the program's flags, log and responses, and the
// database's tools. A test is skipped if the machine does not permit its fault; with CI=true it fails if Postgres is missing. The
// tests need Linux, because they find the processes of Postgres in /proc.
package faulttest
