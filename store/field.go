package store

import (
	"time"

	"github.com/google/uuid"
)

// Field is the name of a field of [User], as the struct spells it.
type Field string

// The fields that a write can change.
const (
	FieldFirstName            Field = "FirstName"
	FieldLastName             Field = "LastName"
	FieldUsername             Field = "Username"
	FieldEmail                Field = "Email"
	FieldMobile               Field = "Mobile"
	FieldRoles                Field = "Roles"
	FieldStatus               Field = "Status"
	FieldAccountNonExpired    Field = "AccountNonExpired"
	FieldAccountNonLocked     Field = "AccountNonLocked"
	FieldCredentialNonExpired Field = "CredentialNonExpired" // #nosec G101 -- a field's name
	FieldPasswordHash         Field = "PasswordHash"
	FieldLastPasswordResetAt  Field = "LastPasswordResetAt"
	FieldAccessToken          Field = "AccessToken"
	FieldVCSPassword          Field = "VCSPassword"
	FieldEmailVerified        Field = "EmailVerified"
	FieldFirstLogin           Field = "FirstLogin"
	FieldExternalAuthID       Field = "ExternalAuthID"
	FieldExternalID           Field = "ExternalID"
	FieldDisplayName          Field = "DisplayName"
	FieldDeprovisionedAt      Field = "DeprovisionedAt"
	FieldLegalHoldAt          Field = "LegalHoldAt"
)

// Fields that appear only in errors of creating a row. No update changes them.
const (
	FieldID   Field = "ID"
	FieldUUID Field = "UUID"
	FieldName Field = "Name" // of a customer or a company

	FieldCustomer Field = "Customer"
	FieldVersion  Field = "Version"
)

// The table of fields follows, divided by when a field may change. A row contains all that the package knows of a field; see
// [userField].

// editable are the fields that a write can change, in declaration order. [Diff] and the history name them in this order. An erasure gives
// each field its zero value, and erases its values from the history, unless its row says otherwise.
var editable = []userField{
	requiredText(FieldFirstName, "first_name", MaxNameLength, func(u *User) *string { return &u.FirstName }).inFiles(Present),
	requiredText(FieldLastName, "last_name", MaxNameLength, func(u *User) *string { return &u.LastName }).inFiles(Present),
	requiredText(FieldUsername, "username", MaxUsernameLength, func(u *User) *string { return &u.Username }).checked(checkUsername).namesCaller().erasedTo(func(u *User) { u.Username = erasedName(u.UUID) }),
	requiredText(FieldEmail, "email", MaxEmailLength, func(u *User) *string { return &u.Email }).checked(checkEmail).inFiles(Filled).namesCaller().erasedTo(func(u *User) { u.Email = erasedName(u.UUID) }),
	optionalText(FieldMobile, "mobile", MaxMobileLength, func(u *User) **string { return &u.Mobile }),
	required(FieldRoles, "roles", roleSet, func(u *User) *RoleSet { return &u.Roles }).checked(checkRoles).keptInHistory(),
	required(FieldStatus, "status", text, func(u *User) *string { return (*string)(&u.Status) }).checked(checkStatus).keptInHistory().erasedTo(func(u *User) { u.Status = StatusInactive }),
	required(FieldAccountNonExpired, "account_non_expired", boolean, func(u *User) *bool { return &u.AccountNonExpired }).keptInHistory(),
	required(FieldAccountNonLocked, "account_non_locked", boolean, func(u *User) *bool { return &u.AccountNonLocked }).keptInHistory(),
	required(FieldCredentialNonExpired, "credential_non_expired", boolean, func(u *User) *bool { return &u.CredentialNonExpired }).keptInHistory(),
	optionalText(FieldPasswordHash, "password_hash", noMaxLength, func(u *User) **string { return &u.PasswordHash }).asSecret(),
	// A restore leaves the password alone, so it must leave the time of its reset alone, too.
	optional(FieldLastPasswordResetAt, "last_password_reset_at", moment, func(u *User) **time.Time { return &u.LastPasswordResetAt }).notRestored().
		normalized(func(u *User) {
			if u.LastPasswordResetAt != nil {
				u.LastPasswordResetAt = new(inMillis(*u.LastPasswordResetAt))
			}
		}),
	required(FieldAccessToken, "", text, func(u *User) *string { return &u.AccessToken }).asSecret().checked(checkAccessToken),
	optionalText(FieldVCSPassword, "", noMaxLength, func(u *User) **string { return &u.VCSPassword }).asSecret(),
	required(FieldEmailVerified, "email_verified", boolean, func(u *User) *bool { return &u.EmailVerified }).keptInHistory(),
	required(FieldFirstLogin, "first_login", boolean, func(u *User) *bool { return &u.FirstLogin }).keptInHistory(),
	optional(FieldExternalAuthID, "external_auth_id", identifier, func(u *User) **uuid.UUID { return &u.ExternalAuthID }).namesCaller(),
	optionalText(FieldExternalID, "external_id", MaxExternalIDLength, func(u *User) **string { return &u.ExternalID }).namesCaller(),
	optionalText(FieldDisplayName, "display_name", MaxDisplayNameLength, func(u *User) **string { return &u.DisplayName }),
	optional(FieldDeprovisionedAt, "deprovisioned_at", moment, func(u *User) **time.Time { return &u.DeprovisionedAt }).
		normalized(func(u *User) {
			switch {
			case u.Status != StatusInactive:
				u.DeprovisionedAt = nil
			case u.DeprovisionedAt != nil:
				u.DeprovisionedAt = new(inMillis(*u.DeprovisionedAt))
			}
		}),
	// Only SetLegalHold changes it, so neither a file nor a restore does.
	optional(FieldLegalHoldAt, "legal_hold_at", moment, func(u *User) **time.Time { return &u.LegalHoldAt }).notRestored().fileName("").keptInHistory(),
}

// identity and creation are the fields that are set when a user is created and never change.
var (
	identity = []userField{
		required(FieldID, "id", positive, func(u *User) *int64 { return &u.ID }),
		required(FieldUUID, "uuid", identifier, func(u *User) *uuid.UUID { return &u.UUID }),
		required(FieldCustomer, "customer_id", positive, func(u *User) *int64 { return &u.CustomerID }).inFiles(Filled).fileName("customer"),
	}
	creation = []userField{
		required("", "created_at", moment, func(u *User) *time.Time { return &u.CreatedAt }),
		optional("", "created_by", identifier, func(u *User) **uuid.UUID { return &u.CreatedBy }),
	}
)

// lastWrite are the fields that the store sets with every change.
var lastWrite = []userField{
	required("", "updated_at", moment, func(u *User) *time.Time { return &u.UpdatedAt }),
	optional("", "updated_by", identifier, func(u *User) **uuid.UUID { return &u.UpdatedBy }),
	required(FieldVersion, "version", positive, func(u *User) *int64 { return &u.Version }),
}

// derived are the fields that the store computes from other fields.
var derived = []userField{
	required("", "first_name_fold", text, func(u *User) *string { return &u.FirstNameFold }).fileName(""),
	required("", "last_name_fold", text, func(u *User) *string { return &u.LastNameFold }).fileName(""),
	uniqueFold("username_fold", func(u *User) *string { return &u.UsernameFold }, func(u *User) string { return u.Username }),
	uniqueFold("email_fold", func(u *User) *string { return &u.EmailFold }, func(u *User) string { return u.Email }),
	optional("", "email_search", text, func(u *User) **string { return &u.EmailSearch }).fileName(""),
	required("", "access_token_sealed", text, func(u *User) *string { return &u.AccessTokenSealed }).fileName(""),
	optional("", "vcs_password_sealed", text, func(u *User) **string { return &u.VCSPasswordSealed }).fileName(""),
}

// Diff returns the fields in which two users differ, in declaration order. It ignores bookkeeping (ids, folded columns, sealed
// secrets, creation, last write, version) and compares times with a precision of one millisecond.
func Diff(before, after *User) []Field {
	var changed []Field
	for i := range editable {
		if f := &editable[i]; !f.same(before, after) {
			changed = append(changed, f.name)
		}
	}
	return changed
}

// editableNamed maps the name of each editable field to its row.
var editableNamed = func() map[Field]*userField {
	named := make(map[Field]*userField, len(editable))
	for i := range editable {
		named[editable[i].name] = &editable[i]
	}
	return named
}()

// Secret reports whether the field is a secret: the history then contains only that it was set or cleared.
func (f Field) Secret() bool {
	row, ok := editableNamed[f]
	return ok && row.secret
}
