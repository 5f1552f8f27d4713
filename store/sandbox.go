package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/engine"
)

// SeedSandbox fills an empty directory with invented people to try the server on, always the same ones but for their
// access tokens: customer 3393 "Sandbox" with users 6860 (Ada Lovelace) and 6861 (Grace Hopper, company admin), and
// customer 3394 "Elsewhere" with user 7001 (Alan Turing, company admin). If there is any customer, it does nothing.
func (s *Store) SeedSandbox(ctx context.Context) error {
	n, err := s.CountCustomers(ctx)
	if err != nil || n > 0 {
		return err
	}
	err = s.transaction(ctx, func(tx *gorm.DB) error { return s.seedSandbox(ctx, tx) })
	if errors.Is(err, gorm.ErrDuplicatedKey) {
		// Another program seeded it just now.
		return nil
	}
	return err
}

func (s *Store) seedSandbox(ctx context.Context, tx *gorm.DB) error {
	customers := []Customer{
		{ID: 3393, UUID: uuid.MustParse("2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1"), Name: "Sandbox"},
		{ID: 3394, UUID: uuid.MustParse("1189b832-9e28-409a-a655-28d9e04eb022"), Name: "Elsewhere"},
	}
	companies := []Company{
		{ID: 5251, CustomerID: 3393, Name: "Sandbox"},
		{ID: 5267, CustomerID: 3393, Name: "Sandbox Labs"},
		{ID: 2760, CustomerID: 3394, Name: "Elsewhere"},
	}
	admin, user := s.catalogue.byName["ROLE_COMPANY_ADMIN"], s.catalogue.byName["ROLE_USER"]
	users := []User{
		{ID: 6860, UUID: uuid.MustParse("94520740-d63c-4e02-85ca-c4e138801e73"), CustomerID: 3393,
			FirstName: "Ada", LastName: "Lovelace", Username: "adalovelace", Email: "ada.lovelace@example.com",
			Roles: Roles(user.ID)},
		{ID: 6861, UUID: uuid.MustParse("0cfecc31-e3f4-4fce-9a27-f36ea6256a10"), CustomerID: 3393,
			FirstName: "Grace", LastName: "Hopper", Username: "gracehopper", Email: "grace.hopper@example.com",
			Roles: Roles(admin.ID, user.ID)},
		{ID: 7001, UUID: uuid.MustParse("8a478ed9-f872-4291-9457-054f8be4c78a"), CustomerID: 3394,
			FirstName: "Alan", LastName: "Turing", Username: "alanturing", Email: "alan.turing@example.com",
			Roles: Roles(admin.ID, user.ID)},
	}
	for i := range customers {
		if err := s.createCustomer(ctx, tx, &customers[i]); err != nil {
			return err
		}
	}
	for i := range companies {
		if err := s.createCompany(ctx, tx, &companies[i]); err != nil {
			return err
		}
	}
	for i := range users {
		u := &users[i]
		u.Status, u.EmailVerified = StatusActive, true
		u.AccountNonExpired, u.AccountNonLocked, u.CredentialNonExpired = true, true, true
		row, invalid := s.complete(u, s.now())
		if len(invalid) > 0 {
			return fmt.Errorf("creating user: %w", &invalid)
		}
		if err := skipIDs(tx, userIDs, row.ID); err != nil {
			return databaseError(ctx, "reserving an id", err)
		}
		err := s.createUser(ctx, &row, func(_ context.Context, step engine.Step) (int64, error) { return runIn(tx, step) })
		if err != nil {
			return err
		}
	}
	return nil
}
