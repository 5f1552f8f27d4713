package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
)

// serveConfig is the configuration that a command line stands for.
func serveConfig(t *testing.T, arguments ...string) (server.Config, error) {
	t.Helper()
	var c commandLine
	parser, err := newParser(&c)
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{"--jwt-secret=" + strings.Repeat("s", 32), "--secret-key=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}
	if _, err := parser.Parse(append(append([]string{"serve"}, keys...), arguments...)); err != nil {
		return server.Config{}, err
	}
	return c.Serve.config()
}

func TestLimitsByDefault(t *testing.T) {
	t.Parallel()
	for _, arguments := range [][]string{nil, {"--dev"}} {
		c, err := serveConfig(t, arguments...)
		if err != nil {
			t.Fatal(err)
		}
		var want server.Limits
		want.Address.PerSecond, want.Address.Burst = 500, 1000
		want.Principal.PerSecond, want.Principal.Burst = 200, 400
		want.InFlight = 64
		if !reflect.DeepEqual(c.Limits, want) {
			t.Errorf("with %q the limits are %+v, want %+v", arguments, c.Limits, want)
		}
		if c.TLS != (server.TLS{}) || c.CORS != nil {
			t.Errorf("with %q TLS is %+v and CORS %q", arguments, c.TLS, c.CORS)
		}
	}
}

func TestLimitsWithDev(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--rate-limit-address=0", "--rate-limit-principal=0", "--max-in-flight=0"} {
		if _, err := serveConfig(t, flag); err == nil || !strings.Contains(err.Error(), "with --dev only") {
			t.Errorf("%s: %v", flag, err)
		}
	}
	c, err := serveConfig(t, "--dev", "--rate-limit-address=0", "--rate-limit-principal=0", "--max-in-flight=0")
	if err != nil || !reflect.DeepEqual(c.Limits, server.Limits{}) {
		t.Errorf("with --dev the limits are %+v, %v", c.Limits, err)
	}
}

func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	c, err := serveConfig(t, "--trusted-proxy=10.0.0.0/8", "--trusted-proxy=fd00::/8,192.0.2.7/32")
	want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("192.0.2.7/32")}
	if err != nil || !reflect.DeepEqual(c.Limits.TrustedProxies, want) {
		t.Errorf("the trusted are %v, %v; want %v", c.Limits.TrustedProxies, err, want)
	}
	for _, text := range []string{"10.0.0.1", "10.0.0.0/33", "proxy", "::ffff:10.0.0.0/104"} {
		if _, err := serveConfig(t, "--trusted-proxy="+text); err == nil {
			t.Errorf("%s is taken for a prefix", text)
		}
	}
}

func TestDevSpeaksPlainHTTP(t *testing.T) {
	t.Parallel()
	if _, err := serveConfig(t, "--dev", "--tls-cert=limits.go", "--tls-key=limits.go"); err == nil || !strings.Contains(err.Error(), "plain HTTP") {
		t.Errorf("--dev with TLS: %v", err)
	}
	cert, key := selfSigned(t)
	c, err := serveConfig(t, "--tls-cert="+cert, "--tls-key="+key, "--cors-origin=https://app.example.com")
	if err != nil || c.TLS != (server.TLS{CertFile: cert, KeyFile: key}) || len(c.CORS) != 1 {
		t.Errorf("TLS is %+v and CORS %q, %v", c.TLS, c.CORS, err)
	}
}

// selfSigned gives the files of a certificate and its key.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	public, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := writeFiles(t, map[string]string{
		"cert.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public})),
		"key.pem":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})),
	})
	return filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
}
