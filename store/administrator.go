package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// administratorRoles are the roles whose active holders administer a customer: ROLE_ADMIN and ROLE_COMPANY_ADMIN. The
// migrations' index users_administrators has the same set.
var administratorRoles = Roles(1, 2)

// ErrLastAdministrator is in the tree of the error of a write that would leave a customer without an active administrator; test for it
// with errors.Is. The error also is a *[FieldErrors].
var ErrLastAdministrator = errors.New("the last administrator")

// Is reports whether target is ErrLastAdministrator and one of the errors is about that.
func (e *FieldErrors) Is(target error) bool {
	return target == ErrLastAdministrator && slices.ContainsFunc(*e, func(f FieldError) bool { return f.Reason == lastAdministratorReason })
}

// lastAdministratorReason is the reason for rejecting a write that would leave a customer without an administrator.
const lastAdministratorReason = "must leave the customer an active administrator"

// administers reports whether the user can administer the customer: whether it has an administrator's role and its account is in
// order (see inOrder).
func (u *User) administers() bool {
	return u.Roles&administratorRoles != 0 && u.inOrder()
}

// losesAdministrator reports whether the user is an administrator before a write and not after it.
func losesAdministrator(before, after *User) bool {
	return before.administers() && !after.administers()
}

// administratorFields are the fields that decide whether a user is an administrator.
var administratorFields = map[Field]bool{
	FieldRoles: true, FieldStatus: true, FieldAccountNonExpired: true, FieldAccountNonLocked: true, FieldCredentialNonExpired: true,
}

// lastAdministrator returns the violations of a write for which [losesAdministrator] is true: none if the customer has another
// administrator. Unless the caller has locked the customer with [lockCustomer], a concurrent write may make the answer stale. It is the
// check of writes to one user: updates, erasures and their previews. For writes to several, see [administratorsLost].
func lastAdministrator(ctx context.Context, db *gorm.DB, before, after *User) (FieldErrors, error) {
	another, err := anotherAdministrator(ctx, db, before.CustomerID, before.ID)
	if err != nil || another {
		return nil, err
	}
	return lostAdministrator(before, after), nil
}

// lostAdministrator returns the violations of a write for which [losesAdministrator] is true, if the customer has no other administrator.
func lostAdministrator(before, after *User) (wrong FieldErrors) {
	for _, f := range Diff(before, after) {
		if administratorFields[f] {
			wrong = append(wrong, FieldError{f, lastAdministratorReason})
		}
	}
	return wrong
}

// anotherAdministrator reports whether a customer has an administrator who is not among the users in but.
func anotherAdministrator(ctx context.Context, db *gorm.DB, customerID int64, but ...int64) (bool, error) {
	var ids []int64
	err := db.WithContext(ctx).Raw(fmt.Sprintf(`SELECT id FROM users WHERE customer_id = ? AND (roles & %d) <> 0
		AND status = ? AND account_non_expired = ? AND account_non_locked = ? AND credential_non_expired = ? LIMIT ?`, administratorRoles),
		customerID, StatusActive, true, true, true, len(but)+1).Scan(&ids).Error
	if err != nil {
		return false, databaseError(ctx, "looking for another administrator", err)
	}
	return slices.ContainsFunc(ids, func(id int64) bool { return !slices.Contains(but, id) }), nil
}

// administratorsLost collects the users who are administrators before a change to several users and not after it. Whether the customer
// has an administrator left is checked once all of them were changed, since the change may also make administrators.
type administratorsLost struct {
	ids    []int64
	wrong  FieldErrors // the violations of the first of these users
	gained bool        // a changed user is an administrator after the change
}

func (l *administratorsLost) add(before, after *User) {
	if after.administers() {
		l.gained = true
	} else if before.administers() {
		if l.ids = append(l.ids, before.ID); len(l.ids) == 1 {
			l.wrong = lostAdministrator(before, after)
		}
	}
}

// check returns a *[FieldErrors] if the customer has no administrator left.
func (l *administratorsLost) check(ctx context.Context, db *gorm.DB, customerID int64) error {
	if len(l.ids) == 0 || l.gained {
		return nil
	}
	another, err := anotherAdministrator(ctx, db, customerID, l.ids...)
	if err != nil || another {
		return err
	}
	return fmt.Errorf("updating users: %w", &l.wrong)
}

// lockCustomer locks the customer's row until tx ends, so that writes that would remove an administrator run one at a time. It must
// run as a statement of its own before the one that looks for administrators, which then sees what earlier holders of the lock
// committed.
func lockCustomer(ctx context.Context, tx *gorm.DB, id int64) error {
	var locked int64
	err := tx.Model(&Customer{}).Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).
		Select("id").Where("id = ?", id).Take(&locked).Error
	return databaseErrorOrNil(ctx, "locking the customer", err)
}
