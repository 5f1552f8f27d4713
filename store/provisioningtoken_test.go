package store_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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

// TestNumberOfProvisioningTokens: it has a bound, which concurrent creations cannot exceed, whether they are prepared or not.
func TestNumberOfProvisioningTokens(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := context.Background()
		storetest.Directory(t, s)
		for i := range store.MaxProvisioningTokens - 2 {
			row := token(fmt.Sprint("h", i), nil)
			if err := s.CreateProvisioningToken(ctx, &row); err != nil {
				t.Fatal(err)
			}
		}
		create := func(i int) error {
			row := token(fmt.Sprint("more", i), nil)
			if i%2 == 0 {
				return s.CreateProvisioningToken(ctx, &row)
			}
			p, err := s.PrepareProvisioningToken(ctx, &row)
			if err != nil {
				return err
			}
			defer p.Close()
			return p.Commit(ctx, store.Record{Key: store.RecordKey{CustomerID: 3393, Hash: sha256.Sum256([]byte{byte(i)})}, Answer: []byte("a")})
		}
		var writers sync.WaitGroup
		var created, refused atomic.Int64
		for i := range 8 {
			writers.Go(func() {
				var wrong *store.FieldErrors
				switch err := create(i); {
				case err == nil:
					created.Add(1)
				case errors.As(err, &wrong) && (*wrong)[0].Field == store.FieldCustomer:
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		writers.Wait()
		if created.Load() != 2 || refused.Load() != 6 {
			t.Errorf("%d were created and %d refused", created.Load(), refused.Load())
		}
		one := token("one more", nil)
		var wrong *store.FieldErrors
		if err := s.PreviewProvisioningToken(ctx, &one); !errors.As(err, &wrong) || (*wrong)[0].Field != store.FieldCustomer {
			t.Errorf("the preview of one too many: %v", err)
		}
		elsewhere := token("elsewhere", func(r *store.ProvisioningToken) { r.CustomerID = 3394 })
		if err := s.PreviewProvisioningToken(ctx, &elsewhere); err != nil || elsewhere.ID == uuid.Nil {
			t.Errorf("another customer's: %+v, %v", elsewhere, err)
		}
		all, err := s.ProvisioningTokens(ctx, 0)
		if err != nil || len(all) != store.MaxProvisioningTokens {
			t.Errorf("%d tokens, %v", len(all), err)
		}
	})
}

// TestPreparedProvisioningToken: it is there together with its record, or not at all.
func TestPreparedProvisioningToken(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := context.Background()
		storetest.Directory(t, s)
		key := store.RecordKey{CustomerID: 3393, Hash: sha256.Sum256([]byte("key"))}
		prepare := func(hash string) *store.Prepared {
			row := token(hash, nil)
			p, err := s.PrepareProvisioningToken(ctx, &row)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		prepare("given up").Close()
		p := prepare("first")
		if err := p.Commit(ctx, store.Record{Key: key, Answer: []byte("a")}); err != nil {
			t.Fatal(err)
		}
		p.Close()
		p = prepare("second")
		if err := p.Commit(ctx, store.Record{Key: key, Answer: []byte("b")}); !errors.Is(err, store.ErrPrepareAgain) {
			t.Errorf("under a key that has a record: %v", err)
		}
		p.Close()
		for _, hash := range []string{"given up", "second"} {
			if _, err := s.FindProvisioningToken(ctx, hash); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: %v", hash, err)
			}
		}
		record, err := s.FindRecord(ctx, key)
		if err != nil || string(record.Answer) != "a" {
			t.Errorf("%q, %v", record.Answer, err)
		}
		if _, err := s.FindProvisioningToken(ctx, "first"); err != nil {
			t.Error(err)
		}
		unknown := token("h", func(r *store.ProvisioningToken) { r.CustomerID = 1 })
		if _, err := s.PrepareProvisioningToken(ctx, &unknown); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("an unknown customer: %v", err)
		}
		if err := s.PreviewProvisioningToken(ctx, &unknown); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the preview for an unknown customer: %v", err)
		}
	})
}

func TestProvisioningTokensAfter(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		ctx, clock := context.Background(), time.Now()
		s := storetest.OpenWith(t, store.Config{URL: url, Now: func() time.Time { return clock }})
		storetest.Directory(t, s)
		for i := range 7 {
			if i%3 == 0 {
				clock = clock.Add(time.Second) // some have the same time
			}
			row := token(fmt.Sprint("h", i), func(r *store.ProvisioningToken) { r.CustomerID = 3393 + int64(i%7/6) })
			if err := s.CreateProvisioningToken(ctx, &row); err != nil {
				t.Fatal(err)
			}
		}
		want, err := s.ProvisioningTokens(ctx, 3393)
		if err != nil || len(want) != 6 {
			t.Fatal(len(want), err)
		}
		var got []store.ProvisioningToken
		for after := uuid.Nil; ; after = got[len(got)-1].ID {
			page, err := s.ProvisioningTokensAfter(ctx, 3393, after, 2)
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, page...); len(page) == 0 {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
		for customer, id := range map[int64]uuid.UUID{3394: want[0].ID, 3393: uuid.New()} {
			if _, err := s.ProvisioningTokensAfter(ctx, customer, id, 2); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("after a token that is none of %d: %v", customer, err)
			}
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
