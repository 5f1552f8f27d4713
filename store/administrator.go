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

// lastAdministratorReason is why a write is refused that would leave a customer without anybody to administer it.
const lastAdministratorReason = "must leave the customer an active administrator"

// administers tells whether the user can administer the customer: an administrator's role, active, and nothing wrong with
// the account.
func (u *User) administers() bool {
	return u.Roles&administratorRoles != 0 && u.inOrder()
}

// resigns tells whether a write takes from a customer one who could administer it.
func resigns(before, after *User) bool { return before.administers() && !after.administers() }

// administratorFields are the fields that decide who administers.
var administratorFields = map[Field]bool{
	FieldRoles: true, FieldStatus: true, FieldAccountNonExpired: true, FieldAccountNonLocked: true, FieldCredentialNonExpired: true,
}

// lastAdministrator returns what is wrong with a write by which the user resigns: nothing, if the customer has another
// administrator. Unless the customer is held, by [holdCustomer], that may be over the next moment.
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

// holdCustomer keeps every other writer who asks for an administrator's place from the customer until tx ends. It must come
// in a statement before the one that looks for administrators: that one then sees what those before it committed.
func holdCustomer(ctx context.Context, tx *gorm.DB, id int64) error {
	var held int64
	err := tx.Model(&Customer{}).Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).
		Select("id").Where("id = ?", id).Take(&held).Error
	return databaseErrorOrNil(ctx, "holding the customer", err)
}
