package postgres

import (
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestHangingHost connects through two hosts of which the first accepts connections and does not answer.
func TestHangingHost(t *testing.T) {
	t.Parallel()
	var addresses []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0") // its connections are accepted by the system
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	config, err := parseURL("postgres://u@" + addresses[0] + "," + addresses[1] + "/d?sslmode=disable&connect_timeout=1")
	if err != nil {
		t.Fatal(err)
	}
	known := &hosts{}
	attempt := func() time.Duration {
		c, g := *config, &guard{hosts: known}
		g.beforeConnect(&c)
		start := time.Now()
		if _, err := pgx.ConnectConfig(t.Context(), &c); err == nil {
			t.Fatal("connected")
		}
		known.dialing(g, "")
		return time.Since(start)
	}
	if took := attempt(); took < 2*time.Second {
		t.Errorf("the first attempt gave the hosts %s", took)
	}
	if took := attempt(); took < 2*hangingTimeout || took >= 2*time.Second {
		t.Errorf("the second attempt gave the hosts %s", took)
	}
	known.answered(addresses[1])
	if !known.hangs(addresses[0]) || known.hangs(addresses[1]) {
		t.Errorf("these hang: %v", known.hanging)
	}
}
