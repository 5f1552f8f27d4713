//go:build unix

package postgres

import (
	"net"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"
)

// socketKey is where a connection's socket is kept in pgconn's custom data.
const socketKey = "dragoman.socket"

// socket tells without a round trip whether something came over an idle connection. Nothing should: what comes is the other
// end's farewell. Its fields are kept so that asking allocates nothing.
type socket struct {
	raw      syscall.RawConn
	poll     func(fd uintptr)
	polled   [1]unix.PollFd
	readable bool
}

// watchSocket makes hasNews work for a connection.
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
		return // of a connection that is closed, which its first use tells
	}
	s := &socket{raw: raw}
	s.poll = func(fd uintptr) {
		s.polled[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN} // #nosec G115 -- a file descriptor
		n, err := unix.Poll(s.polled[:], 0)
		s.readable = n > 0 && err == nil
	}
	c.CustomData()[socketKey] = s
}

// hasNews reports whether an idle connection has something to read, or its end.
func hasNews(c *pgconn.PgConn) bool {
	s, ok := c.CustomData()[socketKey].(*socket)
	return ok && (s.raw.Control(s.poll) != nil || s.readable)
}
