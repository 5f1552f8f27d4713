package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

type runCommand struct {
	measureFlags
	Users       int   `default:"10000" help:"The number of users in the directory."`
	Connections []int `default:"1,16,64,256" help:"The numbers of connections to measure with."`
}

const (
	patchBody = `{"first_name":"Ada {n}","mobile":"+44 20 7946 0000"}`
	putBody   = `{"name":"Ada {n}","surname":"Lovelace","username":"user{id}","email":"user{id}@example.com","enabled":true,` +
		`"accountNonExpired":true,"accountNonLocked":true,"credentialNonExpired":true,"authorities":[{"name":"ROLE_USER"}]}`
	worthUsers     = "/auth/api/v1/customers/" + customerUUID + "/users"
	testiniumUsers = "/account/api/v1/customers/1/users"
)

// updates are the requests that write, and get is the one that reads what they write.
var (
	updates = []subject{
		{name: "PATCH", method: "PATCH", path: worthUsers + "/{uuid}", body: patchBody},
		{name: "PUT", method: "PUT", path: testiniumUsers + "/{id}", body: putBody},
	}
	get = subject{name: "GET", method: "GET", path: worthUsers + "/{uuid}"}
)

// Validate rejects flags that no measurement is possible with.
func (c *runCommand) Validate() error {
	if c.Users < 1 || len(c.Connections) == 0 || slices.Min(c.Connections) < 1 {
		return errors.New("--users and --connections must be at least 1")
	}
	return c.measureFlags.Validate()
}

// Run measures everything in turn.
func (c *runCommand) Run(ctx context.Context) (err error) {
	b, err := newBench(ctx, &c.measureFlags)
	if err != nil {
		return err
	}
	defer b.close()
	found := runFindings{command: c}
	if err := c.prepare(ctx, b, &found); err != nil {
		return err
	}
	if found.results, err = b.run(ctx, c.Connections); err != nil {
		return err
	}
	if found.idleAfter, err = b.idleAfterLoad(ctx); err != nil {
		return err
	}
	found.machine = b.machine
	return b.publish(section{resultsFile, "bench", found.writeAll}, section{guideFile, "bench", found.writeQuote})
}

// prepare fills a directory on each engine, starts the servers, and adds the subjects to measure.
func (c *runCommand) prepare(ctx context.Context, b *bench, found *runFindings) error {
	postgres, err := b.newSchema(ctx)
	if err != nil {
		return err
	}
	// The floor and pgbench have a directory of their own, because their writes would make the program's cached users stale.
	plain, err := b.newSchema(ctx)
	if err != nil {
		return err
	}
	if err := b.importUsers(ctx, plain, c.Users, c.Users+1); err != nil {
		return err
	}
	b.add(subject{engine: "postgres", name: "pgbench UPDATE", database: plain, statement: pgbenchUpdate(c.Users), floor: true})
	b.add(subject{engine: "postgres", name: "pgbench UPDATE, history", database: plain, statement: pgbenchWithHistory(c.Users), floor: true})
	floor, err := b.startFloor(ctx, plain)
	if err != nil {
		return err
	}
	for _, s := range floorSubjects(floor) {
		s.users = c.Users
		b.add(s)
	}
	b.add(subject{engine: "sqlite", name: "commit by hand", byHand: b.file("byhand.db"), only: 1, floor: true})
	for _, database := range []string{postgres, "sqlite:" + b.file("dragoman.db")} {
		if err := b.importUsers(ctx, database, c.Users, c.Users+1); err != nil {
			return err
		}
		if engineOf(database) == "sqlite" {
			if found.start, found.idle, err = b.measureStarts(ctx, database); err != nil {
				return err
			}
		}
		server, err := b.startProgram(ctx, database)
		if err != nil {
			return err
		}
		for _, s := range append(slices.Clone(updates), get, subject{name: "list", method: "GET", path: worthUsers + "?page=1"}) {
			s.engine, s.server, s.users = engineOf(database), server, c.Users
			b.add(s)
		}
	}
	return nil
}

// update is the floor's UPDATE, with pgbench's variables.
const update = `UPDATE users SET first_name = 'Ada ' || :n::text, first_name_fold = 'ada ' || :n::text, mobile = '+44 20 7946 0000',
	updated_at = :n, version = version + 1 WHERE customer_id = 1 AND id = :id`

// pgbenchUpdate returns a script for pgbench with the floor's UPDATE.
func pgbenchUpdate(users int) string { return pgbenchScript(users, update) }

// pgbenchWithHistory returns a script that also adds a row to the history, as the program must. Its throughput is an upper bound for the program's throughput.
func pgbenchWithHistory(users int) string {
	return pgbenchScript(users, "WITH written AS ("+update+` RETURNING id, version)
	INSERT INTO user_changes (user_id, version, customer_id, at, subject, dialect, operation, request_id, fields)
	SELECT id, version, 1, :n, '00000000-0000-4000-8000-000000000001', 'worth', 'updateCustomerUser', '00000000-0000-4000-8000-000000000002',
		'[{"field":"firstName","old":"Ada 1","new":"Ada 2"}]' FROM written`)
}

// pgbenchScript returns a script for pgbench that runs a statement with a random :id and a random :n. It puts the statement on one line.
func pgbenchScript(users int, statement string) string {
	return fmt.Sprintf("\\set id random(1, %d)\n\\set n random(1, 1000000000)\n%s;\n", users, strings.Join(strings.Fields(statement), " "))
}

// runFindings is what a run measured.
type runFindings struct {
	command   *runCommand
	machine   []string
	results   results
	start     time.Duration // from the program's start on an existing SQLite database until it is ready
	idle      int64         // the program's resident memory some time after its start, in bytes
	idleAfter int64         // the largest resident memory of any program some time after the last load, in bytes
}

func (f *runFindings) writeAll(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "%s\n\n", strings.Join(f.machine, "\n")); err != nil {
		return err
	}
	if err := f.results.write(w); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nTargets, of this run:\n\n")
	if err != nil {
		return err
	}
	return writeTargets(w, f.targets())
}

// quoted is the number of connections of the results that the guide shows.
const quoted = 16

func (f *runFindings) writeQuote(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "%s\n\n", f.machine[0]); err != nil {
		return err
	}
	t := newTable(w, "at 16 connections", "requests/s", "of the floor", "of the batching floor", "CPU of the server a request", "of the floor")
	for _, r := range f.results {
		if r.connections != quoted {
			continue
		}
		m := r.median()
		throughput, besideBatched, cpu := f.results.besideFloor(r)
		t.row(label(r.subject), number(m.perSecond), throughput, besideBatched, short(m.cpu), cpu)
	}
	return t.flush()
}
