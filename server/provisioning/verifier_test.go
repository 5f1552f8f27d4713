package provisioning_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/provisioning"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

const customer = 3393

func issue(t *testing.T, s *store.Store, role string, life time.Duration) (string, store.ProvisioningToken) {
	t.Helper()
	token := generate(t)
	row := store.ProvisioningToken{Hash: provisioning.Hash(token), CustomerID: customer, Role: role, Note: "Okta", CreatedBy: "grace", ExpiresAt: time.Now().Add(life)}
	if err := s.CreateProvisioningToken(context.Background(), &row); err != nil {
		t.Fatal(err)
	}
	return token, row
}

func newVerifier(t *testing.T, s *store.Store, now func() time.Time) *provisioning.Verifier {
	t.Helper()
	return provisioning.NewVerifier(s, now, func(err error) { t.Error(err) })
}

func TestVerify(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := context.Background()
		storetest.Directory(t, s)
		var later atomic.Int64
		v := newVerifier(t, s, func() time.Time { return time.Now().Add(time.Duration(later.Load())) })
		policy := auth.Policy{Roles: s.Catalogue()}
		for role, rank := range map[string]int{"ROLE_USER": 1, "ROLE_COMPANY_ADMIN": 2, "ROLE_ADMIN": 3} {
			token, row := issue(t, s, role, time.Hour)
			p, err := v.Verify(ctx, token)
			if err != nil || p.Subject != "token:"+row.ID.String() || p.Actor() != nil || policy.Rank(p) != rank {
				t.Errorf("%s: %+v, %v", role, p, err)
			}
			for perm, want := range map[auth.Permission]bool{
				auth.PermissionRead: true, auth.PermissionWrite: true, auth.PermissionCreate: true, auth.PermissionHistory: false, auth.PermissionErase: false,
			} {
				if policy.Permits(p, perm) != want {
					t.Errorf("%s has %s: %t", role, perm, !want)
				}
			}
			own, err := s.FindCustomer(ctx, store.CustomerByID(customer))
			if err != nil {
				t.Fatal(err)
			}
			other, err := s.FindCustomer(ctx, store.CustomerByID(3394))
			if err != nil {
				t.Fatal(err)
			}
			if !policy.Covers(p, own) || !policy.CoversUUID(p, own.UUID) || policy.Covers(p, other) || policy.PlatformAdministrator(p) {
				t.Errorf("%s covers %t and %t", role, policy.Covers(p, own), policy.Covers(p, other))
			}
			used, err := s.FindProvisioningToken(ctx, row.Hash)
			if err != nil || used.LastUsedAt == nil {
				t.Errorf("last use is %v, %v", used.LastUsedAt, err)
			}
		}
		token, _ := issue(t, s, "ROLE_USER", time.Minute)
		if _, err := v.Verify(ctx, token); err != nil {
			t.Error(err)
		}
		later.Store(int64(2 * time.Minute))
		if _, err := v.Verify(ctx, token); !errors.Is(err, auth.ErrTokenExpired) {
			t.Errorf("an expired token, cached: %v", err)
		}
		for name, token := range map[string]string{"unknown": generate(t), "malformed": "drg_x"} {
			want := map[string]auth.TokenFault{"unknown": auth.FaultUnknown, "malformed": auth.FaultMalformed}[name]
			if _, err := v.Verify(ctx, token); !errors.Is(err, auth.ErrUnauthenticated) || auth.FaultOf(err) != want {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestRevokedTokens: a server that has not cached the token refuses it at once, and the cache of one that has is short.
func TestRevokedTokens(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := context.Background()
		storetest.Directory(t, s)
		token, row := issue(t, s, "ROLE_USER", time.Hour)
		second, _ := issue(t, s, "ROLE_USER", time.Hour)
		if err := s.RevokeProvisioningToken(ctx, 3394, row.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("another customer's token: %v", err)
		}
		for range 2 {
			if err := s.RevokeProvisioningToken(ctx, customer, row.ID); err != nil {
				t.Fatal(err)
			}
		}
		v := newVerifier(t, s, nil)
		if _, err := v.Verify(ctx, token); auth.FaultOf(err) != auth.FaultUnknown {
			t.Errorf("revoked: %v", err)
		}
		if _, err := v.Verify(ctx, second); err != nil {
			t.Errorf("the other token: %v", err)
		}
		if provisioning.CacheFor >= 5*time.Second {
			t.Errorf("a revoked token may be accepted for %v", provisioning.CacheFor)
		}
	})
}

// TestUnknownTokensAreAskedForOnce: whoever sends the same unknown token again and again does not reach the database.
func TestUnknownTokensAreAskedForOnce(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		var asked atomic.Int64
		s, err := store.Open(context.Background(), store.Config{URL: url, SecretKey: storetest.Key, Observer: store.Observer{
			Statement: func(_ context.Context, st store.Statement) {
				if strings.HasPrefix(st.Text, "SELECT") && strings.Contains(st.Text, "provisioning_tokens") {
					asked.Add(1)
				}
			},
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		v := newVerifier(t, s, nil)
		token := generate(t)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				for _, mine := range []string{token, token[:len(token)-1] + "!"} {
					if _, err := v.Verify(context.Background(), mine); !errors.Is(err, auth.ErrUnauthenticated) {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		if n := asked.Load(); n < 1 || n > 2 {
			t.Errorf("the store was asked %d times", n)
		}
	})
}

// TestUnknownTokensShareQueries: different unknown tokens take turns at few queries.
func TestUnknownTokensShareQueries(t *testing.T) {
	t.Parallel()
	v := newVerifier(t, nil, nil)
	for range provisioning.MaxUnknown {
		leave, err := v.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer leave()
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := v.Enter(ended); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("one more: %v", err)
	}
	if _, err := v.Verify(ended, generate(t)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("an unknown token: %v", err)
	}
}
