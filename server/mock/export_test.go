package mock

// Requests returns how many requests are in flight in the current instance.
func (m *Server) Requests() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.current.requests - 1
}
