package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
)

// maxPrepared is the maximum number of prepared statements that a connection caches. The program has some dozens, and the filters of
// lists can add any number.
const maxPrepared = 64

// driverStmt is the part of the driver's prepared statement that is used here.
type driverStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// preparedStatements is a connection's cache of prepared statements, by their text: parsing and planning a statement takes several times
// as long as running it. SQLite prepares them again by itself when the schema has changed.
type preparedStatements struct {
	kept map[string]*preparedStatement
	uses uint64 // the number of calls of take, a clock for lastUse
}

// preparedStatement is used by one caller at a time.
type preparedStatement struct {
	driverStmt
	taken   bool
	kept    bool
	lastUse uint64 // the value of preparedStatements.uses at its last use
}

// take returns the statement with this text, prepared. The caller must release it.
func (p *preparedStatements) take(conn driverConn, text string) (*preparedStatement, error) {
	p.uses++
	s, found := p.kept[text]
	if found && !s.taken {
		s.taken, s.lastUse = true, p.uses
		return s, nil
	}
	made, err := conn.PrepareContext(context.Background(), text)
	if err != nil {
		return nil, err
	}
	inner, ok := made.(driverStmt)
	if !ok {
		return nil, errors.Join(errAnotherDriver, made.Close())
	}
	s = &preparedStatement{driverStmt: inner, taken: true, lastUse: p.uses}
	if found { // but in use: its rows are being read
		return s, nil
	}
	if err := p.makeRoom(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if p.kept == nil {
		p.kept = map[string]*preparedStatement{}
	}
	s.kept = true
	p.kept[text] = s
	return s, nil
}

// makeRoom evicts the least recently used statement if the cache is full.
func (p *preparedStatements) makeRoom() error {
	if len(p.kept) < maxPrepared {
		return nil
	}
	var oldest string
	lastUse := p.uses + 1
	for text, s := range p.kept {
		if !s.taken && s.lastUse < lastUse {
			oldest, lastUse = text, s.lastUse
		}
	}
	s, found := p.kept[oldest]
	if !found {
		return nil // all are in use
	}
	delete(p.kept, oldest)
	return s.Close()
}

// release returns the statement to the cache, or closes it if it is not cached.
func (s *preparedStatement) release() error {
	s.taken = false
	if s.kept {
		return nil
	}
	return s.Close()
}

// close closes all statements.
func (p *preparedStatements) close() error {
	var all error
	for _, s := range p.kept {
		all = errors.Join(all, s.Close())
	}
	p.kept = nil
	return all
}
