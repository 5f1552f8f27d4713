package server

import (
	"fmt"
	"io"
	"net/http"

	"github.com/labstack/echo/v4"
)

// Mock makes of a server one that stands in for a vendor's where others test, and holds nothing real: a request may ask for
// an error and for a wait by Prefer, and POST /mock/reset sets it back. Package mock makes such servers.
type Mock struct {
	Random io.Reader // of the UUIDs and access tokens that are given; see store.Config
	// NewRequestID gives an id to a request that brings none of its own. It is told whether that calls one of the APIs: what
	// does not, such as a health check, comes at any time.
	NewRequestID func(call bool) string
	Reset        func() error // sets the server back; called by several requests at once
}

// resetPath sets a mock back.
const resetPath = "/mock/reset"

func (m *Mock) reset(c echo.Context) error {
	if err := m.Reset(); err != nil {
		return fmt.Errorf("reset the mock: %w", err)
	}
	return c.NoContent(http.StatusNoContent)
}
