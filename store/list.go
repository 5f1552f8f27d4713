package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/dragoman-id/dragoman/store/engine"
)

// Query says which of a customer's users a list shows, and in which order. The zero value shows all by ascending ID, which
// is the order of their creation by one server.
type Query struct {
	Filters []Filter // all must hold
	// Provisioned leaves out users who are deprovisioned; see [User.DeprovisionedAt].
	Provisioned bool

	Sort       SortField
	Descending bool // also reverses the order of users that are equal in Sort
}

// Window is the requested part of a list: at most Limit users, beginning with the one at Offset, counted from 0. The dialects make it of
// the page or the cursor of a request. In a list by ascending ID, only users whose ID is above After count: if After is the last ID of
// the page before, no user is skipped or repeated, whatever was created meanwhile.
type Window struct{ Offset, Limit, After int64 }

// SortField is a field to sort by. Text is compared by its code points, names and e-mails by their folds, on either engine
// alike. Users without a value come before all others.
type SortField int

// The fields to sort by. The zero value is SortByID.
const (
	SortByID SortField = iota
	SortByUUID
	SortByFirstName
	SortByLastName
	SortByEmail
	SortByMobile
	SortByStatus
	SortByCreatedAt
	SortByUpdatedAt
)

// sortColumns are the expressions of SQL that fields are sorted by.
var sortColumns = [...]string{
	SortByID:        "id",
	SortByUUID:      "uuid",
	SortByFirstName: "first_name_fold",
	SortByLastName:  "last_name_fold",
	SortByEmail:     "email_fold",
	SortByMobile:    "coalesce(mobile, '')",
	SortByStatus:    "status",
	SortByCreatedAt: "created_at",
	SortByUpdatedAt: "updated_at",
}

// Filter is a condition on users. It is made by the functions below.
type Filter struct {
	condition string
	values    []any
	part      string         // a folded text that is a part of a name or the e-mail of all users whom the condition finds; see Mentions
	named     *nameCondition // instead of a condition
	of        []Filter       // instead of a condition: the filters that join combines or negates
	join      string
}

// nameCondition is the condition that a user has a name. The user is looked up by the name's claim before the list is read.
type nameCondition struct {
	field uniqueField
	name  string
}

// conditionOn returns the filter's condition on users of a customer, and the values of its parameters.
func (f Filter) conditionOn(ctx context.Context, s *Store, customerID int64) (string, []any, error) {
	switch {
	case f.named != nil:
		return f.named.conditionOn(ctx, s, customerID)
	case len(f.of) == 0:
		return strings.ReplaceAll(f.condition, uuidColumn, uuidTexts[s.db.Name()]), f.values, nil
	}
	conditions, values := make([]string, len(f.of)), []any(nil)
	for i, part := range f.of {
		condition, some, err := part.conditionOn(ctx, s, customerID)
		if err != nil {
			return "", nil, err
		}
		conditions[i], values = "("+condition+")", append(values, some...)
	}
	if f.join == negation {
		return conditions[0] + negation, values, nil
	}
	return strings.Join(conditions, f.join), values, nil
}

func (n nameCondition) conditionOn(ctx context.Context, s *Store, customerID int64) (string, []any, error) {
	users, err := s.usersNamed(ctx, customerID, n.field, n.name)
	if err != nil || len(users) == 0 {
		return Nobody().condition, nil, err
	}
	ids := make([]int64, len(users))
	for i := range users {
		ids[i] = users[i].ID
	}
	return "id IN ?", []any{ids}, nil
}

// indexedPart returns a folded text that is a part of a name or the e-mail of every user whom the filter finds, or "" if none is known.
func (f Filter) indexedPart() string {
	if f.join == conjunction {
		for _, part := range f.of {
			if text := part.indexedPart(); text != "" {
				return text
			}
		}
	}
	return f.part
}

// HasUUID finds the one user with this UUID.
func HasUUID(id uuid.UUID) Filter { return Filter{condition: "uuid = ?", values: []any{id}} }

// HasStatus finds users of this status.
func HasStatus(s Status) Filter { return Filter{condition: "status = ?", values: []any{s}} }

// HasFirstName finds users with exactly this first name.
func HasFirstName(name string) Filter {
	return Filter{condition: "first_name = ?", values: []any{name}}
}

// HasLastName finds users with exactly this last name.
func HasLastName(name string) Filter { return Filter{condition: "last_name = ?", values: []any{name}} }

// HasEmail finds the user with this e-mail, as [FoldEmail] compares e-mails, or several users if they have a [Collision].
func HasEmail(email string) Filter {
	return Filter{named: &nameCondition{byEmail, email}}
}

// HasMobile finds users with exactly this mobile number; the empty text finds those without one.
func HasMobile(mobile string) Filter {
	return Filter{condition: "coalesce(mobile, '') = ?", values: []any{mobile}}
}

// HasSubrole finds users whose highest-ranked role with a subrole is role, as [Catalogue.Subrole] determines it.
func HasSubrole(role Role, among *Catalogue) Filter {
	var higher RoleSet
	for _, r := range among.In(among.WithSubrole()) {
		if best, _ := among.Subrole(Roles(role.ID, r.ID)); best.ID == r.ID && r.ID != role.ID {
			higher = higher.Union(Roles(r.ID))
		}
	}
	return Filter{condition: "(roles & ?) <> 0 AND (roles & ?) = 0", values: []any{int64(Roles(role.ID)), int64(higher)}}
}

// Mentions finds users who have text as a part of their first name, their last name or their e-mail, as [Fold] compares them.
// A domain that is not ASCII is found by its letters and as IDNA encodes it.
func Mentions(text string) Filter {
	fold := Fold(text)
	part := "%" + escapeLike.Replace(fold) + "%"
	return Filter{
		condition: `(first_name_fold LIKE ? ESCAPE '!' OR last_name_fold LIKE ? ESCAPE '!' OR email_fold LIKE ? ESCAPE '!' OR email_search LIKE ? ESCAPE '!')`,
		values:    []any{part, part, part, part},
		part:      fold,
	}
}

// escapeLike escapes with an exclamation mark: a backslash in a literal begins an escape sequence on a Postgres where
// standard_conforming_strings is off.
var escapeLike = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")

// HasUsername finds the user with this username, as [Fold] compares usernames, or several users if they have a [Collision].
func HasUsername(name string) Filter { return Filter{named: &nameCondition{byUsername, name}} }

// HasExternalID finds the user with exactly this external id.
func HasExternalID(id string) Filter {
	return Filter{condition: "external_id = ?", values: []any{id}}
}

// provisionedCondition is the condition of Query.Provisioned. There is an index of the ids of the users who meet it.
const provisionedCondition = "deprovisioned_at IS NULL"

// Nobody matches no user.
func Nobody() Filter { return Filter{condition: "1 = 0"} }

// ListUsers returns the users of a customer in the window, and how many the query finds in all. The order is total: users
// that are equal in q.Sort are in the order of their ids. A window past the end of the list is empty.
func (s *Store) ListUsers(ctx context.Context, customerID int64, q Query, w Window) (users []User, total int64, err error) {
	err = s.reading(ctx, func(from reader) (err error) {
		users, total, err = s.listUsers(ctx, from, customerID, q, w)
		return err
	})
	return users, total, err
}

// listUsers is [Store.ListUsers] for one reader. It counts the users, from stored counts if there is no filter, and then reads those of
// the window, in reverse order if the window is nearer to the end of the list.
func (s *Store) listUsers(ctx context.Context, from reader, customerID int64, q Query, w Window) (users []User, total int64, err error) {
	everybody := len(q.Filters) == 0 && q.Sort == SortByID
	readers := from.searches
	if everybody {
		readers = from.lists
	}
	release, err := engine.AcquireReader(ctx, readers, customerID)
	if err != nil {
		return nil, 0, databaseError(ctx, "listing users", err)
	}
	defer release()
	var all userCount
	if len(q.Filters) == 0 {
		if all, err = storedCount(ctx, from, customerID); err != nil {
			return nil, 0, err
		}
		q.Provisioned = q.Provisioned && all.deprovisioned > 0
	}
	found := from.db.WithContext(ctx).Model(&User{}).Where("customer_id = ?", customerID)
	for _, f := range q.Filters {
		condition, values, err := f.conditionOn(ctx, s, customerID)
		if err != nil {
			return nil, 0, err
		}
		found = found.Where(condition, values...)
	}
	if q.Provisioned {
		found = found.Where(provisionedCondition)
	}
	found = found.Session(&gorm.Session{})
	if part := All(q.Filters...).indexedPart(); part != "" {
		if found, err = s.narrow(ctx, from, customerID, part, found); err != nil {
			return nil, 0, err
		}
	}
	switch {
	case len(q.Filters) > 0:
		if err := found.Count(&total).Error; err != nil {
			return nil, 0, databaseError(ctx, "counting users", err)
		}
	case q.Provisioned:
		total = all.users - all.deprovisioned
	default:
		total = all.users
	}
	if w.Offset >= total || w.Limit <= 0 {
		return nil, total, nil
	}
	offset, limit, backwards := w.Offset, min(w.Limit, total-w.Offset), false
	if offset > total/2 && w.After == 0 {
		// Counting from the end skips fewer rows.
		offset, backwards = total-offset-limit, true
	}
	descending := q.Descending != backwards
	// The ids are read from an index alone; only the rows of the window are then read.
	ids := found.Select("id")
	switch {
	case w.After > 0:
		ids = ids.Where("id > ?", w.After)
	case everybody:
		if ids, offset, err = s.skipBlocks(ctx, from, ids, customerID, offset, descending, q.Provisioned); err != nil {
			return nil, 0, err
		}
	}
	ids = order(ids, q.Sort, descending).Offset(int(offset)).Limit(int(limit))
	rows := order(from.db.WithContext(ctx).Where("customer_id = ? AND id IN (?)", customerID, ids), q.Sort, descending)
	if err := rows.Find(&users).Error; err != nil {
		return nil, 0, databaseError(ctx, "listing users", err)
	}
	if backwards {
		slices.Reverse(users)
	}
	return users, total, s.openAll(users)
}

func order(db *gorm.DB, by SortField, descending bool) *gorm.DB {
	if by != SortByID {
		db = db.Order(clause.OrderBy{Columns: []clause.OrderByColumn{{Column: clause.Column{Name: sortColumns[by], Raw: true}, Desc: descending}}})
	}
	return db.Order(clause.OrderByColumn{Column: clause.Column{Name: "id"}, Desc: descending})
}

func (s *Store) openAll(users []User) error {
	for i := range users {
		if err := s.keys.openSecrets(&users[i]); err != nil {
			return fmt.Errorf("listing users: %w", err)
		}
	}
	return nil
}

// UsersAfter returns up to limit users of a customer by ascending ID, from the first whose ID is above after. Reading a
// long list this way keeps no transaction or cursor open between two calls. Changes between two calls are seen by the later one, and no
// user is returned twice.
func (s *Store) UsersAfter(ctx context.Context, customerID, after int64, limit int) (users []User, err error) {
	err = s.reading(ctx, func(from reader) error {
		release, err := engine.AcquireReader(ctx, from.lists, customerID)
		if err != nil {
			return databaseError(ctx, "listing users", err)
		}
		defer release()
		users = nil
		err = from.db.WithContext(ctx).Where("customer_id = ? AND id > ?", customerID, after).Order("id").Limit(limit).Find(&users).Error
		return databaseErrorOrNil(ctx, "listing users", err)
	})
	if err != nil {
		return nil, err
	}
	return users, s.openAll(users)
}

// FileUsersAfter is [Store.UsersAfter] for files: the users have the fields that are in [FileColumns], and all others are zero.
func (s *Store) FileUsersAfter(ctx context.Context, customerID, after int64, limit int) (users []User, err error) {
	err = s.reading(ctx, func(from reader) (err error) {
		users, err = fileUsers(ctx, from, customerID, after, limit)
		return err
	})
	return users, err
}

func fileUsers(ctx context.Context, from reader, customerID, after int64, limit int) (users []User, err error) {
	release, err := engine.AcquireReader(ctx, from.lists, customerID)
	if err != nil {
		return nil, databaseError(ctx, "reading users", err)
	}
	defer release()
	rows, err := from.db.WithContext(ctx).Raw(fileUsersStatement, customerID, after, limit).Rows()
	if err != nil {
		return nil, databaseError(ctx, "reading users", err)
	}
	defer func() {
		if ended := errors.Join(rows.Err(), rows.Close()); err == nil {
			err = databaseErrorOrNil(ctx, "reading users", ended)
		}
	}()
	users = make([]User, 0, limit)
	into := make([]any, len(fileColumns))
	for rows.Next() {
		users = append(users, User{})
		for i, c := range fileColumns {
			into[i] = c.row.scan(&users[len(users)-1])
		}
		if err := rows.Scan(into...); err != nil {
			return nil, databaseError(ctx, "reading users", err)
		}
	}
	return users, nil
}

var fileColumns = FileColumns()

var fileUsersStatement = func() string {
	columns := make([]*userField, len(fileColumns))
	for i, c := range fileColumns {
		columns[i] = c.row
	}
	return "SELECT " + columnNames(columns) + " FROM users WHERE customer_id = ? AND id > ? ORDER BY id LIMIT ?"
}()
