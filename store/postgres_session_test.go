package store_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// with returns a URL with further parameters, given as name=value.
func with(t *testing.T, address string, parameters ...string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for _, p := range parameters {
		name, value, _ := strings.Cut(p, "=")
		q.Set(name, value)
	}
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20") // pgx, like libpq, reads a plus as it stands
	return u.String()
}

// exercise uses a store in every way that reaches the database.
func exercise(t *testing.T, s *store.Store) {
	t.Helper()
	ctx := t.Context()
	storetest.Directory(t, s)
	mary := newUser("mary")
	mary.LastName = `100%_!\"x' übung 試`
	mary = create(t, s, mary)
	for _, text := range []string{"%_!\\", `\"x'`, "übung 試", "!"} {
		found, total, err := s.ListUsers(ctx, 3393, store.Query{Filters: []store.Filter{store.Mentions(text)}}, store.Window{Limit: 10})
		if err != nil || total != 1 || found[0].LastName != mary.LastName {
			t.Errorf("search for %q: %d users, %v", text, total, err)
		}
	}
	if got := find(t, s, key(mary)); got.LastName != mary.LastName || !got.CreatedAt.Equal(mary.CreatedAt) || got.UUID != mary.UUID {
		t.Errorf("found %+v, want %+v", got, mary)
	}
	edit(t, s, key(mary), func(u *store.User) { u.FirstName, u.VCSPassword = "Ünder", new(`a\b`) })
	if _, _, err := s.RestoreUser(ctx, key(mary), 1, nil); err != nil {
		t.Errorf("restore: %v", err)
	}
	if got := history(t, s, key(mary)); len(got) != 3 || got[1].Fields[0].New != "Ünder" {
		t.Errorf("history: %+v", got)
	}
	if _, err := s.NumberChanges(ctx); err != nil {
		t.Errorf("numbering: %v", err)
	}
	if changes, _, err := s.ListChanges(ctx, store.FeedScope{All: true}, 0, 100); err != nil || len(changes) < 5 {
		t.Errorf("feed: %d changes, %v", len(changes), err)
	}
	if err := s.CreateCustomer(ctx, &store.Customer{Name: `back\slash`}); err != nil {
		t.Errorf("customer: %v", err)
	}
	if _, err := s.Rekey(ctx); err != nil {
		t.Errorf("rekey: %v", err)
	}
	if err := s.Ping(ctx); err != nil {
		t.Errorf("ping: %v", err)
	}
}

func TestPostgresSettings(t *testing.T) {
	t.Parallel()
	for _, setting := range []string{
		"standard_conforming_strings=off", "DateStyle=German, DMY", "bytea_output=escape", "IntervalStyle=sql_standard", "TimeZone=Asia/Kathmandu",
		"default_transaction_isolation=serializable", "default_transaction_isolation=repeatable read", "row_security=off",
		"extra_float_digits=-15", "client_encoding=UTF-8", "escape_string_warning=off", "transform_null_equals=on", "quote_all_identifiers=on",
		"default_query_exec_mode=cache_describe", "default_query_exec_mode=exec", "default_query_exec_mode=describe_exec", "default_query_exec_mode=simple_protocol",
	} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			url := storetest.PostgresURL(t)
			if strings.HasSuffix(setting, "simple_protocol") {
				storetest.SkipDistributed(t, url, "it is refused there")
			}
			exercise(t, storetest.Open(t, with(t, url, setting)))
		})
	}
}

func TestPostgresEncodings(t *testing.T) {
	t.Parallel()
	utf8 := storetest.PostgresDatabase(t, "ENCODING 'UTF8'")
	forced := storetest.PostgresDatabase(t, "ENCODING 'UTF8'")
	storetest.PostgresExec(t, forced, "DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET client_encoding = LATIN1', current_database()); END$$")
	for name, address := range map[string]string{
		"LATIN1 database":    storetest.PostgresDatabase(t, "ENCODING 'LATIN1'"),
		"SQL_ASCII database": storetest.PostgresDatabase(t, "ENCODING 'SQL_ASCII'"),
		"in the URL":         with(t, utf8, "client_encoding=LATIN1"),
		"in the options":     with(t, utf8, "options=-c client_encoding=WIN1252"),
		"of the database":    forced,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := openImpatiently(t, address)
			if err == nil || !strings.Contains(err.Error(), "UTF8") || !strings.Contains(err.Error(), "--database") {
				t.Errorf("opened with %v", err)
			}
		})
	}
}

// openImpatiently opens a store and fails the test if that waits for the database.
func openImpatiently(t *testing.T, address string) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := store.Open(ctx, store.Config{URL: address, SecretKey: storetest.Key, Wait: store.Wait{
		For: time.Hour, Waiting: func(err error, _ time.Duration) { t.Errorf("waits for: %v", err); cancel() },
	}})
	if err == nil {
		err = s.Close()
	}
	return err
}

func TestReadOnlyPostgres(t *testing.T) {
	t.Parallel()
	address := storetest.EmptyPostgresURL(t)
	readOnly := with(t, address, "default_transaction_read_only=on")
	if err := openImpatiently(t, readOnly); err == nil {
		t.Error("a read-only server was opened although its migrations are due")
	}
	storetest.Directory(t, storetest.Open(t, address))
	if _, err := store.Migrate(t.Context(), readOnly, store.Wait{For: time.Hour}); err == nil || !strings.Contains(err.Error(), "--database (DRAGOMAN_DATABASE)") {
		t.Errorf("migrate: %v", err)
	}
	s := storetest.Open(t, readOnly)
	if u := find(t, s, ada); u.FirstName != "Ada" {
		t.Errorf("found %+v", u)
	}
	if _, _, err := s.UpdateUser(context.Background(), ada, store.Change{Edit: pure(func(u *store.User) { u.FirstName = "x" })}); store.KindOf(err) != store.ErrUnavailable {
		t.Errorf("wrote with %v", err)
	}
}
