package worthclient_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"sync"
	"time"

	"github.com/dragoman-id/dragoman/gen/worthclient"
)

// tokens caches a token until shortly before it expires, and then fetches another. An [oauth2.TokenSource] does the same: its
// token's SetAuthHeader can be called in a request editor too.
//
// [oauth2.TokenSource]: https://pkg.go.dev/golang.org/x/oauth2#TokenSource
type tokens struct {
	// fetch gets a token from the identity provider.
	fetch func(context.Context) (token string, expires time.Time, err error)

	mu      sync.Mutex
	token   string
	expires time.Time
}

// early is how long before its expiry a token is replaced, so that none expires during a request.
const early = 30 * time.Second

// authorize is a request editor: it runs before every request.
func (t *tokens) authorize(ctx context.Context, r *http.Request) (err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Until(t.expires) < early {
		if t.token, t.expires, err = t.fetch(ctx); err != nil {
			return fmt.Errorf("get a token: %w", err)
		}
	}
	r.Header.Set("Authorization", "Bearer "+t.token)
	return nil
}

// A token that is renewed before it expires.
func Example_token() {
	url, token, stop := sandbox()
	defer stop()

	lifetimes := []time.Duration{10 * time.Second, time.Hour}
	source := &tokens{fetch: func(context.Context) (string, time.Time, error) {
		lifetime := lifetimes[0]
		lifetimes = lifetimes[1:]
		fmt.Println("a token for", lifetime)
		return token, time.Now().Add(lifetime), nil
	}}
	client, err := worthclient.NewClientWithResponses(url, worthclient.WithRequestEditorFn(source.authorize))
	if err != nil {
		log.Fatal(err)
	}
	for range 3 {
		answer, err := client.ListCustomerUsersWithResponse(context.Background(), customer, nil)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(answer.Status())
	}
	// Output:
	// a token for 10s
	// 200 OK
	// a token for 1h0m0s
	// 200 OK
	// 200 OK
}
