package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/store"
)

// Sources have state that is read at each scrape. Reading it does not query the database.
type Sources struct {
	Store       *store.Store
	Verifier    *auth.Verifier
	Passwords   *auth.Passwords
	RateLimited map[string]func() int64 // counts of refused requests, by the name of the limit
	Draining    func() bool
	// CertificateExpiry returns when the server's certificate expires. It is nil without TLS.
	CertificateExpiry func() time.Time
}

// Watch adds the metrics of the sources. It must be called at most once.
func (m *Metrics) Watch(s Sources) {
	if m == nil {
		return
	}
	m.registry.MustRegister(collector{s})
}

// collector collects the metrics of the sources.
type collector struct{ Sources }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
}

var (
	descDB          = desc("db_info", "Always 1; the label says which engine keeps the directory.", "engine")
	descConnections = desc("db_pool_connections", "How many connections to the database there are, by what they do.", "pool", "state")
	descMax         = desc("db_pool_connections_max", "How many connections to the database there may be.", "pool")
	descWaits       = desc("db_pool_waits_total", "How often something had to wait for a connection to the database, or for its turn to read.", "pool")
	descWaited      = desc("db_pool_wait_seconds_total", "How long it had to wait, in all.", "pool")

	descUserLookups = desc("user_cache_lookups_total", "How often an update looked for its user among those who are remembered, by whether they were there.", "result")

	descTokens   = desc("token_cache_tokens", "How many tokens are remembered as good.")
	descLookups  = desc("token_cache_lookups_total", "How often a token was looked for among those, by whether it was there.", "result")
	descKeys     = desc("key_set_keys", "How many keys of the key set can verify tokens.")
	descLastRead = desc("key_set_last_read_timestamp_seconds", "When the key set was last read and found good.")
	descDropped  = desc("key_set_keys_dropped_total", "How many keys of the key set were dropped, by whether the issuer withdrew them or no good reading had them for too long.", "reason")
	descReadings = desc("key_set_reads_total", "How often the key set was read, by how that went.", "outcome")

	descHashes  = desc("password_hashes_total", "How many password hashes were computed.")
	descRunning = desc("password_hashes_running", "How many password hashes are being computed.")
	descMost    = desc("password_hashes_running_max", "How many password hashes may be computed at once.")
	descWaiting = desc("password_hashes_waiting", "How many password hashes wait for that.")

	descProofs   = desc("present_passwords_refused_total", "How many present passwords were wrong, and how many were not looked at after too many wrong ones of the user.", "reason")
	descLimited  = desc("rate_limited_total", "How many requests were refused for coming too fast, by whose limit.", "limit")
	descDraining = desc("draining", "1 while the server is about to stop, else 0.")
	descExpiry   = desc("tls_certificate_expiry_timestamp_seconds", "When the server's certificate expires.")
)

// Describe implements prometheus.Collector. It describes nothing, since some series exist only in some configurations.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(into chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		into <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	count := func(d *prometheus.Desc, value float64, labels ...string) {
		into <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
	}
	gauge(descDB, 1, c.Store.EngineName())
	for _, p := range c.Store.PoolStates() {
		gauge(descConnections, float64(p.InUse), p.Use, "in_use")
		gauge(descConnections, float64(p.Idle), p.Use, "idle")
		gauge(descMax, float64(p.Max), p.Use)
		count(descWaits, float64(p.Waited), p.Use)
		count(descWaited, p.WaitedFor.Seconds(), p.Use)
	}
	users := c.Store.Remembered()
	count(descUserLookups, float64(users.Hits), "hit")
	count(descUserLookups, float64(users.Misses), "miss")
	tokens := c.Verifier.TokenCache()
	gauge(descTokens, float64(tokens.Size))
	count(descLookups, float64(tokens.Hits), "hit")
	count(descLookups, float64(tokens.Misses), "miss")
	if set, ok := c.Verifier.KeySet(); ok {
		gauge(descKeys, float64(set.Keys))
		gauge(descLastRead, seconds(set.LastRead))
		count(descDropped, float64(set.Withdrawn), "withdrawn")
		count(descDropped, float64(set.Expired), "too_old")
		count(descReadings, float64(set.Readings-set.Failures), "ok")
		count(descReadings, float64(set.Failures), "failed")
	}
	load := c.Passwords.Load()
	count(descHashes, float64(c.Passwords.Computed()))
	gauge(descRunning, float64(load.Running))
	gauge(descMost, float64(load.Max))
	gauge(descWaiting, float64(load.Waiting))
	wrong, unverified := c.Passwords.Wrong()
	count(descProofs, float64(wrong), "wrong")
	count(descProofs, float64(unverified), "too_many")
	for name, refused := range c.RateLimited {
		count(descLimited, float64(refused()), name)
	}
	draining := 0.0
	if c.Draining() {
		draining = 1
	}
	gauge(descDraining, draining)
	if c.CertificateExpiry != nil {
		gauge(descExpiry, seconds(c.CertificateExpiry()))
	}
}

// seconds returns a time in seconds since 1970, and 0 for the zero time.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
