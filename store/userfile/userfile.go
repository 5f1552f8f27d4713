// Package userfile reads and writes files of users, and imports and exports whole files. A file is CSV (RFC 4180) with a header, or
// NDJSON, an object a line.
//
// It knows the two formats; the columns come from package store. It does not know HTTP, dialects, terminals, or who may do what.
//
// A CSV column and an NDJSON member have one name, that of the database's column ([store.FileColumns]). Everything of a user is there
// that is not secret: password, access token and VCS password are neither written nor read. What a file leaves out, or leaves empty,
// has no value, is false or never was, but for these:
//
//	id                      the next one
//	uuid                    a random one
//	customer                required: the customer's id; its UUID will do as well
//	first_name, last_name   required, and may be empty
//	username                the e-mail
//	email                   required
//	status                  INVITED
//	account_non_expired     true
//	account_non_locked      true
//	credential_non_expired  true
//	first_login             true
//	created_at              the time of the import
//	updated_at              as created_at
//	version                 1
//
// "Leaves empty" is an empty CSV field, or null. In CSV the names of roles have a space between them, in NDJSON they are an
// array. Times are RFC 3339; they are written in UTC with milliseconds, and what is read beyond these is cut off. A
// column with another name is refused, rather than ignored.
//
// Values are written as they are. What a spreadsheet makes of a text that looks like a formula is the spreadsheet's matter.
package userfile

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Format is the form of a file.
type Format string

// The formats.
const (
	CSV    Format = "csv"
	NDJSON Format = "ndjson"
	// Spreadsheet is CSV that is safe to open in a spreadsheet: a cell that it could take for a formula begins with an apostrophe. An
	// import would take the apostrophe for a part of the value.
	Spreadsheet Format = "spreadsheet"
)

// FormatOf returns the format for a file name's extension (.csv, .ndjson, .jsonl), and whether there is one.
func FormatOf(name string) (Format, bool) {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".csv":
		return CSV, true
	case ".ndjson", ".jsonl":
		return NDJSON, true
	}
	return "", false
}

// Problem is one thing that is wrong with a line.
type Problem struct {
	Column string // empty: the line as a whole
	Reason string // a predicate about the column or the line
}

// LineError is all that is wrong with one line of a file.
type LineError struct {
	Line     int64 // counted from 1 by the line breaks of the file; for a record of several lines its first
	Problems []Problem
}

func (e *LineError) Error() string {
	reasons := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		reasons[i] = strings.TrimSpace(p.Column + " " + p.Reason)
	}
	return fmt.Sprintf("line %d: %s", e.Line, strings.Join(reasons, "; "))
}

// wholeLine is an error about no column in particular.
func wholeLine(line int64, reason string, args ...any) *LineError {
	return &LineError{Line: line, Problems: []Problem{{Reason: fmt.Sprintf(reason, args...)}}}
}
