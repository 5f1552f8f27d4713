package cli

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/settings"
)

type limitFlags struct {
	RateLimitAddress        float64        `default:"500" placeholder:"N" help:"How many requests a second one address may make, with a good token or without; an IPv6 address counts with its /64 (${default}). 0 is no limit, for --dev only."`
	RateLimitAddressBurst   int            `default:"1000" placeholder:"N" help:"How many of them at once (${default})."`
	RateLimitPrincipal      float64        `default:"200" placeholder:"N" help:"How many requests a second may be made with the tokens of one subject (${default}). 0 is no limit, for --dev only."`
	RateLimitPrincipalBurst int            `default:"400" placeholder:"N" help:"How many of them at once (${default})."`
	MaxInFlight             int            `default:"64" placeholder:"N" help:"How many requests may be in flight at once with the tokens of one subject; one more is answered with 429 (${default}). 0 is no limit, for --dev only."`
	TrustedProxy            []netip.Prefix `placeholder:"CIDR" help:"Whom to believe when they say by X-Forwarded-For whom they speak for, such as 10.0.0.0/8; repeat it for several. Without it all that a proxy sends comes from one address, the proxy's."`
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
	TLSCert string `name:"tls-cert" type:"existingfile" placeholder:"FILE" help:"A PEM file with the server's certificate and the chain behind it: speak TLS. It is read again when it changes. Needs --tls-key."`
	TLSKey  string `name:"tls-key" type:"existingfile" placeholder:"FILE" help:"A PEM file with the certificate's key."`
}

func (f *tlsFlags) tls(dev bool) (server.TLS, error) {
	if dev && (f.TLSCert != "" || f.TLSKey != "") {
		return server.TLS{}, errors.New("--dev speaks plain HTTP: leave out --tls-cert (DRAGOMAN_TLS_CERT) and --tls-key (DRAGOMAN_TLS_KEY)")
	}
	return server.TLS{CertFile: f.TLSCert, KeyFile: f.TLSKey}, nil
}
