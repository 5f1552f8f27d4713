// Package faulttest causes faults for real and looks at what the program makes of them: it builds the program, runs it as a
// process against a Postgres of its own or a SQLite file, stops, freezes, cuts off, fills up and kills what it depends on and
// the program itself, and asks it over HTTP meanwhile. Each fault is described in server/docs/guide/faults.md.
//
// It is all tests. It does not know how the server is made: it has the program, its flags, its log and its answers, and the
// database's own tools. A fault that this machine does not allow, or has no program for, is skipped aloud; where CI is true
// a missing Postgres fails. There are tests on Linux alone, where /proc tells which processes are Postgres's.
package faulttest
