package postgres

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// discreet limits what a connection's error repeats of the URL to hosts, ports and the database's name. Errors of pgx (5.12) name the
// user, and Postgres's own messages name the user and the parameters, in the server's language.
func discreet(err error) error {
	var refused *pgconn.ConnectError
	if errors.As(err, &refused) {
		return &connectError{refused}
	}
	return err
}

// connectError is a pgconn.ConnectError with another text.
type connectError struct{ err *pgconn.ConnectError }

// Unwrap returns pgx's error.
func (e *connectError) Unwrap() error { return e.err }

// Error returns one line with each distinct attempt.
func (e *connectError) Error() string {
	var texts []string
	for _, attempt := range connectAttempts(e.err) {
		if text := attemptText(attempt); !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	name := ""
	if e.err.Config.Database != "" {
		name = "database " + e.err.Config.Database + ": "
	}
	return name + strings.Join(texts, "; ")
}

// connectAttempts returns the errors of the attempts at one connection, which pgx joins.
func connectAttempts(e *pgconn.ConnectError) []error {
	for err := error(e); err != nil; err = errors.Unwrap(err) {
		if all, ok := err.(interface{ Unwrap() []error }); ok {
			return all.Unwrap()
		}
	}
	return []error{errors.Unwrap(e)}
}

// attemptText is the text of one attempt, with the address if the cause does not contain it.
func attemptText(err error) string {
	var lookup *net.DNSError
	var network *net.OpError
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &lookup):
		return lookup.Error()
	case errors.As(err, &refused):
		// The text before the cause is the address and the host's name.
		address, _, _ := strings.Cut(err.Error(), ": ")
		return address + ": " + refusalText(refused)
	case errors.As(err, &network) && network.Op == "dial":
		return network.Error()
	}
	text := err.Error()
	if strings.Contains(text, "require_auth") || strings.Contains(text, "method requirement") { // which pgx repeats
		address, _, _ := strings.Cut(text, ": ")
		return address + ": the server does not authenticate as the parameter require_auth of the URL wants it"
	}
	text = strings.ReplaceAll(text, "\n", " ")
	if reached(err) == turnedAway { // by pgx, which does not accept what the server offers
		text += ": see sslmode and the other parameters of the URL in --database (DRAGOMAN_DATABASE)"
	}
	return text
}

// refusalText explains an error of Postgres's during connection.
func refusalText(e *pgconn.PgError) string {
	what := "the server refuses the connection of --database (DRAGOMAN_DATABASE)"
	switch {
	case e.Code == "28P01":
		what = "the server refuses the user or the password of --database (DRAGOMAN_DATABASE)"
	case strings.HasPrefix(e.Code, "28"):
		what = "the server refuses the user of --database (DRAGOMAN_DATABASE), or has no line for this host, user, database and encryption in its pg_hba.conf"
	case e.Code == "3D000":
		what = "there is no database of this name: create it, or name another in --database (DRAGOMAN_DATABASE)"
	case e.Code == "42501":
		what = "the user of --database (DRAGOMAN_DATABASE) may not connect to this database"
	case e.Code == "42704", e.Code == "22023", e.Code == "0A000", e.Code == "42602", e.Code == "22P02", e.Code == "55P02":
		what = "the server does not take a parameter of the URL in --database (DRAGOMAN_DATABASE), its name or its value"
	case e.Code == "08P01":
		what = "the pooler or server does not take the connection: its user, its database, or a parameter of the URL in --database " +
			"(DRAGOMAN_DATABASE), which ALTER ROLE name SET can set instead"
	case e.Code == "53300":
		what = "the server has too many connections"
	case strings.HasPrefix(e.Code, "57"):
		what = "the server is starting up or shutting down"
	}
	for _, name := range shownParameters {
		if strings.Contains(e.Message, name) {
			what += ", here " + name
			break
		}
	}
	return fmt.Sprintf("%s (%s)", what, e.Code)
}

// shownParameters are the parameters that an error names if the server's message does. Their names are not secret.
var shownParameters = []string{
	"search_path", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "transaction_timeout",
	"default_transaction_isolation", "default_transaction_read_only", "client_encoding", "standard_conforming_strings",
	"extra_float_digits", "application_name", "target_session_attrs", "work_mem", "DateStyle", "TimeZone", "timezone", "options",
}
