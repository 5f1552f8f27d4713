package provisioning

import "context"

// What tests of the bounds need.
const (
	CacheFor   = cacheFor
	MaxUnknown = maxUnknown
)

// Enter is [Verifier.enter].
func (v *Verifier) Enter(ctx context.Context) (leave func(), err error) { return v.enter(ctx) }
