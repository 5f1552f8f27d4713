package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// Customer is a tenant. It owns companies and users, and its users see nothing of another's.
type Customer struct {
	ID        int64 // positive and below 2^53
	UUID      uuid.UUID
	Name      string
	CreatedAt time.Time  `gorm:"serializer:epochms;autoCreateTime:false"`
	CreatedBy *uuid.UUID // nil: unknown
	UpdatedAt time.Time  `gorm:"serializer:epochms;autoUpdateTime:false"`
	UpdatedBy *uuid.UUID // nil: unknown
}

// Company is a part of a customer. Companies have an id space of their own, apart from the customers'.
type Company struct {
	ID         int64 // positive and below 2^53
	CustomerID int64
	Name       string
}

// CustomerKey names one customer. Build it with [CustomerByID] or [CustomerByUUID]; the zero value names none.
type CustomerKey struct {
	column string
	value  any
}

// CustomerByID is the key of the customer with this id.
func CustomerByID(id int64) CustomerKey { return CustomerKey{"id", id} }

// CustomerByUUID is the key of the customer with this UUID.
func CustomerByUUID(id uuid.UUID) CustomerKey { return CustomerKey{"uuid", id} }

// FindCustomer returns the customer that key names, or ErrNotFound.
func (s *Store) FindCustomer(ctx context.Context, key CustomerKey) (Customer, error) {
	var c Customer
	err := take(ctx, s.read.WithContext(ctx), &c, "finding customer", map[string]any{key.column: key.value})
	return c, err
}

// FindCompany returns a company of the customer, or ErrNotFound, also when the company is another customer's.
func (s *Store) FindCompany(ctx context.Context, customerID, companyID int64) (Company, error) {
	var c Company
	err := take(ctx, s.read.WithContext(ctx), &c, "finding company",
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

// CreateCustomer stores a new customer and completes c with what was generated: ID, UUID, CreatedAt and UpdatedAt if they
// are zero. An explicit ID is never generated again. The error is a *[FieldErrors] when c is invalid; ErrConflict when the
// ID or the UUID is another's; ErrBusy; ErrUnavailable. Then c is as it was.
func (s *Store) CreateCustomer(ctx context.Context, c *Customer) error {
	return conflicting("creating customer", s.transaction(ctx, func(tx *gorm.DB) error {
		return s.createCustomer(ctx, tx, c)
	}))
}

func (s *Store) createCustomer(ctx context.Context, tx *gorm.DB, c *Customer) error {
	row := *c
	if row.UUID == uuid.Nil {
		row.UUID = uuid.New()
	}
	created(s.now(), &row.CreatedAt, &row.UpdatedAt)
	var v violations
	v.text(FieldName, row.Name, MaxNameLength)
	v.id(row.ID)
	if err := v.err(); err != nil {
		return fmt.Errorf("creating customer: %w", err)
	}
	if err := s.insert(ctx, tx, "customer", "customers", row.ID, &row); err != nil {
		return err
	}
	*c = row
	return nil
}

// CreateCompany stores a new company of c.CustomerID and sets its ID if that is zero. An explicit ID is never generated
// again. The error is a *[FieldErrors] when c is invalid; ErrConflict when the ID is another's; ErrNotFound when there is
// no such customer; ErrBusy; ErrUnavailable. Then c is as it was.
func (s *Store) CreateCompany(ctx context.Context, c *Company) error {
	return conflicting("creating company", s.transaction(ctx, func(tx *gorm.DB) error {
		return s.createCompany(ctx, tx, c)
	}))
}

func (s *Store) createCompany(ctx context.Context, tx *gorm.DB, c *Company) error {
	row := *c
	var v violations
	v.text(FieldName, row.Name, MaxNameLength)
	v.id(row.ID)
	if err := v.err(); err != nil {
		return fmt.Errorf("creating company: %w", err)
	}
	if err := s.insert(ctx, tx, "company", "companies", row.ID, &row); err != nil {
		return err
	}
	*c = row
	return nil
}

// conflicting makes a unique violation among customers or companies, whose ids are all that is unique, a *ConflictError.
func conflicting(doing string, err error) error {
	if errors.Is(err, gorm.ErrDuplicatedKey) {
		return fmt.Errorf("%s: %w", doing, &ConflictError{})
	}
	return err
}
