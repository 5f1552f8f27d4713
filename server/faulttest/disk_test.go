//go:build linux

package faulttest

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// disk is a small file system in memory.
type disk struct{ dir string }

// smallDisk mounts a disk, or skips the test if that is not permitted.
func smallDisk(t testing.TB, size int) *disk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can mount a disk")
	}
	d := &disk{folder(t)}
	if err := mount(d.dir, "size="+strconv.Itoa(size)); err != nil {
		t.Skipf("a disk cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := unmount(d.dir); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *disk) filler() string { return filepath.Join(d.dir, "filler") }

// fill fills the disk.
func (d *disk) fill(t testing.TB) {
	t.Helper()
	f, err := os.Create(d.filler())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for zeros := make([]byte, 4096); ; {
		if _, err := f.Write(zeros); errors.Is(err, syscall.ENOSPC) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// empty undoes fill.
func (d *disk) empty(t testing.TB) {
	t.Helper()
	if err := os.Remove(d.filler()); err != nil {
		t.Fatal(err)
	}
}
