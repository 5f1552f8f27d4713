package store_test

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestReadsWhileConnectionsAreEnded has an administrator end all connections again and again: a read goes on over another, also when
// the connection ends while it is being used.
func TestReadsWhileConnectionsAreEnded(t *testing.T) {
	t.Parallel()
	address := storetest.PostgresURL(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	name := q.Get("search_path")
	q.Set("application_name", name)
	u.RawQuery = q.Encode()
	s := storetest.Open(t, u.String())
	storetest.Directory(t, s)

	ending := make(chan struct{})
	go func() {
		defer close(ending)
		storetest.PostgresExec(t, address, fmt.Sprintf(`DO $$ BEGIN
			FOR n IN 1..40 LOOP
				PERFORM pg_stat_clear_snapshot();
				PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '%s';
				PERFORM pg_sleep(0.02);
			END LOOP;
		END $$`, name))
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for ended := false; !ended; {
				select {
				case <-ending:
					ended = true
				default:
				}
				if _, err := s.FindUser(ctx, ada); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}
