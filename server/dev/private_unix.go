//go:build unix

package dev

import (
	"io/fs"
	"os"
	"syscall"
)

// othersCanWrite reports whether an account other than this one and root owns a file or can write to it. It returns true for a symbolic
// link, whose target may belong to others.
func othersCanWrite(info fs.FileInfo) bool {
	if info.Mode()&fs.ModeSymlink != 0 {
		return true
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	return info.Mode().Perm()&0o022 != 0 || ok && owner.Uid != 0 && int(owner.Uid) != os.Geteuid()
}
