package store_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// once gives rows to Write, all at once.
func once(rows []store.ImportRow) func() ([]store.ImportRow, error) {
	return func() ([]store.ImportRow, error) {
		if rows == nil {
			return nil, io.EOF
		}
		all := rows
		rows = nil
		return all, nil
	}
}

func row(line int64, u store.User) store.ImportRow {
	return store.ImportRow{Line: line, Customer: store.CustomerByID(u.CustomerID), User: u}
}

func TestImportKeepsWhatIsGiven(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		given := storetest.UserGen().Example(1)
		given.ID, given.CustomerID, given.Version = 8000, 3394, 41
		rows := []store.ImportRow{row(1, given)}
		// The customer that a row names decides.
		rows[0].User.CustomerID = 3393
		i, err := s.NewImport(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if bad, err := i.Check(ctx, rows); err != nil || bad != nil {
			t.Fatal(bad, err)
		}
		if err := i.Write(ctx, once(rows)); err != nil {
			t.Fatal(err)
		}
		got := find(t, s, store.UserByID(3394, 8000))
		got.AccessTokenSealed, got.VCSPasswordSealed = "", nil
		if !reflect.DeepEqual(got, given) {
			t.Errorf("stored\n%+v, given\n%+v", got, given)
		}
		after, _ := edit(t, s, key(got), func(u *store.User) { u.FirstName += "x" })
		if after.Version != 42 {
			t.Errorf("version %d after 41", after.Version)
		}
	})
}

func TestImportChecks(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		i, err := s.NewImport(ctx)
		if err != nil {
			t.Fatal(err)
		}
		versions := row(2, newUser("a"))
		versions.User.Version = -1
		nobodys := store.ImportRow{Line: 3, User: newUser("b")}
		taken := row(4, newUser("AdaLovelace"))
		again := row(9, newUser("A"))
		for _, c := range []struct {
			row    store.ImportRow
			fields []store.Field
		}{
			{row(1, newUser("fine")), nil},
			{versions, []store.Field{store.FieldVersion}},
			{nobodys, []store.Field{store.FieldCustomer}},
			{taken, []store.Field{store.FieldUsername}},
			{again, nil},
		} {
			bad, err := i.Check(ctx, []store.ImportRow{c.row})
			if err != nil {
				t.Fatal(err)
			}
			var fields []store.Field
			for _, b := range bad {
				if b.Line != c.row.Line {
					t.Errorf("line %d instead of %d", b.Line, c.row.Line)
				}
				for _, e := range b.Errors {
					fields = append(fields, e.Field)
				}
			}
			if !slices.Equal(fields, c.fields) {
				t.Errorf("line %d: %v, want %v", c.row.Line, fields, c.fields)
			}
		}
		var repeated []store.RepeatedValue
		if err := i.Repeated(func(r store.RepeatedValue) { repeated = append(repeated, r) }); err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(repeated, func(a, b store.RepeatedValue) int { return cmp.Compare(b.Field, a.Field) })
		if want := []store.RepeatedValue{{Line: 9, First: 2, Field: store.FieldUsername}, {Line: 9, First: 2, Field: store.FieldEmail}}; !slices.Equal(repeated, want) {
			t.Errorf("repeated are %v, want %v", repeated, want)
		}
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestImportIsAllOrNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		i, err := s.NewImport(ctx)
		if err != nil {
			t.Fatal(err)
		}
		broken := errors.New("broken")
		rows := []store.ImportRow{row(1, newUser("a")), row(2, newUser("b"))}
		next := once(rows)
		err = i.Write(ctx, func() ([]store.ImportRow, error) {
			rows, err := next()
			if errors.Is(err, io.EOF) {
				return nil, broken
			}
			return rows, err
		})
		if !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		err = i.Write(ctx, once(append(rows, row(3, newUser("c")), row(4, newUser("gracehopper")))))
		var conflict *store.ImportError
		if !errors.As(err, &conflict) || len(conflict.Rows) != 1 || conflict.Rows[0].Line != 4 || conflict.Rows[0].Errors[0].Field != store.FieldUsername {
			t.Errorf("got %v", err)
		}
		// Not checked, and in conflict with itself: that the database finds out, and nobody is in the way afterwards.
		if err := i.Write(ctx, once([]store.ImportRow{rows[0], rows[0]})); !errors.Is(err, store.ErrBusy) {
			t.Errorf("got %v", err)
		}
		if _, total, err := s.ListUsers(ctx, 3393, store.Query{}, store.Window{}); err != nil || total != 2 {
			t.Errorf("%d users, %v", total, err)
		}
	})
}

func TestCreateCustomerWithCompanies(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		c := store.Customer{Name: "Acme"}
		own, given := store.Company{Name: "Acme"}, store.Company{ID: 9000, Name: "Acme Labs"}
		if err := s.CreateCustomer(ctx, &c, &own, &given); err != nil {
			t.Fatal(err)
		}
		for _, company := range []store.Company{own, given} {
			if found, err := s.FindCompany(ctx, c.ID, company.ID); err != nil || found != company || company.CustomerID != c.ID {
				t.Errorf("%+v, found %+v, %v", company, found, err)
			}
		}
		d, free, taken := store.Customer{Name: "D"}, store.Company{Name: "free"}, store.Company{ID: 9000, Name: "taken"}
		if err := s.CreateCustomer(ctx, &d, &free, &taken); !errors.Is(err, store.ErrConflict) {
			t.Errorf("got %v", err)
		}
		if d.ID != 0 || d.UUID != uuid.Nil || free.ID != 0 || free.CustomerID != 0 {
			t.Errorf("left %+v, %+v", d, free)
		}
		if n, err := s.CountCustomers(ctx); err != nil || n != 3 {
			t.Errorf("%d customers, %v", n, err)
		}
	})
}

func TestCustomersAfter(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		storetest.Directory(t, s)
		var ids []int64
		for last := int64(0); ; {
			customers, err := s.CustomersAfter(context.Background(), last, 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(customers) == 0 {
				break
			}
			last = customers[0].ID
			ids = append(ids, last)
		}
		if !slices.Equal(ids, []int64{3393, 3394}) {
			t.Errorf("%v", ids)
		}
	})
}

// TestImportFromSlowFile: the time that Postgres allows a transaction to stand still is for servers that are gone.
func TestImportFromSlowFile(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	storetest.EachURL(t, func(t *testing.T, url string) {
		// Other transactions must not stand still for so long, such as a migration's on a busy machine.
		storetest.Directory(t, storetest.Open(t, url))
		if strings.HasPrefix(url, "postgres") {
			url += "&idle_in_transaction_session_timeout=400"
		}
		s := storetest.Open(t, url)
		u := storetest.UserGen().Example(1)
		u.ID, u.CustomerID = 8000, 3394
		i, err := s.NewImport(ctx)
		if err != nil {
			t.Fatal(err)
		}
		rows := []store.ImportRow{row(1, u)}
		if _, err := i.Check(ctx, rows); err != nil {
			t.Fatal(err)
		}
		next := once(rows)
		slow := func() ([]store.ImportRow, error) {
			time.Sleep(time.Second) // the file
			return next()
		}
		if err := i.Write(ctx, slow); err != nil {
			t.Error(err)
		}
	})
}
