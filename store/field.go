package store

// Field is the name of a field of [User] that a write can change, as the struct spells it.
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
)

// Fields that only the errors of creating a row name. No write changes them.
const (
	FieldID   Field = "ID"
	FieldUUID Field = "UUID"
	FieldName Field = "Name" // of a customer or a company

	FieldCustomer Field = "Customer"
	FieldVersion  Field = "Version"
)

// fields is every field that a write can change, in declaration order, and how to tell that two users agree in it.
var fields = []struct {
	name Field
	same func(a, b *User) bool
}{
	{FieldFirstName, func(a, b *User) bool { return a.FirstName == b.FirstName }},
	{FieldLastName, func(a, b *User) bool { return a.LastName == b.LastName }},
	{FieldUsername, func(a, b *User) bool { return a.Username == b.Username }},
	{FieldEmail, func(a, b *User) bool { return a.Email == b.Email }},
	{FieldMobile, func(a, b *User) bool { return equal(a.Mobile, b.Mobile) }},
	{FieldRoles, func(a, b *User) bool { return a.Roles == b.Roles }},
	{FieldStatus, func(a, b *User) bool { return a.Status == b.Status }},
	{FieldAccountNonExpired, func(a, b *User) bool { return a.AccountNonExpired == b.AccountNonExpired }},
	{FieldAccountNonLocked, func(a, b *User) bool { return a.AccountNonLocked == b.AccountNonLocked }},
	{FieldCredentialNonExpired, func(a, b *User) bool { return a.CredentialNonExpired == b.CredentialNonExpired }},
	{FieldPasswordHash, func(a, b *User) bool { return equal(a.PasswordHash, b.PasswordHash) }},
	{FieldLastPasswordResetAt, func(a, b *User) bool {
		return equal(epochMillis(a.LastPasswordResetAt), epochMillis(b.LastPasswordResetAt))
	}},
	{FieldAccessToken, func(a, b *User) bool { return a.AccessToken == b.AccessToken }},
	{FieldVCSPassword, func(a, b *User) bool { return equal(a.VCSPassword, b.VCSPassword) }},
	{FieldEmailVerified, func(a, b *User) bool { return a.EmailVerified == b.EmailVerified }},
	{FieldFirstLogin, func(a, b *User) bool { return a.FirstLogin == b.FirstLogin }},
	{FieldExternalAuthID, func(a, b *User) bool { return equal(a.ExternalAuthID, b.ExternalAuthID) }},
}

// Diff returns the fields in which two users differ, in declaration order. Bookkeeping (ids, folded columns, sealed
// secrets, creation, last write, version) is not looked at; times are compared by the millisecond.
func Diff(before, after *User) []Field {
	var changed []Field
	for _, f := range fields {
		if !f.same(before, after) {
			changed = append(changed, f.name)
		}
	}
	return changed
}

func equal[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
