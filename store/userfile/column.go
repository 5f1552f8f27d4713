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

// ColumnOf returns the name of the column for a field, or the field's own.
func ColumnOf(f store.Field) string {
	for _, c := range columns {
		if c.Field == f {
			return c.Name
		}
	}
	return string(f)
}

// newRow returns a row whose user has the default values.
func newRow(line int64) store.ImportRow {
	return store.ImportRow{Line: line, User: store.User{
		Status:               store.StatusInvited,
		AccountNonExpired:    true,
		AccountNonLocked:     true,
		CredentialNonExpired: true,
		FirstLogin:           true,
	}}
}

// set sets a column of a row to a value. It returns what is wrong with the value, or "".
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

// finish sets the defaults that depend on other columns.
func finish(r *store.ImportRow) {
	if r.User.Username == "" {
		r.User.Username = r.User.Email
	}
}

// fromCSV converts a cell that is not empty to a value for [store.FileColumn]. If the cell is invalid for the column's kind, so is
// the returned value.
func fromCSV(c store.FileColumn, cell string) any {
	switch c.Kind {
	case store.KindBool:
		// Spreadsheets write TRUE and FALSE.
		switch strings.ToLower(cell) {
		case "true":
			return true
		case "false":
			return false
		}
	case store.KindNumber:
		if c.Field != store.FieldCustomer || len(cell) != 36 { // a customer may also be given by UUID
			return json.Number(cell)
		}
	case store.KindRoles:
		return strings.Fields(cell)
	}
	return cell
}

// fromJSON converts the value of a member to a value for [store.FileColumn].
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
		// A null in the array becomes "", which is not the name of a role.
		var names []string
		if json.Unmarshal(v, &names) == nil {
			return names
		}
	}
	return struct{}{} // invalid in every column
}
