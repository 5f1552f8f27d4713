package servertest

import (
	"net/http"

	"github.com/dragoman-id/dragoman/server/auth"
)

// Ask sends r with a token of claims, and, to the dialect that wants one, with the sandbox's company. What r.Header says
// of either counts instead.
func (s *Server) Ask(claims auth.Claims, r Request) Answer {
	s.t.Helper()
	header := http.Header{"Authorization": {"Bearer " + s.Token(claims)}, "Current-Company-Id": {"5251"}}
	for name, values := range r.Header {
		header[http.CanonicalHeaderKey(name)] = values
	}
	r.Header = header
	return s.Send(r)
}
