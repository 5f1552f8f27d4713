package server_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// wiretap stands between a server and its Postgres, and notes the statements that are executed.
type wiretap struct {
	mu       sync.Mutex
	executed []string
}

// tapped gives the URL by which a database is reached through a tap. SQLite has no wire: then the tap is nil.
func tapped(t *testing.T, database string) (*wiretap, string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(u.Scheme, "postgres") {
		return nil, database
	}
	w := &wiretap{}
	upstream := u.Host
	q := u.Query()
	q.Set("sslmode", "disable")
	u.Host, u.RawQuery = between(t, func(client net.Conn) { w.relay(client, upstream) }), q.Encode()
	return w, u.String()
}

// between gives an address at which relay is run for each connection, and closes it when the test ends and all have.
func between(t *testing.T, relay func(client net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // closed
			}
			open.Go(func() { relay(client) })
		}
	})
	// The server is closed before, as what is cleaned up last is begun with.
	t.Cleanup(func() {
		l.Close()
		open.Wait()
	})
	return l.Addr().String()
}

// relay passes on one connection's traffic, message by message on the way to the database.
func (w *wiretap) relay(client net.Conn, upstream string) {
	defer client.Close()
	database, err := net.Dial("tcp", upstream)
	if err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { _, _ = io.Copy(client, database) })
	defer back.Wait()
	defer database.Close()

	prepared := map[string]string{}
	var bound string
	for header := 4; ; header = 5 { // the first message has no type
		message := make([]byte, header)
		if _, err := io.ReadFull(client, message); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(message[header-4:])-4)
		if _, err := io.ReadFull(client, body); err != nil {
			return
		}
		texts := strings.SplitN(string(body), "\x00", 3)
		switch {
		case header == 4:
		case message[0] == 'Q':
			w.note(texts[0])
		case message[0] == 'P':
			prepared[texts[0]] = texts[1]
		case message[0] == 'B':
			bound = prepared[texts[1]]
		case message[0] == 'E':
			w.note(bound)
		}
		if _, err := database.Write(bytes.Join([][]byte{message, body}, nil)); err != nil {
			return
		}
	}
}

// note keeps a statement, but for the pool's own signs of life.
func (w *wiretap) note(statement string) {
	if strings.HasPrefix(statement, "-- ping") {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.executed = append(w.executed, statement)
}

// during gives the statements that are executed while f runs.
func (w *wiretap) during(f func()) []string {
	if w == nil {
		f()
		return nil
	}
	w.mu.Lock()
	w.executed = nil
	w.mu.Unlock()
	f()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.executed
}
