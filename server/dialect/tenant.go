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

// The capacity and the TTL of the cache of tenants. A change in the directory must take effect within five seconds.
const (
	maxTenants = 1 << 13
	tenantTTL  = 4 * time.Second
)

// tenants caches the customers and companies for which tokens were authorized, since a token is used for the same ones again and
// again, and they rarely change. An entry is for one token only. If tokens shared entries, response times would reveal to one
// caller which customers another had asked for, and so which exist.
type tenants = ttlcache.Cache[tenantKey, cachedTenant]

type tenantKey struct {
	token   auth.TokenHash
	id      int64
	uuid    uuid.UUID
	company int64 // 0 if the request has none; no company has this id
}

type cachedTenant struct {
	customer store.Customer
	company  store.Company
	read     time.Time // when the read began, by the service's clock
}

// isFresh reports whether an entry may still be used. An entry from the future is stale, since the clock was set back.
func (t cachedTenant) isFresh(now time.Time) bool {
	age := now.Sub(t.read)
	return age >= 0 && age < tenantTTL
}

func newTenants() *tenants {
	return ttlcache.New(
		ttlcache.WithCapacity[tenantKey, cachedTenant](maxTenants),
		ttlcache.WithTTL[tenantKey, cachedTenant](tenantTTL),
		ttlcache.WithDisableTouchOnHit[tenantKey, cachedTenant](),
	)
}

// authorizeTenant sets the call's customer and company, and returns an error unless the token covers them. The error and the
// work are the same for a customer or company that the token does not cover and for one that does not exist.
func (op *operation) authorizeTenant(ctx context.Context, call *Call, tenant Tenant) error {
	key := tenantKey{token: call.Principal.Token, id: tenant.ID, uuid: tenant.UUID}
	if tenant.Company != nil {
		key.company = *tenant.Company
	}
	now := op.dialect.service.Now()
	if cached := op.dialect.tenants.Get(key); cached != nil && cached.Value().isFresh(now) {
		call.Customer, call.Company = cached.Value().customer, cached.Value().company
		return nil
	}
	if err := op.findTenant(ctx, call, tenant); err != nil {
		return err
	}
	// A customer that the directory does not have is not cached, since it may be added.
	if call.Customer.ID != 0 {
		op.dialect.tenants.Set(key, cachedTenant{call.Customer, call.Company, now}, ttlcache.DefaultTTL)
	}
	return nil
}

func (op *operation) findTenant(ctx context.Context, call *Call, tenant Tenant) error {
	customer, err := op.dialect.findCustomer(ctx, call.Principal, tenant)
	if err != nil {
		return err
	}
	call.Customer = customer
	if tenant.Company != nil {
		call.Company, err = op.dialect.service.Store.FindCompany(ctx, customer.ID, *tenant.Company)
		if errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("%w: the company is not one of the customer's", auth.ErrForbidden)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// findCustomer returns the tenant's customer, and an error unless the principal's token covers it. The customer is the zero value if the
// token covers one that the directory does not have.
func (d *Dialect) findCustomer(ctx context.Context, principal auth.Principal, tenant Tenant) (store.Customer, error) {
	s := d.service
	customer, err := s.Store.FindCustomer(ctx, tenant.key())
	switch {
	case errors.Is(err, store.ErrNotFound):
		if !tenant.coveredBy(s.Policy, principal) {
			return store.Customer{}, errNotCovered
		}
		return store.Customer{}, nil
	case err != nil:
		return store.Customer{}, err
	case !s.Policy.Covers(principal, customer):
		return store.Customer{}, errNotCovered
	}
	return customer, nil
}

var errNotCovered = fmt.Errorf("%w: the customer is not one of the token's", auth.ErrForbidden)

// concern notes that a request which is not about a single customer turned out to be one's matter, or that of
// [store.AllCustomers]. It returns an error unless the caller's token covers that.
func (c *Call) concern(ctx context.Context, customerID int64) error {
	if customerID != store.AllCustomers {
		if _, err := c.dialect.findCustomer(ctx, c.Principal, Tenant{ID: customerID}); err != nil {
			return err
		}
	} else if !c.dialect.service.Policy.PlatformAdministrator(c.Principal) {
		return fmt.Errorf("%w: what concerns all customers is the platform's administrator's", auth.ErrForbidden)
	}
	c.concerns = &customerID
	return nil
}
