package userfile

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/store"
)

// columns are the columns of a CSV file and the members of an NDJSON object, in the order in which they are written.
var columns = store.FileColumns()

const isRequired = "is required"

// findColumn returns the index of the column with this name, or -1.
func findColumn(name string) int {
	return slices.IndexFunc(columns, func(c store.FileColumn) bool { return c.Name == name })
}

// columnOf returns the name of the column for a field, or the field's own.
func columnOf(f store.Field) string {
	for _, c := range columns {
		if c.Field == f {
			return c.Name
		}
	}
	return string(f)
}

// newRow returns a row with what a user has of whom a file says nothing.
func newRow(line int64) store.ImportRow {
	return store.ImportRow{Line: line, User: store.User{
		Status:               store.StatusInvited,
		AccountNonExpired:    true,
		AccountNonLocked:     true,
		CredentialNonExpired: true,
		FirstLogin:           true,
	}}
}

// set gives a row the value of a column, or returns what is wrong with it.
func set(row *store.ImportRow, c store.FileColumn, value any, roles *store.Catalogue) (wrong string) {
	if c.Field != store.FieldCustomer {
		return c.Set(&row.User, value, roles)
	}
	if s, ok := value.(string); ok {
		if id, err := uuid.Parse(s); err == nil && len(s) == 36 && id != uuid.Nil {
			row.Customer = store.CustomerByUUID(id)
			return ""
		}
	} else if c.Set(&row.User, value, roles) == "" {
		row.Customer = store.CustomerByID(row.User.CustomerID)
		return ""
	}
	return "must be the id or the UUID of a customer"
}

// finish sets what depends on other columns.
func finish(r *store.ImportRow) {
	if r.User.Username == "" {
		r.User.Username = r.User.Email
	}
}

// fromCSV returns the value of a cell that is not empty, as [store.FileColumn] has it. A cell that is none of its kind is returned as
// some value that is none either.
func fromCSV(c store.FileColumn, cell string) any {
	switch c.Kind {
	case store.KindBool:
		// Spreadsheets write them in capitals.
		switch strings.ToLower(cell) {
		case "true":
			return true
		case "false":
			return false
		}
	case store.KindNumber:
		if c.Field != store.FieldCustomer || len(cell) != 36 { // a customer's UUID will do as well
			return json.Number(cell)
		}
	case store.KindRoles:
		return strings.Fields(cell)
	}
	return cell
}

// fromJSON returns a value of an object, as [store.FileColumn] has it.
func fromJSON(v jsontext.Value) any {
	switch v.Kind() {
	case '"':
		if s, err := jsontext.AppendUnquote(nil, v); err == nil {
			return string(s)
		}
	case 't', 'f':
		return v.Kind() == 't'
	case '0':
		return json.Number(v)
	case '[':
		// A null in the array becomes "", which is no role's name.
		var names []string
		if json.Unmarshal(v, &names) == nil {
			return names
		}
	}
	return struct{}{} // no column has such a value
}
