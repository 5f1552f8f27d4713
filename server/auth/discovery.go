package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"
)

// The document that names an issuer's key set, and the setting of the issuer, in errors.
const (
	discoveryName    = "the discovery document"
	discoverySetting = "the issuer of --issuer (DRAGOMAN_ISSUER), whose keys are to be discovered,"
)

// discovery finds an issuer's key set by the document that the issuer publishes about itself: that of OpenID Connect Discovery 1.0 or, if
// its address has none, that of RFC 8414. It reads the document before each read of the key set, so that a key set may move.
type discovery struct {
	issuer    string
	addresses []string // of the document, in the order in which they are tried
	documents fetcher
	local     bool // whether the issuer is on this machine, so that its key set may be there over http
	around    func(http.RoundTripper) http.RoundTripper
	log       *slog.Logger

	found string  // the URL of the key set
	keys  fetcher // fetches from there
}

// newDiscovery returns a discovery of the issuer's keys, or an error if the issuer's name is no URL that may be fetched. around is
// Config.Transport.
func newDiscovery(issuer string, around func(http.RoundTripper) http.RoundTripper, log *slog.Logger) (*discovery, error) {
	u, err := url.Parse(issuer)
	if err != nil || u.Opaque != "" {
		return nil, fmt.Errorf("%s is not a URL: set --jwks-url (DRAGOMAN_JWKS_URL) instead", discoverySetting)
	}
	if err := checkServerURL(u, discoverySetting); err != nil {
		return nil, fmt.Errorf("%w, or set --jwks-url (DRAGOMAN_JWKS_URL)", err)
	}
	if u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
		return nil, fmt.Errorf("%s has a query or a fragment: set --jwks-url (DRAGOMAN_JWKS_URL) instead", discoverySetting)
	}
	root := url.URL{Scheme: u.Scheme, Host: u.Host}
	return &discovery{
		issuer: issuer,
		addresses: []string{
			strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration",
			root.String() + "/.well-known/oauth-authorization-server" + strings.TrimSuffix(u.EscapedPath(), "/"),
		},
		documents: newFetcher(discoveryName, u.Scheme == "http", around),
		local:     isLoopback(u.Hostname()), around: around, log: log,
	}, nil
}

// read returns the content of the key set. It must not be called concurrently.
func (d *discovery) read(ctx context.Context) ([]byte, error) {
	place, err := d.locate(ctx)
	if err != nil {
		return nil, err
	}
	if place.String() != d.found {
		d.found = place.String()
		d.keys = newFetcher(keySetName, place.Scheme == "http", d.around)
		d.log.Info("token keys located", "scheme", place.Scheme, "host", place.Host, "path", place.EscapedPath())
	}
	return d.keys.fetch(ctx, d.found)
}

// locate returns the URL of the key set. It reads the second document only if the server answers with something else than a first.
func (d *discovery) locate(ctx context.Context) (*url.URL, error) {
	var refused error
	for _, address := range d.addresses {
		place, err := d.readDocument(ctx, address)
		if other := (*answerError)(nil); errors.As(err, &other) {
			refused = errors.Join(refused, err)
			continue
		}
		return place, err
	}
	return nil, fmt.Errorf("discover the key set, see --issuer (DRAGOMAN_ISSUER), or set --jwks-url (DRAGOMAN_JWKS_URL): %w", refused)
}

// readDocument returns the URL of the key set in the document at an address. The error is an answerError if there is no document.
func (d *discovery) readDocument(ctx context.Context, address string) (*url.URL, error) {
	content, err := d.documents.fetch(ctx, address)
	if err != nil {
		return nil, err
	}
	return d.parse(content)
}

// parse returns the URL of the key set in a discovery document, or an answerError if the content is none: servers of single-page
// applications answer 200 for every path. The document must be the issuer's own (OpenID Connect Discovery 1.0, section 4.3; RFC 8414,
// section 3.3): otherwise a document that is served for another issuer could replace the keys.
func (d *discovery) parse(content []byte) (*url.URL, error) {
	var document struct {
		Issuer string `json:"issuer"`
		KeySet string `json:"jwks_uri"`
	}
	err := json.Unmarshal(content, &document)
	if err == nil && document.Issuer != "" && document.Issuer != d.issuer {
		return nil, fmt.Errorf("the discovery document is that of the issuer %.200q, which differs from --issuer (DRAGOMAN_ISSUER): set it to exactly what tokens have in iss, with or without a final slash", document.Issuer)
	}
	if err != nil || document.Issuer == "" || document.KeySet == "" {
		// err may quote the content.
		return nil, &answerError{discoveryName + " is not a JSON object with an issuer and a jwks_uri"}
	}
	const what = "the jwks_uri of the discovery document"
	u, err := url.Parse(document.KeySet)
	if err != nil {
		return nil, errors.New(what + " is not a URL") // err quotes it
	}
	if err := checkServerURL(u, what); err != nil {
		return nil, err
	}
	if u.Scheme == "http" && !d.local {
		return nil, errors.New(what + " must be https, since the issuer is not on this machine")
	}
	return u, nil
}
