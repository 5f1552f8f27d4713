package server

import "embed"

// reference has the pages of the guide that are not in server/docs/guide.
//
//go:embed SEMANTICS.md FIELDS.md
var reference embed.FS
