package webhook

import (
	"math/rand/v2"
	"time"
)

// schedule has the pauses before the attempts to deliver a change, the first of which has none. It is that of Standard Webhooks 1.0, and
// ends after 75 hours and 35 minutes.
var schedule = []time.Duration{
	0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

const (
	// maxRetryAfter is how long a receiver may ask to wait at most.
	maxRetryAfter = 24 * time.Hour
	// jitter is the part of a pause that is added to it at most, so that endpoints that failed together are not tried together.
	jitter = 0.1
)

// pause returns how long to wait after a number of failed attempts, at least retryAfter, and false if there is to be no further attempt.
func pause(failed int64, retryAfter time.Duration) (time.Duration, bool) {
	if failed >= int64(len(schedule)) {
		return 0, false
	}
	p := max(schedule[failed], min(retryAfter, maxRetryAfter))
	return p + time.Duration(jitter*rand.Float64()*float64(p)), true // #nosec G404 -- any will do
}
