package mock

import (
	"fmt"
	"io"
	"iter"
	"net"
	"text/template"
	"time"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dev"
)

// Secret signs the tokens of a mock, with HS256. It is public, so that a server with real data must never use it.
const Secret = "dragoman-mock-secret-that-everybody-knows" // #nosec G101 -- it is public by design

// validity is how long the token of a mock is valid from Start: longer than any mock runs.
const validity = 100 * 365 * 24 * time.Hour

// Token returns a token of the sandbox's administrator, which every mock accepts. It is always the same.
func Token() (string, error) {
	claims := dev.Administrator(validity)
	claims.Issuer = "dragoman-mock"
	token, err := auth.Sign([]byte(Secret), claims, Start)
	if err != nil {
		return "", fmt.Errorf("sign the mock's token: %w", err)
	}
	return token, nil
}

// Greet prints the mock's address, its APIs by their names and base paths, the explorer's URL if there is one, the token, and
// commands to paste.
func Greet(w io.Writer, address net.Addr, apis iter.Seq2[string, string], seed uint64, explorer bool) error {
	token, err := Token()
	if err != nil {
		return err
	}
	t, ok := address.(*net.TCPAddr)
	data := map[string]any{"Address": address.String(), "APIs": apis, "Token": token, "Seed": seed, "Explorer": explorer, "Open": !ok || !t.IP.IsLoopback()}
	if ok && t.IP.IsUnspecified() {
		data["Address"] = fmt.Sprintf("127.0.0.1:%d", t.Port)
	}
	if err := greeting.Execute(w, data); err != nil {
		return fmt.Errorf("print the greeting: %w", err)
	}
	return nil
}

var greeting = template.Must(template.New("greeting").Parse(`Dragoman's mock is listening on http://{{.Address}}, with an invented directory in memory, seed {{.Seed}}.
{{- if .Open}}

OTHERS CAN REACH IT, and anyone who can may do anything with it: its secret is public. Keep real data out of it.
{{- end}}
{{range $name, $path := .APIs}}
  {{printf "%-10s" $name}} http://{{$.Address}}{{$path}}
{{- end}}
{{- if .Explorer}}
  Explorer   http://{{.Address}}/docs
{{- end}}

A token of customer 3393 "Sandbox", the same in every mock:

TOKEN='{{.Token}}'

curl --header "Authorization: Bearer $TOKEN" http://{{.Address}}/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users

An answer of your choice, and a slow one:

curl --header "Authorization: Bearer $TOKEN" --header 'Prefer: code=503, delay=250' http://{{.Address}}/auth/api/v1/customers/2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1/users

Back to the beginning:

curl --request POST http://{{.Address}}/mock/reset

`))
