package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/store"
)

// maxRememberedUsers limits the cache of users, to about ten gigabytes.
const maxRememberedUsers = 10_000_000

// The limits of Config.IdempotencyRetention: longer than any client takes to retry, and short enough for a table of all writes.
const (
	minIdempotencyRetention = time.Minute
	maxIdempotencyRetention = 30 * 24 * time.Hour
)

// maxConnections limits the connections to the database: more than a PostgreSQL serves well.
const maxConnections = 1_000

// Problems returns an error for each invalid setting. It reads the files that the configuration names, but does not open the
// database or use the network.
func (c Config) Problems() (problems []error) {
	add := func(err error) {
		if err != nil {
			problems = append(problems, err)
		}
	}
	add(checkListen(publicAddress, c.Listen))
	add(c.Admin.check(c.Listen))
	add(store.CheckURL(c.Database))
	if c.DatabaseRead != "" {
		if err := store.CheckURL(c.DatabaseRead); err != nil {
			add(fmt.Errorf("--database-read (DRAGOMAN_DATABASE_READ): %w", err))
		} else if store.EngineOf(c.DatabaseRead) != "postgres" || store.EngineOf(c.Database) != "postgres" {
			add(errors.New("--database-read (DRAGOMAN_DATABASE_READ) must be a postgres:// URL of a standby of --database, which must be one as well"))
		}
		if c.ReadLag <= 0 {
			add(fmt.Errorf("--read-lag must be positive, and is %s", c.ReadLag))
		}
	}
	problems = append(problems, c.Auth.Problems()...)
	if c.DatabaseWait < 0 {
		add(fmt.Errorf("--database-wait must not be negative, and is %s", c.DatabaseWait))
	}
	if n := c.DatabaseConnections; n != nil && (*n < store.MinConnections || *n > maxConnections) {
		add(fmt.Errorf("--database-connections must be from %d to %d, and is %d", store.MinConnections, maxConnections, *n))
	}
	if d := c.IdempotencyRetention; d != nil && (*d < minIdempotencyRetention || *d > maxIdempotencyRetention) {
		add(fmt.Errorf("--idempotency-retention must be from %v to %v, and is %v", minIdempotencyRetention, maxIdempotencyRetention, *d))
	}
	if n := c.RememberedUsers; n != nil && (*n < 0 || *n > maxRememberedUsers) {
		add(fmt.Errorf("--remembered-users must be from 0 to %d, and is %d", maxRememberedUsers, *n))
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
		add(fmt.Errorf("--max-in-flight must not be negative, and is %d", c.Limits.InFlight))
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

// check returns an error if a is invalid, or conflicts with the listener at public.
func (a Admin) check(public string) error {
	switch {
	case a.Listen == "" && a.Profiles:
		return fmt.Errorf("--admin-pprof needs the admin listener, which serves the profiles: set %s, such as to 127.0.0.1:9090", adminAddress)
	case a.Listen == "":
		return nil
	case a.Listen == public && !strings.HasSuffix(public, ":0"):
		return fmt.Errorf("the admin listener cannot use %s, the address of --listen: choose another address for %s", public, adminAddress)
	}
	return checkListen(adminAddress, a.Listen)
}

// The settings of the two addresses, as messages name them.
const (
	publicAddress = "--listen (DRAGOMAN_LISTEN)"
	adminAddress  = "--admin-listen (DRAGOMAN_ADMIN_LISTEN)"
)

func checkListen(setting, address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return fmt.Errorf("%q is not an address to listen on: set %s to HOST:PORT, such as 127.0.0.1:8080", address, setting)
	}
	return nil
}

// CheckFree returns an error if the server could not listen, for instance because another program uses the port. It opens and
// closes the listeners, so that this is known before the database is opened and migrated.
func (c Config) CheckFree() error {
	for setting, address := range map[string]string{publicAddress: c.Listen, adminAddress: c.Admin.Listen} {
		if address == "" {
			continue
		}
		l, err := listen(setting, address)
		if err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return fmt.Errorf("stop listening on %s: %w", address, err)
		}
	}
	return nil
}

// listen listens on the address of a setting.
func listen(setting, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err == nil {
		return l, nil
	}
	var lookup *net.DNSError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("another program already listens on %s: stop it, or choose another port with %s: %w", address, setting, err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("this account is not permitted to listen on %s: choose a port from 1024 on with %s: %w", address, setting, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s is not an address of this machine: set %s to one of its addresses, or to 0.0.0.0:PORT for all of them: %w", address, setting, err)
	case errors.As(err, &lookup):
		return nil, fmt.Errorf("the host of %s cannot be found: set %s to an address of this machine: %w", address, setting, err)
	}
	return nil, fmt.Errorf("listen on %s, the address of %s: %w", address, setting, err)
}

// problems returns an error for each invalid timeout or combination of them.
func (t Timeouts) problems() (problems []error) {
	for _, timeout := range []struct {
		flag string
		d    time.Duration
	}{
		{"--read-header-timeout", t.ReadHeader}, {"--read-timeout", t.Read}, {"--write-timeout", t.Write},
		{"--idle-timeout", t.Idle}, {"--request-timeout", t.Request}, {"--drain-delay", t.Drain}, {"--shutdown-timeout", t.Shutdown},
	} {
		if timeout.d < 0 {
			problems = append(problems, fmt.Errorf("%s must not be negative, and is %s", timeout.flag, timeout.d))
		}
	}
	if t.Write > 0 && (t.Request == 0 || t.Request >= t.Write) {
		problems = append(problems, fmt.Errorf("--request-timeout (%s; 0s is no timeout) must be shorter than --write-timeout (%s), or its 503 could not be written", t.Request, t.Write))
	}
	return problems
}
