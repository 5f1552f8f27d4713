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
