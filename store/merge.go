package store

import (
	"context"
	"crypto/rand"
	"slices"

	"gorm.io/gorm"
)

// maxPast is how many versions a [Past] has at most.
const maxPast = 100

// Past is how a user came from an older version to the present one, by its history.
type Past struct {
	present   User
	changes   []UserChange // one for each version after the older one, oldest first
	catalogue *Catalogue
}

// ConcurrentState says what an edit that was made for an older version asks of a field that has changed since.
type ConcurrentState string

// The states.
const (
	ConcurrentMoved    ConcurrentState = "moved"    // it leaves the field alone
	ConcurrentSame     ConcurrentState = "same"     // it asks for the present value
	ConcurrentConflict ConcurrentState = "conflict" // it asks for another value, or it sets a secret
)

// ConcurrentChange is a field that has changed since the older version of a [Past].
type ConcurrentChange struct {
	Field Field
	State ConcurrentState
	Last  *UserChange // the last change of the field
}

// UserPast returns the present user, and its past since the version that base returns for it. The past is nil if there is no older such
// version, if more than a hundred versions follow it, and if the history does not have all of these. The error is ErrNotFound if the
// customer has no such user.
func (s *Store) UserPast(ctx context.Context, key UserKey, base func(present *User) int64) (User, *Past, error) {
	u, err := s.loadUser(ctx, key)
	if err != nil {
		return User{}, nil, err
	}
	past, err := s.past(ctx, s.read, &u, base(&u))
	return u, past, err
}

// past is UserPast for a user that was read. db must see the history of that version.
func (s *Store) past(ctx context.Context, db *gorm.DB, present *User, version int64) (*Past, error) {
	if version < 1 || version >= present.Version || present.Version-version > maxPast {
		return nil, nil
	}
	changes, err := changesBetween(ctx, db, present, version+1)
	if err != nil || int64(len(changes)) != present.Version-version {
		return nil, err
	}
	p := &Past{present: *present, changes: changes, catalogue: s.catalogue}
	p.present.unshare()
	return p, nil
}

// changesBetween returns the changes of a user from a version to the present one, oldest first, as far as there are any.
func changesBetween(ctx context.Context, db *gorm.DB, u *User, first int64) (changes []UserChange, err error) {
	err = db.WithContext(ctx).
		Where("user_id = ? AND customer_id = ? AND version BETWEEN ? AND ?", u.ID, u.CustomerID, first, u.Version).
		Order("version").Find(&changes).Error
	return changes, databaseErrorOrNil(ctx, "reading history", err)
}

// withPast returns the change with Merge in the place of Edit, if it was made for an older version than before.
func (s *Store) withPast(ctx context.Context, db *gorm.DB, c Change, before *User) (Change, error) {
	if c.Merge == nil {
		return c, nil
	}
	base := c.Base(before)
	if base == 0 {
		return c, nil
	}
	past, err := s.past(ctx, db, before, base)
	if err != nil {
		return Change{}, err
	}
	c.Edit = func(u *User) error { return c.Merge(u, past) }
	return c, nil
}

// Compare returns every field that has changed since the older version, in declaration order, and what edit asks of it. Replaces says that
// the edit names every field that it can, as a PUT does, and so leaves those alone that it gives the older version's value; another
// leaves those alone that it does not set. Edit must be pure, and is called for several states of the user. States for which it returns
// an error are not considered.
func (p *Past) Compare(edit func(*User) error, replaces bool) []ConcurrentChange {
	return p.compare(edit, replaces).changes
}

// Merge carries edit out on u, a copy of the present user, as if it had been made now: whole, or of one that replaces only the fields
// that it gives another value than the older version had. It reports false, and leaves u in no defined state, if a field is in conflict,
// if a secret has changed since the older version, or if the history no longer has a value that is needed. The error is what edit returned.
func (p *Past) Merge(u *User, edit func(*User) error, replaces bool) (merged bool, err error) {
	c := p.compare(edit, replaces)
	for _, change := range c.changes {
		if change.State == ConcurrentConflict || change.Field.Secret() {
			return false, nil
		}
	}
	if !replaces {
		return true, edit(u)
	}
	for i := range editable {
		if f := &editable[i]; !c.lost[f.name] && !f.same(&c.base, &c.asked) {
			f.copy(u, &c.asked)
		}
	}
	return true, c.err
}

// comparison is the result of Compare and what it was made from.
type comparison struct {
	changes []ConcurrentChange
	base    User           // at the older version
	asked   User           // base after edit
	err     error          // returned by edit for base
	lost    map[Field]bool // fields whose older value the history no longer has; base has the oldest one that is known
}

func (p *Past) compare(edit func(*User) error, replaces bool) comparison {
	states, lost := p.states()
	c := comparison{base: states[0], lost: lost}
	set := setsSecrets(&p.present, edit)
	var now User
	for i := range states {
		after, err := edited(&states[i], edit)
		if i == 0 {
			c.asked, c.err = after, err
		}
		if err != nil {
			continue
		}
		if i == len(states)-1 {
			now = after
		}
		for j := range editable {
			if f := &editable[j]; !f.secret && !f.same(&states[i], &after) {
				set[f.name] = true
			}
		}
	}
	last := map[Field]*UserChange{}
	for i := range p.changes {
		for _, f := range p.changes[i].Fields {
			last[f.Field] = &p.changes[i]
		}
	}
	for i := range editable {
		f := &editable[i]
		if last[f.name] == nil {
			continue
		}
		change := ConcurrentChange{Field: f.name, State: ConcurrentConflict, Last: last[f.name]}
		asked := &now
		if replaces && !lost[f.name] {
			asked = &c.asked
		}
		switch {
		case !set[f.name]:
			change.State = ConcurrentMoved
		case f.secret:
		case f.same(asked, &p.present):
			change.State = ConcurrentSame
		case replaces && !lost[f.name] && f.same(asked, &c.base):
			change.State = ConcurrentMoved
		}
		c.changes = append(c.changes, change)
	}
	return c
}

// states returns the user at the older version and at each later one, the present one last. All of them have the present secrets. A value
// that the history does not have is that of the next version whose value is known, or else the present one. Lost has the fields for
// which this is so at the older version.
func (p *Past) states() (states []User, lost map[Field]bool) {
	lost = map[Field]bool{}
	u := p.present
	u.unshare()
	states = append(states, u)
	for _, change := range slices.Backward(p.changes) {
		u.unshare()
		for _, f := range change.Fields {
			row := editableNamed[f.Field]
			if row == nil || row.secret {
				continue
			}
			lost[f.Field] = f.Old == erasedValue || row.set(&u, f.Old, p.catalogue) != ""
		}
		states = append(states, u)
	}
	slices.Reverse(states)
	return states, lost
}

// edited returns what edit makes of u, in the form that the model has for it.
func edited(u *User, edit func(*User) error) (User, error) {
	after := *u
	after.unshare()
	err := edit(&after)
	normalize(&after)
	return after, err
}

// setsSecrets returns the secrets that edit, which must be pure, sets, to whatever value. It does not depend on the present ones.
func setsSecrets(u *User, edit func(*User) error) map[Field]bool {
	marked := *u
	marked.unshare()
	for i := range editable {
		if f := &editable[i]; f.secret {
			f.set(&marked, secretMark, nil)
		}
	}
	after, _ := edited(&marked, edit) // an edit that fails may have set some
	set := map[Field]bool{}
	for i := range editable {
		if f := &editable[i]; f.secret && !f.same(&marked, &after) {
			set[f.name] = true
		}
	}
	return set
}

// AssumeSecrets makes after, which edit has made of before, differ from before in every secret that edit sets, also where it sets the
// present one: a preview that told these apart would tell a caller whether a guess is right. Edit must be pure; its error is ignored.
func AssumeSecrets(before, after *User, edit func(*User) error) {
	normalize(after) // an empty text is no secret
	for name := range setsSecrets(before, edit) {
		if f := editableNamed[name]; f.same(before, after) {
			f.set(after, secretMark, nil)
		}
	}
}

// secretMark is no value of a secret: no hash, no access token, and a VCS password only by an accident of some 2^-128.
var secretMark = rand.Text()
