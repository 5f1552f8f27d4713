// Package userfile reads and writes files of users, and imports and exports them. A file is either CSV (RFC 4180) with a header, or
// NDJSON with one object per line.
//
// The package implements the two formats. The columns are defined by package store. It does not depend on HTTP, dialects or
// terminals, and does not authorize its callers.
//
// A CSV column and an NDJSON member have the name of the column in the database ([store.FileColumns]). Files contain all fields of a
// user except secrets: password, access token and VCS password are neither written nor read. A field that is omitted or empty in a
// file is null or false, except for these:
//
//	id                      the next one
//	uuid                    a random one
//	customer                required: the customer's id or UUID
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
// An empty field is an empty CSV field or a JSON null. The names of roles are separated by spaces in CSV, and are an array in NDJSON.
// Times are in RFC 3339 format. They are written in UTC with milliseconds, and truncated to milliseconds when they are read. A column
// with another name is an error.
//
// CSV and NDJSON values are written unchanged, so that a spreadsheet may take some of them for formulas; see [Spreadsheet].
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
	// Spreadsheet is CSV that is safe to open in a spreadsheet: a cell that could be taken for a formula is prefixed with an
	// apostrophe. It is not for imports, which would read the apostrophe as part of the value.
	Spreadsheet Format = "spreadsheet"
)

// FormatOf returns the format for the extension of a file name (.csv, .ndjson or .jsonl), and whether there is one.
func FormatOf(name string) (Format, bool) {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".csv":
		return CSV, true
	case ".ndjson", ".jsonl":
		return NDJSON, true
	}
	return "", false
}

// Problem describes an error in a line.
type Problem struct {
	Column string // empty if the problem is with the line as a whole
	Reason string // a predicate about the column or the line
}

// LineError contains all problems of one line of a file.
type LineError struct {
	Line     int64 // the number of the line, from 1; for a record of several lines, that of its first
	Problems []Problem
}

func (e *LineError) Error() string {
	reasons := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		reasons[i] = strings.TrimSpace(p.Column + " " + p.Reason)
	}
	return fmt.Sprintf("line %d: %s", e.Line, strings.Join(reasons, "; "))
}

// wholeLine returns an error about a line as a whole.
func wholeLine(line int64, reason string, args ...any) *LineError {
	return &LineError{Line: line, Problems: []Problem{{Reason: fmt.Sprintf(reason, args...)}}}
}
