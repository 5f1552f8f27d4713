package cli

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/settings"
)

type limitFlags struct {
	RateLimitAddress        float64        `default:"500" placeholder:"N" help:"The requests per second that one address may make, with or without a valid token; an IPv6 address counts with its /64 (${default}). 0 disables the limit, only with --dev."`
	RateLimitAddressBurst   int            `default:"1000" placeholder:"N" help:"The burst of that limit (${default})."`
	RateLimitPrincipal      float64        `default:"200" placeholder:"N" help:"The requests per second with tokens of one subject (${default}). 0 disables the limit, only with --dev."`
	RateLimitPrincipalBurst int            `default:"400" placeholder:"N" help:"The burst of that limit (${default})."`
	MaxInFlight             int            `default:"64" placeholder:"N" help:"The requests that may be in flight with tokens of one subject; further ones are answered with 429 (${default}). 0 disables the limit, only with --dev."`
	TrustedProxy            []netip.Prefix `placeholder:"CIDR" help:"A network of proxies whose X-Forwarded-For and traceparent headers are trusted, such as 10.0.0.0/8; repeat it for several. Without it all requests of a proxy count as from the proxy's address."`
}

func (f *limitFlags) limits(dev bool) (server.Limits, error) {
	var l server.Limits
	var problems settings.Problems
	if !dev && (f.RateLimitAddress == 0 || f.RateLimitPrincipal == 0 || f.MaxInFlight == 0) {
		problems.Add(errors.New("the rate limits are turned off with --dev only: set --rate-limit-address, --rate-limit-principal and --max-in-flight to what you allow"))
	}
	if f.RateLimitAddress != 0 {
		l.Address.PerSecond, l.Address.Burst = f.RateLimitAddress, f.RateLimitAddressBurst
	}
	if f.RateLimitPrincipal != 0 {
		l.Principal.PerSecond, l.Principal.Burst = f.RateLimitPrincipal, f.RateLimitPrincipalBurst
	}
	for _, p := range f.TrustedProxy {
		if p.Addr().Is4In6() {
			problems.Add(fmt.Errorf("--trusted-proxy %s would match nothing: write it as IPv4", p))
		}
	}
	l.TrustedProxies = f.TrustedProxy
	l.InFlight = f.MaxInFlight
	return l, problems.Err()
}

type tlsFlags struct {
	TLSCert string `name:"tls-cert" type:"existingfile" placeholder:"FILE" help:"A PEM file with the server's certificate and its chain. It is reloaded when it changes. Requires --tls-key. By default the server speaks plain HTTP."`
	TLSKey  string `name:"tls-key" type:"existingfile" placeholder:"FILE" help:"A PEM file with the certificate's key."`
}

func (f *tlsFlags) tls(dev bool) (server.TLS, error) {
	if dev && (f.TLSCert != "" || f.TLSKey != "") {
		return server.TLS{}, errors.New("--dev speaks plain HTTP: leave out --tls-cert (DRAGOMAN_TLS_CERT) and --tls-key (DRAGOMAN_TLS_KEY)")
	}
	return server.TLS{CertFile: f.TLSCert, KeyFile: f.TLSKey}, nil
}
