package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// provisioningCommand measures an identity provider's requests for one customer, alone and beside the load of another customer.
type provisioningCommand struct {
	measureFlags
	Users       int `default:"10000" help:"The number of users of the customer that is loaded."`
	Connections int `default:"16" help:"The number of connections that load it."`
	PerSecond   int `default:"25" help:"The requests per second of the identity provider."`
}

// Validate rejects flags that no measurement is possible with.
func (c *provisioningCommand) Validate() error {
	switch {
	case c.Users < 1 || c.Connections < 1 || c.PerSecond < provisioners:
		return fmt.Errorf("--users and --connections must be at least 1, and --per-second at least %d", provisioners)
	case c.Write:
		return errors.New("--write is for other measurements: this one only prints its results")
	}
	return c.measureFlags.Validate()
}

// provisioners is the number of users that are provisioned at a time.
const provisioners = 5

// Run measures each engine in turn.
func (c *provisioningCommand) Run(ctx context.Context) error {
	b, err := newBench(ctx, &c.measureFlags)
	if err != nil {
		return err
	}
	defer b.close()
	postgres, err := b.newSchema(ctx)
	if err != nil {
		return err
	}
	t := newTable(os.Stdout, "engine", "provisioning alone: p50", "p99", "beside load: p50", "p99", "of alone", "answers of 429", "other failures", "load's requests/s")
	for _, database := range []string{postgres, "sqlite:" + b.file("dragoman.db")} {
		if !b.wants(subject{engine: engineOf(database), name: "provisioning"}) {
			continue
		}
		if err := c.measure(ctx, b, database, t); err != nil {
			return err
		}
	}
	return t.flush()
}

func (c *provisioningCommand) measure(ctx context.Context, b *bench, database string, t table) error {
	if err := b.importUsers(ctx, database, c.Users, c.Users+1); err != nil {
		return err
	}
	token, err := b.output(ctx, database, "token", "create", "--scim", "--customer", "2")
	if err != nil {
		return err
	}
	// The limit of a principal cannot be that of production, since the load is one principal's; that of requests in flight is.
	server, err := b.startProgram(ctx, database, "--max-in-flight", "64")
	if err != nil {
		return err
	}
	p := provider{caller{"http://" + server.address + "/scim/v2/" + smallCustomer, strings.TrimSpace(token), "application/scim+json"}}
	loaded := subject{engine: engineOf(database), name: "PATCH", method: "PATCH", path: worthUsers + "/{uuid}", body: patchBody, server: server, users: c.Users}
	var alone, beside []provisioned
	var perSecond []float64
	for range c.Rounds {
		alone = append(alone, p.provision(ctx, c.PerSecond, c.Duration))
		ended := make(chan provisioned)
		go func() { ended <- p.provision(ctx, c.PerSecond, c.Duration) }()
		load, loadErr := b.wrk(ctx, loaded, c.Connections, c.Duration)
		beside = append(beside, <-ended)
		if loadErr != nil {
			return loadErr
		}
		perSecond = append(perSecond, load.perSecond)
	}
	a, l := medianOf(alone), medianOf(beside)
	t.row(engineName(engineOf(database)), short(a.p50), short(a.p99), short(l.p50), short(l.p99), ratio(float64(l.p99), float64(a.p99)),
		strconv.Itoa(a.refused+l.refused), strconv.Itoa(a.failed+l.failed), number(median(perSecond)))
	return nil
}

// provisioned is the result of one round of an identity provider's requests.
type provisioned struct {
	p50, p99 time.Duration
	refused  int // answers of 429
	failed   int // other answers that no identity provider expects, and requests without any
}

// medianOf returns the round with the median p99, with the failures of all rounds.
func medianOf(rounds []provisioned) provisioned {
	sorted := slices.SortedFunc(slices.Values(rounds), func(a, b provisioned) int { return int(a.p99 - b.p99) })
	m := sorted[len(sorted)/2]
	m.refused, m.failed = 0, 0
	for _, r := range rounds {
		m.refused += r.refused
		m.failed += r.failed
	}
	return m
}

// provider sends requests as an identity provider does.
type provider struct{ caller }

// provision looks for users who do not exist, creates, renames and deactivates them, for a while, with so many requests per second in
// all. A request's latency counts from the moment when it was due, so that it includes waiting for the one before it.
func (p provider) provision(ctx context.Context, perSecond int, d time.Duration) provisioned {
	var (
		all    []time.Duration
		total  provisioned
		mutex  sync.Mutex
		client = &http.Client{Timeout: answerTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: provisioners}}
	)
	defer client.CloseIdleConnections()
	lives := slices.Repeat([]life{{provider: p, client: client}}, provisioners)
	paced(ctx, provisioners, perSecond, d, func(lane int, due time.Time) {
		status, expected, err := lives[lane].step(ctx)
		took := time.Since(due)
		mutex.Lock()
		defer mutex.Unlock()
		all = append(all, took)
		switch {
		case err == nil && status == http.StatusTooManyRequests:
			total.refused++
		case err != nil || status != expected:
			total.failed++
		}
	})
	total.p50, total.p99 = percentiles(all)
	return total
}

// life is one user after the other, provisioned step by step.
type life struct {
	provider
	client *http.Client
	steps  int
	name   string
	id     string
}

// step sends the next request. It returns the status of the answer, and the one that an identity provider expects.
func (l *life) step(ctx context.Context) (status, expected int, err error) {
	const patch = `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[%s]}`
	n := l.steps % 4
	l.steps++
	switch n {
	case 0:
		l.name = fmt.Sprintf("%x@example.com", key(12))
		status, _, err = l.send(ctx, l.client, http.MethodGet, "/Users?filter=userName%20eq%20%22"+l.name+"%22", "", nil)
		return status, http.StatusOK, err
	case 1:
		var created struct{ ID string }
		status, _, err = l.send(ctx, l.client, http.MethodPost, "/Users", fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":%q,"active":true,`+
			`"name":{"givenName":"Ada","familyName":"Lovelace"},"emails":[{"value":%q,"type":"work","primary":true}]}`, l.name, l.name), &created)
		l.id = created.ID
		return status, http.StatusCreated, err
	case 2:
		status, _, err = l.send(ctx, l.client, http.MethodPatch, "/Users/"+l.id, fmt.Sprintf(patch, `{"op":"replace","path":"name.familyName","value":"King"}`), nil)
	default:
		status, _, err = l.send(ctx, l.client, http.MethodPatch, "/Users/"+l.id, fmt.Sprintf(patch, `{"op":"replace","value":{"active":false}}`), nil)
	}
	return status, http.StatusOK, err
}
