package store

import (
	"context"
	"time"

	"github.com/jellydator/ttlcache/v3"
)

// How many customers and companies a store remembers, and for how long.
const (
	maxTenants = 1 << 13
	tenantsFor = time.Minute
)

// tenants are customers and companies that were found lately. Each request asks for its own, and no method of the store changes
// or removes one: what is remembered can only differ from what is stored where somebody did so by hand, for a minute. Of those
// that were not found nothing is remembered, so a new one is there at once, and who asks for made-up ones takes up no room.
type tenants struct {
	customers *ttlcache.Cache[CustomerKey, Customer]
	companies *ttlcache.Cache[companyKey, Company]
}

type companyKey struct{ customerID, companyID int64 }

func newTenants() *tenants {
	return &tenants{newTenantCache[CustomerKey, Customer](), newTenantCache[companyKey, Company]()}
}

func newTenantCache[K comparable, V any]() *ttlcache.Cache[K, V] {
	return ttlcache.New(
		ttlcache.WithCapacity[K, V](maxTenants),
		ttlcache.WithTTL[K, V](tenantsFor),
		ttlcache.WithDisableTouchOnHit[K, V](),
	)
}

// remember returns what was found under key lately, or else finds and remembers it.
func remember[K comparable, V any](found *ttlcache.Cache[K, V], key K, find func() (V, error)) (V, error) {
	if item := found.Get(key); item != nil {
		return item.Value(), nil
	}
	value, err := find()
	if err == nil {
		found.Set(key, value, ttlcache.DefaultTTL)
	}
	return value, err
}

// FindCustomer returns the customer that key names, or ErrNotFound.
func (s *Store) FindCustomer(ctx context.Context, key CustomerKey) (Customer, error) {
	return remember(s.tenants.customers, key, func() (c Customer, err error) {
		err = take(ctx, s.read.WithContext(ctx), &c, "finding customer", map[string]any{key.column: key.value})
		return c, err
	})
}

// FindCompany returns a company of the customer, or ErrNotFound, also when the company is another customer's.
func (s *Store) FindCompany(ctx context.Context, customerID, companyID int64) (Company, error) {
	return remember(s.tenants.companies, companyKey{customerID, companyID}, func() (c Company, err error) {
		err = take(ctx, s.read.WithContext(ctx), &c, "finding company",
			map[string]any{"customer_id": customerID, "id": companyID})
		return c, err
	})
}
