// Package store is the model of the user directory and the place where it is kept: customers, their companies and
// their users, and the catalogue of roles, on PostgreSQL or on an embedded SQLite.
//
// It owns what is true of a user whichever way it was written: bounds of its text, uniqueness ignoring case, what
// follows from changing an e-mail, which secrets are sealed at rest. There is one way to change a user, [Store.UpdateUser],
// a closure that edits the loaded user; what the closure does not touch stays, and no concurrent writer is overwritten.
//
// The package does not know HTTP, either dialect, tokens, or who may do what. Names in its errors are the model's
// ([Field]); turning them into a dialect's words is the dialect's work.
//
// Every query carries the customer's id: it is the tenancy check, and the key by which the directory could be split.
// The only exceptions are the questions whether an id, a UUID, an e-mail or a username is taken, because these are unique
// over the platform, and whether the key is the one that the secrets are sealed with.
package store
