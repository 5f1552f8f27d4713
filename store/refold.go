package store

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/dragoman-id/dragoman/store/engine"
)

// The folded columns of users are computed again when the database was last folded by other rules than foldRules: after the
// migration that introduced this, and after an upgrade that changes what Fold or FoldEmail return.
//
// First every user whose folds are not those of the present rules gets them in the columns that need not be unique, while
// those of its username and e-mail are reserved in reserved_folds. Then each reserved fold that one user alone claims becomes
// that user's, and its reservation ends. What remains reserved are collisions. Each step is a short transaction and can be
// repeated: whoever is interrupted begins again and ends where it would have.

const (
	// refoldWindow is how many users are looked at in one statement, and refoldBatch how many are written in one transaction.
	refoldWindow = 10_000
	refoldBatch  = 500
)

// reservedFold is a row of reserved_folds.
type reservedFold struct {
	Field  string
	Fold   string
	UserID int64
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
		if err := reserveFolds(db); err != nil {
			return err
		}
		if err := settleFolds(db); err != nil {
			return err
		}
		return db.Exec("UPDATE folding SET rules = ?", foldRules).Error
	})
	return databaseErrorOrNil(ctx, "folding names", err)
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
		// The window ends at an id, so that its users are found by the key, however few of them need anything.
		var last []int64
		err := db.Model(&User{}).Where("id > ?", after).Order("id").Offset(refoldWindow-1).Limit(1).Pluck("id", &last).Error
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
				err := tx.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Where("id > ? AND id <= ?", after, until).
					Where(refoldNeeded).Order("id").Limit(refoldBatch).Find(&batch).Error
				if err != nil || len(batch) == 0 {
					return err
				}
				return reserveBatch(tx, batch)
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

// reserveBatch is reserveFolds for users whose rows tx has locked.
func reserveBatch(tx *gorm.DB, batch []User) error {
	ids := make([]int64, len(batch))
	var reserved []reservedFold
	for i := range batch {
		u := &batch[i]
		ids[i] = u.ID
		fresh := *u
		fresh.ComputeFolds()
		if fresh.UsernameFold != u.UsernameFold {
			reserved = append(reserved, reservedFold{"username", fresh.UsernameFold, u.ID})
		}
		if fresh.EmailFold != u.EmailFold {
			reserved = append(reserved, reservedFold{"email", fresh.EmailFold, u.ID})
			if fresh.EmailSearch == nil {
				fresh.EmailSearch = &fresh.EmailFold // until it is settled, which may be never
			}
		}
		if fresh.FirstNameFold == u.FirstNameFold && fresh.LastNameFold == u.LastNameFold && equal(fresh.EmailSearch, u.EmailSearch) {
			continue
		}
		err := tx.Exec("UPDATE users SET first_name_fold = ?, last_name_fold = ?, email_search = ? WHERE id = ?",
			fresh.FirstNameFold, fresh.LastNameFold, fresh.EmailSearch, u.ID).Error
		if err != nil {
			return err
		}
	}
	if err := tx.Where("user_id IN ?", ids).Delete(&reservedFold{}).Error; err != nil {
		return err
	}
	if len(reserved) == 0 {
		return nil
	}
	return tx.Create(reserved).Error
}

// claim is a reserved fold, with the texts of the user that it is reserved for.
type claim struct {
	Field, Fold  string
	UserID       int64
	Text, Stored string
}

// settleFolds gives reserved folds to the users who alone claim them, until what remains are collisions: a fold may become
// free when its holder gets another.
func settleFolds(db *gorm.DB) error {
	for {
		var settled int64
		for _, field := range []string{"username", "email"} {
			n, err := settleField(db, field)
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

func settleField(db *gorm.DB, field string) (settled int64, err error) {
	read := "SELECT r.field, r.fold, r.user_id, u." + field + " AS text, u." + field + "_fold AS stored " +
		"FROM reserved_folds r JOIN users u ON u.id = r.user_id " +
		"WHERE r.field = '" + field + "' AND (r.fold > ? OR r.fold = ? AND r.user_id > ?) ORDER BY r.fold, r.user_id LIMIT ?"
	var after claim
	for {
		var batch []claim
		if err := db.Raw(read, after.Fold, after.Fold, after.UserID, refoldBatch).Scan(&batch).Error; err != nil {
			return settled, err
		}
		if len(batch) == 0 {
			return settled, nil
		}
		after = batch[len(batch)-1]
		n, err := settle(db, batch)
		if errors.Is(err, gorm.ErrDuplicatedKey) {
			// A program of an older version has just added a user with one of these folds: the others are settled alone.
			n = 0
			for _, c := range batch {
				one, err := settle(db, []claim{c})
				if err != nil && !errors.Is(err, gorm.ErrDuplicatedKey) {
					return settled, err
				}
				n += one
			}
			err = nil
		}
		if err != nil {
			return settled, err
		}
		settled += n
	}
}

// settle makes folds those of the users whom they are reserved for, where nobody else has or claims them and the user is still
// called the same. The reservation ends with it, by a trigger.
func settle(db *gorm.DB, claims []claim) (settled int64, err error) {
	err = db.Transaction(func(tx *gorm.DB) error {
		settled = 0
		for _, c := range claims {
			set := c.Field + "_fold = ?"
			values := []any{c.Fold}
			if c.Field == "email" {
				set += ", email_search = nullif(email_search, ?)"
				values = append(values, c.Fold)
			}
			values = append(values, c.UserID, c.Text, c.Stored, c.Fold, c.UserID, c.Field, c.Fold, c.UserID)
			update := tx.Exec("UPDATE users SET "+set+" WHERE id = ? AND "+c.Field+" = ? AND "+c.Field+"_fold = ?"+
				" AND NOT EXISTS (SELECT 1 FROM users o WHERE o."+c.Field+"_fold = ? AND o.id <> ?)"+
				" AND NOT EXISTS (SELECT 1 FROM reserved_folds o WHERE o.field = ? AND o.fold = ? AND o.user_id <> ?)", values...)
			if update.Error != nil {
				return update.Error
			}
			settled += update.RowsAffected
		}
		return nil
	})
	return settled, err
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
	var all []Collision
	for _, field := range []struct {
		column string
		name   Field
	}{{"username", FieldUsername}, {"email", FieldEmail}} {
		var users []struct {
			CollidingUser
			Fold string
		}
		err := db.Raw("SELECT id, uuid, customer_id, " + field.column + " AS text, fold FROM (" +
			"SELECT r.fold, r.user_id FROM reserved_folds r WHERE r.field = '" + field.column + "' UNION " +
			"SELECT u." + field.column + "_fold, u.id FROM users u WHERE u." + field.column + "_fold IN " +
			"(SELECT r.fold FROM reserved_folds r WHERE r.field = '" + field.column + "')" +
			") claims JOIN users ON users.id = claims.user_id ORDER BY fold, id").Scan(&users).Error
		if err != nil {
			return nil, databaseError(ctx, "listing collisions", err)
		}
		for i, u := range users {
			if i == 0 || users[i-1].Fold != u.Fold {
				all = append(all, Collision{Field: field.name})
			}
			last := &all[len(all)-1]
			last.Users = append(last.Users, u.CollidingUser)
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
		d, err := openDatabase(ctx, url, false, Observer{})
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
