package mock_test

import (
	"net/http"
	"testing"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/mock"
)

// BenchmarkStart measures a start up to the first answer.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		m, err := mock.New(b.Context(), server.Config{Log: discard}, 1)
		if err != nil {
			b.Fatal(err)
		}
		one200(b, call{method: http.MethodGet, path: worthUsers}.to(b, m))
		if err := m.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReset measures a reset before each test of a suite.
func BenchmarkReset(b *testing.B) {
	m := newMock(b, 1)
	for b.Loop() {
		if answer := (call{method: http.MethodPost, path: "/mock/reset"}).to(b, m); answer.StatusCode != http.StatusNoContent {
			b.Fatal(answer.Status)
		}
	}
}
