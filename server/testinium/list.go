package testinium

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/dragoman-id/dragoman/gen/testiniumapi"
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/store"
)

// batchSize is how many users of a list are in memory at once.
const batchSize = 500

// userList is the response of the list operation, an array that is written in batches. So its memory does not grow with the list, and
// a slow client does not hold a database connection.
type userList struct {
	call  *dialect.Call
	roles *store.Catalogue
	next  func(after int64) ([]store.User, error)
	batch []store.User
	last  int64 // the id of the last user read
}

func (l *userList) read() (err error) {
	if l.batch, err = l.next(l.last); err != nil {
		return err
	}
	if n := len(l.batch); n > 0 {
		l.last = l.batch[n-1].ID
	}
	return nil
}

// VisitListUsersResponse writes the response. An error after the first byte aborts the connection, so that a client cannot mistake a
// part of the list for the whole.
func (l *userList) VisitListUsersResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", dialect.CacheControl)
	w.WriteHeader(http.StatusOK)
	if err := l.write(w); err != nil && !errors.Is(err, errContentUnwanted) {
		return fmt.Errorf("%w: %w", dialect.ErrTruncated, err)
	}
	return nil
}

func (l *userList) write(w http.ResponseWriter) error {
	out := bufio.NewWriter(progressing{w, l.call})
	separator := byte('[')
	for len(l.batch) > 0 {
		for _, u := range l.batch {
			shown := toAPIUser(u, l.roles, l.call.SeesAccessToken(&u))
			shown.CompanyName = &l.call.Company.Name
			text, err := json.Marshal(shown) // #nosec G117 -- its access token is for those who may see it
			if err != nil {
				return fmt.Errorf("encode user: %w", err)
			}
			if err := out.WriteByte(separator); err != nil {
				return fmt.Errorf("write list: %w", err)
			}
			if _, err := out.Write(text); err != nil {
				return fmt.Errorf("write list: %w", err)
			}
			separator = ','
		}
		if err := l.read(); err != nil {
			return err
		}
	}
	if separator == '[' {
		_ = out.WriteByte('[') // Flush returns the error
	}
	_, _ = out.WriteString("]\n") // Flush returns the error
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write list: %w", err)
	}
	return nil
}

// errContentUnwanted ends the response to a request whose content is not sent, such as HEAD.
var errContentUnwanted = errors.New("the content is not wanted")

// progressing is a response that may exceed the time limit of a request as long as the client keeps reading it.
type progressing struct {
	http.ResponseWriter
	call *dialect.Call
}

func (p progressing) Write(part []byte) (int, error) {
	p.call.Progress()
	n, err := p.ResponseWriter.Write(part)
	if err == nil && p.call.ContentUnwanted() {
		// The response is longer than the buffer, so it has no Content-Length and the rest need not be computed.
		return n, errContentUnwanted
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op.Err // op contains the client's address, which must not be logged
	}
	return n, err
}

var _ testiniumapi.ListUsersResponseObject = (*userList)(nil)
