package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
)

// maxPrepared is how many statements a connection keeps prepared. The program has some dozens; only filters of lists make more.
const maxPrepared = 64

// driverStmt is what a prepared statement of the driver can do.
type driverStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// preparedStatements are the statements that a connection has prepared, by their text: to parse one and plan it takes several
// times as long as to run it. SQLite prepares them again by itself when the schema has changed.
type preparedStatements struct {
	kept map[string]*preparedStatement
	uses uint64
}

// preparedStatement is taken by one user at a time.
type preparedStatement struct {
	driverStmt
	taken  bool
	kept   bool
	lastly uint64 // when it was taken last, in uses of the connection
}

// take returns the statement with this text, prepared. Its taker releases it.
func (p *preparedStatements) take(conn driverConn, text string) (*preparedStatement, error) {
	p.uses++
	s, found := p.kept[text]
	if found && !s.taken {
		s.taken, s.lastly = true, p.uses
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
	s = &preparedStatement{driverStmt: inner, taken: true, lastly: p.uses}
	if found { // and the other one's rows are being read
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

// makeRoom gives up the statement that was not used for longest, if there are too many.
func (p *preparedStatements) makeRoom() error {
	if len(p.kept) < maxPrepared {
		return nil
	}
	var oldest string
	lastly := p.uses + 1
	for text, s := range p.kept {
		if !s.taken && s.lastly < lastly {
			oldest, lastly = text, s.lastly
		}
	}
	s, found := p.kept[oldest]
	if !found {
		return nil // all are in use
	}
	delete(p.kept, oldest)
	return s.Close()
}

// release gives the statement back.
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
