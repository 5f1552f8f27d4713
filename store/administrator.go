package store

import (
	"context"
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// administratorRoles are the roles whose active holders administer a customer: ROLE_ADMIN and ROLE_COMPANY_ADMIN. The
// migrations' index users_administrators has the same set.
var administratorRoles = Roles(1, 2)

// lastAdministratorReason is the reason for which a write is refused that would leave a customer without an administrator.
const lastAdministratorReason = "must leave the customer an active administrator"

// administers reports whether the user can administer the customer: it has an administrator's role, is active, and its account is in
// order.
func (u *User) administers() bool {
	return u.Roles&administratorRoles != 0 && u.inOrder()
}

// resigns reports whether a write makes an administrator of a customer one no longer.
func resigns(before, after *User) bool { return before.administers() && !after.administers() }

// administratorFields are the fields that decide who administers.
var administratorFields = map[Field]bool{
	FieldRoles: true, FieldStatus: true, FieldAccountNonExpired: true, FieldAccountNonLocked: true, FieldCredentialNonExpired: true,
}

// lastAdministrator returns the violations of a write by which the user resigns: none if the customer has another administrator.
// Unless the customer is locked, by [lockCustomer], a concurrent write may change that.
func lastAdministrator(ctx context.Context, db *gorm.DB, before, after *User) (FieldErrors, error) {
	var another bool
	err := db.WithContext(ctx).Raw(fmt.Sprintf(`SELECT EXISTS (SELECT 1 FROM users WHERE customer_id = ? AND (roles & %d) <> 0 AND id <> ?
		AND status = ? AND account_non_expired = ? AND account_non_locked = ? AND credential_non_expired = ?)`, administratorRoles),
		before.CustomerID, before.ID, StatusActive, true, true, true).Scan(&another).Error
	if err != nil {
		return nil, databaseError(ctx, "looking for another administrator", err)
	}
	if another {
		return nil, nil
	}
	var wrong FieldErrors
	for _, f := range Diff(before, after) {
		if administratorFields[f] {
			wrong = append(wrong, FieldError{f, lastAdministratorReason})
		}
	}
	return wrong, nil
}

// lockCustomer locks the customer until tx ends against other writes by which an administrator resigns. It must be a statement before
// the one that looks for administrators, which then sees what the earlier holders of the lock committed.
func lockCustomer(ctx context.Context, tx *gorm.DB, id int64) error {
	var locked int64
	err := tx.Model(&Customer{}).Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).
		Select("id").Where("id = ?", id).Take(&locked).Error
	return databaseErrorOrNil(ctx, "locking the customer", err)
}
