package server_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// TestWritesRepeatedWhileAnswersAreLost sends each write three times, to two servers of one directory in turn, whose answers are lost at
// random after they were executed. It is the short form of `make repeat`.
func TestWritesRepeatedWhileAnswersAreLost(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		servers := []*servertest.Server{servertest.StartWith(t, server.Config{Database: url}), servertest.StartWith(t, server.Config{Database: url})}
		s := servers[0]
		const writers, rounds = 6, 12
		before := changes(t, s)
		var all sync.WaitGroup
		for w := range writers {
			user := newUpdate(t, s, servertest.Dialects()[0].API, servertest.Dialects()[0].Updates[0]).user
			token := s.Token(servertest.Administrator())
			all.Go(func() {
				version := 1
				for n := range rounds {
					id := fmt.Sprintf("repeated-%d-%d", w, n)
					r := servertest.Request{Method: http.MethodPatch, Path: worthUser(user.UUID.String()), Body: fmt.Sprintf(`{"first_name":%q}`, id)}
					if n%3 == 2 {
						r.Method, r.Path = http.MethodPost, usersOfWorth
						r.Body = fmt.Sprintf(`{"first_name":%q,"last_name":"Made","email":"%s@example.com","mobile":"+1",`+
							`"subrole":{"id":"6351c76f-76a3-4950-9cc4-cc37cdc05ec2","code":"risk_analyst","label":"Risk Analyst"}}`, id, id)
					}
					r.Header = keyed(id, "Authorization", "Bearer "+token)
					if r.Method == http.MethodPatch {
						r.Header.Set("If-Match", fmt.Sprintf(`"%d"`, version))
						version++
					}
					first := ""
					for answered := 0; answered < 3; {
						a, lost := losing(servers[rand.IntN(len(servers))], r)
						if lost {
							continue
						}
						if answered++; first == "" {
							first = a
						}
						if a != first {
							t.Errorf("%s is answered\n%s\nand\n%s", id, first, a)
							return
						}
					}
				}
			})
		}
		all.Wait()
		if got := changes(t, s) - before - writers; got != writers*rounds {
			t.Errorf("%d changes of %d writes", got, writers*rounds)
		}
	})
}

// losing sends a request past the network, and returns what lasts of the answer unless it is lost.
func losing(s *servertest.Server, r servertest.Request) (answer string, lost bool) {
	request := httptest.NewRequest(r.Method, r.Path, strings.NewReader(r.Body))
	request.Header = r.Header.Clone()
	w := httptest.NewRecorder()
	s.Handler.ServeHTTP(w, request)
	if rand.IntN(3) == 0 {
		return "", true
	}
	return fmt.Sprint(w.Code, lasting(w.Header()), w.Body), false
}
