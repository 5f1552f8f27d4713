package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

func token(hash string, change func(*store.ProvisioningToken)) store.ProvisioningToken {
	row := store.ProvisioningToken{Hash: hash, CustomerID: 3393, Role: "ROLE_USER", Note: "n", CreatedBy: "grace", ExpiresAt: time.Now().Add(time.Hour)}
	if change != nil {
		change(&row)
	}
	return row
}

func TestCreateProvisioningTokenRefuses(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := context.Background()
		storetest.Directory(t, s)
		for field, change := range map[store.Field]func(*store.ProvisioningToken){
			store.FieldTokenRole:    func(r *store.ProvisioningToken) { r.Role = "ROLE_OWNER" },
			store.FieldTokenNote:    func(r *store.ProvisioningToken) { r.Note = strings.Repeat("n", 257) },
			store.FieldTokenExpires: func(r *store.ProvisioningToken) { r.ExpiresAt = time.Now() },
		} {
			row := token("h", change)
			var wrong *store.FieldErrors
			if err := s.CreateProvisioningToken(ctx, &row); !errors.As(err, &wrong) || len(*wrong) != 1 || (*wrong)[0].Field != field || row.ID != uuid.Nil {
				t.Errorf("%s: %v", field, err)
			}
		}
		late := token("h", func(r *store.ProvisioningToken) {
			r.ExpiresAt = time.Now().Add(store.MaxProvisioningTokenLife + time.Minute)
		})
		var wrong *store.FieldErrors
		if err := s.CreateProvisioningToken(ctx, &late); !errors.As(err, &wrong) {
			t.Errorf("valid for too long: %v", err)
		}
		nobody := token("h", func(r *store.ProvisioningToken) { r.CustomerID = 1 })
		if err := s.CreateProvisioningToken(ctx, &nobody); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("no such customer: %v", err)
		}
		longest := token("h", func(r *store.ProvisioningToken) { r.ExpiresAt = time.Now().Add(store.MaxProvisioningTokenLife) })
		if err := s.CreateProvisioningToken(ctx, &longest); err != nil {
			t.Error(err)
		}
	})
}

func TestProvisioningTokens(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := context.Background()
		storetest.Directory(t, s)
		first, second := token("h1", nil), token("h2", func(r *store.ProvisioningToken) { r.CustomerID = 3394 })
		for _, row := range []*store.ProvisioningToken{&first, &second} {
			if err := s.CreateProvisioningToken(ctx, row); err != nil {
				t.Fatal(err)
			}
		}
		all, err := s.ProvisioningTokens(ctx, 0)
		if err != nil || len(all) != 2 || all[0] != first || all[1] != second {
			t.Errorf("%+v, %v", all, err)
		}
		if of, err := s.ProvisioningTokens(ctx, 3394); err != nil || len(of) != 1 || of[0] != second {
			t.Errorf("%+v, %v", of, err)
		}
		if _, err := s.FindProvisioningToken(ctx, "h3"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("an unknown hash: %v", err)
		}
		if err := s.UseProvisioningToken(ctx, first); err != nil {
			t.Fatal(err)
		}
		used, err := s.FindProvisioningToken(ctx, "h1")
		if err != nil || used.LastUsedAt == nil || !used.Valid(time.Now()) {
			t.Fatalf("%+v, %v", used, err)
		}
		// Neither who knows of the use nor who does not writes it again.
		for _, row := range []store.ProvisioningToken{first, used} {
			if err := s.UseProvisioningToken(ctx, row); err != nil {
				t.Fatal(err)
			}
		}
		if again, err := s.FindProvisioningToken(ctx, "h1"); err != nil || !again.LastUsedAt.Equal(*used.LastUsedAt) {
			t.Errorf("used at %v and %v, %v", used.LastUsedAt, again.LastUsedAt, err)
		}
		if err := s.RevokeProvisioningToken(ctx, 0, first.ID); err != nil {
			t.Fatal(err)
		}
		if revoked, err := s.FindProvisioningToken(ctx, "h1"); err != nil || revoked.Valid(time.Now()) || revoked.RevokedAt == nil {
			t.Errorf("%+v, %v", revoked, err)
		}
		if err := s.RevokeProvisioningToken(ctx, 0, uuid.New()); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("an unknown id: %v", err)
		}
	})
}
