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

// batchSize is how many users of a list are held at once.
const batchSize = 500

// userList is the answer of the list operation: an array that is written batch by batch, so that its memory does not grow
// with the list, and nothing in the database waits for a slow reader.
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

// VisitListUsersResponse writes the answer. Once it has begun it can only be broken off: a client must not take a part
// for the whole.
func (l *userList) VisitListUsersResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", dialect.CacheControl)
	w.WriteHeader(http.StatusOK)
	if err := l.write(w); err != nil && !errors.Is(err, errContentUnwanted) {
		return fmt.Errorf("%w: %w", dialect.ErrBrokenOff, err)
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
		_ = out.WriteByte('[') // its error stays with out and comes from Flush
	}
	_, _ = out.WriteString("]\n") // as does this one's
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write list: %w", err)
	}
	return nil
}

// errContentUnwanted ends a list whose content is not sent.
var errContentUnwanted = errors.New("the content is not wanted")

// progressing is an answer that takes longer than a request may, as long as the client goes on reading it.
type progressing struct {
	http.ResponseWriter
	call *dialect.Call
}

func (p progressing) Write(part []byte) (int, error) {
	p.call.Progress()
	n, err := p.ResponseWriter.Write(part)
	if err == nil && p.call.ContentUnwanted() {
		// More than this buffer is written without a Content-Length, however long it is.
		return n, errContentUnwanted
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op.Err // op names the client's address, which is nothing for the log
	}
	return n, err
}

var _ testiniumapi.ListUsersResponseObject = (*userList)(nil)
