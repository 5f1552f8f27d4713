package settings

import "testing"

func TestMaskURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"sqlite:dragoman.db":                                 "sqlite:dragoman.db",
		"sqlite:a.db?_key=p":                                 "sqlite:a.db?***",
		"sqlite://u:p@h/d":                                   "***",
		"postgres://h:1/d":                                   "postgres://h:1/d",
		"postgres://h1:1,h2:2/d":                             "postgres://h1:1,h2:2/d",
		"postgres://u@[::1]:5432/d":                          "postgres://***@[::1]:5432/d",
		"postgres://u@h/d?sslmode=verify":                    "postgres://***@h/d?***",
		"postgres://u:p@h:1/d":                               "postgres://***@h:1/d",
		"postgres://u:p@h1:1,h2:2/d":                         "postgres://***@h1:1,h2:2/d",
		"postgres://u:p:q@h/d":                               "postgres://***@h/d",
		"postgres://u:@h/d":                                  "postgres://***@h/d",
		"postgres://u:p@q@h/d":                               "***",
		"postgres://u:p/q@h/d":                               "***",
		"postgres://u:9/q@h/d":                               "***",
		"postgres://u:9/p/d":                                 "***",
		"postgres://u:p/d":                                   "***",
		"postgres://u:p?q@h/d":                               "***",
		"postgres://u:p#q@h/d":                               "***",
		"postgres://u:p q@h/d":                               "***",
		"postgres://u:p@h/d e":                               "***",
		"postgres:u:p@h/d":                                   "***",
		"postgres://h/d?user=u&password=p&sslpassword=q&x=y": "postgres://h/d?***",
		"postgres:///d?host=/run&PASSWORD=p":                 "postgres:///d?***",
		"postgres://%2Frun%2Fpg/d":                           "postgres://%2Frun%2Fpg/d",
		"https://u:p@keys.example.com/a/b.json?token=t#f":    "https://***@keys.example.com/a/b.json?***#***",
		"https:u:p@keys.example.com":                         "***",
		"https://app.example.com":                            "https://app.example.com",
		"https://äpp.exämple:8443":                           "https://äpp.exämple:8443",
		"https://例え.テスト":                                     "https://例え.テスト",
		"https://u:pä/q@exämple":                             "***",
		"https://u:pä@exämple":                               "https://***@exämple",
		"file:///etc/jwks.json":                              "file:///etc/jwks.json",
		"/etc/jwks.json":                                     "/etc/jwks.json",
	} {
		if got := maskURL(text); got != want {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
	}
}

// TestServiceLinks checks the variables that Kubernetes sets for a service named dragoman.
func TestServiceLinks(t *testing.T) {
	t.Parallel()
	for variable, want := range map[[2]string]bool{
		{"DRAGOMAN_SERVICE_HOST", "10.0.0.1"}:             true,
		{"DRAGOMAN_SERVICE_PORT", "8080"}:                 true,
		{"DRAGOMAN_SERVICE_PORT_HTTP", "8080"}:            true,
		{"DRAGOMAN_PORT", "tcp://10.0.0.1:8080"}:          true,
		{"DRAGOMAN_PORT_8080_TCP", "tcp://10.0.0.1:8080"}: true,
		{"DRAGOMAN_PORT_8080_TCP_ADDR", "10.0.0.1"}:       true,
		{"DRAGOMAN_ADMIN_SERVICE_HOST", "10.0.0.2"}:       true,
		{"DRAGOMAN_ADMIN_PORT_9_UDP_PROTO", "udp"}:        true,
		{"DRAGOMAN_PORT", "8080"}:                         false,
		{"DRAGOMAN_HOST", "10.0.0.1"}:                     false,
		{"DRAGOMAN_PORT_8080", "tcp://10.0.0.1:8080"}:     false,
		{"DRAGOMAN_SERVICE", "tcp://10.0.0.1:8080"}:       false,
	} {
		if got := isServiceLink(variable[0], variable[1]); got != want {
			t.Errorf("%s=%s: %t, want %t", variable[0], variable[1], got, want)
		}
	}
}
