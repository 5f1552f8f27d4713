package store

import (
	"testing"
	"time"
)

// TestStandbyLag compares positions of a standby with those that its primary had.
func TestStandbyLag(t *testing.T) {
	t.Parallel()
	began := time.Unix(1000, 0)
	s := &standby{config: StandbyConfig{MaxLag: 5 * time.Second}}
	for _, c := range []struct {
		second             int
		position, replayed int64
		want               time.Duration
	}{
		{0, 100, 90, 5 * time.Second}, // never seen where it is: too far
		{1, 110, 100, time.Second},
		{2, 120, 120, 0},
		{3, 130, 121, time.Second},
		{4, 140, 121, 2 * time.Second},
		{5, 140, 140, 0}, // an idle primary
		{9, 150, 140, 4 * time.Second},
		{10, 150, 140, 5 * time.Second},
		{11, 150, 140, 6 * time.Second},
		{60, 150, 140, 49 * time.Second}, // at least: what was before is forgotten
		{61, 150, 150, 0},
		{62, 20, 30, 0}, // another primary, with less
		{63, 40, 10, 5 * time.Second},
	} {
		if got := s.lag(began.Add(time.Duration(c.second)*time.Second), c.position, c.replayed); got != c.want {
			t.Errorf("at %d s: %s behind, want %s", c.second, got, c.want)
		}
	}
	if len(s.positions) > 8 {
		t.Errorf("%d positions are kept", len(s.positions))
	}
}
