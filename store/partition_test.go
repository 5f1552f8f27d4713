package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// severalPartitions are the statements that touch several partitions, by a part of their text, and why they may.
var severalPartitions = map[string]string{
	"FROM feed_pending)":                                                    "the sequencer asks for changes of all customers, twice a second",
	"INSERT INTO feed (customer_id, number":                                 "the sequencer numbers changes of all customers, a thousand at a time",
	"DELETE FROM feed_pending":                                              "as above",
	"SELECT count(*) FROM feed WHERE number":                                "the sequencer verifies that what it has numbered is visible",
	"feed.number <= $2 ORDER BY":                                            "a caller with customer_id * reads the feed of all customers",
	"feed.customer_id IN ($3,$4)":                                           "a caller reads the feed of several customers",
	"FROM search_pending)":                                                  "the indexer asks for users of all customers, twice a second",
	"FROM search_pending WHERE (customer_id":                                "the indexer takes users of all customers, some hundred at a time",
	"DELETE FROM search_pending p USING":                                    "as above",
	"WHERE kind = $1 AND value IN":                                          "an import asks for several hundred values at a time",
	`FROM "users" LIMIT`:                                                    "an import tries the secret key on any user",
	`ORDER BY customer_id, id LIMIT`:                                        "a start that records a key tries it on the first user",
	`ORDER BY customer_id DESC, id DESC LIMIT`:                              "and on the last",
	"access_token_sealed NOT LIKE":                                          "`dragoman rekey` seals secrets of all customers",
	"access_token_sealed LIKE":                                              "a start during a change of keys looks for secrets under the old one",
	`FROM "claims" WHERE shared`:                                            "`dragoman migrate` ends collisions",
	`FROM "reserved_folds" WHERE field`:                                     "names that collide, and `dragoman collisions`",
	`SELECT DISTINCT "fold" FROM "reserved_folds"`:                          "`dragoman collisions`",
	"DELETE FROM claims WHERE kind = 'username' AND":                        "`dragoman migrate` corrects claims after an operator's statements",
	"DELETE FROM claims WHERE kind = 'email' AND":                           "as above",
	"INSERT INTO claims (kind, value, customer_id, user_id) SELECT":         "as above",
	"INSERT INTO reserved_folds (customer_id, user_id, field, fold) SELECT": "as above",
	"UPDATE claims SET customer_id = u.customer_id":                         "as above",
	"UPDATE claims SET shared = TRUE WHERE kind":                            "as above",
	"FROM idempotency_records WHERE at":                                     "the pruner looks for expired records of all customers, twice a minute",
	"FROM idempotency_records LIMIT":                                        "and counts all, a million at most",
	`FROM "idempotency_records" WHERE (customer_id`:                         "`dragoman rekey` seals records of all customers",
	`AS later FROM (SELECT * FROM "feed" WHERE feed.number > $1 AND feed.number <= $2 ORDER BY`: "an endpoint receives the changes of all customers",
	"SELECT DISTINCT \"customer_id\" FROM \"feed\"":                                             "servers that deliver to endpoints ask who was changed, five times a second",
	"SELECT feed.number FROM":          "`dragoman webhook list` counts the changes of all customers",
	"SELECT c.at FROM":                 "as above",
	"FROM reserved_folds r JOIN users": "`dragoman migrate` gives reserved names to those who alone claim them",
}

// recorded are the distinct texts of the statements that a store has run.
type recorded struct {
	mu    sync.Mutex
	texts map[string]bool
}

func (r *recorded) observer() store.Observer {
	return store.Observer{Statement: func(_ context.Context, s store.Statement) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.texts == nil {
			r.texts = map[string]bool{}
		}
		r.texts[s.Text] = true
	}}
}

// TestStatementsTouchOnePartition runs everything that a store does on tables that are partitioned by customer, claims by value, and asks
// Postgres which partitions each statement touches: one of each kind of table, but for those of severalPartitions. All of these
// occur. Every lock of a customer's rows names the customer, and every transaction is explicit.
func TestStatementsTouchOnePartition(t *testing.T) {
	t.Parallel()
	url := storetest.PartitionedURL(t)
	var seen recorded
	everything(t, url, seen.observer())
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	unused := maps.Clone(severalPartitions)
	checked := 0
	for _, text := range slices.Sorted(maps.Keys(seen.texts)) {
		verb, _, _ := strings.Cut(text, " ")
		if !slices.Contains([]string{"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"}, verb) || strings.Contains(text, "goose_db_version") || strings.Contains(text, "pg_") {
			continue
		}
		if locksCustomersRows.MatchString(text) && !namesCustomer.MatchString(text) {
			t.Errorf("locks rows without naming their customer: %s", text)
		}
		touched := explain(t, db, text)
		checked++
		customers, values := map[string]bool{}, map[string]bool{}
		for _, partition := range touched {
			table, n, _ := strings.Cut(partition, "_p")
			if table == "claims" {
				values[n] = true
			} else {
				customers[n] = true
			}
		}
		if len(customers) < 2 && len(values) < 2 {
			continue
		}
		reason := false
		for part := range severalPartitions {
			if strings.Contains(text, part) {
				reason = true
				delete(unused, part)
			}
		}
		if !reason {
			t.Errorf("touches %q: %s", touched, text)
		}
	}
	for part, why := range unused {
		t.Errorf("no statement with %q touches several partitions (%s)", part, why)
	}
	if checked < 60 {
		t.Errorf("only %d statements were seen", checked)
	}
}

var locksCustomersRows = regexp.MustCompile(`FROM "?(users|user_changes|reserved_folds|user_counts|user_blocks)"? .*FOR (NO KEY )?UPDATE`)

var namesCustomer = regexp.MustCompile(`customer_id"? = \$`)

// inList matches lists of parameters.
var inList = regexp.MustCompile(`IN \(\$\d+(?:,\$\d+)+\)`)

var partitionName = regexp.MustCompile(`"Relation Name": "([a-z_]+_p[0-9])"`)

// explain returns the partitions that a statement reads or changes, with some value for each of its parameters.
func explain(t *testing.T, db *sql.DB, text string) (partitions []string) {
	t.Helper()
	ctx := context.Background()
	conn, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "PREPARE explained AS "+text); err != nil {
		t.Errorf("%s: %v", text, err)
		return nil
	}
	var types string
	if err := conn.QueryRowContext(ctx, "SELECT array_to_string(parameter_types, ' ') FROM pg_prepared_statements WHERE name = 'explained'").Scan(&types); err != nil {
		t.Fatal(err)
	}
	lists := strings.Join(inList.FindAllString(text, -1), " ")
	var values []string
	for i, kind := range strings.Fields(types) {
		value := "'1'"
		if parameter := fmt.Sprintf("$%d", i+1); strings.Contains(lists, parameter+",") || strings.Contains(lists, parameter+")") {
			value = fmt.Sprintf("'%d'", i) // others than those beside it
		}
		switch {
		case strings.HasSuffix(kind, "[]"):
			value = "'{1}'"
		case kind == "uuid":
			value = "'" + uuid.NewString() + "'"
		case kind == "jsonb", kind == "json":
			value = "'{}'"
		}
		values = append(values, value)
	}
	call := "explained"
	if len(values) > 0 {
		call += "(" + strings.Join(values, ", ") + ")"
	}
	var plan string
	// The values are not to contradict each other, or what a table's checks say.
	if _, err := conn.ExecContext(ctx, "SET plan_cache_mode = force_custom_plan; SET constraint_exclusion = off"); err != nil {
		t.Fatal(err)
	}
	if err := conn.QueryRowContext(ctx, "EXPLAIN (FORMAT JSON) EXECUTE "+call).Scan(&plan); err != nil {
		t.Errorf("%s: %v", text, err)
	}
	if _, err := conn.ExecContext(ctx, "DEALLOCATE explained"); err != nil {
		t.Fatal(err)
	}
	for _, found := range partitionName.FindAllStringSubmatch(plan, -1) {
		if !slices.Contains(partitions, found[1]) {
			partitions = append(partitions, found[1])
		}
	}
	return partitions
}

// everything does what a store can do on an empty database.
func everything(t *testing.T, url string, o store.Observer) {
	t.Helper()
	ctx := t.Context()
	open := func(key []byte, old ...[]byte) *store.Store {
		t.Helper()
		return storetest.OpenWith(t, store.Config{URL: url, SecretKey: key, OldSecretKeys: old, Observer: o})
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s := open(storetest.Key)
	storetest.Directory(t, s)
	mary := create(t, s, newUser("mary"))
	given := newUser("given")
	given.ID, given.UUID = 1<<30, uuid.New()
	create(t, s, given)
	if err := s.CreateUser(ctx, &given); !errors.Is(err, store.ErrConflict) {
		t.Error(err)
	}
	customer := store.Customer{Name: "New"}
	must(s.CreateCustomer(ctx, &customer, &store.Company{Name: "New"}))
	must(s.CreateCompany(ctx, &store.Company{CustomerID: customer.ID, Name: "Second"}))
	write(t, s, []store.ImportRow{row(1, newUser("imported")), row(2, newUser("second"))})
	for _, k := range []store.UserKey{key(mary), store.UserByUUID(3393, mary.UUID), grace} {
		find(t, s, k)
	}
	for _, change := range []func(u *store.User){
		func(u *store.User) { u.FirstName = "Mary" },
		func(u *store.User) { u.Username, u.Email = "maria", "maria@example.com" },
		func(u *store.User) { u.Username = "\u0130maria" },
	} {
		edit(t, s, key(mary), change)
	}
	// The last administrator is decided about under locks.
	_, _, err := s.UpdateUser(ctx, grace, store.Change{Edit: pure(func(u *store.User) { u.Status = store.StatusInactive })})
	if !errors.As(err, new(*store.FieldErrors)) {
		t.Error(err)
	}
	_, _, err = s.PreviewUpdate(ctx, ada, store.Change{Edit: pure(func(u *store.User) { u.Email = "free@example.com" })})
	must(err)
	must(s.RehearseUpdate(ctx, ada, store.Change{Edit: pure(func(u *store.User) { u.Email = "free@example.com" })}))
	_, past, err := s.UserPast(ctx, key(mary), func(*store.User) int64 { return 1 })
	must(err)
	if past == nil {
		t.Error("there is no past")
	}
	_, _, err = s.RestoreUser(ctx, key(mary), 2, nil)
	must(err)
	_, _, err = s.PreviewRestore(ctx, key(mary), 1)
	must(err)
	_, err = s.Standing(ctx, mary.UUID)
	must(err)
	for _, reference := range []string{"6860", mary.UUID.String(), "mary@example.com"} {
		_, err := s.LocateUser(ctx, reference)
		must(err)
	}
	keyed(t, s, mary)
	hooked(t, s)
	_, err = s.PruneRecords(ctx)
	must(err)
	role, _ := s.Catalogue().ByName("ROLE_USER")
	for _, filters := range [][]store.Filter{nil, {store.HasUUID(mary.UUID)}, {store.HasStatus(store.StatusActive)}, {store.HasFirstName("Ada")},
		{store.HasLastName("x")}, {store.HasEmail("mary@example.com")}, {store.HasMobile("")}, {store.HasSubrole(role, s.Catalogue())},
		{store.Mentions("mar")}, {store.Mentions("m")}, {store.Nobody()}} {
		for by := store.SortByID; by <= store.SortByUpdatedAt; by++ {
			_, _, err := s.ListUsers(ctx, 3393, store.Query{Filters: filters, Sort: by}, store.Window{Offset: 1, Limit: 10})
			must(err)
		}
	}
	_, err = s.UsersAfter(ctx, 3393, 0, 10)
	must(err)
	_, err = s.FileUsersAfter(ctx, 3393, 0, 10)
	must(err)
	_, err = s.UserHistory(ctx, ada, 0, 10)
	must(err)
	_, err = s.IndexUsers(ctx)
	must(err)
	for _, scope := range []store.FeedScope{everyone, {IDs: []int64{3393}}, {IDs: []int64{3393, 3394}}, {UUIDs: []uuid.UUID{mary.UUID}}} {
		_, _, err := listChanges(s, scope, 0, 10)
		must(err)
	}
	_, err = s.CustomersAfter(ctx, 0, 10)
	must(err)
	_, err = s.Collisions(ctx)
	must(err)
	must(s.Ping(ctx))
	another := slices.Clone(storetest.Key)
	another[0]++
	rekeyed := open(another, storetest.Key)
	if _, err := store.Open(ctx, store.Config{URL: url, SecretKey: another, Observer: o}); !errors.Is(err, store.ErrSecretKey) {
		t.Error(err)
	}
	_, err = rekeyed.Rekey(ctx)
	must(err)
	i, err := rekeyed.NewImport(ctx)
	must(err)
	defer i.Close()
	must(i.Write(ctx, func() ([]store.ImportRow, error) { return nil, io.EOF }))
	collide(t, url, s)
	must(store.ObservedMigrate(ctx, url, o))
	if _, err := rekeyed.Collisions(ctx); err != nil {
		t.Error(err)
	}
}

// collide makes two users whose e-mails are one, as a program with older rules would have.
func collide(t *testing.T, url string, s *store.Store) {
	t.Helper()
	for n, text := range []string{nfc, nfd} {
		u := create(t, s, newUser(fmt.Sprint("colliding", n)))
		storetest.PostgresExec(t, url, fmt.Sprintf("UPDATE users SET email = '%s@example.com', email_fold = '%[1]s@example.com' WHERE id = %d", text, u.ID))
	}
	u := create(t, s, newUser("alone"))
	storetest.PostgresExec(t, url, fmt.Sprintf("UPDATE users SET username = '%sx', username_fold = '%[1]sx' WHERE id = %d", nfd, u.ID))
}
