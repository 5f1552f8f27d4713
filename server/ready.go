package server

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

// readyTimeout is how long CheckReady waits for an answer.
const readyTimeout = 3 * time.Second

// CheckReady asks the server of this machine that listens at address, a Config.Listen, whether it can serve requests. It
// gives nil if it can. Where the server speaks TLS, certFile is its certificate's, and else "". It is the health check of
// an image that holds nothing but the program.
func CheckReady(ctx context.Context, address, certFile string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("ask whether the server is ready: %w", err)
	}
	// A server that listens on every address is asked at the nearest.
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme, client := "http", http.DefaultClient
	if certFile != "" {
		config, err := trustOnly(certFile)
		if err != nil {
			return fmt.Errorf("ask whether the server is ready: %w", err)
		}
		scheme, client = "https", &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+net.JoinHostPort(host, port)+readyPath, nil)
	if err != nil {
		return fmt.Errorf("ask whether the server is ready: %w", err)
	}
	answer, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("ask whether the server is ready: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the server is not ready: it answers %s", answer.Status)
	}
	return nil
}
