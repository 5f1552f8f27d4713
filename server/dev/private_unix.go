//go:build unix

package dev

import (
	"io/fs"
	"os"
	"syscall"
)

// othersCanWrite reports whether another account than this one's and root's owns a file or can write to it. A symbolic link counts as
// what others can write: it leads where they may be the owners.
func othersCanWrite(info fs.FileInfo) bool {
	if info.Mode()&fs.ModeSymlink != 0 {
		return true
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	return info.Mode().Perm()&0o022 != 0 || ok && owner.Uid != 0 && int(owner.Uid) != os.Geteuid()
}
