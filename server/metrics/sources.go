package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/webhook"
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
	// Webhooks delivers to webhooks. It is nil if nothing does.
	Webhooks *webhook.Deliverer
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

// descs are all descriptions that desc has returned.
var descs []*prometheus.Desc

func desc(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
	descs = append(descs, d)
	return d
}

var (
	descDB          = desc("db_info", "Always 1; the label is the database engine.", "engine")
	descConnections = desc("db_pool_connections", "Connections to the database, by pool (find for single rows, read for lists and searches, write, or read_write; standby for --database-read) and state.", "pool", "state")
	descMax         = desc("db_pool_connections_max", "The maximum of connections to the database.", "pool")
	descWaits       = desc("db_pool_waits_total", "Waits for a connection to the database, or in the queue of readers.", "pool")
	descWaited      = desc("db_pool_wait_seconds_total", "The total time of waits for a connection to the database, or in the queue of readers.", "pool")

	descStandbyUsed = desc("db_standby_used", "1 while the standby of --database-read is used, else 0.")
	descStandbyLag  = desc("db_standby_lag_seconds", "How far the standby of --database-read was behind when that could be checked last.")

	descUserLookups = desc("user_cache_lookups_total", "Lookups of users to update in the cache, see --remembered-users, by result.", "result")

	descRecords      = desc("idempotency_records", "Answers that are kept for requests with an Idempotency-Key, a million at most, as counted twice a minute.")
	descAged         = desc("history_erased_entries_total", "Entries of the history from which this server has erased values, as they were older than --history-retention.")
	descOldestRecord = desc("idempotency_oldest_record_timestamp_seconds", "The time of the oldest of them, 0 if there is none. It is not before --idempotency-retention by more than a minute.")

	descTokens   = desc("token_cache_tokens", "Verified tokens in the cache.")
	descLookups  = desc("token_cache_lookups_total", "Lookups of tokens in the cache of verified tokens, by result.", "result")
	descKeys     = desc("key_set_keys", "Keys of the issuer's key set that verify tokens, if it has one.", "issuer")
	descLastRead = desc("key_set_last_read_timestamp_seconds", "The time of the last successful read of the key set.", "issuer")
	descDropped  = desc("key_set_keys_dropped_total", "Keys that were dropped, by reason: withdrawn by the issuer, or too_old.", "issuer", "reason")
	descReadings = desc("key_set_reads_total", "Reads of the key set, by outcome.", "issuer", "outcome")

	descHashes  = desc("password_hashes_total", "Password hashes that were computed.")
	descRunning = desc("password_hashes_running", "Password hashes that are being computed.")
	descMost    = desc("password_hashes_running_max", "The maximum of password hashes that are computed at once.")
	descWaiting = desc("password_hashes_waiting", "Password hashes that wait in the queue.")

	descEndpoints = desc("webhook_endpoints", "Webhooks that this server delivers to, by state: ok, or failing if the last delivery failed.", "state")
	descLag       = desc("webhook_lag_seconds", "The age of the oldest change that one of these webhooks has not received, 0 if there is none.")
	descAttempts  = desc("webhook_attempts_total", "Attempts to deliver a change to a webhook, by answer: 2xx, 3xx, 4xx, 5xx, other (a status that HTTP does not know), timeout, unreachable, unresolved, forbidden address, untrusted, or forbidden URL.", "answer")
	descAttempted = desc("webhook_attempt_seconds_total", "The total time of these attempts.")
	descDisabled  = desc("webhook_disabled_total", "Webhooks that this server has disabled, because the schedule of attempts ended or the receiver answered 410.")

	descProofs   = desc("present_passwords_refused_total", "Present passwords that were refused, by reason: wrong, or too_many (not checked, after too many wrong ones for the user).", "reason")
	descLimited  = desc("rate_limited_total", "Requests that exceeded a limit, by limit: address, principal or in_flight.", "limit")
	descDraining = desc("draining", "1 while the server is shutting down, else 0.")
	descExpiry   = desc("tls_certificate_expiry_timestamp_seconds", "The time when the server's certificate expires, with --tls-cert.")
)

// Describe sends all descriptions, also of series that this configuration does not have (prometheus.Collector).
func (c collector) Describe(into chan<- *prometheus.Desc) {
	for _, d := range descs {
		into <- d
	}
}

// Collect sends the state of the sources (prometheus.Collector).
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
	if standby, ok := c.Store.Standby(); ok {
		used := 0.0
		if standby.Used {
			used = 1
		}
		gauge(descStandbyUsed, used)
		if standby.Known {
			gauge(descStandbyLag, standby.Lag.Seconds())
		}
	}
	users := c.Store.Remembered()
	count(descUserLookups, float64(users.Hits), "hit")
	count(descUserLookups, float64(users.Misses), "miss")
	count(descAged, float64(c.Store.OldHistoryErased()))
	if records, known := c.Store.Records(); known {
		gauge(descRecords, float64(records.Records))
		gauge(descOldestRecord, seconds(records.Oldest))
	}
	tokens := c.Verifier.TokenCache()
	gauge(descTokens, float64(tokens.Size))
	count(descLookups, float64(tokens.Hits), "hit")
	count(descLookups, float64(tokens.Misses), "miss")
	for _, set := range c.Verifier.KeySets() {
		gauge(descKeys, float64(set.Keys), set.Issuer)
		gauge(descLastRead, seconds(set.LastRead), set.Issuer)
		count(descDropped, float64(set.Withdrawn), set.Issuer, "withdrawn")
		count(descDropped, float64(set.Expired), set.Issuer, "too_old")
		count(descReadings, float64(set.Readings-set.Failures), set.Issuer, "ok")
		count(descReadings, float64(set.Failures), set.Issuer, "failed")
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
	if c.Webhooks != nil {
		webhooks := c.Webhooks.Stats()
		gauge(descEndpoints, float64(webhooks.Endpoints-webhooks.Failing), "ok")
		gauge(descEndpoints, float64(webhooks.Failing), "failing")
		gauge(descLag, webhooks.Lag.Seconds())
		for answer, attempts := range webhooks.Attempts {
			count(descAttempts, float64(attempts), answer)
		}
		count(descAttempted, webhooks.Took.Seconds())
		count(descDisabled, float64(webhooks.Disabled))
	}
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
