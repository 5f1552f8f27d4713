package auth

import (
	"fmt"
	"time"
)

// keysInForce are the keys of a key set that verify tokens now: those of the last good reading, and those that it alone lacked. A
// keysInForce is not altered.
type keysInForce struct {
	all    []*trustedKey
	keys   map[keyName]*trustedKey
	single map[string]*trustedKey // by algorithm: the only key for it; no entry where there is none or several
	usable int                    // how many different keys there are
	oldest time.Time              // when the one that was confirmed longest ago was
}

// trustedKey is a key in force. It stays the same from one reading to the next, so that tokens can be remembered by it.
type trustedKey struct {
	publicKey
	// Guarded by keySource.mu.
	confirmed time.Time // when a good reading last had it
	missing   bool      // whether the last good reading did not
}

// keyID tells keys apart.
type keyID struct {
	keyName
	fingerprint string
}

func (k publicKey) id() keyID { return keyID{k.keyName, k.fingerprint} }

// newKeysInForce returns nil for no keys.
func newKeysInForce(all []*trustedKey) *keysInForce {
	if len(all) == 0 {
		return nil
	}
	f := &keysInForce{all: all, keys: map[keyName]*trustedKey{}, single: map[string]*trustedKey{}, oldest: all[0].confirmed}
	distinct := map[string]bool{}
	// A token without a kid is one of the last reading's keys, if that has any for its algorithm.
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

// find returns the key that a token's header names; without a kid, the only key for the algorithm. A nil keysInForce has none.
func (f *keysInForce) find(name keyName, hasKid bool) *trustedKey {
	switch {
	case f == nil:
		return nil
	case hasKid:
		return f.keys[name]
	default:
		return f.single[name.algorithm]
	}
}

// after returns the keys in force after a good reading, and those that it ended: the ones that were missing from the reading before
// as well, and the ones whose kid now names another key. The caller holds keySource.mu.
func (f *keysInForce) after(set *keySet, now time.Time) (next *keysInForce, withdrawn []*trustedKey) {
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
	return newKeysInForce(all), withdrawn
}

// without returns the keys that a good reading had not longer than maxAge ago, and the others. The caller holds keySource.mu.
func (f *keysInForce) without(maxAge time.Duration, now time.Time) (left *keysInForce, expired []*trustedKey) {
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
	return newKeysInForce(all), expired
}

// hasOlder reports whether a key was last confirmed longer than maxAge ago.
func (f *keysInForce) hasOlder(maxAge time.Duration, now time.Time) bool {
	return now.Sub(f.oldest) > maxAge
}

// maxNamedKeys is how many keys a line of the log names.
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
