package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/dragoman-id/dragoman/store/engine"
)

// The folded columns of users are computed again when the database was last folded by other rules than foldRules: after the
// migration that introduced this, and after an upgrade that changes what Fold or FoldEmail return.
//
// First every user whose folds are not those of the present rules gets them in the columns that need not be unique, while
// those of its username and e-mail are reserved in reserved_folds, and their claims marked as shared. Names that an operator's own
// statements have changed are claimed, and what nobody has any longer is free. Then each reserved fold that one user alone claims becomes
// that user's, and its reservation ends. What remains reserved are collisions. Each step is a short transaction and can be
// repeated: whoever is interrupted begins again and ends where it would have.

const (
	// refoldWindow is how many users are looked at in one statement, and refoldBatch how many are written in one transaction.
	refoldWindow = 10_000
	refoldBatch  = 500
)

// reservedFold is a row of reserved_folds.
type reservedFold struct {
	CustomerID, UserID int64
	Field, Fold        string
}

// refoldNeeded finds the users whose folds may differ from rule to rule: those whose texts are not ASCII, or have an encoded
// domain.
const refoldNeeded = `(octet_length(first_name || last_name || username || email) <> length(first_name || last_name || username || email)
	OR email_fold LIKE '%` + acePrefix + `%')`

// refold computes the folded columns of all users, if that was not done by the present rules yet, or again in any case.
func refold(ctx context.Context, d engine.Database, again bool) error {
	db, err := session(d, d.Pools().Write)
	if err != nil {
		return err
	}
	db = db.WithContext(ctx)
	if current, err := foldedBy(db); err != nil || current && !again {
		return databaseErrorOrNil(ctx, "asking by which rules names are folded", err)
	}
	err = d.Exclusively(ctx, "dragoman.folds", func() error {
		// Another program may have done it meanwhile.
		if current, err := foldedBy(db); err != nil || current && !again {
			return err
		}
		for _, do := range []func(*gorm.DB) error{reserveFolds, reclaim, settleFolds, endSharing} {
			if err := do(db); err != nil {
				return err
			}
		}
		return db.Exec("UPDATE folding SET rules = ?", foldRules).Error
	})
	return databaseErrorOrNil(ctx, "folding names", err)
}

// refoldDue reports whether the folded columns are not those of the present rules.
func refoldDue(ctx context.Context, d engine.Database) (bool, error) {
	db, err := session(d, d.Pools().Read)
	if err != nil {
		return false, err
	}
	current, err := foldedBy(db.WithContext(ctx))
	return !current, databaseErrorOrNil(ctx, "asking by which rules names are folded", err)
}

// foldedBy reports whether the database was folded by the present rules.
func foldedBy(db *gorm.DB) (bool, error) {
	var rules string
	err := db.Raw("SELECT rules FROM folding").Row().Scan(&rules)
	return rules == foldRules, err
}

// reserveFolds computes the folds of all users, and reserves those that must be unique.
func reserveFolds(db *gorm.DB) error {
	for after := int64(0); ; {
		var customers []int64
		if err := db.Model(&Customer{}).Where("id > ?", after).Order("id").Limit(refoldBatch).Pluck("id", &customers).Error; err != nil {
			return err
		}
		for _, customer := range customers {
			if err := reserveFoldsOf(db, customer); err != nil {
				return err
			}
			after = customer
		}
		if len(customers) < refoldBatch {
			return nil
		}
	}
}

// reserveFoldsOf is reserveFolds for the users of one customer.
func reserveFoldsOf(db *gorm.DB, customer int64) error {
	for after := int64(0); ; {
		// The window ends at an id, so that its users are found by the key, however few of them need anything.
		var last []int64
		err := db.Model(&User{}).Where("customer_id = ? AND id > ?", customer, after).Order("id").Offset(refoldWindow-1).Limit(1).Pluck("id", &last).Error
		if err != nil {
			return err
		}
		until := int64(maxID)
		if len(last) > 0 {
			until = last[0]
		}
		for after < until {
			var batch []User
			err := db.Transaction(func(tx *gorm.DB) error {
				err := tx.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Where("customer_id = ? AND id > ? AND id <= ?", customer, after, until).
					Where(refoldNeeded).Order("id").Limit(refoldBatch).Find(&batch).Error
				if err != nil || len(batch) == 0 {
					return err
				}
				return reserveBatch(tx, customer, batch)
			})
			if err != nil {
				return err
			}
			if len(batch) < refoldBatch {
				after = until
			} else {
				after = batch[len(batch)-1].ID
			}
		}
		if until == maxID {
			return nil
		}
	}
}

// reserveBatch is reserveFolds for users of a customer whose rows tx has locked.
func reserveBatch(tx *gorm.DB, customer int64, batch []User) error {
	ids := make([]int64, len(batch))
	var reserved []reservedFold
	for i := range batch {
		u := &batch[i]
		ids[i] = u.ID
		fresh := *u
		fresh.ComputeFolds()
		for _, f := range names {
			if f.value(&fresh) != f.value(u) {
				reserved = append(reserved, reservedFold{customer, u.ID, f.kind, f.value(&fresh)})
			}
		}
		if fresh.EmailFold != u.EmailFold && fresh.EmailSearch == nil {
			fresh.EmailSearch = &fresh.EmailFold // until it is settled, which may be never
		}
		if fresh.FirstNameFold == u.FirstNameFold && fresh.LastNameFold == u.LastNameFold && equal(fresh.EmailSearch, u.EmailSearch) {
			continue
		}
		err := tx.Exec("UPDATE users SET first_name_fold = ?, last_name_fold = ?, email_search = ? WHERE customer_id = ? AND id = ?",
			fresh.FirstNameFold, fresh.LastNameFold, fresh.EmailSearch, customer, u.ID).Error
		if err != nil {
			return err
		}
	}
	if err := tx.Where("customer_id = ? AND user_id IN ?", customer, ids).Delete(&reservedFold{}).Error; err != nil {
		return err
	}
	// In one order, as another process may add a user with some of these names.
	slices.SortFunc(reserved, func(a, b reservedFold) int {
		return cmp.Or(-cmp.Compare(a.Field, b.Field), cmp.Compare(a.Fold, b.Fold))
	})
	for _, r := range reserved {
		err := tx.Exec("INSERT INTO claims (kind, value, shared) VALUES (?, ?, TRUE) ON CONFLICT (kind, value) DO UPDATE SET shared = TRUE",
			r.Field, r.Fold).Error
		if err != nil {
			return err
		}
	}
	if len(reserved) == 0 {
		return nil
	}
	return tx.Create(reserved).Error
}

// reclaim claims the names of users whose row was changed without its claims, as by an operator's own statements, and ends claims to
// names that their users no longer have. A name that two users have by now is shared.
func reclaim(db *gorm.DB) error {
	// Rows of users and their claims are on different nodes then, which these statements cannot join.
	if distributed, err := isDistributed(db); err != nil || distributed {
		return err
	}
	for _, f := range names {
		column := f.kind + "_fold"
		for _, statement := range []string{
			"DELETE FROM claims WHERE kind = '%[1]s' AND NOT shared AND NOT EXISTS (SELECT 1 FROM users u " +
				"WHERE u.customer_id = claims.customer_id AND u.id = claims.user_id AND u.%[2]s = claims.value)",
			"INSERT INTO claims (kind, value, customer_id, user_id) SELECT '%[1]s', u.%[2]s, u.customer_id, u.id FROM users u " +
				"WHERE NOT EXISTS (SELECT 1 FROM claims c WHERE c.kind = '%[1]s' AND c.value = u.%[2]s) ON CONFLICT (kind, value) DO NOTHING",
			"UPDATE claims SET customer_id = u.customer_id, user_id = u.id FROM users u " +
				"WHERE claims.kind = '%[1]s' AND claims.user_id IS NULL AND u.%[2]s = claims.value",
			"INSERT INTO reserved_folds (customer_id, user_id, field, fold) SELECT u.customer_id, u.id, '%[1]s', u.%[2]s FROM users u " +
				"JOIN claims c ON c.kind = '%[1]s' AND c.value = u.%[2]s WHERE c.user_id <> u.id ON CONFLICT DO NOTHING",
			"UPDATE claims SET shared = TRUE WHERE kind = '%[1]s' AND NOT shared AND EXISTS (SELECT 1 FROM reserved_folds r " +
				"WHERE r.field = '%[1]s' AND r.fold = claims.value AND r.user_id <> claims.user_id)",
		} {
			if err := db.Exec(fmt.Sprintf(statement, f.kind, column)).Error; err != nil {
				return err
			}
		}
	}
	return nil
}

// reservation is a reserved fold, with the texts of the user that it is reserved for.
type reservation struct {
	CustomerID, UserID        int64
	Field, Fold, Text, Stored string
}

func (r *reservation) end(tx *gorm.DB) error {
	return tx.Where("customer_id = ? AND user_id = ? AND field = ? AND fold = ?", r.CustomerID, r.UserID, r.Field, r.Fold).Delete(&reservedFold{}).Error
}

// settleFolds gives reserved folds to the users who alone claim them, until what remains are collisions: a fold may become
// free when its holder gets another.
func settleFolds(db *gorm.DB) error {
	for {
		var settled int64
		for _, f := range names {
			n, err := settleField(db, f)
			if err != nil {
				return err
			}
			settled += n
		}
		if settled == 0 {
			return nil
		}
	}
}

func settleField(db *gorm.DB, f uniqueField) (settled int64, err error) {
	read := "SELECT r.customer_id, r.user_id, r.field, r.fold, u." + f.kind + " AS text, u." + f.kind + "_fold AS stored " +
		"FROM reserved_folds r JOIN users u ON u.customer_id = r.customer_id AND u.id = r.user_id " +
		"WHERE r.field = '" + f.kind + "' AND (r.fold > ? OR r.fold = ? AND r.user_id > ?) ORDER BY r.fold, r.user_id LIMIT ?"
	var after reservation
	for {
		var batch []reservation
		if err := db.Raw(read, after.Fold, after.Fold, after.UserID, refoldBatch).Scan(&batch).Error; err != nil {
			return settled, err
		}
		if len(batch) == 0 {
			return settled, nil
		}
		after = batch[len(batch)-1]
		var n int64
		err := db.Transaction(func(tx *gorm.DB) (err error) {
			n = 0
			for i := range batch {
				one, err := settle(tx, f, &batch[i])
				if err != nil {
					return err
				}
				n += one
			}
			return nil
		})
		if err != nil {
			return settled, err
		}
		settled += n
	}
}

// settle makes a fold that of the user whom it is reserved for, where nobody else has or claims it and the user is still called the
// same. It also ends the reservation of a user who is called otherwise by now.
func settle(tx *gorm.DB, f uniqueField, r *reservation) (settled int64, err error) {
	present := User{Username: r.Text, Email: r.Text}
	present.ComputeFolds()
	if f.value(&present) != r.Fold {
		return 0, r.end(tx)
	}
	var others int64
	err = tx.Model(&reservedFold{}).Where("field = ? AND fold = ? AND user_id <> ?", r.Field, r.Fold, r.UserID).Count(&others).Error
	if err != nil || others > 0 {
		return 0, err
	}
	c, err := lockClaim(tx, f.kind, r.Fold)
	if err != nil {
		return 0, err
	}
	if c != nil && c.UserID != nil && *c.UserID != r.UserID {
		if has, err := hasName(tx, f, c); err != nil || has {
			return 0, err
		}
	}
	set, values := f.kind+"_fold = ?", []any{r.Fold}
	if f.kind == claimEmail {
		set += ", email_search = nullif(email_search, ?)"
		values = append(values, r.Fold)
	}
	values = append(values, r.CustomerID, r.UserID, r.Text, r.Stored)
	update := tx.Exec("UPDATE users SET "+set+" WHERE customer_id = ? AND id = ? AND "+f.kind+" = ? AND "+f.kind+"_fold = ?", values...)
	if update.Error != nil || update.RowsAffected == 0 {
		return 0, update.Error
	}
	err = tx.Exec("INSERT INTO claims (kind, value, customer_id, user_id) VALUES (?, ?, ?, ?) ON CONFLICT (kind, value) "+
		"DO UPDATE SET customer_id = excluded.customer_id, user_id = excluded.user_id, shared = FALSE",
		f.kind, r.Fold, r.CustomerID, r.UserID).Error
	if err == nil && r.Stored != r.Fold {
		err = tx.Exec(unclaimStatement, f.kind, r.Stored, r.UserID).Error
	}
	if err == nil {
		err = r.end(tx)
	}
	return update.RowsAffected, err
}

// lockClaim returns the claim of a value, which it locks, or nil if there is none.
func lockClaim(tx *gorm.DB, kind, value string) (*claim, error) {
	var found []claim
	err := tx.Clauses(clause.Locking{Strength: "UPDATE"}).Where("kind = ? AND value = ?", kind, value).Find(&found).Error
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// hasName reports whether the user of a claim, whose row it locks, still has the value.
func hasName(tx *gorm.DB, f uniqueField, c *claim) (bool, error) {
	var found []User
	err := tx.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Where("customer_id = ? AND id = ?", *c.CustomerID, *c.UserID).Find(&found).Error
	return len(found) > 0 && f.value(&found[0]) == c.Value, err
}

// endSharing ends the sharing of values that nobody has reserved any longer: they are their users', or free.
func endSharing(db *gorm.DB) error {
	var shared []claim
	if err := db.Where("shared").Order("kind, value").Find(&shared).Error; err != nil {
		return err
	}
	for _, c := range shared {
		f := names[slices.IndexFunc(names, func(f uniqueField) bool { return f.kind == c.Kind })]
		err := db.Transaction(func(tx *gorm.DB) error {
			var reserved int64
			err := tx.Model(&reservedFold{}).Where("field = ? AND fold = ?", c.Kind, c.Value).Count(&reserved).Error
			if err != nil || reserved > 0 {
				return err
			}
			if c.UserID != nil {
				if has, err := hasName(tx, f, &c); err != nil {
					return err
				} else if has {
					return tx.Model(&claim{}).Where("kind = ? AND value = ?", c.Kind, c.Value).Update("shared", false).Error
				}
			}
			return tx.Where("kind = ? AND value = ?", c.Kind, c.Value).Delete(&claim{}).Error
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Collision is several users whose usernames or e-mails are one by the present rules, although they were two or more by those by
// which they were stored. They keep what they have. Nobody else can take any of it, and none of them a spelling that another
// has. It ends when all but one of them are called otherwise and the database is migrated again.
type Collision struct {
	Field Field // FieldUsername or FieldEmail
	Users []CollidingUser
}

// CollidingUser is one of the users of a collision.
type CollidingUser struct {
	ID         int64
	UUID       uuid.UUID
	CustomerID int64
	Text       string // the username or e-mail
}

// Collisions returns all collisions, those of usernames first, their users by ascending ID.
func (s *Store) Collisions(ctx context.Context) ([]Collision, error) {
	return collisions(ctx, s.read.WithContext(ctx))
}

func collisions(ctx context.Context, db *gorm.DB) ([]Collision, error) {
	const doing = "listing collisions"
	var all []Collision
	for _, f := range names {
		var folds []string
		err := db.Model(&reservedFold{}).Distinct("fold").Where("field = ?", f.kind).Order("fold").Pluck("fold", &folds).Error
		if err != nil {
			return nil, databaseError(ctx, doing, err)
		}
		for _, fold := range folds {
			keys, err := claimants(ctx, db, f.kind, fold)
			if err != nil {
				return nil, err
			}
			c := Collision{Field: f.field}
			for _, k := range keys {
				var users []User
				if err := db.Where("customer_id = ? AND id = ?", k.customerID, k.id).Find(&users).Error; err != nil {
					return nil, databaseError(ctx, doing, err)
				}
				for _, u := range users {
					present := u
					present.ComputeFolds()
					if f.value(&u) == fold || f.value(&present) == fold {
						c.Users = append(c.Users, CollidingUser{ID: u.ID, UUID: u.UUID, CustomerID: u.CustomerID, Text: f.text(&u)})
					}
				}
			}
			slices.SortFunc(c.Users, func(a, b CollidingUser) int { return cmp.Compare(a.ID, b.ID) })
			if len(c.Users) > 0 {
				all = append(all, c)
			}
		}
	}
	return all, nil
}

// CollisionsIn returns what [Store.Collisions] does of the database at url, which must be there. It needs no key and migrates
// nothing.
func CollisionsIn(ctx context.Context, url string, w Wait) (all []Collision, err error) {
	if err := CheckExisting(ctx, url); err != nil { // opening a file would create it
		return nil, err
	}
	err = w.retry(ctx, func() error {
		d, err := openDatabase(ctx, Config{URL: url})
		if err != nil {
			return err
		}
		db, err := session(d, d.Pools().Write)
		if err == nil {
			all, err = collisions(ctx, db.WithContext(ctx))
		}
		return errors.Join(err, d.Close())
	})
	return all, err
}
