package store_test

import (
	"context"
	"errors"
	"testing"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestTenantsAreFoundOnce holds that a customer and a company that were found lately cost no statement, and that one that was
// not is looked for again.
func TestTenantsAreFoundOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		if _, err := s.FindCustomer(ctx, store.CustomerByID(7)); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("before it is there: %v, want ErrNotFound", err)
		}
		company := store.Company{ID: 70, Name: "Acme West"}
		if err := s.CreateCustomer(ctx, &store.Customer{ID: 7, Name: "Acme"}, &company); err != nil {
			t.Fatal(err)
		}
		find := func(ctx context.Context) error {
			c, err := s.FindCustomer(ctx, store.CustomerByID(7))
			if err == nil && c.Name != "Acme" {
				t.Errorf("the customer found is %q", c.Name)
			}
			found, companyErr := s.FindCompany(ctx, 7, 70)
			if companyErr == nil && found != company {
				t.Errorf("the company found is %+v, want %+v", found, company)
			}
			return errors.Join(err, companyErr)
		}
		if err := find(ctx); err != nil {
			t.Fatal(err)
		}
		ended, end := context.WithCancel(ctx)
		end()
		if err := find(ended); err != nil {
			t.Errorf("a second time, where a statement could not run: %v", err)
		}
		if _, err := s.FindCompany(ctx, 8, 70); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("as another customer's: %v, want ErrNotFound", err)
		}
	})
}
