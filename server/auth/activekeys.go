package auth

import (
	"fmt"
	"time"
)

// activeKeys are the keys of a key set that verify tokens now: those of the last successful reading, and those that only the
// last one lacked. It is immutable.
type activeKeys struct {
	all    []*trustedKey
	keys   map[keyName]*trustedKey
	single map[string]*trustedKey // by algorithm, if there is exactly one key for it
	usable int                    // the number of different keys
	oldest time.Time              // the earliest time of confirmation
}

// trustedKey is an active key. Readings do not replace it, so that the token cache can compare pointers.
type trustedKey struct {
	publicKey
	// Guarded by keySource.mu.
	confirmed time.Time // when a successful reading last had it
	missing   bool      // whether the last successful reading lacked it
}

// keyID identifies a key: equal names may be those of different keys.
type keyID struct {
	keyName
	fingerprint string
}

func (k publicKey) id() keyID { return keyID{k.keyName, k.fingerprint} }

// newActiveKeys returns nil for no keys.
func newActiveKeys(all []*trustedKey) *activeKeys {
	if len(all) == 0 {
		return nil
	}
	f := &activeKeys{all: all, keys: map[keyName]*trustedKey{}, single: map[string]*trustedKey{}, oldest: all[0].confirmed}
	distinct := map[string]bool{}
	// A token without a kid is verified with a key of the last reading, if that has one for its algorithm.
	fresh, withdrawn := map[string]map[string]*trustedKey{}, map[string]map[string]*trustedKey{}
	for _, k := range all {
		if k.kid != "" {
			f.keys[k.keyName] = k
		}
		distinct[k.algorithm+" "+k.fingerprint] = true
		if k.confirmed.Before(f.oldest) {
			f.oldest = k.confirmed
		}
		among := fresh
		if k.missing {
			among = withdrawn
		}
		if among[k.algorithm] == nil {
			among[k.algorithm] = map[string]*trustedKey{}
		}
		if among[k.algorithm][k.fingerprint] == nil {
			among[k.algorithm][k.fingerprint] = k
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

// find returns the key that a token's header names; without a kid, the only key for the algorithm. A nil activeKeys has none.
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

// after returns the active keys after a successful reading, and those that it withdrew: the keys that the reading before lacked
// too, and those whose kid now names another key. f may be nil. The caller holds keySource.mu.
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
	there := map[keyID]bool{}
	for _, public := range set.all {
		if there[public.id()] {
			continue
		}
		there[public.id()] = true
		k := known[public.id()]
		if k == nil {
			k = &trustedKey{publicKey: public}
		}
		k.confirmed, k.missing = now, false
		all = append(all, k)
	}
	for _, k := range before {
		if there[k.id()] {
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

// without returns the keys that were confirmed at most maxAge ago, and the others. The caller holds keySource.mu.
func (f *activeKeys) without(maxAge time.Duration, now time.Time) (left *activeKeys, expired []*trustedKey) {
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

// maxNamedKeys is how many keys a line of the log names at most.
const maxNamedKeys = 8

// namesOf returns the algorithms and kids of keys, for the log.
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
