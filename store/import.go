package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// Import adds many users at once, such as those of a file. It is made by [Store.NewImport] and used by one goroutine: first
// [Import.Check] is given every row, batch by batch, then [Import.Write] is given the same rows again.
//
// It keeps nothing of a row in memory but how many users each block of ids gets. To find ids, UUIDs, usernames and e-mails that come
// twice, it writes 24 bytes for each to a temporary file, if there are more than half a million. Close removes the file.
type Import struct {
	store     *Store
	now       time.Time
	customers map[CustomerKey]int64 // those that rows named; 0: there is none
	values    rowValues
	highest   int64 // of the ids that rows brought along
}

// ImportRow is a user to be added.
type ImportRow struct {
	// Line is the number by which the source knows the row. Errors name it.
	Line int64
	// Customer is whose the user is. It decides, not User.CustomerID.
	Customer CustomerKey
	// User is as [Store.CreateUser] takes it, but that a Version which is set is kept, too.
	User User
}

// RefusedRow says all that is wrong with one row.
type RefusedRow struct {
	Line   int64
	Errors FieldErrors
}

// ImportError names rows that Write could not store although they had passed Check: another writer was there in between. There may be more
// of them, in rows that Write had not come to.
type ImportError struct{ Rows []RefusedRow }

func (e *ImportError) Error() string {
	return fmt.Sprintf("line %d: %v", e.Rows[0].Line, &e.Rows[0].Errors)
}

// insertedAtOnce is how many rows one statement stores. More make neither engine faster.
const insertedAtOnce = 25

// NewImport begins an import. The error is that of reading a stored user when the store's key is not the one that the
// database was written with: what was imported with it would be lost to whoever has the right one.
func (s *Store) NewImport(ctx context.Context) (*Import, error) {
	var users []User
	if err := s.read.WithContext(ctx).Limit(1).Find(&users).Error; err != nil {
		return nil, databaseError(ctx, "beginning an import", err)
	}
	if err := s.openAll(users); err != nil {
		return nil, fmt.Errorf("beginning an import: %w", err)
	}
	return &Import{store: s, now: s.now(), customers: make(map[CustomerKey]int64)}, nil
}

// Close removes what the import keeps outside of memory.
func (i *Import) Close() error { return i.values.close() }

// Check returns those of the rows that Write would not store, in their order: what the model forbids, a customer that does not
// exist, and an id, UUID, username or e-mail that a user has. When all rows were given, [Import.Repeated] returns those that come twice.
func (i *Import) Check(ctx context.Context, rows []ImportRow) ([]RefusedRow, error) {
	users, wrong, err := i.complete(ctx, i.store.read, rows)
	if err != nil {
		return nil, err
	}
	for k := range rows {
		if err := i.claim(&rows[k], &users[k], wrong[k]); err != nil {
			return nil, err
		}
		i.highest = max(i.highest, users[k].ID)
	}
	if err := i.findTaken(ctx, rows, users, wrong); err != nil {
		return nil, err
	}
	return refused(rows, wrong), nil
}

func refused(rows []ImportRow, wrong []FieldErrors) []RefusedRow {
	var bad []RefusedRow
	for k, errs := range wrong {
		if len(errs) > 0 {
			bad = append(bad, RefusedRow{rows[k].Line, errs})
		}
	}
	return bad
}

// complete returns the users as they would be stored, and what is wrong with each but for conflicts.
func (i *Import) complete(ctx context.Context, db *gorm.DB, rows []ImportRow) ([]User, []FieldErrors, error) {
	if err := i.findCustomers(ctx, db, rows); err != nil {
		return nil, nil, err
	}
	users, wrong := make([]User, len(rows)), make([]FieldErrors, len(rows))
	for k := range rows {
		u := &users[k]
		*u, wrong[k] = i.store.complete(&rows[k].User, i.now)
		u.CustomerID = i.customers[rows[k].Customer]
		if u.CustomerID == 0 {
			wrong[k] = append(wrong[k], FieldError{FieldCustomer, "must be a customer of this directory"})
		}
		if u.Version == 0 {
			u.Version = 1
		}
		if u.Version < 0 || u.Version > maxID {
			wrong[k] = append(wrong[k], FieldError{FieldVersion, fmt.Sprintf("must be between 1 and %d", int64(maxID))})
		}
	}
	return users, wrong, nil
}

// findCustomers looks for the customers of rows that it has not looked for yet.
func (i *Import) findCustomers(ctx context.Context, db *gorm.DB, rows []ImportRow) error {
	var ids, uuids []any
	for _, r := range rows {
		if _, known := i.customers[r.Customer]; known {
			continue
		}
		i.customers[r.Customer] = 0
		switch r.Customer.by {
		case keyByID:
			ids = append(ids, r.Customer.id)
		case keyByUUID:
			uuids = append(uuids, r.Customer.uuid)
		}
	}
	if len(ids)+len(uuids) == 0 {
		return nil
	}
	var found []Customer
	err := db.WithContext(ctx).Select("id", "uuid").Where("id IN ? OR uuid IN ?", ids, uuids).Find(&found).Error
	if err != nil {
		return databaseError(ctx, "finding customers", err)
	}
	for _, c := range found {
		for _, key := range []CustomerKey{CustomerByID(c.ID), CustomerByUUID(c.UUID)} {
			i.customers[key] = c.ID
		}
	}
	return nil
}

// brings reports whether a row brings along a value of its own for this field, and nothing is wrong with it yet.
func brings(r *ImportRow, f Field, wrong FieldErrors) bool {
	if f == FieldID && r.User.ID == 0 || f == FieldUUID && r.User.UUID == uuid.Nil {
		return false
	}
	return !slices.ContainsFunc(wrong, func(e FieldError) bool { return e.Field == f })
}

// claim remembers the unique values of a row.
func (i *Import) claim(r *ImportRow, u *User, wrong FieldErrors) error {
	for n, q := range unique {
		if !brings(r, q.field, wrong) {
			continue
		}
		if err := i.values.add(n, q.value(u), r.Line, r.User.Username == r.User.Email); err != nil {
			return err
		}
	}
	return nil
}

// RepeatedValue is an id, UUID, username or e-mail of a row that an earlier row has.
type RepeatedValue struct {
	Line, First int64 // the row's, and the first that has the value
	Field       Field
	// NamedByEmail says that the row's username is its e-mail.
	NamedByEmail bool
}

// Reason is what is wrong with the field.
func (r RepeatedValue) Reason() string { return fmt.Sprintf("is already on line %d", r.First) }

// Repeated calls found for each value that an earlier one of the rows given to Check has, in no particular order.
func (i *Import) Repeated(found func(RepeatedValue)) error {
	return i.values.repeated(func(again, first rowValue) {
		line, namedByEmail := again.line()
		before, _ := first.line()
		found(RepeatedValue{Line: line, First: before, Field: unique[again[0]].field, NamedByEmail: namedByEmail})
	})
}

// findTaken finds values of the rows that users of the directory have.
func (i *Import) findTaken(ctx context.Context, rows []ImportRow, users []User, wrong []FieldErrors) error {
	for _, q := range unique {
		var values []string
		for k := range rows {
			if brings(&rows[k], q.field, wrong[k]) {
				values = append(values, q.value(&users[k]))
			}
		}
		if len(values) == 0 {
			continue
		}
		var found []string
		err := i.store.read.WithContext(ctx).Model(&claim{}).Where("kind = ? AND value IN ?", q.kind, values).Pluck("value", &found).Error
		if err != nil {
			return databaseError(ctx, fmt.Sprintf("asking whether %s is taken", q.field), err)
		}
		taken := make(map[string]bool, len(found))
		for _, value := range found {
			taken[value] = true
		}
		for k := range rows {
			if brings(&rows[k], q.field, wrong[k]) && taken[q.value(&users[k])] {
				wrong[k] = append(wrong[k], FieldError{q.field, "is already taken"})
			}
		}
	}
	return nil
}

// Write stores the rows that next returns, batch by batch until io.EOF, in one transaction: all of them or, if it returns an
// error, none. It may be called several times, each time with a part of the rows that were checked. Users without an id get
// theirs in the order of the rows, above every id that a row brought along.
//
// The error is an *[ImportError] when rows cannot be stored; what next returned; ErrBusy; ErrUnavailable.
func (i *Import) Write(ctx context.Context, next func() ([]ImportRow, error)) error {
	if i.highest > 0 {
		// Ahead and by itself, as it may hold up whoever else adds users.
		err := i.store.transaction(ctx, func(tx *gorm.DB) error { return i.store.db.ReserveID(tx, "users", i.highest) })
		if err != nil {
			return databaseError(ctx, "reserving ids", err)
		}
	}
	var rows []ImportRow
	err := i.store.transaction(ctx, func(tx *gorm.DB) (err error) {
		if err := i.store.db.AllowIdle(tx); err != nil {
			return databaseError(ctx, "beginning to import", err)
		}
		added := addedUsers{}
		for {
			if rows, err = next(); errors.Is(err, io.EOF) {
				return addToCounts(ctx, tx, added)
			}
			if err != nil {
				return err
			}
			if err := i.insert(ctx, tx, rows, added); err != nil {
				return err
			}
		}
	})
	if errors.Is(err, gorm.ErrDuplicatedKey) {
		// Asked only now, because Postgres answers nothing more in a transaction that failed.
		return i.conflict(ctx, rows)
	}
	return err
}

// conflict returns which of the rows, which the database has just refused, it was that another user was in the way of.
func (i *Import) conflict(ctx context.Context, rows []ImportRow) error {
	users, wrong, err := i.complete(ctx, i.store.read, rows)
	if err != nil {
		return err
	}
	if err := i.findTaken(ctx, rows, users, wrong); err != nil {
		return err
	}
	bad := refused(rows, wrong)
	if len(bad) == 0 {
		return fmt.Errorf("importing users: %w: another user was in the way and is no longer", ErrBusy)
	}
	return &ImportError{bad}
}

// insert stores rows and their history, and adds them to added.
func (i *Import) insert(ctx context.Context, tx *gorm.DB, rows []ImportRow, added addedUsers) error {
	users, wrong, err := i.complete(ctx, tx, rows)
	if err != nil {
		return err
	}
	if bad := refused(rows, wrong); len(bad) > 0 {
		return &ImportError{bad}
	}
	if err := i.numberUsers(tx, users); err != nil {
		return databaseError(ctx, "reserving ids", err)
	}
	changes := make([]UserChange, len(users))
	for k := range users {
		u := &users[k]
		added.add(u)
		i.store.keys.sealSecrets(&User{}, u)
		changes[k] = i.store.catalogue.creation(ctx, u, i.now)
		// The row may tell who wrote the user last, where it comes from; here that is nobody known.
		changes[k].Actor = nil
	}
	err = tx.CreateInBatches(users, insertedAtOnce).Error
	for some := range slices.Chunk(users, insertedAtOnce) {
		if err == nil {
			err = execute(tx, claimAll(some...))
		}
	}
	if err == nil {
		err = tx.CreateInBatches(changes, insertedAtOnce).Error
	}
	if err == nil {
		// A statement that comes after the context's end is skipped and said to have succeeded.
		err = ctx.Err()
	}
	if err != nil {
		return databaseError(ctx, "importing users", err)
	}
	return nil
}

// numberUsers gives ids to the users that have none.
func (i *Import) numberUsers(tx *gorm.DB, users []User) error {
	without := 0
	for k := range users {
		if users[k].ID == 0 {
			without++
		}
	}
	if without == 0 {
		return nil
	}
	ids, err := i.store.db.GenerateIDs(tx, "users", without)
	if err != nil {
		return err
	}
	if ids[without-1] > maxID {
		return fmt.Errorf("table users has no %d ids left", without)
	}
	for k := range users {
		if users[k].ID == 0 {
			users[k].ID, ids = ids[0], ids[1:]
		}
	}
	return nil
}
