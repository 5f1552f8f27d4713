package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// Customer is a tenant. It owns companies and users; its users cannot see another customer's data.
type Customer struct {
	ID        int64 // positive and below 2^53
	UUID      uuid.UUID
	Name      string
	CreatedAt time.Time  `gorm:"serializer:epochms;autoCreateTime:false"`
	CreatedBy *uuid.UUID // nil: unknown
	UpdatedAt time.Time  `gorm:"serializer:epochms;autoUpdateTime:false"`
	UpdatedBy *uuid.UUID // nil: unknown
}

// Company is a part of a customer. Company ids and customer ids are independent of each other.
type Company struct {
	ID         int64 // positive and below 2^53
	CustomerID int64
	Name       string
}

// CustomerKey identifies one customer. Build it with [CustomerByID] or [CustomerByUUID]; the zero value identifies none.
type CustomerKey struct {
	by   keyColumn
	id   int64     // for keyByID
	uuid uuid.UUID // for keyByUUID
}

// CustomerByID is the key of the customer with this id.
func CustomerByID(id int64) CustomerKey { return CustomerKey{by: keyByID, id: id} }

// CustomerByUUID is the key of the customer with this UUID.
func CustomerByUUID(id uuid.UUID) CustomerKey { return CustomerKey{by: keyByUUID, uuid: id} }

// FindCustomer returns the customer that key identifies, or ErrNotFound.
func (s *Store) FindCustomer(ctx context.Context, key CustomerKey) (Customer, error) {
	const doing = "finding customer"
	var where map[string]any
	switch key.by {
	case keyByID:
		where = map[string]any{"id": key.id}
	case keyByUUID:
		where = map[string]any{"uuid": key.uuid}
	default:
		return Customer{}, fmt.Errorf("%s: %w", doing, ErrNotFound)
	}
	var c Customer
	err := take(ctx, s.find.WithContext(ctx), &c, doing, where)
	return c, err
}

// FindCompany returns a company of the customer. The error is ErrNotFound if the customer has no such company.
func (s *Store) FindCompany(ctx context.Context, customerID, companyID int64) (Company, error) {
	var c Company
	err := take(ctx, s.find.WithContext(ctx), &c, "finding company",
		map[string]any{"customer_id": customerID, "id": companyID})
	return c, err
}

// CountCustomers returns how many customers there are.
func (s *Store) CountCustomers(ctx context.Context) (int64, error) {
	return countCustomers(ctx, s.read.WithContext(ctx))
}

func countCustomers(ctx context.Context, db *gorm.DB) (n int64, err error) {
	if err := db.Model(&Customer{}).Count(&n).Error; err != nil {
		return 0, databaseError(ctx, "counting customers", err)
	}
	return n, nil
}

// CustomersAfter returns up to limit customers with IDs greater than after, by ascending ID.
func (s *Store) CustomersAfter(ctx context.Context, after int64, limit int) ([]Customer, error) {
	var customers []Customer
	if err := s.read.WithContext(ctx).Where("id > ?", after).Order("id").Limit(limit).Find(&customers).Error; err != nil {
		return nil, databaseError(ctx, "listing customers", err)
	}
	return customers, nil
}

// CreateCustomer stores a new customer and its companies in one transaction. It generates c's ID, UUID, CreatedAt and UpdatedAt
// where they are zero, and each company's ID likewise, and sets each company's CustomerID. The database never generates an ID that
// was given explicitly. The error is a *[FieldErrors] when something is invalid; ErrConflict when an ID or the UUID is already
// taken; ErrBusy; or ErrUnavailable. On error c and the companies are unchanged.
func (s *Store) CreateCustomer(ctx context.Context, c *Customer, companies ...*Company) error {
	var customer Customer
	rows := make([]Company, len(companies))
	err := s.transaction(ctx, func(tx *gorm.DB) error {
		customer = *c
		if err := s.createCustomer(ctx, tx, &customer); err != nil {
			return conflicting("creating customer", err)
		}
		for i := range rows {
			rows[i] = *companies[i]
			rows[i].CustomerID = customer.ID
			if err := s.createCompany(ctx, tx, &rows[i]); err != nil {
				return conflicting("creating company", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	*c = customer
	for i := range rows {
		*companies[i] = rows[i]
	}
	return nil
}

func (s *Store) createCustomer(ctx context.Context, tx *gorm.DB, c *Customer) error {
	row := *c
	if row.UUID == uuid.Nil {
		row.UUID = s.NewUUID()
	}
	created(s.now(), &row.CreatedAt, &row.UpdatedAt)
	var wrong FieldErrors
	wrong.add(FieldName, checkText(row.Name, MaxNameLength))
	wrong.add(FieldID, checkID(row.ID))
	if err := wrong.errorOrNil(); err != nil {
		return fmt.Errorf("creating customer: %w", err)
	}
	if err := s.insert(ctx, tx, "customer", customerIDs, &row.ID, &row); err != nil {
		return err
	}
	*c = row
	return nil
}

// CreateCompany stores a new company of c.CustomerID and generates its ID if that is zero. The database never generates an ID that
// was given explicitly. The error is a *[FieldErrors] when c is invalid; ErrConflict when the ID is already taken; ErrNotFound when
// there is no such customer; ErrBusy; or ErrUnavailable. On error c is unchanged.
func (s *Store) CreateCompany(ctx context.Context, c *Company) error {
	var row Company
	err := s.transaction(ctx, func(tx *gorm.DB) error {
		row = *c
		return s.createCompany(ctx, tx, &row)
	})
	if err != nil {
		return conflicting("creating company", err)
	}
	*c = row
	return nil
}

func (s *Store) createCompany(ctx context.Context, tx *gorm.DB, c *Company) error {
	row := *c
	var wrong FieldErrors
	wrong.add(FieldName, checkText(row.Name, MaxNameLength))
	wrong.add(FieldID, checkID(row.ID))
	if err := wrong.errorOrNil(); err != nil {
		return fmt.Errorf("creating company: %w", err)
	}
	if err := s.insert(ctx, tx, "company", companyIDs, &row.ID, &row); err != nil {
		return err
	}
	*c = row
	return nil
}

// conflicting turns a unique violation in customers or companies into a *ConflictError. It names no fields, because only ids and
// UUIDs are unique there.
func conflicting(doing string, err error) error {
	if errors.Is(err, gorm.ErrDuplicatedKey) {
		return fmt.Errorf("%s: %w", doing, &ConflictError{})
	}
	return err
}
