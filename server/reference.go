package server

import "embed"

// reference has the guide's pages that are in this directory.
//
//go:embed SEMANTICS.md FIELDS.md
var reference embed.FS
