package auth

import (
	"fmt"
	"time"
)

// activeKeys are the keys of a key set that currently verify tokens: those in the last successful read, and those in the
// successful read before it. It is immutable.
type activeKeys struct {
	all    []*trustedKey
	keys   map[keyName]*trustedKey
	single map[string]*trustedKey // by algorithm, if there is exactly one key for it
	usable int                    // the number of different keys
	oldest time.Time              // the earliest confirmed time of a key
}

// trustedKey is an active key. It keeps its address from one read to the next, so that the token cache can compare pointers.
type trustedKey struct {
	publicKey
	// Guarded by keySource.mu.
	confirmed time.Time // the time of the last successful read that returned the key
	missing   bool      // whether the last successful read did not return it
}

// keyID identifies a key. A name alone does not, since different keys may have the same name.
type keyID struct {
	keyName
	fingerprint string
}

func (k publicKey) id() keyID { return keyID{k.keyName, k.fingerprint} }

// newActiveKeys returns the active keys for all, or nil if all is empty.
func newActiveKeys(all []*trustedKey) *activeKeys {
	if len(all) == 0 {
		return nil
	}
	f := &activeKeys{all: all, keys: map[keyName]*trustedKey{}, single: map[string]*trustedKey{}, oldest: all[0].confirmed}
	distinct := map[string]bool{}
	// A token without a kid is verified with a key from the last read, if that returned one for the token's algorithm.
	fresh, withdrawn := map[string]map[string]*trustedKey{}, map[string]map[string]*trustedKey{}
	for _, k := range all {
		if k.kid != "" {
			f.keys[k.keyName] = k
		}
		distinct[k.algorithm+" "+k.fingerprint] = true
		if k.confirmed.Before(f.oldest) {
			f.oldest = k.confirmed
		}
		group := fresh
		if k.missing {
			group = withdrawn
		}
		if group[k.algorithm] == nil {
			group[k.algorithm] = map[string]*trustedKey{}
		}
		if group[k.algorithm][k.fingerprint] == nil {
			group[k.algorithm][k.fingerprint] = k
		}
	}
	f.usable = len(distinct)
	for _, method := range keyMethods {
		candidates := fresh[method.Alg()]
		if len(candidates) == 0 {
			candidates = withdrawn[method.Alg()]
		}
		if len(candidates) == 1 {
			for _, k := range candidates {
				f.single[method.Alg()] = k
			}
		}
	}
	return f
}

// find returns the key that a token's header names or, without a kid, the only key for the algorithm. It returns nil if there is no
// such key. f may be nil.
func (f *activeKeys) find(name keyName, hasKid bool) *trustedKey {
	switch {
	case f == nil:
		return nil
	case hasKid:
		return f.keys[name]
	default:
		return f.single[name.algorithm]
	}
}

// after returns the active keys after a successful read of set, and the withdrawn ones: keys that the previous read did not
// return either, and keys whose kid now names another key. f may be nil. The caller must hold keySource.mu.
func (f *activeKeys) after(set *keySet, now time.Time) (next *activeKeys, withdrawn []*trustedKey) {
	var before []*trustedKey
	if f != nil {
		before = f.all
	}
	known := map[keyID]*trustedKey{}
	for _, k := range before {
		known[k.id()] = k
	}
	var all []*trustedKey
	present := map[keyID]bool{}
	for _, public := range set.all {
		if present[public.id()] {
			continue
		}
		present[public.id()] = true
		k := known[public.id()]
		if k == nil {
			k = &trustedKey{publicKey: public}
		}
		k.confirmed, k.missing = now, false
		all = append(all, k)
	}
	for _, k := range before {
		if present[k.id()] {
			continue
		}
		_, replaced := set.keys[k.keyName]
		if k.missing || replaced || set.shared[k.keyName] {
			withdrawn = append(withdrawn, k)
			continue
		}
		k.missing = true
		all = append(all, k)
	}
	return newActiveKeys(all), withdrawn
}

// expire returns the keys that were confirmed at most maxAge ago, and the others. The caller must hold keySource.mu.
func (f *activeKeys) expire(maxAge time.Duration, now time.Time) (left *activeKeys, expired []*trustedKey) {
	if f == nil || !f.hasOlder(maxAge, now) {
		return f, nil
	}
	var all []*trustedKey
	for _, k := range f.all {
		if now.Sub(k.confirmed) > maxAge {
			expired = append(expired, k)
		} else {
			all = append(all, k)
		}
	}
	return newActiveKeys(all), expired
}

// hasOlder reports whether a key was last confirmed more than maxAge ago.
func (f *activeKeys) hasOlder(maxAge time.Duration, now time.Time) bool {
	return now.Sub(f.oldest) > maxAge
}

// maxNamedKeys is the maximum number of keys that a log line names.
const maxNamedKeys = 8

// namesOf returns the algorithm and the kid of each key, for the log.
func namesOf(keys []*trustedKey) []string {
	var names []string
	for i, k := range keys {
		if i == maxNamedKeys {
			return append(names, fmt.Sprintf("and %d more", len(keys)-i))
		}
		kid := []rune(k.kid)
		names = append(names, k.algorithm+" "+string(kid[:min(len(kid), 64)]))
	}
	return names
}
