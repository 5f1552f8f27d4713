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

// What counts for a key set where [Config] does not say: how often it is read anew, and how long a key may verify tokens after the
// last good reading that had it.
const (
	DefaultJWKSRefresh = 5 * time.Minute
	DefaultJWKSMaxAge  = 24 * time.Hour
)

const (
	minJWKSRefresh = time.Second
	maxKeySetBytes = 1 << 20

	readTimeout     = 10 * time.Second // for reading a key set, whole
	patience        = 2 * time.Second  // how long after its start requests still wait for a reading
	unknownInterval = time.Minute      // the least time between two readings that tokens with an unknown kid cause

	// After a reading that failed the next comes sooner than after one that did not: each time twice as late.
	firstRetry   = time.Second
	maxRetry     = 30 * time.Second
	maxBlindWait = 4 * time.Second // as long as there are no keys at all, and nobody can be served
)

// keySource keeps the keys of a URL or file that are in force. It reads the set at once and then at an interval, in the
// background, and when a token names a key that the set does not have.
type keySource struct {
	read     func(context.Context) ([]byte, error)
	interval time.Duration
	maxAge   time.Duration
	log      *slog.Logger

	inForce atomic.Pointer[keysInForce] // nil until a reading went well, and when no key is left

	lastRead           atomic.Int64 // when one last did, in Unix nanoseconds; 0: never
	readings, failures atomic.Int64
	withdrawn, expired atomic.Int64 // keys

	ctx    context.Context // done when the source is closed
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu      sync.Mutex
	last    *keySet   // of the last good reading
	reading *reading  // the one under way; nil if there is none
	asked   time.Time // when an unknown kid last caused one
}

// reading is one attempt to read the set.
type reading struct {
	patience context.Context // done when requests are not to wait any longer
	done     chan struct{}
	err      error // set before done is closed
}

// startKeySource starts to keep what read yields, until the source is closed.
func startKeySource(read func(context.Context) ([]byte, error), interval, maxAge time.Duration, log *slog.Logger) *keySource {
	s := &keySource{read: read, interval: interval, maxAge: maxAge, log: log}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.mu.Lock()
	first := s.start() // before any request comes that might want to wait for it
	s.mu.Unlock()
	s.work.Go(func() { s.run(first) })
	return s
}

// close ends what the source does in the background, and waits for it to end. The latest keys stay.
func (s *keySource) close() {
	s.mu.Lock()
	s.cancel()
	s.mu.Unlock()
	s.work.Wait()
}

// run reads the set whenever its time has come.
func (s *keySource) run(r *reading) {
	retry := firstRetry
	for {
		<-r.done
		wait := s.interval
		if r.err != nil {
			wait = min(retry, s.interval)
			if s.current() == nil {
				wait = min(wait, maxBlindWait)
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

// start returns the reading that is under way, and starts one if none is. The caller holds s.mu.
func (s *keySource) start() *reading {
	if s.reading != nil {
		return s.reading
	}
	r := &reading{done: make(chan struct{})}
	if r.err = s.ctx.Err(); r.err != nil {
		r.patience = s.ctx
		close(r.done)
		return r
	}
	s.reading = r
	var stop context.CancelFunc
	r.patience, stop = context.WithTimeout(s.ctx, patience)
	s.work.Go(func() {
		defer stop()
		set, err := s.attempt()
		s.mu.Lock()
		// One step: who sees the new keys and misses one asks for another reading, not for this.
		var withdrawn []*trustedKey
		if r.err = err; err == nil {
			var next *keysInForce
			next, withdrawn = s.inForce.Load().after(set, time.Now())
			s.inForce.Store(next)
			s.last = set
		}
		s.reading = nil
		s.mu.Unlock()
		if len(withdrawn) > 0 {
			s.withdrawn.Add(int64(len(withdrawn)))
			s.log.Warn("token keys withdrawn, tokens that they signed are refused", "keys", namesOf(withdrawn))
		}
		s.current() // without the keys that are too old
		close(r.done)
	})
	return r
}

// attempt reads the set once, and tells the log how it went.
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
		s.log.Warn("token keys could not be read anew, the last good ones stay", "error", err)
	case !set.sameContent(last):
		s.log.Info("token keys read", "keys", set.usable, "unused", set.unused)
	}
	return set, err
}

// current returns the keys that are in force, nil if there are none. It drops those that no good reading has confirmed for too long.
func (s *keySource) current() *keysInForce {
	f := s.inForce.Load()
	if f == nil || !f.hasOlder(s.maxAge, time.Now()) {
		return f
	}
	s.mu.Lock()
	left, expired := s.inForce.Load().without(s.maxAge, time.Now())
	if len(expired) > 0 {
		s.inForce.Store(left)
	}
	s.mu.Unlock()
	if len(expired) > 0 {
		s.expired.Add(int64(len(expired)))
		s.log.Error("token keys dropped, as no good reading has had them for too long",
			"keys", namesOf(expired), "max_age", s.maxAge.String(), "no_key_left", left == nil)
	}
	return left
}

// KeySetState is how a key set fares that is read while the server runs.
type KeySetState struct {
	Keys               int       // how many keys of it verify tokens; 0 until it was read, and when all were dropped
	LastRead           time.Time // when it was last read and found good; the zero time: never
	Readings, Failures int64     // how often it was read so far, and how often in vain
	// How many keys were dropped so far: because the issuer withdrew them, and because no good reading had them for too long.
	Withdrawn, Expired int64
}

// KeySet tells how the verifier's key set fares. It gives false if there is none.
func (v *Verifier) KeySet() (KeySetState, bool) {
	s := v.set
	if s == nil {
		return KeySetState{}, false
	}
	state := KeySetState{Readings: s.readings.Load(), Failures: s.failures.Load()}
	if f := s.current(); f != nil {
		state.Keys = f.usable
	}
	state.Withdrawn, state.Expired = s.withdrawn.Load(), s.expired.Load()
	if at := s.lastRead.Load(); at != 0 {
		state.LastRead = time.Unix(0, at)
	}
	return state, true
}

var errUnknownKey = errors.New("the key set has no such key")

// key returns the key that a token's header names, or without a kid the only one for its algorithm. A kid that is not known
// has the set read anew, once a minute at most, whoever asks. The error is errUnknownKey, or ErrKeysUnavailable as long as
// there are no keys at all. The caller waits for a reading no longer than until patience is over since its start.
func (s *keySource) key(name keyName, hasKid bool) (*trustedKey, error) {
	keys := s.current()
	if keys == nil {
		s.mu.Lock()
		r := s.reading
		s.mu.Unlock()
		r.wait()
		if keys = s.current(); keys == nil {
			return nil, ErrKeysUnavailable
		}
	}
	key := keys.find(name, hasKid)
	// A set has no key of the empty kid, and a token without one would be no better off with other keys of the same provider.
	if key == nil && hasKid && name.kid != "" {
		s.ask().wait()
		if keys = s.current(); keys == nil {
			return nil, ErrKeysUnavailable
		}
		key = keys.find(name, hasKid)
	}
	if key == nil {
		return nil, errUnknownKey
	}
	return key, nil
}

// ask returns the reading that an unknown kid may hope for: the one under way, or a new one; nil if the last one that a kid
// caused is too fresh.
func (s *keySource) ask() *reading {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reading != nil {
		return s.reading
	}
	if now := time.Now(); s.asked.IsZero() || now.Sub(s.asked) >= unknownInterval {
		s.asked = now
		return s.start()
	}
	return nil
}

// wait returns when the reading is done or nobody is to wait for it any longer. A nil reading is done.
func (r *reading) wait() {
	if r == nil {
		return
	}
	select {
	case <-r.done:
	case <-r.patience.Done():
	}
}

// keySetReader returns what reads the key set at a place, which is an https URL, an http URL of this machine's own, a file
// URL or a path, and whether it is a file. Around is Config.Transport.
func keySetReader(place string, around func(http.RoundTripper) http.RoundTripper) (read func(context.Context) ([]byte, error), isFile bool, err error) {
	u, err := url.Parse(place)
	if err != nil {
		// The text of err quotes the URL, which may hold a password.
		return nil, false, errors.New("the JWKS URL of --jwks-url (DRAGOMAN_JWKS_URL) is neither a URL nor a path")
	}
	switch u.Scheme {
	case "https", "http":
		if err := checkKeySetURL(u); err != nil {
			return nil, false, err
		}
		client := newKeySetClient(u.Scheme == "http")
		if around != nil {
			client.Transport = around(client.Transport)
		}
		return func(ctx context.Context) ([]byte, error) { return fetchKeySet(ctx, client, u.String()) }, false, nil
	case "file":
		path := u.Path
		if u.Opaque != "" {
			path, err = url.PathUnescape(u.Opaque) // file:keys.json
		}
		if err != nil || path == "" || u.Host != "" && u.Host != "localhost" || u.RawQuery != "" || u.Fragment != "" {
			return nil, false, errors.New("the JWKS URL of --jwks-url (DRAGOMAN_JWKS_URL) names no file of this machine: a file URL looks like file:///etc/dragoman/jwks.json")
		}
		return func(context.Context) ([]byte, error) { return readKeySetFile(path) }, true, nil
	case "":
		if strings.ContainsAny(place, "@?") || strings.HasPrefix(place, "//") {
			// Errors of opening a file name its path.
			return nil, false, errors.New("the JWKS URL of --jwks-url (DRAGOMAN_JWKS_URL) is neither a URL nor a path: a URL begins with https://")
		}
		return func(context.Context) ([]byte, error) { return readKeySetFile(place) }, true, nil
	}
	return nil, false, errors.New("the JWKS URL of --jwks-url (DRAGOMAN_JWKS_URL) must begin with https://, or with file:// for a file")
}

func checkKeySetURL(u *url.URL) error {
	switch {
	case u.Hostname() == "":
		return errors.New("the JWKS URL of --jwks-url (DRAGOMAN_JWKS_URL) has no host")
	case u.User != nil:
		return errors.New("the JWKS URL of --jwks-url (DRAGOMAN_JWKS_URL) has a user name or a password, which is not sent: a key set is public")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return errors.New("the JWKS URL of --jwks-url (DRAGOMAN_JWKS_URL) must be https: over http anybody on the way could add keys, so that is only for a loopback address such as http://127.0.0.1:8081/jwks.json")
	}
	return nil
}

// isLoopback reports whether a host is certainly this machine.
func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && address.Unmap().IsLoopback()
}

// newKeySetClient returns a client that follows no redirects, so that keys are only taken from where the configuration says;
// for http, one that connects to loopback addresses only, whatever a name resolves to.
func newKeySetClient(loopbackOnly bool) *http.Client {
	dialer := &net.Dialer{Timeout: readTimeout / 2}
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    readTimeout / 2,
		MaxResponseHeaderBytes: 64 << 10,
		DisableKeepAlives:      true, // the next request is minutes away
	}
	if loopbackOnly {
		transport.Proxy = nil
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			if host, _, err := net.SplitHostPort(address); err != nil || !isLoopback(host) {
				return errors.New("the JWKS URL of --jwks-url (DRAGOMAN_JWKS_URL) is http and its host is not this machine")
			}
			return nil
		}
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func fetchKeySet(ctx context.Context, client *http.Client, place string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, place, nil)
	if err != nil {
		return nil, fmt.Errorf("ask for the key set: %w", err)
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	request.Header.Set("User-Agent", "dragoman")
	response, err := client.Do(request)
	if err != nil {
		// Without the URL, which says nothing new.
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err
		}
		return nil, fmt.Errorf("ask for the key set: %w", err)
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode >= 300 && response.StatusCode < 400:
		return nil, fmt.Errorf("the key set's server answers %d, and redirects are not followed: configure the URL that it points to", response.StatusCode)
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the key set's server answers %d", response.StatusCode)
	}
	return readKeySet(response.Body)
}

func readKeySetFile(path string) ([]byte, error) {
	file, err := os.Open(path) // #nosec G304 -- the operator names the file
	if err != nil {
		return nil, fmt.Errorf("open the key set: %w", err)
	}
	defer file.Close()
	return readKeySet(file)
}

func readKeySet(r io.Reader) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(r, maxKeySetBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the key set: %w", err)
	}
	if len(content) > maxKeySetBytes {
		return nil, fmt.Errorf("the key set is longer than %d bytes", maxKeySetBytes)
	}
	return content, nil
}
