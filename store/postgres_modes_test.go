package store_test

import (
	"context"
	"reflect"
	"testing"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestQueryExecModes checks each way of sending statements, of which poolers in front of Postgres need some.
func TestQueryExecModes(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := storetest.Open(t, storetest.PostgresURL(t)+"&default_query_exec_mode="+mode)
			storetest.Directory(t, s)
			u := find(t, s, ada)
			if again := find(t, s, store.UserByUUID(u.CustomerID, u.UUID)); !reflect.DeepEqual(again, u) {
				t.Errorf("%+v, %+v", again, u)
			}
			actor := u.UUID
			after, _, err := s.UpdateUser(context.Background(), ada, store.Change{Actor: &actor, Edit: pure(func(u *store.User) { u.FirstName = "Augusta" })})
			if err != nil || *after.UpdatedBy != actor {
				t.Errorf("%+v, %v", after, err)
			}
			if stored := find(t, s, ada); !reflect.DeepEqual(stored, after) {
				t.Errorf("%+v, %+v", stored, after)
			}
		})
	}
}
