package server

import (
	"github.com/dragoman-id/dragoman/server/dialect"
	"github.com/dragoman-id/dragoman/store"
	"github.com/labstack/echo/v4"
)

// Mounted mounts dialects on a router of their own.
func Mounted(s *store.Store, dialects []Dialect) ([]*dialect.Dialect, error) {
	var all []*dialect.Dialect
	e := echo.New()
	for _, d := range dialects {
		mounted, err := d.Mount(e, &dialect.Service{Store: s})
		if err != nil {
			return nil, err
		}
		all = append(all, mounted)
	}
	return all, nil
}

// Routes gives all that the server's router knows.
func (s *Server) Routes() []*echo.Route { return s.echo.Routes() }
