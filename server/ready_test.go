package server_test

import (
	"net"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/servertest"
)

func TestCheckReady(t *testing.T) {
	s := servertest.Start(t)
	address := strings.TrimPrefix(s.URL, "http://")
	if err := server.CheckReady(t.Context(), address, ""); err != nil {
		t.Errorf("a server that is ready: %v", err)
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.CheckReady(t.Context(), ":"+port, ""); err != nil {
		t.Errorf("asked as one that listens on every address: %v", err)
	}
	if err := s.Store.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a server whose database is closed is not ready", func() bool { return server.CheckReady(t.Context(), address, "") != nil })
}

func TestCheckReadyWithoutServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := server.CheckReady(t.Context(), address, ""); err == nil {
		t.Error("where nobody listens, nobody is ready")
	}
	if err := server.CheckReady(t.Context(), "no address", ""); err == nil {
		t.Error("what is no address has no server")
	}
}
