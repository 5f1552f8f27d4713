package postgres

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
)

// RefusedForGood reports whether a later attempt to connect would be refused for the same reason: an unknown parameter, role, database
// or password, an encryption mode that one side does not support, an invalid certificate, or a server that is read-only or
// unsuitable.
func RefusedForGood(err error) bool {
	var unsuitable *unsuitableError
	if errors.As(err, &unsuitable) {
		return true
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return connectingIsHopeless(connect)
	}
	var refused *pgconn.PgError
	return errors.As(err, &refused) && !passing(refused.Code)
}

// LacksPrivilege reports whether Postgres has refused a statement because its role lacks a privilege. The privilege to connect does not
// count.
func LacksPrivilege(err error) bool {
	var connect *pgconn.ConnectError
	var refused *pgconn.PgError
	return !errors.As(err, &connect) && errors.As(err, &refused) && refused.Code == "42501"
}

// passing reports whether an error code of Postgres's stands for a temporary condition: see PostgreSQL's documentation, appendix A.
// PgBouncer uses 08P01 for almost every error.
func passing(code string) bool {
	switch code {
	case "25P03", "25P04", "55006", "55P03", "XX000": // transaction ended for its age, object in use, lock not available, internal error
		return true
	}
	if len(code) != 5 {
		return true
	}
	switch code[:2] {
	// Connection, transaction rollback, insufficient resources, operator intervention, errors of the system such as I/O.
	case "08", "40", "53", "57", "58":
		return true
	}
	return false
}

// reach is how far an attempt to connect to one address got.
type reach int

const (
	notReached reach = iota // nothing answered
	notYet                  // the other end refused, perhaps temporarily
	turnedAway              // the other end refused for good
)

// connectingIsHopeless examines every attempt of a connection. If the URL names several hosts, one that did not answer may be the
// right one. A single host may have several addresses, such as 127.0.0.1 and ::1, and be tried with and without encryption: then only
// the attempts that were answered count.
func connectingIsHopeless(e *pgconn.ConnectError) bool {
	several := false
	for _, f := range e.Config.Fallbacks {
		several = several || f.Host != e.Config.Host || f.Port != e.Config.Port
	}
	hopeless := false
	for _, err := range connectAttempts(e) {
		switch reached(err) {
		case turnedAway:
			hopeless = true
		case notYet:
			return false
		case notReached:
			if several {
				return false
			}
		}
	}
	return hopeless
}

func reached(err error) reach {
	var refused *pgconn.PgError
	var operation *net.OpError
	var network net.Error
	switch {
	case errors.As(err, &refused):
		if passing(refused.Code) {
			return notYet
		}
		return turnedAway
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return notReached
	case errors.As(err, &operation):
		switch operation.Op {
		case "dial":
			return notReached
		case "remote error", "local error": // an alert of TLS
			return turnedAway
		}
		return notYet
	case errors.As(err, &network): // also an unknown host name
		return notReached
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return notYet
	}
	// All other errors are pgx's own, such as for a server without TLS, or for a certificate.
	return turnedAway
}
