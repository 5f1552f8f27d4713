package server

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

// readyTimeout is how long CheckReady waits for a response.
const readyTimeout = 3 * time.Second

// CheckReady returns nil if the server that listens at address on this machine is ready. Address is its Config.Listen, and
// certFile the file of its certificate, or "" without TLS. CheckReady is the health check of an image without other programs.
func CheckReady(ctx context.Context, address, certFile string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("check whether the server is ready: %w", err)
	}
	// A server that listens on all addresses is also at this one.
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme, client := "http", http.DefaultClient
	if certFile != "" {
		config, err := trustOnly(certFile)
		if err != nil {
			return fmt.Errorf("check whether the server is ready: %w", err)
		}
		scheme, client = "https", &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+net.JoinHostPort(host, port)+readyPath, nil)
	if err != nil {
		return fmt.Errorf("check whether the server is ready: %w", err)
	}
	answer, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("check whether the server is ready: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the server is not ready: it answers %s", answer.Status)
	}
	return nil
}
