package server

import (
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/store"
	"github.com/labstack/echo/v4"
)

// Dialects mounts every dialect of the server on a router of its own.
func Dialects(s *store.Store) ([]*dialect.Dialect, error) {
	var all []*dialect.Dialect
	e := echo.New()
	for _, mount := range dialects {
		d, err := mount(e, &dialect.Service{Store: s})
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// Routes gives all that the server's router knows.
func (s *Server) Routes() []*echo.Route { return s.echo.Routes() }
