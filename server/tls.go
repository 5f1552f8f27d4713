package server

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// TLS has the names of the PEM files of the server's certificate chain and of its key. If both are empty the server uses HTTP.
type TLS struct{ CertFile, KeyFile string }

// Check returns an error if only one of the files is set. It does not open them.
func (t TLS) Check() error {
	if (t.CertFile == "") != (t.KeyFile == "") {
		return errors.New("the certificate and its key are needed together: set both --tls-cert (DRAGOMAN_TLS_CERT) and --tls-key (DRAGOMAN_TLS_KEY)")
	}
	return nil
}

// load returns the certificate, or nil without TLS.
func (t TLS) load(log *slog.Logger) (*certificate, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	if t == (TLS{}) {
		return nil, nil
	}
	c := &certificate{files: t, log: log}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// certificate is the server's certificate. It is reloaded when its files change, so that it can be renewed without a restart.
type certificate struct {
	files TLS
	log   *slog.Logger

	mu    sync.Mutex
	stamp [2]fileStamp // of the files when they were last read, also without success
	now   *tls.Certificate
}

// fileStamp identifies a version of a file.
type fileStamp struct {
	modified time.Time
	size     int64
}

// config returns the TLS configuration, or nil without TLS.
func (c *certificate) config() *tls.Config {
	if c == nil {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}

// expiry returns a function that returns when the current certificate expires, or nil without TLS.
func (c *certificate) expiry() func() time.Time {
	if c == nil {
		return nil
	}
	return func() time.Time {
		now, _ := c.get(nil) // the error is always nil
		return now.Leaf.NotAfter
	}
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.load(); err != nil {
		c.log.Warn("the changed certificate cannot be loaded, the previous one stays in use", "error", err)
	}
	return c.now, nil
}

// load reads the files if they changed since they were last read. The caller must hold c.mu, except in TLS.load.
func (c *certificate) load() error {
	// Taken before the files are read: a change during the read is read the next time.
	stamp, err := c.files.stamp()
	if stamp == c.stamp {
		return nil
	}
	c.stamp = stamp
	if err != nil {
		return err
	}
	read, err := tls.LoadX509KeyPair(c.files.CertFile, c.files.KeyFile)
	if err != nil {
		return fmt.Errorf("read the certificate of --tls-cert and --tls-key: %w", err)
	}
	c.now = &read
	return nil
}

// stamp returns the stamps of both files. The stamp of a file that cannot be accessed is zero, and the error says why.
func (t TLS) stamp() (stamp [2]fileStamp, err error) {
	for i, name := range []string{t.CertFile, t.KeyFile} {
		info, failed := os.Stat(name)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("read the certificate of --tls-cert and --tls-key: %w", failed))
			continue
		}
		stamp[i] = fileStamp{info.ModTime(), info.Size()}
	}
	return stamp, err
}

// trustOnly returns a client's TLS configuration that trusts only the certificate in certFile, at any address.
func trustOnly(certFile string) (*tls.Config, error) {
	text, err := os.ReadFile(certFile) // #nosec G304 -- the operator names the file
	if err != nil {
		return nil, fmt.Errorf("read the certificate of --tls-cert and --tls-key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("read the certificate of --tls-cert and --tls-key: %s is not PEM", certFile)
	}
	own, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the certificate of --tls-cert and --tls-key: %w", err)
	}
	// The client connects to a local address, which few certificates contain. So it asks for a name in the certificate.
	name := ""
	switch {
	case len(own.DNSNames) > 0:
		name = strings.Replace(own.DNSNames[0], "*", "any", 1)
	case len(own.IPAddresses) > 0:
		name = own.IPAddresses[0].String()
	}
	roots := x509.NewCertPool()
	roots.AddCert(own)
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: name}, nil
}
