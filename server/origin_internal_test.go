package server

import (
	"strings"
	"testing"
)

// TestParseOrigin: the right side is what a browser sends from a page there.
func TestParseOrigin(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://app.example.com":             "https://app.example.com",
		"https://app.example.com/":            "https://app.example.com",
		"https://app.example:443":             "https://app.example",
		"https://app.example:443/":            "https://app.example",
		"https://app.example:0443":            "https://app.example",
		"https://app.example:":                "https://app.example",
		"http://app.example:80":               "http://app.example",
		"http://app.example:443":              "http://app.example:443",
		"https://app.example:80":              "https://app.example:80",
		"HTTPS://App.Example.COM:8443":        "https://app.example.com:8443",
		"https://übung.example":               "https://xn--bung-zra.example",
		"https://ÜBUNG.example":               "https://xn--bung-zra.example",
		"https://u\u0308bung.example":         "https://xn--bung-zra.example",
		"https://xn--bung-zra.example":        "https://xn--bung-zra.example",
		"https://straße.example":              "https://xn--strae-oqa.example",
		"https://例え。テスト":                      "https://xn--r8jz45g.xn--zckzah",
		"https://a_b.example":                 "https://a_b.example",
		"http://localhost:3000":               "http://localhost:3000",
		"http://127.0.0.1:5173":               "http://127.0.0.1:5173",
		"http://[::1]:3000":                   "http://[::1]:3000",
		"http://[0:0:0:0:0:0:0:1]":            "http://[::1]",
		"https://[2001:DB8:0:0::1]:443":       "https://[2001:db8::1]",
		"https://[::ffff:192.0.2.1]":          "https://[::ffff:c000:201]",
		"https://app.example.com.":            "https://app.example.com.",
		"https://r4---sn.example":             "https://r4---sn.example",
		"https://ｆｕｌｌ.example":                "https://full.example",
		"https://app.example.com:65535":       "https://app.example.com:65535",
		"https://faß.example:8443/":           "https://xn--fa-hia.example:8443",
		"https://xn--fa-hia.example:00008443": "https://xn--fa-hia.example:8443",
	} {
		if got, err := parseOrigin(text); err != nil || got != want {
			t.Errorf("%s is %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "*", "null", "app.example.com", "//app.example.com", "https://", "https://*.example.com", "https://app.example.com/path",
		"https://app.example.com/#", "https://app.example.com?", "https://app.example.com?q", "https://app.example.com#f",
		"https://user@app.example.com", "https://user:password@app.example.com", "ftp://app.example.com", "file:///etc",
		"https://app.example.com:x", "https://app.example.com:65536", "https://app.example.com:-1", "https://a b.example",
		"https://[::1", "https://::1", "https://[fe80::1%25eth0]", "https://[127.0.0.1]", "http://127.1", "http://0x7f000001", "http://1.2.3.4.5",
		"https://app.example.com\\@evil.example", "https://app.example.com, https://other.example.com", "https://a^b.example", "https://xn--a.example",
	} {
		if got, err := parseOrigin(text); err == nil || !strings.Contains(err.Error(), "--cors-origin") {
			t.Errorf("%q is %q, %v, want an error that names the setting", text, got, err)
		}
	}
}
