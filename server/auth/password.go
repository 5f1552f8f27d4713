package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
	"golang.org/x/crypto/argon2"

	"github.com/dragoman-id/dragoman/store/semaphore"
)

// passwordParams are the parameters that OWASP recommends for argon2id (Password Storage Cheat Sheet).
var passwordParams = argon2id.Params{
	Memory:      19 * 1024, // KiB
	Iterations:  2,
	Parallelism: 1,
	SaltLength:  16,
	KeyLength:   32,
}

// Passwords hashes and verifies users' passwords with argon2id (RFC 9106). A hash contains its salt and parameters in the PHC
// string format, "$argon2id$v=19$m=...". Passwords are bytes: they are neither trimmed nor normalized.
//
// A computation takes a core and 19 MiB. A semaphore therefore limits them to GOMAXPROCS at once. Others wait for a slot until
// their context is done; the slots are granted to waiting customers in turn (see [Passwords.Of]). A process should have a single
// Passwords. It is safe for concurrent use.
type Passwords struct {
	params argon2id.Params
	slots  *semaphore.Semaphore
	dummy  string // a hash that is compared for users without a password, and takes as long as a real one

	computed atomic.Int64
	attempts *attempts
}

// maxHashesWaiting limits how many computations may wait, for one customer and for all.
var maxHashesWaiting = semaphore.Bounds{Tenant: 256, All: 2048}

// NewPasswords returns Passwords with OWASP's parameters: 19 MiB of memory, 2 iterations, 1 lane, a 16-byte salt and a
// 32-byte key.
func NewPasswords() *Passwords { return newPasswords(passwordParams) }

// NewCheapPasswords returns Passwords with the smallest parameters of argon2id, for fast tests. Its hashes are not secure.
func NewCheapPasswords() *Passwords {
	params := passwordParams
	params.Memory, params.Iterations = 8, 1
	return newPasswords(params)
}

// NewBusyPasswords returns Passwords without a free slot, so that every call waits until its context is done. It is for tests.
func NewBusyPasswords() *Passwords {
	p := NewCheapPasswords()
	for range p.slots.Load().Slots {
		_ = p.slots.Acquire(context.Background(), 0) // succeeds at once, since a slot is free
	}
	return p
}

func newPasswords(params argon2id.Params) *Passwords {
	// Any salt and key will do: Verify never reports that they match.
	salt, key := make([]byte, params.SaltLength), make([]byte, params.KeyLength)
	return &Passwords{
		params:   params,
		attempts: newAttempts(),
		// Unlike NumCPU, GOMAXPROCS respects a container's CPU limit, which is usually in proportion to its memory limit.
		slots: semaphore.New(runtime.GOMAXPROCS(0), maxHashesWaiting),
		dummy: fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, params.Memory, params.Iterations, params.Parallelism,
			base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key)),
	}
}

// CustomerPasswords are Passwords for the users of one customer. Slots are granted to waiting customers in turn.
type CustomerPasswords struct {
	*Passwords
	customer int64
}

// Of returns p for the users of the customer with this id.
func (p *Passwords) Of(customer int64) CustomerPasswords { return CustomerPasswords{p, customer} }

// Hash is [CustomerPasswords.Hash] for no customer.
func (p *Passwords) Hash(ctx context.Context, plain string) (string, error) {
	return p.Of(0).Hash(ctx, plain)
}

// Verify is [CustomerPasswords.Verify] for no customer.
func (p *Passwords) Verify(ctx context.Context, plain string, hash *string) (bool, error) {
	return p.Of(0).Verify(ctx, plain, hash)
}

// Hash returns the argon2id hash of a password with a new random salt. It does not check the password's strength; see
// [PasswordProblem]. It returns the context's error if the context is done before the computation starts, and semaphore.ErrFull if
// too many computations wait.
func (p CustomerPasswords) Hash(ctx context.Context, plain string) (string, error) {
	if err := p.slots.Acquire(ctx, p.customer); err != nil {
		return "", fmt.Errorf("hashing a password: %w", err)
	}
	defer p.slots.Release()

	p.computed.Add(1)
	hash, err := argon2id.CreateHash(plain, &p.params)
	if err != nil {
		return "", fmt.Errorf("hashing a password: %w", err)
	}
	return hash, nil
}

// Verify reports whether hash is a hash of the password. With a nil hash, for a user without a password, it returns false and takes
// as long as for a wrong password. (A hash with other parameters takes another time.) It returns an error if the context is done
// before the computation starts, if too many computations wait, or if the hash is malformed, too weak or too expensive.
func (p CustomerPasswords) Verify(ctx context.Context, plain string, hash *string) (bool, error) {
	if err := p.slots.Acquire(ctx, p.customer); err != nil {
		return false, fmt.Errorf("verifying a password: %w", err)
	}
	defer p.slots.Release()

	against := p.dummy
	if hash != nil {
		against = *hash
	}
	if err := checkHash(against); err != nil {
		return false, fmt.Errorf("verifying a password: %w", err)
	}
	p.computed.Add(1)
	match, err := argon2id.ComparePasswordAndHash(plain, against)
	if err != nil {
		return false, fmt.Errorf("verifying a password: %w", err)
	}
	return match && hash != nil, nil
}

// Computed returns how many hashes were computed, both by Hash and by Verify.
func (p *Passwords) Computed() int64 { return p.computed.Load() }

// PasswordLoad is the current load of Passwords.
type PasswordLoad struct {
	Running, Max int   // the computations that run, and the maximum that may run at once
	Waiting      int64 // the computations that wait for a slot
}

// Load returns the current load.
func (p *Passwords) Load() PasswordLoad {
	load := p.slots.Load()
	return PasswordLoad{Running: load.Running, Max: load.Slots, Waiting: int64(load.Waiting)}
}

// checkHash returns an error for stored hashes that must not be passed to argon2id.ComparePasswordAndHash (1.0.0): with an empty key
// every password matches, with 0 iterations or lanes it panics, and with the largest parameters it needs terabytes of memory.
func checkHash(hash string) error {
	params, _, _, err := argon2id.DecodeHash(hash)
	switch {
	case err != nil:
		return fmt.Errorf("reading the stored hash: %w", err)
	case params.KeyLength < 16 || params.SaltLength < 8 || params.Iterations < 1 || params.Parallelism < 1:
		return errors.New("the stored hash is too weak")
	case params.KeyLength > 64 || params.SaltLength > 64 || params.Iterations > 16 || params.Parallelism > 16 || params.Memory > 256*1024:
		return errors.New("the stored hash is too expensive to check")
	}
	return nil
}

// PasswordProblem returns what is wrong with a new password, as a predicate such as "must have 8 to 128 characters", or "" if the
// password is acceptable (SEMANTICS.md, "PUT"). A password must have
//
//   - 8 to 128 characters, that is Unicode code points, as JSON Schema counts them;
//   - a lower-case and an upper-case letter of any script, since the rule limits only the symbol to ASCII;
//   - a symbol: printable ASCII that is neither a letter, a digit nor the space.
func PasswordProblem(plain string) string {
	var lower, upper, symbol bool
	for _, r := range plain {
		switch {
		case unicode.IsLower(r):
			lower = true
		case unicode.IsUpper(r):
			upper = true
		case r > ' ' && r < unicode.MaxASCII && !unicode.IsDigit(r):
			symbol = true
		}
	}

	var missing []string
	if n := utf8.RuneCountInString(plain); n < 8 || n > 128 {
		missing = append(missing, "8 to 128 characters")
	}
	if !lower {
		missing = append(missing, "a lower-case letter")
	}
	if !upper {
		missing = append(missing, "an upper-case letter")
	}
	if !symbol {
		missing = append(missing, "an ASCII symbol")
	}
	switch last := len(missing) - 1; last {
	case -1:
		return ""
	case 0:
		return "must have " + missing[0]
	default:
		return "must have " + strings.Join(missing[:last], ", ") + " and " + missing[last]
	}
}
