package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/dragoman-id/dragoman/store/engine"
)

// What the tests outside of the package see of it.

// ReadsWaiting and WritesWaiting return how many jobs wait for the next batch.
func (d *Database) ReadsWaiting() int  { return d.reads.Waiting() }
func (d *Database) WritesWaiting() int { return d.writes.Waiting() }

// HoldReads has the queue of queries wait until release is called: those that come meanwhile form the next batch.
func (d *Database) HoldReads() (release func()) { return hold(&d.reads) }

// HoldWrites is HoldReads for steps.
func (d *Database) HoldWrites() (release func()) { return hold(&d.writes) }

func hold(q *engine.Queue[*statement]) (release func()) {
	began, end := make(chan struct{}), make(chan struct{})
	go func() {
		_ = q.Do(context.Background(), &statement{text: "SELECT 1", take: func(r pgx.BatchResults) error {
			_, err := r.Exec()
			close(began)
			<-end
			return err
		}})
	}()
	<-began
	return func() { close(end) }
}

// WaitForStalled has batches wait for those before them, however long it takes.
func (d *Database) WaitForStalled() { d.reads.StallAfter, d.writes.StallAfter = 0, 0 }
