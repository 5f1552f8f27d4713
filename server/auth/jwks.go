package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// The defaults of a key set in [Config].
const (
	DefaultJWKSRefresh = 5 * time.Minute // the interval between reads
	DefaultJWKSMaxAge  = 24 * time.Hour  // how long a key is valid after the last read that returned it
)

const (
	minJWKSRefresh   = time.Second
	maxDocumentBytes = 1 << 20 // of a key set, and of the document that names its URL

	readTimeout     = 10 * time.Second // the time limit of a read
	maxWait         = 2 * time.Second  // how long requests wait for a read, from its start
	unknownInterval = 10 * time.Second // the minimum interval between reads for tokens with an unknown kid

	// The delay before a failed read is retried. It doubles after each failure.
	firstRetry          = time.Second
	maxRetry            = 30 * time.Second
	maxRetryWithoutKeys = 4 * time.Second // while there is no key, and every request is refused
)

// keySource provides the active keys of a key set at a URL or in a file. It reads the set in the background: at the start, at an
// interval, and when a token names an unknown key.
type keySource struct {
	read     func(context.Context) ([]byte, error)
	interval time.Duration
	maxAge   time.Duration
	log      *slog.Logger

	active atomic.Pointer[activeKeys] // nil if there is no key

	lastRead           atomic.Int64 // the time of the last successful read in Unix nanoseconds, or 0
	readings, failures atomic.Int64 // the numbers of all reads, and of those that failed
	withdrawn, expired atomic.Int64 // the numbers of dropped keys

	ctx    context.Context // done when the source is closed
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu        sync.Mutex
	last      *keySet   // from the last successful read
	reading   *reading  // the read in progress, or nil
	lastAsked time.Time // when an unknown kid last caused a read
}

// reading is a read of the set in progress.
type reading struct {
	waiting context.Context // done when requests must no longer wait for the read
	done    chan struct{}
	err     error // set before done is closed
}

// startKeySource returns a source of the key set that the function read returns, and starts it. The caller must close it.
func startKeySource(read func(context.Context) ([]byte, error), interval, maxAge time.Duration, log *slog.Logger) *keySource {
	s := &keySource{read: read, interval: interval, maxAge: maxAge, log: log}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.mu.Lock()
	first := s.start() // before a request can wait for it
	s.mu.Unlock()
	s.work.Go(func() { s.run(first) })
	return s
}

// close stops the goroutines of the source and waits for them. The keys remain active.
func (s *keySource) close() {
	s.mu.Lock()
	s.cancel()
	s.mu.Unlock()
	s.work.Wait()
}

// run reads the set at the interval, or sooner after a failure, until the source is closed. r is the first read, which has started.
func (s *keySource) run(r *reading) {
	retry := firstRetry
	for {
		<-r.done
		wait := s.interval
		if r.err != nil {
			wait = min(retry, s.interval)
			if s.current() == nil {
				wait = min(wait, maxRetryWithoutKeys)
			}
			retry = min(2*retry, maxRetry)
		} else {
			retry = firstRetry
		}
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(wait):
		}
		s.mu.Lock()
		r = s.start()
		s.mu.Unlock()
	}
}

// start returns the read in progress, or starts one. The caller must hold s.mu.
func (s *keySource) start() *reading {
	if s.reading != nil {
		return s.reading
	}
	r := &reading{done: make(chan struct{})}
	if r.err = s.ctx.Err(); r.err != nil {
		r.waiting = s.ctx
		close(r.done)
		return r
	}
	s.reading = r
	var stop context.CancelFunc
	r.waiting, stop = context.WithTimeout(s.ctx, maxWait)
	s.work.Go(func() {
		defer stop()
		set, err := s.attempt()
		s.mu.Lock()
		// The new keys become active in the critical section that ends this read. Otherwise a request that does not find its
		// key among them could still wait for this read instead of starting another.
		var withdrawn []*trustedKey
		if r.err = err; err == nil {
			var next *activeKeys
			next, withdrawn = s.active.Load().after(set, time.Now())
			s.active.Store(next)
			s.last = set
		}
		s.reading = nil
		s.mu.Unlock()
		if len(withdrawn) > 0 {
			s.withdrawn.Add(int64(len(withdrawn)))
			s.log.Warn("token keys withdrawn, tokens that they signed are refused", "keys", namesOf(withdrawn))
		}
		s.current() // drops keys that are too old
		close(r.done)
	})
	return r
}

// attempt reads and parses the set once, and logs the result.
func (s *keySource) attempt() (*keySet, error) {
	ctx, cancel := context.WithTimeout(s.ctx, readTimeout)
	defer cancel()
	content, err := s.read(ctx)
	var set *keySet
	if err == nil {
		set, err = parseKeySet(content)
	}
	if s.ctx.Err() != nil {
		return nil, s.ctx.Err()
	}
	s.readings.Add(1)
	if err != nil {
		s.failures.Add(1)
	} else {
		s.lastRead.Store(time.Now().UnixNano())
	}
	s.mu.Lock()
	last := s.last
	s.mu.Unlock()
	switch {
	case err != nil && s.current() == nil:
		s.log.Error("token keys could not be read, tokens cannot be verified", "error", err)
	case err != nil:
		s.log.Warn("token keys could not be refreshed, the last valid keys stay active", "error", err)
	case !set.sameContent(last):
		s.log.Info("token keys read", "keys", set.usable, "unused", set.unused)
	}
	return set, err
}

// current returns the active keys, or nil if there are none. It drops keys that no successful read has returned for maxAge.
func (s *keySource) current() *activeKeys {
	f := s.active.Load()
	if f == nil || !f.hasOlder(s.maxAge, time.Now()) {
		return f
	}
	s.mu.Lock()
	left, expired := s.active.Load().expire(s.maxAge, time.Now())
	if len(expired) > 0 {
		s.active.Store(left)
	}
	s.mu.Unlock()
	if len(expired) > 0 {
		s.expired.Add(int64(len(expired)))
		s.log.Error("token keys dropped, no successful read has returned them for too long",
			"keys", namesOf(expired), "max_age", s.maxAge.String(), "no_key_left", left == nil)
	}
	return left
}

// KeySetState describes a key set that is read while the server runs. Its counters start at 0 with the process.
type KeySetState struct {
	Issuer             string    // its issuer's iss
	Keys               int       // the active keys; 0 before the first successful read, and after all keys were dropped
	LastRead           time.Time // the time of the last successful read; zero if there was none
	Readings, Failures int64     // all reads, and those that failed
	// The keys that were dropped: those that the issuer withdrew, and those that no successful read returned for too long.
	Withdrawn, Expired int64
}

// KeySets returns the states of the issuers' key sets, in no order. Issuers without one are omitted.
func (v *Verifier) KeySets() (states []KeySetState) {
	for _, i := range v.issuers {
		if i.set != nil {
			state := i.set.state()
			state.Issuer = i.Issuer
			states = append(states, state)
		}
	}
	return states
}

func (s *keySource) state() KeySetState {
	state := KeySetState{Readings: s.readings.Load(), Failures: s.failures.Load()}
	if f := s.current(); f != nil {
		state.Keys = f.usable
	}
	state.Withdrawn, state.Expired = s.withdrawn.Load(), s.expired.Load()
	if at := s.lastRead.Load(); at != 0 {
		state.LastRead = time.Unix(0, at)
	}
	return state
}

var errUnknownKey = errors.New("the key set has no such key")

// key returns the key that a token's header names or, without a kid, the only key for its algorithm. With lookUp it starts a read for
// an unknown kid, at most every ten seconds for all requests together, and waits for it for at most maxWait. It returns errUnknownKey if there is no such key, and ErrKeysUnavailable if there is no key at all.
func (s *keySource) key(name keyName, hasKid, lookUp bool) (*trustedKey, error) {
	keys := s.current()
	if keys == nil {
		s.mu.Lock()
		r := s.reading
		s.mu.Unlock()
		r.wait(nil)
		if keys = s.current(); keys == nil {
			return nil, ErrKeysUnavailable
		}
	}
	key := keys.find(name, hasKid)
	// A read would not help if the kid is empty, which no key has, or absent.
	if key == nil && lookUp && hasKid && name.kid != "" {
		if key = s.lookUp(name); key == nil && s.current() == nil {
			return nil, ErrKeysUnavailable
		}
	}
	if key == nil {
		return nil, errUnknownKey
	}
	return key, nil
}

// lookUp returns the key of an unknown kid after a read of the set, or nil if the set does not have it or the read takes too long. A
// read that was in progress may have been answered before the issuer published the key, so that another one follows it.
func (s *keySource) lookUp(name keyName) *trustedKey {
	limit := time.After(maxWait)
	for {
		r, started := s.readForUnknownKid()
		if r == nil {
			return nil
		}
		done := r.wait(limit)
		if key := s.current().find(name, true); key != nil || started || !done {
			return key
		}
	}
}

// readForUnknownKid returns the read in progress or starts one, for a token with an unknown kid. It returns nil if it started
// another one less than unknownInterval ago.
func (s *keySource) readForUnknownKid() (r *reading, started bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reading != nil {
		return s.reading, false
	}
	if now := time.Now(); s.lastAsked.IsZero() || now.Sub(s.lastAsked) >= unknownInterval {
		s.lastAsked = now
		return s.start(), true
	}
	return nil, false
}

// wait waits until the read is done, but not longer than requests may wait for it, or until limit. It reports whether the read is done.
// It returns at once if r is nil. A nil limit is none.
func (r *reading) wait(limit <-chan time.Time) (done bool) {
	if r == nil {
		return false
	}
	select {
	case <-r.done:
		return true
	case <-r.waiting.Done():
	case <-limit:
	}
	return false
}

// waitForRead waits until the read in progress has ended, if there is one, or ctx is done.
func (s *keySource) waitForRead(ctx context.Context) {
	s.mu.Lock()
	r := s.reading
	s.mu.Unlock()
	if r == nil {
		return
	}
	select {
	case <-r.done:
	case <-ctx.Done():
	}
}

// The key set, and its setting, in errors.
const (
	keySetName    = "the key set"
	keySetSetting = "the JWKS URL of --jwks-url (DRAGOMAN_JWKS_URL)"
)

// keySetReader returns a function that reads the key set at place, and whether place is a file. place must be an https URL, an
// http URL with a loopback host, a file URL or a path. around is Config.Transport.
func keySetReader(place string, around func(http.RoundTripper) http.RoundTripper) (read func(context.Context) ([]byte, error), isFile bool, err error) {
	u, err := url.Parse(place)
	if err != nil {
		// err quotes the URL, which may contain a password.
		return nil, false, errors.New(keySetSetting + " is neither a URL nor a path")
	}
	switch u.Scheme {
	case "https", "http":
		if err := checkServerURL(u, keySetSetting); err != nil {
			return nil, false, err
		}
		f := newFetcher(keySetName, u.Scheme == "http", around)
		return func(ctx context.Context) ([]byte, error) { return f.fetch(ctx, u.String()) }, false, nil
	case "file":
		path := u.Path
		if u.Opaque != "" {
			path, err = url.PathUnescape(u.Opaque) // file:keys.json
		}
		if err != nil || path == "" || u.Host != "" && u.Host != "localhost" || u.RawQuery != "" || u.Fragment != "" {
			return nil, false, errors.New(keySetSetting + " names no local file: a file URL looks like file:///etc/dragoman/jwks.json")
		}
		return func(context.Context) ([]byte, error) { return readKeySetFile(path) }, true, nil
	case "":
		if strings.ContainsAny(place, "@?") || strings.HasPrefix(place, "//") {
			// It may be a URL with a password, which an error of os.Open would quote.
			return nil, false, errors.New(keySetSetting + " is neither a URL nor a path: a URL begins with https://")
		}
		return func(context.Context) ([]byte, error) { return readKeySetFile(place) }, true, nil
	}
	return nil, false, errors.New(keySetSetting + " must begin with https://, or with file:// for a file")
}

// checkServerURL returns an error unless u may be fetched. what describes it in the error.
func checkServerURL(u *url.URL, what string) error {
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("%s must begin with https://", what)
	case u.Hostname() == "":
		return fmt.Errorf("%s has no host", what)
	case u.User != nil:
		return fmt.Errorf("%s has a user name or a password, which is not sent: a key set is public", what)
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return fmt.Errorf("%s must be https: over http others could add keys on the way, so http is for a loopback address such as http://127.0.0.1:8081/jwks.json", what)
	}
	return nil
}

// isLoopback reports whether a host is localhost or a loopback address.
func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && address.Unmap().IsLoopback()
}

// newFetcher returns a fetcher that follows no redirects, so that keys come only from the configured server. With loopbackOnly it
// connects only to loopback addresses, which it checks after resolving a name. what describes the document in errors. around is
// Config.Transport.
func newFetcher(what string, loopbackOnly bool, around func(http.RoundTripper) http.RoundTripper) fetcher {
	dialer := &net.Dialer{Timeout: readTimeout / 2}
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    readTimeout / 2,
		MaxResponseHeaderBytes: 64 << 10,
		DisableKeepAlives:      true, // the next request follows only minutes later
	}
	if loopbackOnly {
		transport.Proxy = nil
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			if host, _, err := net.SplitHostPort(address); err != nil || !isLoopback(host) {
				return fmt.Errorf("the URL of %s is http and its host is not this machine", what)
			}
			return nil
		}
	}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if around != nil {
		client.Transport = around(transport)
	}
	return fetcher{what, client}
}

// fetcher fetches a JSON document of an issuer.
type fetcher struct {
	what   string // "the key set"
	client *http.Client
}

// answerError reports that a server answers with something else than the document.
type answerError struct{ text string }

func (e *answerError) Error() string { return e.text }

// statusError returns the error about an answer that is not 200.
func statusError(what string, status int) error {
	text := fmt.Sprintf("%s's server answers %d", what, status)
	if status >= 300 && status < 400 {
		text += ", and redirects are not followed: configure the URL that it points to"
	}
	return &answerError{text}
}

func (f fetcher) fetch(ctx context.Context, place string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, place, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", f.what, err)
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	request.Header.Set("User-Agent", "dragoman")
	response, err := f.client.Do(request)
	if err != nil {
		// The URL is omitted, since the operator has configured it.
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err
		}
		return nil, fmt.Errorf("fetch %s: %w", f.what, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, statusError(f.what, response.StatusCode)
	}
	return readBounded(response.Body, f.what)
}

func readKeySetFile(path string) ([]byte, error) {
	file, err := os.Open(path) // #nosec G304 -- the operator names the file
	if err != nil {
		return nil, fmt.Errorf("open the key set: %w", err)
	}
	defer file.Close()
	return readBounded(file, keySetName)
}

func readBounded(r io.Reader, what string) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(r, maxDocumentBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	if len(content) > maxDocumentBytes {
		return nil, &answerError{fmt.Sprintf("%s is longer than %d bytes", what, maxDocumentBytes)}
	}
	return content, nil
}
