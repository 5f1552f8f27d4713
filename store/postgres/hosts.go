package postgres

import (
	"sync"
	"time"
)

// A host that hangs accepts connections and does not answer, as a frozen primary does. Where the URL names several hosts, the next
// attempts wait for it for a short time only, so that during a failover the connections of the pools do not all wait for it when
// another host becomes the primary.

// hangingTimeout is how long the establishing of a connection waits for a host that has hung before.
const hangingTimeout = 500 * time.Millisecond

// hosts are the addresses that hang.
type hosts struct {
	mu      sync.Mutex
	hanging map[string]bool
}

// dialing notes that another address is dialed, or that no other is, and so that the last one did not lead to a connection. It hangs if
// it took long.
func (h *hosts) dialing(g *guard, address string) {
	if g.dialed != "" && time.Since(g.dialedAt) >= hangingTimeout {
		h.mu.Lock()
		if h.hanging == nil {
			h.hanging = map[string]bool{}
		}
		h.hanging[g.dialed] = true
		h.mu.Unlock()
	}
	g.dialed, g.dialedAt = address, time.Now()
}

func (h *hosts) hangs(address string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hanging[address]
}

// answered notes that an address has led to a connection.
func (h *hosts) answered(address string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.hanging, address)
}
