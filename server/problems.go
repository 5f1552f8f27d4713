package server

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/store"
)

// maxRememberedUsers is how many users a server may be told to remember: some ten gigabytes of them.
const maxRememberedUsers = 10_000_000

// Problems tells in a sentence each what of the configuration cannot be; nothing if it can, as far as that can be told
// without opening the database or asking anybody. It reads the files that the configuration names.
func (c Config) Problems() (problems []error) {
	add := func(err error) {
		if err != nil {
			problems = append(problems, err)
		}
	}
	add(checkListen(c.Listen))
	add(c.Admin.check(c.Listen))
	add(store.CheckURL(c.Database))
	problems = append(problems, c.Auth.Problems()...)
	if c.DatabaseWait < 0 {
		add(fmt.Errorf("the wait for the database must not be negative, and is %s", c.DatabaseWait))
	}
	if n := c.RememberedUsers; n != nil && (*n < 0 || *n > maxRememberedUsers) {
		add(fmt.Errorf("the number of remembered users must be from 0 to %d, and is %d", maxRememberedUsers, *n))
	}
	problems = append(problems, c.Timeouts.problems()...)
	for _, limit := range []struct {
		whose string
		rate  dialect.Rate
	}{{"address", c.Limits.Address}, {"principal", c.Limits.Principal}} {
		_, err := newLimiter(c, limit.whose, limit.rate)
		add(err)
	}
	if c.Limits.InFlight < 0 {
		add(fmt.Errorf("the number of requests in flight of one subject must not be negative, and is %d", c.Limits.InFlight))
	}
	_, err := c.TLS.load(c.Log)
	add(err)
	for _, origin := range c.CORS {
		_, err := parseOrigin(origin)
		add(err)
	}
	for _, host := range c.Admin.Hosts {
		add(checkHost(host))
	}
	return problems
}

// check tells what of the admin listener cannot be beside the one at public.
func (a Admin) check(public string) error {
	switch {
	case a.Listen == "" && a.Profiles:
		return errors.New("profiles are served by the admin listener alone, and there is none")
	case a.Listen == "":
		return nil
	case a.Listen == public && !strings.HasSuffix(public, ":0"):
		return fmt.Errorf("the admin listener cannot be at %s, where everybody is served", public)
	}
	return checkListen(a.Listen)
}

func checkListen(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return fmt.Errorf("%q is no address to listen on, such as 127.0.0.1:8080", address)
	}
	return nil
}

// problems tells which time-outs cannot be, alone or together.
func (t Timeouts) problems() (problems []error) {
	for _, timeout := range []struct {
		what string
		d    time.Duration
	}{
		{"reading a request's header", t.ReadHeader}, {"reading a request", t.Read}, {"writing an answer", t.Write},
		{"an idle connection", t.Idle}, {"a request", t.Request}, {"draining", t.Drain}, {"stopping", t.Shutdown},
	} {
		if timeout.d < 0 {
			problems = append(problems, fmt.Errorf("the time-out for %s must not be negative, and is %s", timeout.what, timeout.d))
		}
	}
	if t.Write > 0 && (t.Request == 0 || t.Request >= t.Write) {
		problems = append(problems, fmt.Errorf("the time-out for a request (%s, and 0s is none) must be shorter than the one for writing an answer (%s), or its 503 could not be written", t.Request, t.Write))
	}
	return problems
}
