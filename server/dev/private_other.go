//go:build !unix

package dev

import "io/fs"

// othersCanWrite returns false on systems whose file modes say nothing about other accounts.
func othersCanWrite(fs.FileInfo) bool { return false }
