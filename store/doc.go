// Package store is the model of the user directory: customers, their companies and users, the catalogue of roles, the rules for users
// and their history. It contains the database queries of the model, written once for both engines.
//
// It enforces the rules that hold for a user however it was written: length limits, case-insensitive uniqueness, the consequences of
// changing an e-mail, and the sealing of secrets at rest. A dialect changes users by [Store.UpdateUser] or [Store.UpdateUsers], which take
// a closure that edits the loaded user, and erases them by [Store.EraseUser]; it never sends a statement of its own. Fields that the
// closure does not touch keep their values, and no concurrent write is lost.
//
// The package knows nothing of HTTP, dialects, tokens or permissions, nor of how an engine runs a statement. Packages sqlite and
// postgres run statements, behind the interfaces of package engine. Errors name the model's fields ([Field]); each dialect translates
// them into its own names.
//
// Every query contains the customer's id, which is the tenancy check and the key by which tables can be partitioned. What is unique
// across customers (ids, UUIDs, folded usernames and e-mails) is a row of the table claims, keyed by kind and value, which is written in the
// transaction of its user. The other exceptions are the checks of secret keys and what commands do to all users.
//
// # Request flow of a PATCH
//
// Each function calls the next, from top to bottom, until the UPDATE is sent:
//
//	server    Server.ServeHTTP (server.go), serveLingering (linger.go), then the middleware: identify (middleware.go),
//	          observe (observe.go), recover (middleware.go), secure (secure.go), endConnections (health.go),
//	          limitAddress (limit.go), answerServerOptions and once (middleware.go)
//	dialect   operation.serve, which authenticates and limits, and perform, which validates (operation.go)
//	gen       three generated functions, which decode the request
//	worth     handler.UpdateCustomerUser (worth.go)
//	dialect   Call.UpdateUser (call.go), updateUser (idempotency.go)
//	store     Store.UpdateUser, attempt, updateUser, replaceUser (update.go); updateStep (statements.go) makes the statements
//	sqlite    Database.Run (batch.go)               postgres  Database.Run (batch.go)
//	engine    Queue.Do, finish (queue.go)           engine    Queue.Do, finish (queue.go)
//	sqlite    commit, transaction, runAll, run      postgres  write, runLone, writeAlone, sendAlone, onConn,
//	          (batch.go); fileConn.ExecContext,               runSteps, runTogether, exchange (batch.go);
//	          exec, run (conn.go)                             whileLost (lost.go), conn.commit, run (commit.go)
//
// That is 30 hand-written functions on SQLite and 34 on Postgres, with closures counted as part of the function that contains them. The count
// comes from a stack trace (runtime/debug.Stack) of a PATCH, taken where the UPDATE is sent, completed by reading the code. Calls that
// have already returned by then are not counted. Concurrent updates are run as a batch by the goroutine of one of them, while the
// others wait in Queue.Do.
//
// # Adding a field to a user
//
// The table in field.go has a row for each field. The row defines how the field is stored, compared, validated, shown in the history,
// imported and exported. An optional text field needs:
//
//  1. a member of [User], a pointer (user.go), and its name and row in the table, such as
//     optionalText(FieldNickname, "nickname", 64, func(u *User) **string { return &u.Nickname });
//  2. a migration with the next number that adds a nullable column, one each in migrations/sqlite and migrations/postgres;
//  3. for each dialect that shows it: an entry in the document's overlay followed by `make generate`; the dialect's conversion of
//     users; its description, followed by `make docs`, which generates FIELDS.md; and its tests of complete responses.
//
// Tests fail until the struct, the table and the migrations agree. A field of another type uses [required] or [optional] with its
// [kind]. A field that is unique, sortable or searchable needs further changes, and so does one that is sealed: see [keyring.openSecrets].
package store
