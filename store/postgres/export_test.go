package postgres

import (
	"context"
	"database/sql/driver"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/dragoman-id/dragoman/store/engine"
)

// What the tests outside of the package see of it.

// ReadsWaiting and WritesWaiting return how many jobs wait for the next batch.
func (d *Database) ReadsWaiting() int  { return d.reads.Waiting() }
func (d *Database) WritesWaiting() int { return d.writes.Waiting() }

// HoldReads has the queue of queries wait until release is called: those that come meanwhile form the next batch.
func (d *Database) HoldReads() (release func()) {
	return hold(func(s engine.SQL) {
		_ = d.reads.Do(context.Background(), &query{text: d.texts.of(s.Text), arguments: s.Arguments, take: func(r pgx.BatchResults) error {
			_, err := r.Exec()
			return err
		}})
	})
}

// HoldWrites is HoldReads for steps.
func (d *Database) HoldWrites() (release func()) {
	return hold(func(s engine.SQL) {
		_ = d.writes.Do(context.Background(), &step{Step: engine.Step{Statements: []engine.SQL{s}}})
	})
}

// hold runs a statement whose argument is computed when release is called.
func hold(run func(engine.SQL)) (release func()) {
	a := &pending{began: make(chan struct{}), end: make(chan struct{})}
	go run(engine.SQL{Text: "SELECT ?::bigint", Arguments: []any{a}})
	<-a.began
	return func() { close(a.end) }
}

// pending is an argument whose value is waited for.
type pending struct {
	once       sync.Once
	began, end chan struct{}
}

// Value is for the driver.
func (p *pending) Value() (driver.Value, error) {
	p.once.Do(func() { close(p.began) })
	<-p.end
	return int64(1), nil
}

// WaitForStalled has batches wait for those before them, however long it takes.
func (d *Database) WaitForStalled() { d.reads.StallAfter, d.writes.StallAfter = 0, 0 }
