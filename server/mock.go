package server

import (
	"fmt"
	"io"
	"net/http"

	"github.com/labstack/echo/v4"
)

// Mock configures a server that replaces a vendor's API in tests of client programs. A request can ask for an error or a delay
// by the header Prefer, and POST /mock/reset restores the initial data. Package mock makes such servers.
type Mock struct {
	Random io.Reader // for UUIDs and access tokens; see store.Config
	// NewRequestID returns the id of a request that has none. Call is whether the request is for a dialect: others, such as
	// health checks, must not change the ids of calls, since they are sent at any time.
	NewRequestID func(call bool) string
	Reset        func() error // restores the initial data; it may be called concurrently
	// SignIn has what signs in the invented users, by path. A server that is not a mock signs nobody in.
	SignIn map[string]SignIn
}

// SignIn signs users in at one path.
type SignIn struct {
	Dialect string // whose errors there are
	Post    http.HandlerFunc
}

// signsIn reports whether a dialect signs in at path.
func (m *Mock) signsIn(dialect, path string) bool {
	return m != nil && m.SignIn[path].Dialect == dialect
}

// resetPath is the path of the mock's reset.
const resetPath = "/mock/reset"

func (m *Mock) reset(c echo.Context) error {
	if err := m.Reset(); err != nil {
		return fmt.Errorf("reset the mock: %w", err)
	}
	return c.NoContent(http.StatusNoContent)
}
