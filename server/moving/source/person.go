package source

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/gen/testiniumclient"
	"github.com/dragoman-id/dragoman/gen/worthclient"
	"github.com/dragoman-id/dragoman/store"
)

// Person is a user of a source as a file of users has it: the values of the file's columns that the source knows. It has no secret.
type Person struct {
	// Key is the user's id at the source. If that cannot be read, it is a hash of the record.
	Key     string
	Columns map[string]any // strings, bools, int64 and []string
}

// DecodeError says why a record is no user.
type DecodeError struct {
	Key    string
	Reason string
}

func (e *DecodeError) Error() string { return e.Reason }

// notUnicode is the reason to refuse what decoders read in different ways.
const notUnicode = "the record has a member twice, or text that is not Unicode"

// hashKey is the key of a record whose id cannot be read.
func hashKey(record []byte) string {
	sum := sha256.Sum256(record)
	return "record-" + hex.EncodeToString(sum[:8])
}

// WorthPerson converts a record of Worth's list. The error is a *DecodeError.
func WorthPerson(record []byte, customer string, roles *store.Catalogue) (Person, error) {
	bad := &DecodeError{Key: hashKey(record)}
	if !jsontext.Value(record).IsValid() {
		bad.Reason = notUnicode
		return Person{}, bad
	}
	var only struct {
		ID *string `json:"id"`
	}
	if err := json.Unmarshal(record, &only); err != nil || only.ID == nil {
		bad.Reason = "id is missing or no text"
		return Person{}, bad
	}
	id, err := uuid.Parse(*only.ID)
	if err != nil {
		bad.Reason = "id is no UUID"
		return Person{}, bad
	}
	bad.Key = id.String()
	times, err := zonedTimes(record)
	if err != nil {
		bad.Reason = err.Error()
		return Person{}, bad
	}
	var u worthclient.UserRecord
	if err := json.Unmarshal(times, &u); err != nil {
		bad.Reason = decodeReason[worthclient.UserRecord](times, err)
		return Person{}, bad
	}
	columns := map[string]any{
		"uuid": bad.Key, "customer": customer, "first_name": u.FirstName, "last_name": u.LastName, "email": u.Email,
		"status": string(u.Status), "email_verified": u.IsEmailVerified, "first_login": u.IsFirstLogin, "roles": []string{},
	}
	optional(columns, "mobile", u.Mobile)
	optional(columns, "created_by", u.CreatedBy)
	optional(columns, "updated_by", u.UpdatedBy)
	if u.ExtAuthRefID != nil {
		columns["external_auth_id"] = u.ExtAuthRefID.String()
	}
	setTime(columns, "created_at", u.CreatedAt)
	setTime(columns, "updated_at", u.UpdatedAt)
	if u.Subrole != nil {
		role, ok := roles.BySubroleCode(u.Subrole.Code)
		if !ok {
			bad.Reason = fmt.Sprintf("subrole.code is %s, which is none of this directory's subroles", store.Excerpt(u.Subrole.Code))
			return Person{}, bad
		}
		columns["roles"] = roleNames(roles, store.Roles(role.ID).Union(role.Implies))
	}
	return Person{bad.Key, columns}, nil
}

// zonedTimes returns the record with zones in the times that lack them.
func zonedTimes(record []byte) ([]byte, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(record, &members); err != nil {
		return nil, fmt.Errorf("the record is no object")
	}
	for _, name := range []string{"created_at", "updated_at"} {
		var text string
		if json.Unmarshal(members[name], &text) != nil {
			continue
		}
		zoned, err := json.Marshal(withZone(text))
		if err != nil {
			return nil, err
		}
		members[name] = zoned
	}
	return json.Marshal(members)
}

// TestiniumPerson converts an element of Testinium's list. The error is a *DecodeError.
func TestiniumPerson(record []byte, customer int64, roles *store.Catalogue) (Person, error) {
	bad := &DecodeError{Key: hashKey(record)}
	if !jsontext.Value(record).IsValid() {
		bad.Reason = notUnicode
		return Person{}, bad
	}
	var only struct {
		EntityID *json.Number `json:"entityId"`
	}
	if err := json.Unmarshal(record, &only); err != nil || only.EntityID == nil {
		bad.Reason = "entityId is missing or no number"
		return Person{}, bad
	}
	id, err := strconv.ParseInt(only.EntityID.String(), 10, 64)
	if err != nil {
		bad.Reason = fmt.Sprintf("entityId is %s, which is no integer that this directory can keep", store.Excerpt(only.EntityID.String()))
		return Person{}, bad
	}
	bad.Key = strconv.FormatInt(id, 10)
	var u testiniumclient.User
	if err := json.Unmarshal(record, &u); err != nil {
		bad.Reason = decodeReason[testiniumclient.User](record, err)
		return Person{}, bad
	}
	if u.Customer != 0 && int64(u.Customer) != customer {
		bad.Reason = fmt.Sprintf("customer is %d, and %d was asked for", u.Customer, customer)
		return Person{}, bad
	}
	status := store.StatusInactive
	if u.Enabled {
		status = store.StatusActive
	}
	names := []string{}
	for _, a := range u.Authorities {
		if _, ok := roles.ByName(a.Name); !ok {
			bad.Reason = fmt.Sprintf("authorities has %s, which is none of this directory's roles", store.Excerpt(a.Name))
			return Person{}, bad
		}
		names = append(names, a.Name)
	}
	columns := map[string]any{
		"id": id, "customer": customer, "first_name": u.Name, "last_name": u.Surname, "username": u.Username, "email": u.Email,
		"roles": names, "status": string(status), "account_non_expired": u.AccountNonExpired,
		"account_non_locked": u.AccountNonLocked, "credential_non_expired": u.CredentialNonExpired,
	}
	if u.CreatedDate != 0 {
		setTime(columns, "created_at", time.UnixMilli(u.CreatedDate))
	}
	if u.LastPasswordResetDate != nil {
		setTime(columns, "last_password_reset_at", time.UnixMilli(*u.LastPasswordResetDate))
	}
	return Person{bad.Key, columns}, nil
}

// decodeReason returns the reason for which a record cannot be decoded into a T. It names the member without its value, which may be a
// secret.
func decodeReason[T any](record []byte, err error) string {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Sprintf("%s is a %s, which the API does not document", wrong.Field, wrong.Value)
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(record, &members) == nil {
		for _, name := range slices.Sorted(maps.Keys(members)) {
			one, err := json.Marshal(map[string]json.RawMessage{name: members[name]})
			if err == nil && json.Unmarshal(one, new(T)) != nil {
				return name + " has a value that the API does not document"
			}
		}
	}
	return "a member has a value that the API does not document"
}

func optional[T ~string](columns map[string]any, name string, value *T) {
	if value != nil {
		columns[name] = string(*value)
	}
}

func setTime(columns map[string]any, name string, t time.Time) {
	if !t.IsZero() {
		columns[name] = t.UTC().Format(store.TimeLayout)
	}
}

func roleNames(roles *store.Catalogue, set store.RoleSet) []string {
	names := []string{}
	for _, r := range roles.In(set) {
		names = append(names, r.Name)
	}
	return names
}
