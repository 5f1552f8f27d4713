package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// floorCommand serves the floor: what a server costs that is written by hand and does not ask who calls, whether the body is
// good, or what changed. It updates a user by one statement, and shows one by one.
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
	mux.HandleFunc("PATCH /users/{id}", func(w http.ResponseWriter, r *http.Request) { patchFloor(pool, w, r) })
	mux.HandleFunc("GET /users/{id}", func(w http.ResponseWriter, r *http.Request) { getFloor(pool, w, r) })
	s := &http.Server{Addr: c.Listen, Handler: mux, ReadHeaderTimeout: time.Second}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func patchFloor(pool *pgxpool.Pool, w http.ResponseWriter, r *http.Request) {
	var body struct {
		FirstName string `json:"first_name"`
		Mobile    string `json:"mobile"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var version int64
	err := pool.QueryRow(r.Context(), floorUpdate, body.FirstName, body.FirstName, body.Mobile, time.Now().UnixMilli(), r.PathValue("id")).Scan(&version)
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
