package storetest

import (
	"context"
	"os"
	"testing"

	"github.com/dragoman-id/dragoman/store"
)

const (
	// CitusVariable names the environment variable that holds the URL of the coordinator of a Citus cluster with the extension, for tests.
	CitusVariable = "TEST_CITUS_DSN"
	// DistributedVariable names the environment variable that, if it is not empty, has every Postgres schema for tests be one of
	// [DistributedURL].
	DistributedVariable = "TEST_DISTRIBUTED"
)

// Distributed reports whether DistributedVariable is set.
func Distributed() bool { return os.Getenv(DistributedVariable) != "" }

// EmptyCitusURL is [EmptyPostgresURL] on the cluster of TEST_CITUS_DSN. Without that it skips the test.
func EmptyCitusURL(t testing.TB) string {
	t.Helper()
	dsn := os.Getenv(CitusVariable)
	if dsn == "" {
		t.Skipf("%s is not set: nothing runs on a real Citus", CitusVariable)
	}
	return SchemaOf(t, dsn)
}

// DistributedURL is [EmptyCitusURL] with a schema that was migrated and whose tables are distributed.
func DistributedURL(t testing.TB) string {
	t.Helper()
	url := EmptyCitusURL(t)
	if err := store.Distribute(context.Background(), url, store.Wait{}, func(string) {}); err != nil {
		t.Fatal(err)
	}
	return url
}

// SkipDistributed skips a test that has a database of [DistributedURL].
func SkipDistributed(t testing.TB, url, why string) {
	t.Helper()
	if Distributed() && store.EngineOf(url) == "postgres" {
		t.Skip(why)
	}
}
