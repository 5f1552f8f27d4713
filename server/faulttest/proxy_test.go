//go:build linux

package faulttest

import (
	"net"
	"sync"
	"testing"
	"time"
)

// proxy is a TCP proxy between the program and its database that simulates network faults. It inspects each piece of data, so that
// it can cut a connection at a COMMIT.
type proxy struct {
	address string
	target  string

	mu     sync.Mutex
	links  map[*link]bool
	refuse bool                        // cut new connections
	hole   bool                        // pass nothing on new connections
	delay  time.Duration               // delay of each piece
	judge  func(*link, []byte) verdict // for data from the client; nil: pass
}

// verdict is what the proxy does with a piece.
type verdict int

const (
	pass          verdict = iota
	cutBefore             // cut the connection instead of passing the piece on
	cutAfter              // pass the piece on, and cut the connection instead of passing the response on
	swallowBefore         // pass on neither the piece nor anything after it
)

// link is a connection through the proxy.
type link struct {
	client, server net.Conn
	hole           chan struct{} // closed when the link silently passes nothing more
	gone           chan struct{} // closed when both ends are closed
	once, swallow  sync.Once
	cutOnAnswer    bool // guarded by proxy.mu
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: l.Addr().String(), target: target, links: map[*link]bool{}}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.join(client) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.cut()
		running.Wait()
	})
	return p
}

// join connects a client to the target and passes data until one of them closes the connection.
func (p *proxy) join(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		reset(client)
		return
	}
	k := &link{client: client, server: server, hole: make(chan struct{}), gone: make(chan struct{})}
	p.mu.Lock()
	p.links[k] = true
	refuse := p.refuse
	if p.hole {
		k.disappear()
	}
	p.mu.Unlock()
	if refuse {
		k.cut()
	}
	var both sync.WaitGroup
	both.Go(func() { p.carry(k, client, server, true) })
	both.Go(func() { p.carry(k, server, client, false) })
	both.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, k)
}

// carry passes data from one end to the other.
func (p *proxy) carry(k *link, from, to net.Conn, fromClient bool) {
	defer k.cut()
	piece := make([]byte, 64<<10)
	for {
		n, err := from.Read(piece)
		select {
		case <-k.hole:
			<-k.gone
			return
		default:
		}
		if n > 0 && !p.admit(k, piece[:n], fromClient) {
			return
		}
		if n > 0 {
			if _, err := to.Write(piece[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// admit waits for the delay, and reports whether a piece may pass.
func (p *proxy) admit(k *link, piece []byte, fromClient bool) bool {
	p.mu.Lock()
	delay, v := p.delay, pass
	if fromClient && p.judge != nil {
		v = p.judge(k, piece)
	}
	if !fromClient && k.cutOnAnswer {
		v = cutBefore
	}
	k.cutOnAnswer = k.cutOnAnswer || v == cutAfter
	p.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-k.gone:
			return false
		}
	}
	switch v {
	case cutBefore:
		return false
	case swallowBefore:
		k.disappear()
		<-k.gone
		return false
	}
	return true
}

// cut resets both connections of the link, as after a restart of a router.
func (k *link) cut() {
	k.once.Do(func() {
		reset(k.client)
		reset(k.server)
		close(k.gone)
	})
}

func (k *link) disappear() { k.swallow.Do(func() { close(k.hole) }) }

func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// set changes the proxy's behavior, for all connections.
func (p *proxy) set(change func(p *proxy)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

// cut cuts all open connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k := range p.links {
		k.cut()
	}
}

// swallow stops all data silently: on open connections for ever, and on new ones until pass is called.
func (p *proxy) swallow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hole = true
	for k := range p.links {
		k.disappear()
	}
}

// pass ends all faults for new connections.
func (p *proxy) pass() {
	p.set(func(p *proxy) { p.refuse, p.hole, p.delay, p.judge = false, false, 0, nil })
}
