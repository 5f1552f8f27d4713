package server_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// certified is a certificate of its own making for directory.example.com, as files.
type certified struct {
	files     server.TLS
	text, key []byte
}

func certify(t *testing.T) certified {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		DNSNames:     []string{"directory.example.com"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := certified{
		files: server.TLS{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")},
		text:  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}),
		key:   pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	}
	c.write(t, c.files, time.Now())
	return c
}

// write puts the certificate into files that then say they were changed at this time.
func (c certified) write(t *testing.T, files server.TLS, at time.Time) {
	t.Helper()
	for name, text := range map[string][]byte{files.CertFile: c.text, files.KeyFile: c.key} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
}

// config is that of a client who trusts the certificate.
func (c certified) config() *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.text)
	return &tls.Config{RootCAs: roots, ServerName: "directory.example.com", MinVersion: tls.VersionTLS10}
}

func TestTLSSpeaksHTTP2(t *testing.T) {
	t.Parallel()
	c := certify(t)
	address := serve(t, server.Config{TLS: c.files})
	for proto, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		transport := &http.Transport{TLSClientConfig: c.config(), ForceAttemptHTTP2: http2}
		t.Cleanup(transport.CloseIdleConnections)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+testiniumAda, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token(t, servertest.Manager()))
		r.Header.Set("current-company-id", "5251")
		a, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(a.Body)
		a.Body.Close()
		if err != nil || a.StatusCode != http.StatusOK || a.Proto != proto || !strings.Contains(string(body), "Lovelace") {
			t.Errorf("the answer is %s %s %s, %v", a.Proto, a.Status, body, err)
		}
		if got := a.Header.Get("Strict-Transport-Security"); got != "max-age=31536000" {
			t.Errorf("Strict-Transport-Security is %q", got)
		}
	}
}

func TestTLSMinimumVersion(t *testing.T) {
	t.Parallel()
	c := certify(t)
	address := serve(t, server.Config{TLS: c.files})
	for version, want := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		config := c.config()
		config.MaxVersion = version
		connection, err := tls.Dial("tcp", address, config)
		if err == nil {
			connection.Close()
		}
		if spoken := err == nil; spoken != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

// shown is the certificate that the server shows.
func shown(t *testing.T, address string) []byte {
	t.Helper()
	connection, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: connection.ConnectionState().PeerCertificates[0].Raw})
}

func TestCertificateIsReloaded(t *testing.T) {
	t.Parallel()
	first, second := certify(t), certify(t)
	address := serve(t, server.Config{TLS: first.files})
	shows := func(c certified, when string) {
		t.Helper()
		for range 2 {
			if !bytes.Equal(shown(t, address), c.text) {
				t.Errorf("%s the server shows another certificate", when)
			}
		}
	}
	shows(first, "at first")

	at := time.Now().Add(time.Minute)
	broken := second
	broken.text = []byte("no certificate")
	broken.write(t, first.files, at)
	shows(first, "when the new one is broken")

	unpaired := second
	unpaired.key = first.key
	unpaired.write(t, first.files, at.Add(time.Minute))
	shows(first, "while the new one's key is not there yet")

	second.write(t, first.files, at.Add(2*time.Minute))
	shows(second, "when both files are new")

	if err := os.Remove(first.files.KeyFile); err != nil {
		t.Fatal(err)
	}
	shows(second, "when a file is gone")
	first.write(t, first.files, at.Add(3*time.Minute))
	shows(first, "when both files are there again")
}

func TestTLSNeedsBothFiles(t *testing.T) {
	t.Parallel()
	c, other := certify(t), certify(t)
	for name, files := range map[string]server.TLS{
		"no key":         {CertFile: c.files.CertFile},
		"no certificate": {KeyFile: c.files.KeyFile},
		"no such file":   {CertFile: c.files.CertFile, KeyFile: c.files.KeyFile + "x"},
		"another's key":  {CertFile: c.files.CertFile, KeyFile: other.files.KeyFile},
		"no key in it":   {CertFile: c.files.CertFile, KeyFile: c.files.CertFile},
	} {
		_, err := server.New(t.Context(), server.Config{
			Database:  "sqlite:" + t.TempDir() + "/dragoman.db",
			SecretKey: storetest.Key,
			Auth:      auth.Config{Issuers: []auth.Issuer{{Secret: servertest.Secret}}},
			TLS:       files,
		})
		if err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("a server with %s: %v", name, err)
		}
	}
}

func TestCheckReadyTLS(t *testing.T) {
	t.Parallel()
	c, other := certify(t), certify(t)
	address := serve(t, server.Config{TLS: c.files})
	if err := server.CheckReady(t.Context(), address, c.files.CertFile); err != nil {
		t.Errorf("a server that is ready: %v", err)
	}
	for name, certFile := range map[string]string{
		"without TLS":               "",
		"with another certificate":  other.files.CertFile,
		"with what is none":         c.files.KeyFile,
		"with what is no PEM":       os.Args[0],
		"with what does not exists": c.files.CertFile + "x",
	} {
		if err := server.CheckReady(t.Context(), address, certFile); err == nil {
			t.Errorf("asked %s, the server is ready", name)
		}
	}
}
