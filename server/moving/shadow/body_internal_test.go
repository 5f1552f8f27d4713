package shadow

import (
	"bytes"
	"io"
	"testing"
)

// TestRecorderOfSmallParts: a body that comes byte by byte takes no more slices than another.
func TestRecorderOfSmallParts(t *testing.T) {
	t.Parallel()
	var all memory
	all.left.Store(1 << 20)
	r := recorder{max: 1 << 20, memory: &all}
	for i := range 100_000 {
		if _, err := r.Write([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	read, err := io.ReadAll(r.reader())
	if err != nil || len(read) != 100_000 || !bytes.Equal(read, r.bytes()) || read[99_999] != byte(99_999%256) || len(r.chunks) != 4 {
		t.Errorf("%d bytes in %d slices, %v", len(read), len(r.chunks), err)
	}
	if r.release(); all.left.Load() != 1<<20 {
		t.Errorf("%d bytes are left", all.left.Load())
	}
}
