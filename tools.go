//go:build tools

// Package main pins the tools that make code, so that go.mod decides their versions. Those that only look at it are pinned
// in the Makefile: what gosec pulls in is several times what the server needs.
package main

import (
	_ "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen"
	_ "honnef.co/go/tools/cmd/staticcheck"
)
