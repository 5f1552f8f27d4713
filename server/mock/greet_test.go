package mock_test

import (
	"maps"
	"net"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/mock"
)

// TestGreetWarnsOfOpenAddress checks the warning of a mock that other machines can reach.
func TestGreetWarnsOfOpenAddress(t *testing.T) {
	t.Parallel()
	for address, open := range map[string]bool{"127.0.0.1": false, "::1": false, "0.0.0.0": true, "::": true, "192.0.2.1": true} {
		var said strings.Builder
		if err := mock.Greet(&said, &net.TCPAddr{IP: net.ParseIP(address), Port: 8080}, maps.All(map[string]string{"Third": "/third/api"}), 1, true); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(said.String(), ":8080/third/api\n") {
			t.Errorf("at %s it leaves out an API\n%s", address, said.String())
		}
		if strings.Contains(said.String(), "OTHERS CAN REACH IT") != open {
			t.Errorf("at %s it says\n%s", address, said.String())
		}
		if strings.Contains(said.String(), "http://0.0.0.0") || strings.Contains(said.String(), "http://[::]") {
			t.Errorf("at %s it prints calls to nowhere\n%s", address, said.String())
		}
	}
}
