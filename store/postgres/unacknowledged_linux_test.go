package postgres

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSocketOptions checks what ends a connection over a network that drops everything where no request's deadline does, as in an
// import.
func TestSocketOptions(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	config, err := parseURL("postgres://u@127.0.0.1/d")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := config.DialFunc(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for name, option := range map[string]struct{ number, want int }{
		"TCP_USER_TIMEOUT": {unix.TCP_USER_TIMEOUT, int((20 * time.Second).Milliseconds())},
		"TCP_KEEPIDLE":     {unix.TCP_KEEPIDLE, 15},
		"TCP_KEEPINTVL":    {unix.TCP_KEEPINTVL, 5},
		"TCP_KEEPCNT":      {unix.TCP_KEEPCNT, 3},
	} {
		err := raw.Control(func(fd uintptr) {
			if got, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option.number); err != nil || got != option.want {
				t.Errorf("%s is %d, %v, want %d", name, got, err, option.want)
			}
		})
		if err != nil {
			t.Error(err)
		}
	}
}
