package testinium

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/dragoman-id/dragoman/server/dialect"
)

// closed is the answer to a client that has closed its connection.
type closed struct{ http.ResponseWriter }

func (closed) Write([]byte) (int, error) {
	client := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 50000}
	return 0, &net.OpError{Op: "write", Net: "tcp", Addr: client, Err: syscall.ECONNRESET}
}

// TestWriteErrorOmitsClientAddress: its address is personal data, and errors are logged.
func TestWriteErrorOmitsClientAddress(t *testing.T) {
	t.Parallel()
	_, err := progressing{closed{}, &dialect.Call{}}.Write(nil)
	if !errors.Is(err, syscall.ECONNRESET) || strings.Contains(err.Error(), "192.0.2.1") {
		t.Errorf("the error is %v", err)
	}
}
