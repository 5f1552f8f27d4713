package store

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/engine"
	"github.com/dragoman-id/dragoman/store/postgres"
)

// On Citus, rows of most tables are on the node that has the shard of their customer's id. Claims are on that of their value. What all
// customers share is on every node, and what belongs to the program, such as the counters of ids, stays on the coordinator, through
// which every server connects.

var (
	// referenceTables are on every node.
	referenceTables = []string{"customers", "companies", "roles", "provisioning_tokens"}
	// customersTables are sharded by customer_id, and their shards of one customer are on one node. users is the first.
	customersTables = []string{"users", "user_changes", "feed", "feed_pending", "user_counts", "user_blocks", "reserved_folds", "user_search", "search_pending",
		"idempotency_records", "erasures"}
)

// ErrNotCitus: the database has no functions to distribute tables with.
var ErrNotCitus = errors.New("the database cannot distribute tables: --distribute needs PostgreSQL with Citus 12 or later; run CREATE EXTENSION citus " +
	"in the database, add its workers, and name the coordinator in --database (DRAGOMAN_DATABASE)")

// errSimpleProtocol: the URL of a database with distributed tables asks for what its coordinator cannot do.
var errSimpleProtocol = errors.New("the tables are distributed, and Citus sends to a worker the whole text of a message that has several statements: " +
	"remove default_query_exec_mode=simple_protocol from the URL in --database (DRAGOMAN_DATABASE)")

// Distribute migrates the database at url, and distributes its tables over the nodes of a Citus cluster, whose coordinator it is. said is
// called with what was done, once it is committed. If the tables are distributed already, nothing is done. No server may run meanwhile.
//
// Searches then scan the shard of their customer, because their index is filled by triggers that Citus does not run.
func Distribute(ctx context.Context, url string, w Wait, said func(string)) error {
	if EngineOf(url) != postgres.Name {
		return ErrNotCitus
	}
	if _, err := Migrate(ctx, url, w); err != nil {
		return err
	}
	d, err := openDatabase(ctx, Config{URL: url})
	if err != nil {
		return fmt.Errorf("distributing: %w", err)
	}
	db, err := session(d, d.Pools().Write)
	if err == nil {
		err = distribute(db.WithContext(ctx), said)
	}
	if err = errors.Join(err, d.Close()); err != nil {
		return fmt.Errorf("distributing: %w", err)
	}
	return nil
}

// isDistributed reports whether the tables of a database are distributed.
func isDistributed(db *gorm.DB) (distributed bool, err error) {
	if db.Name() != postgres.Name {
		return false, nil
	}
	err = db.Raw("SELECT to_regclass('pg_dist_partition') IS NOT NULL").Scan(&distributed).Error
	if err == nil && distributed {
		err = db.Raw("SELECT EXISTS (SELECT 1 FROM pg_dist_partition WHERE logicalrelid = 'users'::regclass)").Scan(&distributed).Error
	}
	return distributed, err
}

func distribute(db *gorm.DB, said func(string)) error {
	var can bool
	if err := db.Raw("SELECT EXISTS (SELECT 1 FROM pg_proc WHERE proname = 'create_distributed_table')").Scan(&can).Error; err != nil {
		return err
	}
	if !can {
		return ErrNotCitus
	}
	distributed, err := isDistributed(db)
	if err != nil {
		return err
	}
	if distributed {
		said("nothing to distribute: the tables are distributed")
		return nil
	}
	var steps []distribution
	err = db.Transaction(func(tx *gorm.DB) (err error) {
		if steps, err = distributions(tx); err != nil {
			return err
		}
		for _, s := range steps {
			if err := tx.Exec(s.statement).Error; err != nil {
				return fmt.Errorf("%s: %w", s.statement, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, s := range steps {
		if s.says != "" {
			said(s.says)
		}
	}
	// Triggers of shards run only with the first setting. With the second, the time that a statement waits for a lock is known to workers.
	for _, setting := range []string{"citus.enable_unsafe_triggers', 'on", "citus.propagate_set_commands', 'local"} {
		err := db.Exec("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET %s TO %L', current_database(), '" + setting + "'); END $$").Error
		if err != nil {
			return err
		}
	}
	return nil
}

// writeShardsInTurn has a transaction write to the shards of a table one after the other.
const writeShardsInTurn = "SET LOCAL citus.multi_shard_modify_mode TO 'sequential'"

// distribution is a statement, and what to say about it once it is committed.
type distribution struct{ statement, says string }

// distributions returns the statements that distribute the tables, in the only order that Citus accepts: a table is refused while it has
// triggers, or while a foreign key connects it with one that is local.
func distributions(tx *gorm.DB) (steps []distribution, err error) {
	add := func(statement, says string) { steps = append(steps, distribution{statement, says}) }
	all := append(append([]string{}, referenceTables...), customersTables...)
	var keys []struct{ Relname, Conname, Definition string }
	err = tx.Raw("SELECT r.relname, c.conname, pg_get_constraintdef(c.oid) AS definition FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid "+
		"WHERE c.contype = 'f' AND r.relnamespace = current_schema()::regnamespace AND r.relname IN ? ORDER BY r.relname, c.conname", all).Scan(&keys).Error
	if err != nil {
		return nil, err
	}
	var triggers []struct{ Relname, Tgname, Definition string }
	err = tx.Raw("SELECT r.relname, g.tgname, pg_get_triggerdef(g.oid) AS definition FROM pg_trigger g JOIN pg_class r ON r.oid = g.tgrelid "+
		"WHERE NOT g.tgisinternal AND r.relnamespace = current_schema()::regnamespace AND r.relname IN ? ORDER BY r.relname, g.tgname", all).Scan(&triggers).Error
	if err != nil {
		return nil, err
	}
	add(writeShardsInTurn, "")
	for _, t := range triggers {
		add(fmt.Sprintf("DROP TRIGGER %s ON %s", t.Tgname, t.Relname), "")
	}
	add("DELETE FROM search_pending", "")
	add("DELETE FROM user_search", "")
	for _, k := range keys {
		add(fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s", k.Relname, k.Conname), "")
	}
	for _, table := range referenceTables {
		add(fmt.Sprintf("SELECT create_reference_table('%s')", table), table+" is on every node")
	}
	for i, table := range customersTables {
		with, says := "", table+" is distributed by customer_id"
		if i > 0 {
			with, says = fmt.Sprintf(", colocate_with => '%s'", customersTables[0]), says+", beside "+customersTables[0]
		}
		add(fmt.Sprintf("SELECT create_distributed_table('%s', 'customer_id'%s)", table, with), says)
	}
	add("SELECT create_distributed_table('claims', 'value', colocate_with => 'none')", "claims is distributed by value")
	// What was distributed is still in the coordinator's files otherwise, where no erasure reaches it.
	for _, table := range append(all, "claims") {
		add(fmt.Sprintf("SELECT truncate_local_data_after_distributing_table('%s')", table), "")
	}
	for _, k := range keys {
		add(fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s %s", k.Relname, k.Conname, k.Definition), "")
	}
	add("SET LOCAL citus.enable_unsafe_triggers TO on", "")
	for _, t := range triggers {
		if t.Relname == customersTables[0] {
			continue // they would write to a distributed table from a shard
		}
		add(t.Definition, fmt.Sprintf("%s keeps its trigger %s", t.Relname, t.Tgname))
	}
	return steps, nil
}

// distributedDatabase is isDistributed for an engine's database.
func distributedDatabase(ctx context.Context, d engine.Database) (bool, error) {
	db, err := session(d, d.Pools().Write)
	if err != nil {
		return false, err
	}
	distributed, err := isDistributed(db.WithContext(ctx))
	return distributed, databaseErrorOrNil(ctx, "asking whether tables are distributed", err)
}
