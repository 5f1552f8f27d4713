package storetest

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/dragoman-id/dragoman/store"
)

// catalogueIDs are the roles of the first migration.
var catalogueIDs = []int64{1, 2, 3, 4, 5, 11, 12}

var statuses = []store.Status{store.StatusInvited, store.StatusActive, store.StatusInactive}

// argon2Hashes matches texts in the form of argon2id hashes, to which no password is known.
const argon2Hashes = `\$argon2id\$v=19\$m=65536,t=1,p=2\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}`

// UserGen generates users as a store returns them: every field within the model's rules and normalized, text in many
// scripts, each optional field now nil and now not. Nothing is sealed. E-mails and usernames may collide with other
// users'.
func UserGen() *rapid.Generator[store.User] {
	return rapid.Custom(func(t *rapid.T) store.User {
		created := timeGen().Draw(t, "CreatedAt")
		u := store.User{
			ID:                   rapid.Int64Range(1, 1<<53-1).Draw(t, "ID"),
			UUID:                 uuidGen().Draw(t, "UUID"),
			CustomerID:           rapid.Int64Range(1, 1<<53-1).Draw(t, "CustomerID"),
			FirstName:            textGen(0, store.MaxNameLength).Draw(t, "FirstName"),
			LastName:             textGen(0, store.MaxNameLength).Draw(t, "LastName"),
			Username:             UsernameGen().Draw(t, "Username"),
			Email:                EmailGen().Draw(t, "Email"),
			Mobile:               maybe(textGen(1, store.MaxMobileLength)).Draw(t, "Mobile"),
			Roles:                rolesGen().Draw(t, "Roles"),
			Status:               rapid.SampledFrom(statuses).Draw(t, "Status"),
			AccountNonExpired:    rapid.Bool().Draw(t, "AccountNonExpired"),
			AccountNonLocked:     rapid.Bool().Draw(t, "AccountNonLocked"),
			CredentialNonExpired: rapid.Bool().Draw(t, "CredentialNonExpired"),
			PasswordHash:         maybe(rapid.StringMatching(argon2Hashes)).Draw(t, "PasswordHash"),
			LastPasswordResetAt:  maybe(timeGen()).Draw(t, "LastPasswordResetAt"),
			AccessToken:          rapid.StringMatching(`[0-9a-f]{32}`).Draw(t, "AccessToken"),
			VCSPassword:          maybe(textGen(1, 200)).Draw(t, "VCSPassword"),
			EmailVerified:        rapid.Bool().Draw(t, "EmailVerified"),
			FirstLogin:           rapid.Bool().Draw(t, "FirstLogin"),
			ExternalAuthID:       maybe(uuidGen()).Draw(t, "ExternalAuthID"),
			ExternalID:           maybe(textGen(1, store.MaxExternalIDLength)).Draw(t, "ExternalID"),
			DisplayName:          maybe(textGen(1, store.MaxDisplayNameLength)).Draw(t, "DisplayName"),
			CreatedAt:            created,
			CreatedBy:            maybe(uuidGen()).Draw(t, "CreatedBy"),
			UpdatedAt:            created.Add(time.Duration(rapid.Int64Range(0, 1e9).Draw(t, "age")) * time.Millisecond),
			UpdatedBy:            maybe(uuidGen()).Draw(t, "UpdatedBy"),
			Version:              rapid.Int64Range(1, 1<<31).Draw(t, "Version"),
		}
		if rapid.IntRange(0, 3).Draw(t, "named by e-mail") == 0 {
			u.Username = u.Email
		}
		if u.Status == store.StatusInactive {
			u.DeprovisionedAt = maybe(timeGen()).Draw(t, "DeprovisionedAt")
		}
		u.ComputeFolds()
		return u
	})
}

// Distinct makes of a generated user one that has nothing that must be unique in common with those of other numbers.
func Distinct(u *store.User, n uint32) {
	number := strconv.FormatUint(uint64(n), 10)
	cut := func(name string) string { // leaves room for the number
		runes := []rune(name)
		return number + string(runes[:min(200, len(runes))])
	}
	u.Email, u.Username = number+u.Email, cut(u.Username)
	if u.ExternalID != nil {
		id := cut(*u.ExternalID)
		u.ExternalID = &id
	}
	binary.BigEndian.PutUint32(u.UUID[12:], n)
	u.ComputeFolds()
}

// EmailGen generates valid e-mails, some of them beyond ASCII, all within the model's length.
func EmailGen() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		wide := rapid.RuneFrom(nil, unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Han).
			Filter(func(r rune) bool { return r > 0xFF && !store.Invisible(r) })
		local := rapid.OneOf(rapid.RuneFrom([]rune("abcXYZ019.!#$%&'*+/=?^_`{|}~-")), wide)
		label := rapid.StringOfN(rapid.OneOf(rapid.RuneFrom([]rune("abcXYZ019")), wide), 1, 20, -1).
			Filter(func(label string) bool { return len(store.FoldEmail("@"+label)) <= len("@")+63 })
		return fmt.Sprintf("%s@%s",
			rapid.StringOfN(local, 1, 60, -1).Draw(t, "local"),
			strings.Join(rapid.SliceOfN(label, 1, 4).Draw(t, "labels"), "."))
	})
}

// UsernameGen generates valid usernames of any length that the model allows.
func UsernameGen() *rapid.Generator[string] {
	return rapid.StringOfN(rapid.Rune().Filter(func(r rune) bool { return !unicode.IsSpace(r) && !store.Invisible(r) }),
		1, store.MaxUsernameLength, -1)
}

func textGen(minLength, maxLength int) *rapid.Generator[string] {
	return rapid.StringOfN(rapid.Rune().Filter(func(r rune) bool { return r != 0 }), minLength, maxLength, -1)
}

func timeGen() *rapid.Generator[time.Time] {
	return rapid.Map(rapid.Int64Range(0, 4e12), func(ms int64) time.Time { return time.UnixMilli(ms).UTC() })
}

func uuidGen() *rapid.Generator[uuid.UUID] {
	return rapid.Map(rapid.SliceOfN(rapid.Byte(), 16, 16), func(b []byte) uuid.UUID {
		b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
		return uuid.UUID(b)
	})
}

func rolesGen() *rapid.Generator[store.RoleSet] {
	return rapid.Map(rapid.SliceOfDistinct(rapid.SampledFrom(catalogueIDs), rapid.ID[int64]),
		func(ids []int64) store.RoleSet { return store.Roles(ids...) })
}

// maybe generates nil, or a pointer to what g generates.
func maybe[T any](g *rapid.Generator[T]) *rapid.Generator[*T] {
	return rapid.Ptr(g, true)
}
