package store

import (
	"math/bits"
	"slices"
	"strings"
)

// userField is a row of the table of fields: how one field of a user is stored, compared, checked, shown in the history, and imported
// and exported. It is made by [required], [optional] and the functions beside them. The statements that every request runs are made of
// these rows; gorm, which reads lists, knows the same columns from the struct, and a test compares the two.
type userField struct {
	name   Field  // empty where no error and no change names it
	column string // empty for a secret in the clear, which is sealed into another column
	file   string // the column of files; empty where files do not have it
	need   Need
	kind   Kind

	scan  func(*User) any // where database/sql puts the column's value
	value func(*User) any // what is written to the column
	same  func(a, b *User) bool
	copy  func(to, from *User)

	unshare   func(*User)                    // gives the user memory of its own for the value; nil where it has that anyway
	normalize func(*User)                    // brings the value into the one form that the model has for it; nil where there is one only
	check     func(*User, *Catalogue) string // returns what is wrong with the value, if anything is; nil where nothing can be

	secret bool
	show   func(*User, *Catalogue) any         // the value as JSON has it; see [FileColumn]
	set    func(*User, any, *Catalogue) string // takes such a value, not nil where the field must have one, or returns what is wrong with it
	// restorable tells that an older value can be written back.
	restorable bool

	erase func(*User) // makes the value that of an erased user
	// kept tells that the history keeps the values of an erased user, as they tell nothing about the person.
	kept bool
	// named tells that a token's subject may be the value.
	named bool
}

// required makes the row of a field that always has a value.
func required[T comparable](name Field, column string, k kind[T], at func(*User) *T) userField {
	return userField{
		name: name, column: column, file: column, kind: k.name, restorable: true,
		scan:  func(u *User) any { return k.scan(at(u)) },
		value: func(u *User) any { return k.value(*at(u)) },
		same:  func(a, b *User) bool { return k.same(*at(a), *at(b)) },
		copy:  func(to, from *User) { *at(to) = *at(from) },
		erase: func(u *User) { *at(u) = *new(T) },
		show:  func(u *User, c *Catalogue) any { return k.show(*at(u), c) },
		set: func(u *User, v any, c *Catalogue) (wrong string) {
			value, wrong := k.read(v, c)
			if wrong == "" {
				*at(u) = value
			}
			return wrong
		},
	}
}

// optional makes the row of a field that may have no value: nil, NULL, null.
func optional[T comparable](name Field, column string, k kind[T], at func(*User) **T) userField {
	return userField{
		name: name, column: column, file: column, kind: k.name, restorable: true,
		scan:  func(u *User) any { return k.scanOptional(at(u)) },
		value: func(u *User) any { return k.valueOptional(*at(u)) },
		same: func(a, b *User) bool {
			x, y := *at(a), *at(b)
			return x == y || x != nil && y != nil && k.same(*x, *y)
		},
		copy:    func(to, from *User) { *at(to) = clone(*at(from)) },
		unshare: func(u *User) { *at(u) = clone(*at(u)) },
		erase:   func(u *User) { *at(u) = nil },
		show: func(u *User, c *Catalogue) any {
			if p := *at(u); p != nil {
				return k.show(*p, c)
			}
			return nil
		},
		set: func(u *User, v any, c *Catalogue) (wrong string) {
			if v == nil {
				*at(u) = nil
				return ""
			}
			value, wrong := k.read(v, c)
			if wrong == "" {
				*at(u) = &value
			}
			return wrong
		},
	}
}

// requiredText is required for a text of so many code points at most.
func requiredText(name Field, column string, maxLength int, at func(*User) *string) userField {
	return required(name, column, text, at).checked(func(u *User, _ *Catalogue) string { return checkText(*at(u), maxLength) })
}

// optionalText is optional for a text of so many code points at most. The empty text is stored as nil.
func optionalText(name Field, column string, maxLength int, at func(*User) **string) userField {
	f := optional(name, column, text, at).checked(func(u *User, _ *Catalogue) string {
		if s := *at(u); s != nil {
			return checkText(*s, maxLength)
		}
		return ""
	})
	f.normalize = func(u *User) {
		if s := *at(u); s != nil && *s == "" {
			*at(u) = nil
		}
	}
	return f
}

// uniqueFold makes the row of the fold of a text, which is written whenever the text is: the user before may come from the cache, and
// the stored fold be that of other rules by now.
func uniqueFold(column string, at func(*User) *string, of func(*User) string) userField {
	f := required("", column, text, at).fileName("")
	f.same = func(a, b *User) bool { return of(a) == of(b) && *at(a) == *at(b) }
	return f
}

// tellsPerson reports whether a value that the history has of the field is a text that tells of the person.
func (f *userField) tellsPerson() bool { return !f.kept && !f.secret && f.kind != KindTime }

func (f userField) checked(check func(*User, *Catalogue) string) userField { f.check = check; return f }
func (f userField) normalized(normalize func(*User)) userField             { f.normalize = normalize; return f }
func (f userField) inFiles(need Need) userField                            { f.need = need; return f }
func (f userField) fileName(name string) userField                         { f.file = name; return f }
func (f userField) notRestored() userField                                 { f.restorable = false; return f }
func (f userField) erasedTo(erase func(*User)) userField                   { f.erase = erase; return f }
func (f userField) keptInHistory() userField                               { f.kept = true; return f }
func (f userField) namesCaller() userField                                 { f.named = true; return f }

// asSecret keeps a field out of files, and its value out of the history.
func (f userField) asSecret() userField {
	show := f.show
	f.show = func(u *User, c *Catalogue) any {
		if v := show(u, c); v == nil || v == "" {
			return secretCleared
		}
		return secretSet
	}
	f.file, f.secret, f.restorable = "", true, false
	return f
}

var (
	// writtenColumns are the rows of the columns that a write may change, userColumns those of all columns.
	writtenColumns = withColumn(editable, derived, lastWrite)
	userColumns    = slices.Concat(withColumn(identity, creation), writtenColumns)
)

func withColumn(parts ...[]userField) (rows []*userField) {
	for _, f := range slices.Concat(parts...) {
		if f.column != "" {
			rows = append(rows, &f)
		}
	}
	return rows
}

// columnSet is a set of writtenColumns, bit n the one with index n.
type columnSet uint32

// uniqueColumns are those whose values no two users share, externalIDColumn the one whose values no two of a customer share.
var (
	uniqueColumns    = columnsNamed("username_fold", "email_fold")
	externalIDColumn = columnsNamed("external_id")
)

func columnsNamed(names ...string) (set columnSet) {
	for i, c := range writtenColumns {
		if slices.Contains(names, c.column) {
			set |= 1 << i
		}
	}
	return set
}

// differing returns the columns in which two users differ.
func differing(before, after *User) (set columnSet) {
	for i := range writtenColumns {
		if !writtenColumns[i].same(before, after) {
			set |= 1 << i
		}
	}
	return set
}

// in returns the columns of the set, in their order.
func (s columnSet) in() []*userField {
	columns := make([]*userField, 0, bits.OnesCount32(uint32(s)))
	for i := range writtenColumns {
		if s&(1<<i) != 0 {
			columns = append(columns, writtenColumns[i])
		}
	}
	return columns
}

// columnNames returns the columns' names, separated by commas.
func columnNames(columns []*userField) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.column
	}
	return strings.Join(names, ", ")
}

// scanUser returns where the values of userColumns go.
func scanUser(u *User) []any {
	into := make([]any, len(userColumns))
	for i := range userColumns {
		into[i] = userColumns[i].scan(u)
	}
	return into
}

// unshare gives u, a copy of another user, memory of its own. It works in place, since a copy that it returned would be allocated twice.
func (u *User) unshare() {
	for _, unshare := range unshares {
		unshare(u)
	}
}

var unshares = func() (all []func(*User)) {
	for _, f := range slices.Concat(identity, editable, creation, derived, lastWrite) {
		if f.unshare != nil {
			all = append(all, f.unshare)
		}
	}
	return all
}()

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

func equal[T comparable](a, b *T) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// FileColumn is a field of a user in a file: a column of CSV, a member of an NDJSON object.
//
// A value is a string, a bool, a []string for roles, an int64 for a number, or nil for none. [FileColumn.Set] takes numbers as
// [encoding/json.Number], as they are written in the file.
type FileColumn struct {
	Name  string
	Field Field // as errors name it; empty where none does
	Kind  Kind
	Need  Need
	row   *userField
}

// Need says what a file must have of a column.
type Need int

// The needs. The zero value lets a file leave the column out.
const (
	Optional Need = iota
	Present       // the column must be there
	Filled        // and must not be empty
)

// FileColumns returns the columns of files, in the order in which they are written. Secrets and what is computed have none.
func FileColumns() []FileColumn {
	fields := slices.Clone(editable)
	slices.SortStableFunc(fields, func(a, b userField) int { // times come last
		switch a, b := a.kind == KindTime, b.kind == KindTime; {
		case a == b:
			return 0
		case a:
			return 1
		}
		return -1
	})
	var columns []FileColumn
	for _, f := range slices.Concat(identity, fields, creation, lastWrite) {
		if f.file != "" {
			columns = append(columns, FileColumn{f.file, f.name, f.kind, f.need, &f})
		}
	}
	return columns
}

// Get returns the user's value.
func (c FileColumn) Get(u *User, roles *Catalogue) any { return c.row.show(u, roles) }

// Set gives the user a value, which must not be nil, or returns what is wrong with it.
func (c FileColumn) Set(u *User, value any, roles *Catalogue) (wrong string) {
	return c.row.set(u, value, roles)
}
