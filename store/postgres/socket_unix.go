//go:build unix

package postgres

import (
	"net"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"
)

// socketKey is the key of a connection's socket in pgconn's custom data.
const socketKey = "dragoman.socket"

// socket finds out without a round trip whether an idle connection has input, which means that the other end has closed it. It is
// reused so that a check allocates nothing.
type socket struct {
	raw      syscall.RawConn
	poll     func(fd uintptr)
	polled   [1]unix.PollFd
	readable bool
}

// watchSocket prepares a connection for hasNews.
func watchSocket(c *pgconn.PgConn) {
	conn := c.Conn()
	if encrypted, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = encrypted.NetConn()
	}
	sys, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return // the connection is closed, which its first use reports
	}
	s := &socket{raw: raw}
	s.poll = func(fd uintptr) {
		s.polled[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN} // #nosec G115 -- a file descriptor
		n, err := unix.Poll(s.polled[:], 0)
		s.readable = n > 0 && err == nil
	}
	c.CustomData()[socketKey] = s
}

// hasNews reports whether an idle connection has input or was closed by the other end.
func hasNews(c *pgconn.PgConn) bool {
	s, ok := c.CustomData()[socketKey].(*socket)
	return ok && (s.raw.Control(s.poll) != nil || s.readable)
}
