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
	by   keyColumn
	id   int64     // for keyByID
	uuid uuid.UUID // for keyByUUID
}

// CustomerByID is the key of the customer with this id.
func CustomerByID(id int64) CustomerKey { return CustomerKey{by: keyByID, id: id} }

// CustomerByUUID is the key of the customer with this UUID.
func CustomerByUUID(id uuid.UUID) CustomerKey { return CustomerKey{by: keyByUUID, uuid: id} }

// FindCustomer returns the customer that key names, or ErrNotFound.
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

// FindCompany returns a company of the customer, or ErrNotFound, also when the company is another customer's.
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

// CustomersAfter returns up to limit customers by ascending ID, from the first whose ID is above after.
func (s *Store) CustomersAfter(ctx context.Context, after int64, limit int) ([]Customer, error) {
	var customers []Customer
	if err := s.read.WithContext(ctx).Where("id > ?", after).Order("id").Limit(limit).Find(&customers).Error; err != nil {
		return nil, databaseError(ctx, "listing customers", err)
	}
	return customers, nil
}

// CreateCustomer stores a new customer and its companies, all or none of them. It completes c with what was generated: ID,
// UUID, CreatedAt and UpdatedAt if they are zero; a company's ID likewise, and its CustomerID. An explicit ID is never
// generated again. The error is a *[FieldErrors] when something is invalid; ErrConflict when an ID or the UUID is another's;
// ErrBusy; ErrUnavailable. Then c and the companies are as they were.
func (s *Store) CreateCustomer(ctx context.Context, c *Customer, companies ...*Company) error {
	customer, its := *c, make([]Company, len(companies))
	err := s.transaction(ctx, func(tx *gorm.DB) error {
		if err := s.createCustomer(ctx, tx, &customer); err != nil {
			return conflicting("creating customer", err)
		}
		for i := range its {
			its[i] = *companies[i]
			its[i].CustomerID = customer.ID
			if err := s.createCompany(ctx, tx, &its[i]); err != nil {
				return conflicting("creating company", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	*c = customer
	for i := range its {
		*companies[i] = its[i]
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
	var wrong FieldErrors
	wrong.add(FieldName, checkText(row.Name, MaxNameLength))
	wrong.add(FieldID, checkID(row.ID))
	if err := wrong.errorOrNil(); err != nil {
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
