//go:build linux

package faulttest

import (
	"net"
	"sync"
	"testing"
	"time"
)

// proxy stands between the program and its database and does to the connections what a bad network does. A library would
// know of bytes only; this one is told what to do with each piece of them, so that it can cut a connection at a COMMIT.
type proxy struct {
	address string
	target  string

	mu     sync.Mutex
	links  map[*link]bool
	refuse bool                       // new connections are cut at once
	hole   bool                       // new connections are black holes
	delay  time.Duration              // what each piece takes longer
	judge  func(piece []byte) verdict // of what a client sends; nil: pass
}

// verdict is what to do with a piece.
type verdict int

const (
	pass          verdict = iota
	cutBefore             // cut the connection instead of passing it on
	cutAfter              // pass it on, and cut the connection when the answer comes, which is not passed on
	swallowBefore         // pass on neither it nor anything after it
)

// link is a connection through the proxy.
type link struct {
	client, server net.Conn
	hole           chan struct{} // closed when nothing passes any more, and nobody is told
	gone           chan struct{} // closed when both ends are
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

// join connects a client to the target and carries what they say until one of them goes.
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

// carry passes on what comes from one end to the other.
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

// admit reports whether a piece may pass, after the delay.
func (p *proxy) admit(k *link, piece []byte, fromClient bool) bool {
	p.mu.Lock()
	delay, v := p.delay, pass
	if fromClient && p.judge != nil {
		v = p.judge(piece)
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

// cut ends both ends of the link, as a router that was restarted does.
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

// set changes what the proxy does, to connections that are there and to new ones.
func (p *proxy) set(change func(p *proxy)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

// cut ends every connection that is there.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k := range p.links {
		k.cut()
	}
}

// swallow makes a black hole of every connection that is there, for ever, and of new ones until pass is called.
func (p *proxy) swallow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hole = true
	for k := range p.links {
		k.disappear()
	}
}

// pass lets new connections through again.
func (p *proxy) pass() {
	p.set(func(p *proxy) { p.refuse, p.hole, p.delay, p.judge = false, false, 0, nil })
}
