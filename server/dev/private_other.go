//go:build !unix

package dev

import "io/fs"

// othersCanWrite is never so where a mode says nothing of other accounts.
func othersCanWrite(fs.FileInfo) bool { return false }
