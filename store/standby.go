package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/engine"
	"github.com/dragoman-id/dragoman/store/postgres"
	"github.com/dragoman-id/dragoman/store/semaphore"
)

// StandbyConfig names a standby of a Postgres database, from which lists, searches, exports, histories and the feed are read.
type StandbyConfig struct {
	// URL is a "postgres://" or "postgresql://" URL. Empty means that there is none.
	URL string
	// MaxLag is how far the standby may be behind. It is not used while it is further behind, is down, or is no standby.
	MaxLag time.Duration
}

// StandbyState is whether a standby is used, and how far it was behind when it was last checked.
type StandbyState struct {
	Used bool
	// Lag is 0 if the standby had applied all that the primary had written. It is not known before a first successful check.
	Lag   time.Duration
	Known bool
}

// reader is a database that is read from, with what limits its readers.
type reader struct {
	db              *gorm.DB
	lists, searches *semaphore.Semaphore
}

// readFrom returns a reader over a database's pool for reading.
func readFrom(d engine.Database) (reader, error) {
	pools := d.Pools()
	db, err := session(d, pools.Read)
	return reader{db, pools.Lists, pools.Searches}, err
}

// standby is a standby, and what is known of it.
type standby struct {
	config StandbyConfig
	open   func(context.Context) (*postgres.Database, error)

	checking  sync.Mutex
	db        *postgres.Database // nil while it is not open
	reader    reader
	positions []walPosition // of the primary, oldest first

	mu    sync.Mutex
	state StandbyState
}

// walPosition is where the primary was at a time.
type walPosition struct {
	at       time.Time
	position int64
}

// used returns the standby's reader, and whether it is to be used.
func (s *standby) used() (reader, bool) {
	if s == nil {
		return reader{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reader, s.state.Used
}

func (s *standby) set(state StandbyState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
}

// leaveOut stops using the standby until the next check.
func (s *standby) leaveOut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Used = false
}

// period is how often the standby is checked, and how long a check may take.
func (s *standby) period() time.Duration { return min(s.config.MaxLag/5, time.Second) }

// check finds out whether the standby can be used, and returns why not.
//
// The times of a standby do not tell how far it is behind a primary that it has lost the connection to. So the primary's positions
// are kept for a while, and the standby's is compared with them.
func (s *standby) check(ctx context.Context, primary *postgres.Database) error {
	s.checking.Lock()
	defer s.checking.Unlock()
	ctx, cancel := context.WithTimeout(ctx, s.period())
	defer cancel()
	lag, err := s.measure(ctx, primary)
	// The next check may end two periods from now.
	if limit := s.config.MaxLag - 2*s.period(); err == nil && lag > limit {
		err = fmt.Errorf("it is %s behind, of the %s that --read-lag (DRAGOMAN_READ_LAG) allows", lag.Round(time.Millisecond), s.config.MaxLag)
		s.set(StandbyState{Lag: lag, Known: true})
		return err
	}
	if err != nil {
		s.leaveOut()
		return err
	}
	s.set(StandbyState{Used: true, Lag: lag, Known: true})
	return nil
}

// measure returns how far the standby is behind. It opens it if it is not open.
func (s *standby) measure(ctx context.Context, primary *postgres.Database) (time.Duration, error) {
	if s.db == nil {
		db, err := s.open(ctx)
		if err != nil {
			return 0, err
		}
		r, err := readFrom(db)
		if err != nil {
			return 0, errors.Join(err, db.Close())
		}
		s.mu.Lock()
		s.db, s.reader = db, r
		s.mu.Unlock()
	}
	now := time.Now()
	position, err := primary.Position(ctx)
	if err != nil {
		return 0, err
	}
	replayed, err := s.db.Replayed(ctx)
	if err != nil {
		return 0, err
	}
	return s.lag(now, position, replayed), nil
}

// lag notes the primary's position at a time and returns how long before it the primary was where the standby now is.
func (s *standby) lag(now time.Time, position, replayed int64) time.Duration {
	if n := len(s.positions); n > 0 && s.positions[n-1].position > position {
		s.positions = nil // another primary, which had less
	}
	s.positions = append(s.positions, walPosition{now, position})
	for len(s.positions) > 1 && now.Sub(s.positions[1].at) > s.config.MaxLag {
		s.positions = s.positions[1:]
	}
	for i := len(s.positions) - 1; i >= 0; i-- {
		if p := s.positions[i]; replayed >= p.position {
			return now.Sub(p.at)
		}
	}
	// It is at least this far behind, and at least too far.
	return max(now.Sub(s.positions[0].at), s.config.MaxLag)
}

// close closes the standby's connections.
func (s *standby) close() error {
	if s == nil {
		return nil
	}
	s.checking.Lock()
	defer s.checking.Unlock()
	s.leaveOut()
	if s.db == nil {
		return nil
	}
	return s.db.Close()
}

// newStandby returns the standby of a config, nil if it has none.
func newStandby(c Config) (*standby, error) {
	if c.Standby.URL == "" {
		return nil, nil
	}
	if c.Standby.MaxLag <= 0 {
		return nil, errors.New("the standby's MaxLag must be positive")
	}
	return &standby{config: c.Standby, open: func(ctx context.Context) (*postgres.Database, error) {
		return postgres.Open(ctx, c.Standby.URL, engine.Options{Schema: databaseSchema, Existing: true, Observe: c.Observer.Statement})
	}}, nil
}

// reading calls read with the standby if it is used, and otherwise with the primary. If the standby fails, it is not used until its next
// check, and read is called again with the primary.
func (s *Store) reading(ctx context.Context, read func(reader) error) error {
	if r, ok := s.standby.used(); ok {
		err := read(r)
		if err == nil || errors.Is(err, ErrBusy) || ctx.Err() != nil {
			if errors.Is(err, ErrUnavailable) {
				s.standby.leaveOut() // it took too long
			}
			return err
		}
		if !postgres.RolledBack(err) { // a conflict with what it replays
			s.standby.leaveOut()
		}
	}
	return read(reader{s.read, s.pools.Lists, s.pools.Searches})
}

// KeepStandby checks the standby of Config.Standby, several times in its MaxLag, until ctx is done. Without it the standby is not used.
// report is called with the reason when the standby is not used any more, and with nil when it is used again.
func (s *Store) KeepStandby(ctx context.Context, report func(error)) {
	primary, ok := s.db.(*postgres.Database)
	if s.standby == nil || !ok {
		return
	}
	keep(ctx, report, nil, func() (time.Duration, error) {
		err := s.standby.check(ctx, primary)
		return s.standby.period(), err
	})
}

// Standby returns the state of the standby, and whether one is configured.
func (s *Store) Standby() (state StandbyState, configured bool) {
	if s.standby == nil {
		return StandbyState{}, false
	}
	s.standby.mu.Lock()
	defer s.standby.mu.Unlock()
	return s.standby.state, true
}

// poolStates returns the state of the standby's pool, if it is open.
func (s *standby) poolStates() []Pool {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return nil
	}
	pools := s.db.Pools()
	return []Pool{engine.StateOf("standby", pools.Read, pools.Lists, pools.Searches)}
}
