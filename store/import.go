package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/engine"
	"github.com/dragoman-id/dragoman/store/postgres"
)

// Import adds many users at once, such as those of a file. It is made by [Store.NewImport] and used by one goroutine: first
// [Import.Check] is given every row, batch by batch, then [Import.Write] is given the same rows again.
//
// It keeps nothing of a row in memory but how many users each block of ids gets. To find ids, UUIDs, names, e-mails and external ids that come
// twice, it writes 24 bytes for each to a temporary file, if there are more than half a million. Close removes the file.
type Import struct {
	store     *Store
	now       time.Time
	customers map[CustomerKey]int64 // those that rows named; 0: there is none
	erased    map[uuid.UUID]bool    // those that the ledger lists
	values    rowValues
	highest   int64 // of the ids that rows brought along
	without   int64 // how many rows brought none along

	nextID, endID int64 // those that are reserved
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
	i := &Import{store: s, now: s.now(), customers: make(map[CustomerKey]int64), erased: make(map[uuid.UUID]bool)}
	if s.ledger != nil {
		entries, err := s.ledger.Entries()
		if err != nil {
			return nil, fmt.Errorf("beginning an import: %w", err)
		}
		for _, e := range entries {
			i.erased[e.UUID] = true
		}
	}
	return i, nil
}

// Close removes what the import keeps outside of memory.
func (i *Import) Close() error { return i.values.close() }

// Check returns those of the rows that Write would not store, in their order: what the model forbids, a customer that does not
// exist, the UUID of a user whom the erasure ledger lists, and an id, UUID, username or e-mail that a user has, or an external id that one of the customer has. When all rows were given, [Import.Repeated] returns those that come twice.
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
		if users[k].ID == 0 {
			i.without++
		}
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
		if i.erased[rows[k].User.UUID] {
			wrong[k] = append(wrong[k], FieldError{FieldUUID, "is that of a person who was erased: leave the line out, or the UUID if it is about somebody else"})
		}
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
	if u.ExternalID == nil || u.CustomerID == 0 || !brings(r, FieldExternalID, wrong) {
		return nil
	}
	value := strconv.FormatInt(u.CustomerID, 10) + " " + *u.ExternalID
	return i.values.add(len(unique), value, r.Line, r.User.Username == r.User.Email)
}

// repeatable returns the field of a value that claim has remembered.
func repeatable(index byte) Field {
	if int(index) == len(unique) {
		return FieldExternalID
	}
	return unique[index].field
}

// RepeatedValue is an id, UUID, username, e-mail or external id of a row that an earlier row has, too.
type RepeatedValue struct {
	Line, First int64 // the line of the row, and the first line with the value
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
		found(RepeatedValue{Line: line, First: before, Field: repeatable(again[0]), NamedByEmail: namedByEmail})
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
	return i.findTakenExternalIDs(ctx, rows, users, wrong)
}

// findTakenExternalIDs is findTaken for what is unique within a customer.
func (i *Import) findTakenExternalIDs(ctx context.Context, rows []ImportRow, users []User, wrong []FieldErrors) error {
	wanted := map[int64]map[string][]int{} // indexes of rows, by customer and external id
	for k := range rows {
		u := &users[k]
		if u.ExternalID == nil || u.CustomerID == 0 || !brings(&rows[k], FieldExternalID, wrong[k]) {
			continue
		}
		if wanted[u.CustomerID] == nil {
			wanted[u.CustomerID] = map[string][]int{}
		}
		wanted[u.CustomerID][*u.ExternalID] = append(wanted[u.CustomerID][*u.ExternalID], k)
	}
	for customer, ids := range wanted {
		var found []string
		err := i.store.read.WithContext(ctx).Model(&User{}).
			Where("customer_id = ? AND external_id IN ?", customer, slices.Collect(maps.Keys(ids))).Pluck("external_id", &found).Error
		if err != nil {
			return databaseError(ctx, fmt.Sprintf("asking whether %s is taken", FieldExternalID), err)
		}
		for _, id := range found {
			for _, k := range ids[id] {
				wrong[k] = append(wrong[k], FieldError{FieldExternalID, "is already taken"})
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
	if err := i.reserveIDs(ctx); err != nil {
		return err
	}
	var rows []ImportRow
	// Rows cannot be read twice, so a batch that the database rolls back is repeated instead of the transaction.
	err := i.store.transactionOnce(ctx, func(tx *gorm.DB) (err error) {
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
			users, err := i.insertAgain(ctx, tx, rows)
			if err != nil {
				return err
			}
			for k := range users {
				added.add(&users[k])
			}
		}
	})
	if errors.Is(err, gorm.ErrDuplicatedKey) {
		// Asked only now, because Postgres answers nothing more in a transaction that failed.
		return i.conflict(ctx, rows)
	}
	return err
}

// reserveIDs generates ids for all checked rows without one, the first time that it is called. It does so ahead and by itself, as it may
// hold up whoever else adds users.
func (i *Import) reserveIDs(ctx context.Context) error {
	if i.highest == 0 && i.without == 0 {
		return nil
	}
	err := i.store.transaction(ctx, func(tx *gorm.DB) (err error) {
		if err := skipIDs(tx, userIDs, i.highest); err != nil || i.without == 0 {
			return err
		}
		i.nextID, err = takeIDs(tx, userIDs, i.without)
		return err
	})
	if err != nil {
		return databaseError(ctx, "reserving ids", err)
	}
	highest := i.highest
	i.endID = i.nextID + i.without
	i.highest, i.without = 0, 0
	return i.store.dropUserIDs(ctx, highest)
}

// insertAgain inserts rows, and again after a rollback to a savepoint when the database gives way to another transaction.
func (i *Import) insertAgain(ctx context.Context, tx *gorm.DB, rows []ImportRow) (users []User, err error) {
	nextID, endID := i.nextID, i.endID
	for attempt := 1; ; attempt++ {
		i.nextID, i.endID = nextID, endID // those that are generated after the savepoint are rolled back with it
		if err := tx.Exec("SAVEPOINT rows").Error; err != nil {
			return nil, databaseError(ctx, "importing users", err)
		}
		users, err = i.insert(ctx, tx, rows)
		end := "RELEASE SAVEPOINT rows"
		if err != nil {
			if !postgres.RolledBack(err) || attempt == maxAttempts {
				return nil, err
			}
			i.store.observer.retry(ctx, RetryRolledBack)
			end = "ROLLBACK TO SAVEPOINT rows"
		}
		if ended := tx.Exec(end).Error; ended != nil || err == nil {
			return users, databaseErrorOrNil(ctx, "importing users", ended)
		}
	}
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

// insert stores rows and their history, and returns the users.
func (i *Import) insert(ctx context.Context, tx *gorm.DB, rows []ImportRow) ([]User, error) {
	users, wrong, err := i.complete(ctx, tx, rows)
	if err != nil {
		return nil, err
	}
	if bad := refused(rows, wrong); len(bad) > 0 {
		return nil, &ImportError{bad}
	}
	if err := i.numberUsers(tx, users); err != nil {
		return nil, databaseError(ctx, "reserving ids", err)
	}
	changes := make([]UserChange, len(users))
	for k := range users {
		u := &users[k]
		i.store.keys.sealSecrets(&User{}, u)
		changes[k] = i.store.catalogue.creation(ctx, u, i.now)
		// The row may tell who wrote the user last, where it comes from; here that is nobody known.
		changes[k].Actor = nil
	}
	for from := 0; from < len(users); from += insertedAtOnce {
		to := min(from+insertedAtOnce, len(users))
		recorded, pending, err := recordChanges(changes[from:to]...)
		if err != nil {
			return nil, err
		}
		for _, statement := range []engine.SQL{storeUsers(users[from:to]...), claimAll(users[from:to]...), recorded, pending} {
			if err := execute(tx, statement); err != nil {
				return nil, databaseError(ctx, "importing users", err)
			}
		}
	}
	// A statement that comes after the context's end is skipped and said to have succeeded.
	return users, databaseErrorOrNil(ctx, "importing users", ctx.Err())
}

// numberUsers gives ids to the users that have none: those that were reserved, or new ones if the rows were not checked.
func (i *Import) numberUsers(tx *gorm.DB, users []User) error {
	var without int64
	for k := range users {
		if users[k].ID == 0 {
			without++
		}
	}
	if without > i.endID-i.nextID {
		first, err := takeIDs(tx, userIDs, without)
		if err != nil {
			return err
		}
		i.nextID, i.endID = first, first+without
	}
	for k := range users {
		if users[k].ID == 0 {
			users[k].ID = i.nextID
			i.nextID++
		}
	}
	return nil
}
