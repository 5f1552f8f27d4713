package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// floorCommand serves the floor, the baseline that the program is compared with: a minimal hand-written server that checks neither the
// caller nor the body and keeps no history. It updates or reads a user with one statement. Updates under /users run in a transaction of
// their own each, and those under /batched share transactions.
type floorCommand struct {
	Listen   string `required:""`
	Postgres string `required:""`
}

const floorUpdate = `UPDATE users SET first_name = $1, first_name_fold = $2, mobile = $3, updated_at = $4, version = version + 1
	WHERE customer_id = 1 AND uuid = $5 RETURNING version`

const floorSelect = `SELECT uuid, first_name, last_name, email, mobile, status, email_verified, first_login, roles, created_at, created_by,
	updated_at, updated_by, version FROM users WHERE customer_id = 1 AND uuid = $1`

// Run serves until ctx is done.
func (c *floorCommand) Run(ctx context.Context) error {
	config, err := pgxpool.ParseConfig(c.Postgres)
	if err != nil {
		return err
	}
	config.MaxConns = 16
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	mux := http.NewServeMux()
	update := func(ctx context.Context, arguments []any) error {
		return pool.QueryRow(ctx, floorUpdate, arguments...).Scan(new(int64))
	}
	queue := make(floorQueue)
	for range floorWorkers {
		go queue.work(ctx, pool)
	}
	mux.HandleFunc("PATCH /users/{id}", func(w http.ResponseWriter, r *http.Request) { patchFloor(update, w, r) })
	mux.HandleFunc("PATCH /batched/{id}", func(w http.ResponseWriter, r *http.Request) { patchFloor(queue.update, w, r) })
	mux.HandleFunc("GET /users/{id}", func(w http.ResponseWriter, r *http.Request) { getFloor(pool, w, r) })
	s := &http.Server{Addr: c.Listen, Handler: mux, ReadHeaderTimeout: time.Second}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// The maximum numbers of concurrent transactions and of updates in each. They are the same as the program's.
const (
	floorWorkers = 4
	floorBatch   = 64
)

// floorWrite is an update to be committed in a batch.
type floorWrite struct {
	arguments []any // of floorUpdate
	done      chan error
}

// floorQueue passes updates to workers. A worker commits the waiting updates in one transaction.
type floorQueue chan floorWrite

func (q floorQueue) update(ctx context.Context, arguments []any) error {
	w := floorWrite{arguments, make(chan error, 1)}
	select {
	case q <- w:
		return <-w.done
	case <-ctx.Done():
		return ctx.Err()
	}
}

// work commits updates until ctx is done. It orders the updates of a batch by user, so that batches cannot deadlock.
func (q floorQueue) work(ctx context.Context, pool *pgxpool.Pool) {
	for {
		var writes []floorWrite
		select {
		case w := <-q:
			writes = append(writes, w)
		case <-ctx.Done():
			return
		}
		for waiting := true; waiting && len(writes) < floorBatch; {
			select {
			case w := <-q:
				writes = append(writes, w)
			default:
				waiting = false
			}
		}
		slices.SortFunc(writes, func(a, b floorWrite) int { return strings.Compare(a.user(), b.user()) })
		var batch pgx.Batch
		for _, w := range writes {
			batch.Queue(floorUpdate, w.arguments...)
		}
		results := pool.SendBatch(ctx, &batch)
		errs := make([]error, len(writes))
		for i := range writes {
			errs[i] = results.QueryRow().Scan(new(int64))
		}
		closed := results.Close() // the transaction is committed
		for i, w := range writes {
			w.done <- cmp.Or(errs[i], closed)
		}
	}
}

// user returns the UUID of the user to update.
func (w floorWrite) user() string {
	id, _ := w.arguments[len(w.arguments)-1].(string)
	return id
}

func patchFloor(update func(context.Context, []any) error, w http.ResponseWriter, r *http.Request) {
	var body struct {
		FirstName string `json:"first_name"`
		Mobile    string `json:"mobile"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	err := update(r.Context(), []any{body.FirstName, body.FirstName, body.Mobile, time.Now().UnixMilli(), r.PathValue("id")})
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprint(w, `{"status":"success","message":"User details updated successfully"}`)
}

func getFloor(pool *pgxpool.Pool, w http.ResponseWriter, r *http.Request) {
	var u struct {
		ID            string  `json:"id"`
		FirstName     string  `json:"first_name"`
		LastName      string  `json:"last_name"`
		Email         string  `json:"email"`
		Mobile        *string `json:"mobile"`
		Status        string  `json:"status"`
		EmailVerified bool    `json:"is_email_verified"`
		FirstLogin    bool    `json:"is_first_login"`
		Roles         int64   `json:"roles"`
		CreatedAt     int64   `json:"created_at"`
		CreatedBy     *string `json:"created_by"`
		UpdatedAt     int64   `json:"updated_at"`
		UpdatedBy     *string `json:"updated_by"`
		Version       int64   `json:"version"`
	}
	err := pool.QueryRow(r.Context(), floorSelect, r.PathValue("id")).Scan(&u.ID, &u.FirstName, &u.LastName, &u.Email, &u.Mobile, &u.Status,
		&u.EmailVerified, &u.FirstLogin, &u.Roles, &u.CreatedAt, &u.CreatedBy, &u.UpdatedAt, &u.UpdatedBy, &u.Version)
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(u)
}

func fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	if errors.Is(err, pgx.ErrNoRows) {
		status = http.StatusNotFound
	}
	http.Error(w, err.Error(), status)
}
