package webhook

import (
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"
)

// stats counts attempts.
type stats struct {
	mu       sync.Mutex
	attempts map[string]int64
	took     time.Duration
	disabled int64
}

// newStats returns counters that begin at 0: a rate misses the increase from absent to 1.
func newStats() *stats {
	s := &stats{attempts: map[string]int64{}}
	for _, answer := range Answers {
		s.attempts[answer] = 0
	}
	return s
}

// count counts an attempt by its answer.
func (s *stats) count(o outcome, began, ended time.Time) {
	answer := o.answer
	if o.status != 0 {
		if answer = strconv.Itoa(o.status/100) + "xx"; !slices.Contains(Answers, answer) {
			answer = answerOther
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts[answer]++
	s.took += ended.Sub(began)
}

func (s *stats) countDisabled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disabled++
}

// Answers are the answers by which attempts are counted.
var Answers = []string{
	"2xx", "3xx", "4xx", "5xx", answerOther, answerTimeout, answerUnreachable, answerUnresolved, answerAddress, answerTLS, answerURL,
}

// Stats says what a [Deliverer] has done, and how its endpoints are.
type Stats struct {
	Endpoints int              // that this server delivers to
	Failing   int              // of these, those whose last attempt failed
	Lag       time.Duration    // the age of the oldest undelivered change of these
	Attempts  map[string]int64 // by answer: 2xx and so on, or what was wrong
	Took      time.Duration    // all attempts together
	Disabled  int64            // endpoints that this server has disabled
}

// Stats returns the state of the deliverer. It does not query the database.
func (d *Deliverer) Stats() Stats {
	all := d.all()
	s := Stats{Endpoints: len(all)}
	now := d.c.Now()
	for _, e := range all {
		e.mu.Lock()
		if e.w.Attempts > 0 {
			s.Failing++
		}
		if !e.oldest.IsZero() {
			s.Lag = max(s.Lag, now.Sub(e.oldest))
		}
		e.mu.Unlock()
	}
	d.stats.mu.Lock()
	defer d.stats.mu.Unlock()
	s.Attempts, s.Took, s.Disabled = maps.Clone(d.stats.attempts), d.stats.took, d.stats.disabled
	return s
}
