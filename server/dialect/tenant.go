package dialect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jellydator/ttlcache/v3"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/store"
)

// How many tenants a dialect remembers, and for how long. Authorization promises to see a change within five seconds.
const (
	maxTenants = 1 << 13
	tenantsFor = 4 * time.Second
)

// tenants are the customers and companies that tokens were found to be for, since a token asks for the same ones again and again,
// and a customer or a company hardly ever changes. What is remembered is a token's own alone. To remember for all what one had
// asked for would show another, by the time it takes, which customers there are.
type tenants = ttlcache.Cache[tenantKey, grant]

type tenantKey struct {
	token   auth.TokenHash
	id      int64
	uuid    uuid.UUID
	company int64 // 0 is nobody's
}

type grant struct {
	customer store.Customer
	company  store.Company
	read     time.Time // when the reading began, by the service's clock
}

// counts reports whether a grant is fresh enough to decide. One from the future is of a clock that was set back.
func (g grant) counts(now time.Time) bool {
	age := now.Sub(g.read)
	return age >= 0 && age < tenantsFor
}

func newTenants() *tenants {
	return ttlcache.New(
		ttlcache.WithCapacity[tenantKey, grant](maxTenants),
		ttlcache.WithTTL[tenantKey, grant](tenantsFor),
		ttlcache.WithDisableTouchOnHit[tenantKey, grant](),
	)
}

// authorizeTenant finds the customer and the company that a call is about, if they are the token's. It answers alike, and after
// the same work, for a foreign one and for one that does not exist.
func (op *operation) authorizeTenant(ctx context.Context, call *Call, tenant Tenant) error {
	key := tenantKey{token: call.Principal.Token, id: tenant.ID, uuid: tenant.UUID}
	if tenant.Company != nil {
		key.company = *tenant.Company
	}
	now := op.dialect.service.Now()
	if known := op.dialect.tenants.Get(key); known != nil && known.Value().counts(now) {
		call.Customer, call.Company = known.Value().customer, known.Value().company
		return nil
	}
	if err := op.findTenant(ctx, call, tenant); err != nil {
		return err
	}
	// One that the directory does not have yet is looked for again.
	if call.Customer.ID != 0 {
		op.dialect.tenants.Set(key, grant{call.Customer, call.Company, now}, ttlcache.DefaultTTL)
	}
	return nil
}

func (op *operation) findTenant(ctx context.Context, call *Call, tenant Tenant) error {
	s := op.dialect.service
	customer, err := s.Store.FindCustomer(ctx, tenant.key())
	switch {
	case errors.Is(err, store.ErrNotFound):
		if !tenant.coveredBy(s.Policy, call.Principal) {
			return fmt.Errorf("%w: the customer is not one of the token's", auth.ErrForbidden)
		}
	case err != nil:
		return err
	case !s.Policy.Covers(call.Principal, customer):
		return fmt.Errorf("%w: the customer is not one of the token's", auth.ErrForbidden)
	}
	call.Customer = customer
	if tenant.Company != nil {
		call.Company, err = s.Store.FindCompany(ctx, customer.ID, *tenant.Company)
		if errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("%w: the company is not one of the customer's", auth.ErrForbidden)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
