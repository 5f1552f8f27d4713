package conformance_test

import (
	"net/http"
	"strings"
	"sync"
)

// keyed tells whether the request is an update with an Idempotency-Key.
func (c *call) keyed() bool { return c.update() && c.Header.Get("Idempotency-Key") != "" }

// byKey remembers what was done under each key, quoted or not.
type byKey struct {
	mu   sync.Mutex
	done map[string]answer
	busy map[string]bool
}

func keyOf(c *call) string { return strings.Trim(c.Header.Get("Idempotency-Key"), `"`) }

// repeatingFaults are in what an Idempotency-Key does.
var repeatingFaults = []fault{
	{
		name: "the precondition before the key", dialect: worth,
		breaks: []string{"idempotency-key-executes-once"},
		also:   []string{"idempotency-key-of-another-request-is-422"},
		begin: editing(func(c *call) {
			if c.keyed() && strings.HasPrefix(c.Header.Get("If-Match"), `"`) {
				if _, etag := c.present(); etag != c.Header.Get("If-Match") {
					c.Header.Del("Idempotency-Key")
				}
			}
		}),
	},
	{
		name: "the quotes taken for a part of the key", dialect: testinium,
		breaks: []string{"idempotency-key-executes-once"},
		begin: editing(func(c *call) {
			if key := c.Header.Get("Idempotency-Key"); c.keyed() && len(key) > 4 && strings.HasPrefix(key, `"`) && strings.HasSuffix(key, `"`) && !strings.ContainsAny(key[1:len(key)-1], `"\ `) {
				c.Header.Set("Idempotency-Key", "quoted-"+strings.Trim(key, `"`))
			}
		}),
	},
	{
		name: "an update that changes nothing is not kept", dialect: worth,
		breaks: []string{"idempotency-key-of-an-idle-update-is-kept"},
		also:   []string{"idempotency-key-in-parallel-executes-once"},
		begin: func(tokens) func(*call) answer {
			k := byKey{done: map[string]answer{}}
			return func(c *call) answer {
				if !c.keyed() || !strings.Contains(string(c.body), "Check ") {
					return c.send()
				}
				k.mu.Lock()
				defer k.mu.Unlock()
				if _, kept := k.done[keyOf(c)]; kept {
					return c.send()
				}
				user, _ := c.present()
				changes := false
				for name, value := range c.members() {
					changes = changes || string(user[name]) != string(value)
				}
				if !changes {
					c.Header.Del("Idempotency-Key")
					return c.send()
				}
				a := c.send()
				if a.status == http.StatusOK {
					k.done[keyOf(c)] = a
				}
				return a
			}
		},
	},
	{
		name: "another request under a key taken for the first", dialect: testinium,
		breaks: []string{"idempotency-key-of-another-request-is-422"},
		begin: func(tokens) func(*call) answer {
			k := byKey{done: map[string]answer{}}
			return func(c *call) answer {
				a := c.send()
				if !c.keyed() {
					return a
				}
				k.mu.Lock()
				defer k.mu.Unlock()
				switch first, kept := k.done[keyOf(c)]; {
				case a.status == http.StatusOK:
					k.done[keyOf(c)] = a
				case a.status == http.StatusUnprocessableEntity && kept:
					return first.set("Idempotency-Replayed", "true")
				}
				return a
			}
		},
	},
	{
		name: "another request under a key executed", dialect: worth,
		breaks: []string{"idempotency-key-of-another-request-is-422"},
		begin: plainly(func(c *call) answer {
			a := c.send()
			if c.keyed() && a.status == http.StatusUnprocessableEntity {
				c.Header.Del("Idempotency-Key")
				return c.send()
			}
			return a
		}),
	},
	{
		name: "a refusal is kept", dialect: worth,
		breaks: []string{"idempotency-key-of-a-refused-update-is-free"},
		begin: func(tokens) func(*call) answer {
			k := byKey{done: map[string]answer{}}
			return func(c *call) answer {
				if !c.keyed() {
					return c.send()
				}
				k.mu.Lock()
				defer k.mu.Unlock()
				if a, kept := k.done[keyOf(c)]; kept {
					return a
				}
				a := c.send()
				if a.status == http.StatusPreconditionFailed {
					k.done[keyOf(c)] = a
				}
				return a
			}
		},
	},
	{
		name: "a malformed key is ignored", dialect: testinium,
		breaks: []string{"idempotency-key-malformed-is-refused"},
		begin: editing(func(c *call) {
			if values := c.Header.Values("Idempotency-Key"); c.update() && (len(values) > 1 || len(values) == 1 && values[0] == "") {
				c.Header.Del("Idempotency-Key")
			}
		}),
	},
	{
		name: "a malformed key refused on a read", dialect: worth,
		breaks: []string{"idempotency-key-malformed-is-refused"},
		begin: plainly(func(c *call) answer {
			if c.Method == http.MethodGet && strings.Contains(c.Header.Get("Idempotency-Key"), `"`) {
				c.Header.Set("If-Match", "x")
			}
			return c.send()
		}),
	},
	{
		name: "a key that is under way is not waited for", dialect: worth,
		breaks: []string{"idempotency-key-in-parallel-executes-once"},
		begin: func(tokens) func(*call) answer {
			k := byKey{busy: map[string]bool{}}
			return func(c *call) answer {
				if !c.keyed() {
					return c.send()
				}
				k.mu.Lock()
				busy := k.busy[keyOf(c)]
				k.busy[keyOf(c)] = true
				k.mu.Unlock()
				if busy {
					c.Header.Set("Idempotency-Key", keyOf(c)+"-again")
				}
				defer func() {
					k.mu.Lock()
					defer k.mu.Unlock()
					if !busy {
						k.busy[keyOf(c)] = false
					}
				}()
				return c.send()
			}
		},
	},
}
