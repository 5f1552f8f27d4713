package store

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/dragoman-id/dragoman/store/engine"
)

// The statements that every request needs. Both engines run the same ones. Their texts are made once, because drivers find a prepared
// statement by its text.

// findUserStatements read the columns userColumns of a user, by customer and key.
var findUserStatements = func() map[keyColumn]string {
	find := "SELECT " + columnNames(userColumns) + " FROM users WHERE customer_id = ? AND "
	return map[keyColumn]string{keyByID: find + "id = ?", keyByUUID: find + "uuid = ?"}
}()

// findStandingStatement reads what readStanding asks for.
const findStandingStatement = "SELECT u.version, u.status, u.account_non_expired, u.account_non_locked, u.credential_non_expired, c.uuid " +
	"FROM users AS u JOIN customers AS c ON c.id = u.customer_id WHERE u.customer_id = ? AND u.id = ?"

// updateForm is what the text of an UPDATE of a user depends on: in the lower half the columns that it writes, in the upper half the
// user's status and flags, on which authorization depends besides the roles. These are part of the text because each parameter costs
// allocations, and because nearly all users have the same status and flags.
type updateForm uint64

var formStatuses = []Status{StatusInvited, StatusActive, StatusInactive}

func updateFormOf(set columnSet, before *User) updateForm {
	form := updateForm(slices.Index(formStatuses, before.Status) & 3)
	for _, flag := range []bool{before.AccountNonExpired, before.AccountNonLocked, before.CredentialNonExpired} {
		form <<= 1
		if flag {
			form |= 1
		}
	}
	return form<<32 | updateForm(set)
}

// standing is the condition that status and flags are as the form has them. An unknown status matches no user.
func (f updateForm) standing() string {
	is := func(bit int) string { return strings.ToUpper(strconv.FormatBool(f>>bit&1 == 1)) }
	status := Status("")
	if i := int(f >> 35); i < len(formStatuses) {
		status = formStatuses[i]
	}
	return fmt.Sprintf("status = '%s' AND account_non_expired = %s AND account_non_locked = %s AND credential_non_expired = %s",
		status, is(34), is(33), is(32))
}

// statement makes the UPDATE of a form, which both engines run. [differing] (userfield.go) decides which columns it sets. It changes the
// user only if the row is still as it was read. Comparing the version is not enough: if the database was restored to an older state while
// it was open, another write may have the same version, so the time is compared too; an operator's own statements keep the version, so
// roles, status and flags are compared. A username's or e-mail's fold that changes is compared because its claim ends, and because it
// may have been computed by other rules meanwhile.
func (f updateForm) statement() string {
	set := columnSet(f & math.MaxUint32)
	text := fmt.Sprintf("UPDATE users SET %s = ? WHERE id = ? AND customer_id = ? AND version = ? AND updated_at = ? AND roles = ? AND %s",
		strings.ReplaceAll(columnNames(set.in()), ", ", " = ?, "), f.standing())
	for _, c := range (set & uniqueColumns).in() {
		text += " AND " + c.column + " = ?"
	}
	return text
}

// updateStatements caches the text of each form. Clients change the same few fields again and again.
var updateStatements struct {
	texts sync.Map
	size  atomic.Int32
}

// maxUpdateStatements is the maximum number of cached texts.
const maxUpdateStatements = 256

// text returns the UPDATE of a form.
func (f updateForm) text() string {
	if text, ok := updateStatements.texts.Load(f); ok {
		return text.(string)
	}
	text := f.statement()
	if updateStatements.size.Add(1) <= maxUpdateStatements {
		updateStatements.texts.Store(f, text)
	}
	return text
}

// insertion is an INSERT of rows.
type insertion struct {
	into    string
	row     string // the parameters of a row
	columns int
	one     string // the whole text for one row
}

func newInsertion(table string, columns ...string) insertion {
	i := insertion{into: "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES ", row: "(?" + strings.Repeat(", ?", len(columns)-1) + ")", columns: len(columns)}
	i.one = i.into + i.row
	return i
}

// of makes the statement for rows whose values are given one row after the other.
func (i insertion) of(values []any) engine.SQL {
	rows := len(values) / i.columns
	if rows == 1 {
		return engine.SQL{Text: i.one, Arguments: values}
	}
	return engine.SQL{Text: i.one + strings.Repeat(", "+i.row, rows-1), Arguments: values}
}

var (
	insertUsers   = newInsertion("users", strings.Split(columnNames(userColumns), ", ")...)
	insertClaims  = newInsertion("claims", "kind", "value", "customer_id", "user_id")
	insertChanges = newInsertion("user_changes", "user_id", "version", "customer_id", "at", "actor", "subject", "dialect", "operation", "request_id", "fields")
	insertPending = newInsertion("feed_pending", "customer_id", "user_id", "version", "at")
)

// storeUsers makes the statement that adds users, whose secrets are sealed.
func storeUsers(users ...User) engine.SQL {
	values := make([]any, 0, len(users)*len(userColumns))
	for i := range users {
		u := &users[i]
		for _, c := range userColumns {
			values = append(values, c.value(u))
		}
	}
	return insertUsers.of(values)
}

// recordChanges makes the statements that add changes to the history, and to those that the sequencer has not numbered yet.
func recordChanges(changes ...UserChange) (recorded, pending engine.SQL, err error) {
	rows, waiting := make([]any, 0, len(changes)*insertChanges.columns), make([]any, 0, len(changes)*insertPending.columns)
	for i := range changes {
		c := &changes[i]
		fields, err := json.Marshal(c.Fields)
		if err != nil {
			return engine.SQL{}, engine.SQL{}, fmt.Errorf("recording the change: %w", err)
		}
		at := c.At.UnixMilli()
		rows = append(rows, c.UserID, c.Version, c.CustomerID, at, c.Actor, c.Subject, c.Dialect, c.Operation, c.RequestID, string(fields))
		waiting = append(waiting, c.CustomerID, c.UserID, c.Version, at)
	}
	return insertChanges.of(rows), insertPending.of(waiting), nil
}

// The statements that record an update, if the user is as the update left it, which they find by its version and its time. Another
// writer may have given both of them to the user. Then the history has the version, so that recordUpdateStatement fails.
const (
	ofUpdatedUser         = " FROM users WHERE id = ? AND customer_id = ? AND version = ? AND updated_at = ?"
	recordUpdateStatement = "INSERT INTO user_changes (user_id, version, customer_id, at, actor, subject, dialect, operation, request_id, fields) " +
		"SELECT id, version, customer_id, updated_at, ?, ?, ?, ?, ?, ?" + ofUpdatedUser
	pendingUpdateStatement = "INSERT INTO feed_pending (customer_id, user_id, version, at) SELECT customer_id, id, version, updated_at" + ofUpdatedUser
)

// recordUpdate makes the statements that do for an update what those of recordChanges do, if it is what was stored last.
func recordUpdate(c *UserChange) (recorded, pending engine.SQL, err error) {
	fields, err := json.Marshal(c.Fields)
	if err != nil {
		return engine.SQL{}, engine.SQL{}, fmt.Errorf("recording the change: %w", err)
	}
	row := []any{c.Actor, c.Subject, c.Dialect, c.Operation, c.RequestID, string(fields), c.UserID, c.CustomerID, c.Version, c.At.UnixMilli()}
	return engine.SQL{Text: recordUpdateStatement, Arguments: row}, engine.SQL{Text: pendingUpdateStatement, Arguments: row[6:]}, nil
}

// creationStep makes the step that adds a user, whose secrets are sealed, and the change that records it.
func creationStep(u *User, change *UserChange) (engine.Step, error) {
	recorded, pending, err := recordChanges(*change)
	if err != nil {
		return engine.Step{}, err
	}
	slot := countSlot()
	return engine.Step{
		Key:      u.ID,
		Alone:    true,
		Together: true, // the first one changes a row or fails
		Statements: []engine.SQL{
			storeUsers(*u),
			claimAll(*u),
			recorded,
			pending,
			// Last, because others who add users to the customer wait for these rows.
			{Text: addToCountStatement, Arguments: []any{u.CustomerID, slot, 1, countOf(u).deprovisioned}},
			addToBlocksStatement(u.CustomerID, slot, map[int64]userCount{u.ID >> blockBits: countOf(u)}),
		},
	}, nil
}

// updateStep makes the step that replaces before by after, if before is still what is stored, and adds the change to the history. On a
// distributed database the change is added by an INSERT of values, which is sent to one node as it is.
func updateStep(before, after *User, change *UserChange, distributed bool) (engine.Step, error) {
	set := differing(before, after)
	columns := set.in()
	arguments := make([]any, 0, len(columns)+7)
	for _, c := range columns {
		arguments = append(arguments, c.value(after))
	}
	arguments = append(arguments, before.ID, before.CustomerID, before.Version, before.UpdatedAt.UnixMilli(), int64(before.Roles))
	for _, c := range (set & uniqueColumns).in() {
		arguments = append(arguments, c.value(before))
	}
	renames := set&uniqueColumns != 0
	counts := countDeprovisioned(before, after)
	together := !renames && len(counts) == 0 && !distributed
	var recorded, pending engine.SQL
	var err error
	if together {
		recorded, pending, err = recordUpdate(change)
	} else {
		recorded, pending, err = recordChanges(*change)
	}
	if err != nil {
		return engine.Step{}, err
	}
	step := engine.Step{
		Key: before.ID,
		// What else can go wrong with an update is no fault of its caller's.
		Alone:    renames || set&externalIDColumn != 0,
		Together: together,
		Statements: []engine.SQL{
			{Text: updateFormOf(set, before).text(), Arguments: arguments},
			recorded,
			pending,
		},
	}
	if renames {
		step.Statements = append(step.Statements, renaming(before, after)...)
	}
	// Last, as in a creation.
	step.Statements = append(step.Statements, counts...)
	return step, nil
}
