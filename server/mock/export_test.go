package mock

// Requests is how many requests are under way in the present life.
func (m *Server) Requests() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now.requests - 1
}
