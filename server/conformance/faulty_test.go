package conformance_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/servertest"
)

// A faulty server is the real one behind a transport that changes requests or answers.

// answer is what a server says.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// call is a request on its way to the real server.
type call struct {
	*http.Request
	body []byte
	next http.RoundTripper
	api  description.API
	t    testing.TB

	streamed bool // the body was sent without a Content-Length
}

// update tells whether it writes to a user.
func (c *call) update() bool { return c.Method == http.MethodPatch || c.Method == http.MethodPut }

// send asks the real server.
func (c *call) send() answer {
	r := c.Clone(c.Context())
	r.Body, r.ContentLength, r.GetBody = nil, 0, nil
	if c.body != nil {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(c.body)), int64(len(c.body))
	}
	response, err := c.next.RoundTrip(r)
	if err != nil {
		panic(err) // the kit reports it
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		panic(err)
	}
	return answer{response.StatusCode, response.Header, body}
}

// with sends another body.
func (c *call) with(body string) answer {
	other := *c
	other.body = []byte(body)
	return other.send()
}

// present reads the user that the request is about.
func (c *call) present() (user map[string]json.RawMessage, etag string) {
	other := *c
	other.Request = c.Clone(c.Context())
	other.Method, other.body = http.MethodGet, nil
	a := other.send()
	body := a.body
	if shown, _ := c.api.Answer(c.api.Show); shown.User != "" {
		var around map[string]json.RawMessage
		_ = json.Unmarshal(body, &around)
		body = around[strings.TrimSuffix(shown.User, ".")]
	}
	_ = json.Unmarshal(body, &user)
	return user, a.header.Get("ETag")
}

// members gives the body's members if it is an object with none twice, and nil else.
func (c *call) members() map[string]json.RawMessage {
	var members map[string]json.RawMessage
	if !json.Valid(c.body) || json.Unmarshal(c.body, &members) != nil {
		return nil
	}
	return members
}

// names tells whether the body is an object that names one of these members.
func (c *call) names(some ...string) bool {
	m := c.members()
	for _, name := range some {
		if m[name] != nil {
			return true
		}
	}
	return false
}

// add puts a member at the end of the body, whatever the body has already.
func (c *call) add(name string, value json.RawMessage) {
	c.body = []byte(strings.TrimSuffix(strings.TrimSpace(string(c.body)), "}") + `,"` + name + `":` + string(value) + "}")
}

func encode(members map[string]json.RawMessage) string {
	text, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// table describes the body of the request, which is an update.
func (c *call) table() description.Body {
	for _, id := range c.api.Updates {
		if servertest.Operation(c.t, c.api, id).Method == c.Method {
			table, _ := c.api.Request(id)
			return table
		}
	}
	return description.Body{}
}

// idle sends an update that changes nothing, in place of what was asked.
func (c *call) idle() answer { return c.idleAs((*call).send) }

// idleAs sends such an update as f does.
func (c *call) idleAs(f func(*call) answer) answer {
	other := *c
	user, _ := c.present()
	if table := c.table(); !table.Whole() {
		name, _ := table.Member("FirstName")
		member, _, _ := strings.Cut(name.Path, ".")
		user = map[string]json.RawMessage{member: user[member]}
	}
	other.body = []byte(encode(user))
	return f(&other)
}

// edit changes the answer's JSON.
func (a answer) edit(change func(map[string]any)) answer {
	var value map[string]any
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.UseNumber()
	if d.Decode(&value) != nil {
		return a
	}
	change(value)
	a.body, _ = json.Marshal(value)
	a.header = a.header.Clone()
	a.header.Del("Content-Length")
	return a
}

// without gives the answer without a header.
func (a answer) without(name string) answer {
	a.header = a.header.Clone()
	a.header.Del(name)
	return a
}

// set gives the answer with another value of a header.
func (a answer) set(name, value string) answer {
	a.header = a.header.Clone()
	a.header.Set(name, value)
	return a
}

// faulty is a transport to a server with a fault.
type faulty struct {
	next  http.RoundTripper
	api   description.API
	fault func(*call) answer
	t     testing.TB
}

func (f *faulty) RoundTrip(r *http.Request) (*http.Response, error) {
	c := &call{Request: r.Clone(r.Context()), next: f.next, api: f.api, t: f.t}
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
		c.body, c.streamed = body, r.ContentLength <= 0 && len(body) > 0
	}
	var a answer
	failure := func() (err error) {
		defer func() {
			switch thrown := recover().(type) {
			case nil:
			case error:
				err = thrown
			default:
				panic(thrown) // of a test that wants one
			}
		}()
		a = f.fault(c)
		return nil
	}()
	if failure != nil {
		return nil, failure
	}
	a.header = a.header.Clone()
	a.header.Del("Content-Length")
	return &http.Response{
		StatusCode: a.status, Status: strconv.Itoa(a.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)), Request: r,
	}, nil
}

// fault is one way in which a server breaks laws.
type fault struct {
	name    string
	dialect string
	// breaks are the laws that it must break.
	breaks []string
	// also are laws that it may break.
	also []string
	// begin makes the fault and its state.
	begin func(tokens tokens) func(*call) answer
}

// tokens are those of the run.
type tokens struct{ good, other string }

// plainly is a fault without state.
func plainly(f func(*call) answer) func(tokens) func(*call) answer {
	return func(tokens) func(*call) answer { return f }
}

// editing is a fault that changes requests.
func editing(f func(*call)) func(tokens) func(*call) answer {
	return plainly(func(c *call) answer {
		f(c)
		return c.send()
	})
}

// answering is a fault that changes answers.
func answering(f func(*call, answer) answer) func(tokens) func(*call) answer {
	return plainly(func(c *call) answer { return f(c, c.send()) })
}

// refold renames members to those of known that differ in the case of letters alone; of two the last counts.
func refold(body []byte, known ...string) []byte {
	if !json.Valid(body) || bytes.TrimSpace(body)[0] != '{' {
		return body
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if _, err := d.Token(); err != nil {
		return body
	}
	members := map[string]json.RawMessage{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return body
		}
		name, _ := token.(string)
		for _, k := range known {
			if strings.EqualFold(k, name) {
				name = k
			}
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return body
		}
		members[name] = value
	}
	return []byte(encode(members))
}

// once remembers the first answer to each path.
type once struct {
	mu   sync.Mutex
	seen map[string]answer
}

func (o *once) get(c *call) answer {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := c.URL.String() + c.Header.Get("Authorization")
	if a, ok := o.seen[key]; ok {
		return a
	}
	a := c.send()
	if o.seen == nil {
		o.seen = map[string]answer{}
	}
	o.seen[key] = a
	return a
}
