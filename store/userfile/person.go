package userfile

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/store"
)

// Person writes all that the directory keeps of one person as one JSON document: the user, its history, the changes of other users that
// the person made, and what else names the person. Of secrets it tells whether they are set. Of others' changes it tells no values, as they
// are about other people.
//
// It reads in several steps, without a common transaction. The history ends with the version of the user that the document has.
type Person struct {
	Store *store.Store
	Key   store.UserKey
	// Now is the time of the document.
	Now time.Time
}

// The members of the document.
type (
	personUser struct {
		ID        int64              `json:"id"`
		UUID      uuid.UUID          `json:"uuid"`
		Customer  personCustomer     `json:"customer"`
		Version   int64              `json:"version"`
		CreatedAt string             `json:"createdAt"`
		CreatedBy *uuid.UUID         `json:"createdBy"`
		UpdatedAt string             `json:"updatedAt"`
		UpdatedBy *uuid.UUID         `json:"updatedBy"`
		Fields    []store.FieldValue `json:"fields"`
	}
	personCustomer struct {
		ID   int64     `json:"id"`
		UUID uuid.UUID `json:"uuid"`
		Name string    `json:"name"`
	}
	personErasure struct {
		At     string `json:"at"`
		Reason string `json:"reason"`
	}
	personName struct {
		Kind  string `json:"kind"`
		Value string `json:"value"`
	}
	personAnswer struct {
		At string `json:"at"`
	}
	personToken struct {
		ID        uuid.UUID `json:"id"`
		Customer  int64     `json:"customer"`
		CreatedAt string    `json:"createdAt"`
		CreatedBy string    `json:"createdBy"`
	}
	personNote struct {
		ID       uuid.UUID `json:"id"`
		Customer int64     `json:"customer"`
		Note     string    `json:"note"`
	}
	personChange struct {
		Customer  int64      `json:"customer"`
		User      int64      `json:"user"`
		Version   int64      `json:"version"`
		At        string     `json:"at"`
		Actor     *uuid.UUID `json:"actor"`
		Subject   string     `json:"subject"`
		Dialect   string     `json:"dialect"`
		Operation string     `json:"operation"`
		RequestID string     `json:"requestId"`
		Fields    any        `json:"fields"` // with values, or the names alone
	}
)

func inTime(t time.Time) string { return t.Format(store.TimeLayout) }

// changesPerBatch is how many changes of the history are read at once.
const changesPerBatch = 500

// Run writes the document. It returns store.ErrNotFound if the customer has no such user. If it returns another error, w has received only
// a part of the document.
func (p Person) Run(ctx context.Context, w io.Writer) error {
	data, err := p.Store.PersonalData(ctx, p.Key)
	if err != nil {
		return fmt.Errorf("exporting a person: %w", err)
	}
	out := &document{w: bufio.NewWriter(w)}
	u := &data.User
	out.member("exportedAt", inTime(p.Now))
	out.member("user", personUser{
		ID: u.ID, UUID: u.UUID, Customer: personCustomer{data.Customer.ID, data.Customer.UUID, data.Customer.Name}, Version: u.Version,
		CreatedAt: inTime(u.CreatedAt), CreatedBy: u.CreatedBy, UpdatedAt: inTime(u.UpdatedAt), UpdatedBy: u.UpdatedBy, Fields: data.Fields,
	})
	var erasure *personErasure
	if e := data.Erasure; e != nil {
		erasure = &personErasure{inTime(e.At), e.Reason}
	}
	out.member("erasure", erasure)
	out.list("reservedNames", items(data.ReservedNames, func(n store.ReservedName) any { return personName(n) }))
	out.list("keptAnswers", items(data.KeptAnswers, func(at time.Time) any { return personAnswer{inTime(at)} }))
	out.list("issuedTokens", items(data.IssuedTokens, func(t store.ProvisioningToken) any {
		return personToken{t.ID, t.CustomerID, inTime(t.CreatedAt), t.CreatedBy}
	}))
	out.list("tokensAbout", items(data.TokensAbout, func(t store.ProvisioningToken) any {
		return personNote{t.ID, t.CustomerID, t.Note}
	}))
	out.list("history", func(add func(any) error) error { return p.history(ctx, u, add) })
	out.list("changesMade", func(add func(any) error) error {
		return p.Store.ChangesBy(ctx, u, func(c store.UserChange) error { return add(withoutValues(c)) })
	})
	return out.close()
}

// history adds the user's changes up to the version that the document has.
func (p Person) history(ctx context.Context, u *store.User, add func(any) error) error {
	for after := int64(0); after < u.Version; {
		changes, err := p.Store.UserHistory(ctx, p.Key, after, changesPerBatch)
		if err != nil {
			return err
		}
		for _, c := range changes {
			if after = c.Version; after > u.Version {
				return nil
			}
			if err := add(toPersonChange(c, c.Fields)); err != nil {
				return err
			}
		}
		if len(changes) < changesPerBatch {
			return nil
		}
	}
	return nil
}

func toPersonChange(c store.UserChange, fields any) personChange {
	return personChange{c.CustomerID, c.UserID, c.Version, inTime(c.At), c.Actor, c.Subject, c.Dialect, c.Operation, c.RequestID, fields}
}

// withoutValues is toPersonChange with the names of the fields alone.
func withoutValues(c store.UserChange) personChange {
	names := []store.Field{}
	for _, f := range c.Fields {
		names = append(names, f.Field)
	}
	return toPersonChange(c, names)
}

// items returns a function that adds all of a slice to a list.
func items[T any](all []T, show func(T) any) func(add func(any) error) error {
	return func(add func(any) error) error {
		for _, item := range all {
			if err := add(show(item)); err != nil {
				return err
			}
		}
		return nil
	}
}

// document writes a JSON object member by member. It keeps its first error.
type document struct {
	w       *bufio.Writer
	members int
	err     error
}

// begin writes a member's name.
func (d *document) begin(name string) {
	separator := ",\n"
	if d.members == 0 {
		separator = "{\n"
	}
	d.members++
	d.text(fmt.Sprintf("%s  %q: ", separator, name))
}

func (d *document) text(s string) {
	if d.err == nil {
		_, d.err = d.w.WriteString(s)
	}
}

// member writes a member over several lines.
func (d *document) member(name string, value any) {
	d.begin(name)
	text, err := json.MarshalIndent(value, "  ", "  ")
	if d.err == nil {
		d.err = err
	}
	d.text(string(text))
}

// list writes a member that is an array, an item a line.
func (d *document) list(name string, write func(add func(item any) error) error) {
	d.begin(name)
	if d.err != nil {
		return
	}
	separator, end := "[\n    ", "[]"
	err := write(func(item any) error {
		text, err := json.Marshal(item)
		if err != nil {
			return err
		}
		d.text(separator)
		d.text(string(text))
		separator, end = ",\n    ", "\n  ]"
		return d.err
	})
	if d.err == nil {
		d.err = err
	}
	d.text(end)
}

// close ends the object.
func (d *document) close() error {
	d.text("\n}\n")
	if d.err == nil {
		d.err = d.w.Flush()
	}
	if d.err != nil {
		return fmt.Errorf("exporting a person: %w", d.err)
	}
	return nil
}
