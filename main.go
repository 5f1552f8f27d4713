// Command dragoman serves one user directory in the API dialects of two vendors.
package main

import "github.com/dragoman-id/dragoman/server/cli"

// The linker sets these for a release, by -ldflags "-X main.version=1.2.0 ..."; see the Makefile.
var (
	version string
	commit  string
	date    string // RFC 3339
)

func main() { cli.Main(version, commit, date) }
