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

// TLS names the PEM files of the server's certificate, with the chain behind it, and of its key. Both empty: plain HTTP.
type TLS struct{ CertFile, KeyFile string }

// Check refuses one of the two files without the other. It opens neither.
func (t TLS) Check() error {
	if (t.CertFile == "") != (t.KeyFile == "") {
		return errors.New("a certificate needs its key, and a key its certificate: set both --tls-cert (DRAGOMAN_TLS_CERT) and --tls-key (DRAGOMAN_TLS_KEY)")
	}
	return nil
}

// load gives the server's certificate, or nil for plain HTTP.
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

// certificate is the server's, read again when its files have changed, so that it can be renewed without a restart.
type certificate struct {
	files TLS
	log   *slog.Logger

	mu    sync.Mutex
	stamp [2]fileStamp // of the files when they were last read, whether or not that went well
	now   *tls.Certificate
}

// fileStamp tells one state of a file from another.
type fileStamp struct {
	modified time.Time
	size     int64
}

// config gives how to speak TLS with the certificate; nil for none.
func (c *certificate) config() *tls.Config {
	if c == nil {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}

// expiry gives what tells when the certificate that is in use expires; nil for none.
func (c *certificate) expiry() func() time.Time {
	if c == nil {
		return nil
	}
	return func() time.Time {
		now, _ := c.get(nil) // its error is never one
		return now.Leaf.NotAfter
	}
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.load(); err != nil {
		c.log.Warn("the changed certificate cannot be used, the last good one still is", "error", err)
	}
	return c.now, nil
}

// load reads the files if they are not as they were when they were last read.
func (c *certificate) load() error {
	// Before the files are read: what changes meanwhile is read the next time.
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

// stamp gives the files' stamps, of which that of a file that cannot be read is zero, and why it cannot.
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

// trustOnly gives how to speak TLS with the server whose certificate's file this is, by whatever address, and with no other.
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
	// The connection is to an address of this machine, which few certificates name; so one of its own names is asked for.
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
