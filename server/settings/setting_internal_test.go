package settings

import "testing"

func TestPasswordsInURLsAreMasked(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"sqlite:dragoman.db":                                 "sqlite:dragoman.db",
		"postgres://u@h/d?sslmode=verify":                    "postgres://u@h/d?sslmode=verify",
		"postgres://u:p@h:1/d":                               "postgres://u:***@h:1/d",
		"postgres://u:p@h1:1,h2:2/d":                         "postgres://u:***@h1:1,h2:2/d",
		"postgres://u:p@q@h/d":                               "postgres://u:***@h/d",
		"postgres://u:p:q@h/d":                               "postgres://u:***@h/d",
		"postgres://u:@h/d":                                  "postgres://u:***@h/d",
		"postgres://u:p/q@h/d":                               "***",
		"postgres://u:p?q@h/d":                               "***",
		"postgres://u:p#q@h/d":                               "***",
		"postgres://h/d?user=u&password=p&sslpassword=q&x=y": "postgres://h/d?user=u&password=***&sslpassword=***&x=y",
		"postgres:///d?host=/run&PASSWORD=p":                 "postgres:///d?host=/run&PASSWORD=***",
		"postgres://h/d?pass%77ord=p&a%zz=b":                 "postgres://h/d?pass%77ord=***&a%zz=***",
	} {
		if got := maskURL(text); got != want {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
	}
}

// TestServiceLinksAreNotOurs: Kubernetes sets these in every container beside a service called dragoman.
func TestServiceLinksAreNotOurs(t *testing.T) {
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
