// Package store is the model of the user directory: customers, their companies and users, the catalogue of roles, the rules and the
// history of users, and what is asked of the database for them, once for both engines.
//
// It owns what is true of a user whichever way it was written: bounds of its text, uniqueness ignoring case, what
// follows from changing an e-mail, which secrets are sealed at rest. There is one way to change a user, [Store.UpdateUser],
// a closure that edits the loaded user; what the closure does not touch stays, and no concurrent writer is overwritten.
//
// The package does not know HTTP, dialects, tokens, or who may do what, nor how an engine runs a statement: that is in packages sqlite and
// postgres, behind what package engine says the store needs. Names in its errors are the model's
// ([Field]); turning them into a dialect's words is the dialect's work.
//
// Every query carries the customer's id: it is the tenancy check, and the key by which the directory could be split.
// The only exceptions are the questions whether an id, a UUID, an e-mail or a username is taken, because these are unique
// over the platform, and whether the key is the one that the secrets are sealed with.
//
// # The way of one PATCH
//
// From top to bottom each function calls the next, until the UPDATE is sent:
//
//	server    Server.ServeHTTP (server.go), serveLingering (linger.go), then the middleware: identify (middleware.go),
//	          observe (observe.go), recover (middleware.go), secure (secure.go), endConnections (health.go),
//	          limitAddress (limit.go), answerServerOptions and once (middleware.go)
//	dialect   operation.serve (operation.go), which authenticates, limits and validates
//	gen       three generated functions, which decode the request
//	worth     handler.UpdateCustomerUser (worth.go)
//	dialect   Call.UpdateUser (call.go)
//	store     Store.UpdateUser, attempt, updateUser, replaceUser (update.go); updateStep (statements.go) makes the statements
//	sqlite    Database.Run (batch.go)               postgres  Database.Run (batch.go)
//	engine    Queue.Do, finish (queue.go)           engine    Queue.Do, finish (queue.go)
//	sqlite    commit, transaction, runAll, run      postgres  write, runLone, writeAlone, sendAlone, onConn, send
//	          (batch.go); fileConn.ExecContext,               (batch.go), whileLost (lost.go)
//	          exec, run (conn.go)
//
// These are 28 functions of ours on SQLite, and 28 on Postgres, closures counted with the function that they are in, and without the
// generated ones. They were counted in a stack trace (runtime/debug.Stack) of a PATCH taken where the UPDATE is sent, plus what follows by
// reading; what each calls beside and returns from is not counted. Steps that come at the same time are run in a batch by one of their
// goroutines, and the others wait in Queue.Do.
//
// # Adding a field to a user
//
// The table in field.go has a row for each field, which says how it is stored, compared, checked, shown in the history, and imported and
// exported. An optional text needs:
//
//  1. a member of [User], a pointer (user.go), and its name and row in the table, such as
//     optionalText(FieldNickname, "nickname", 64, func(u *User) **string { return &u.Nickname });
//  2. a migration that adds the column, nullable, in migrations/sqlite and another in migrations/postgres, with the next number;
//  3. for each dialect that is to have it: the document's overlay, `make generate`, where the dialect converts users, its
//     description of its members, from which `make docs` makes FIELDS.md, and its tests of whole answers.
//
// Tests fail until struct, table and migrations agree. A field of another type takes [required] or [optional] with its [kind]; one that
// must be unique, or that lists sort by or search in, takes more.
package store
