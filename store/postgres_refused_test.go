package store_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// scriptedPostgres answers who connects with an error of this code, and who asks for encryption as its certificate allows.
type scriptedPostgres struct {
	code        string
	certificate *tls.Config // nil: no encryption
}

// serve returns the address that it listens on until the test ends.
func (s scriptedPostgres) serve(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.answer(conn)
		}
	}()
	return l.Addr().String()
}

func (s scriptedPostgres) answer(conn net.Conn) {
	defer func() { conn.Close() }()
	for {
		backend := pgproto3.NewBackend(conn, conn)
		message, err := backend.ReceiveStartupMessage()
		if err != nil {
			return
		}
		_, encrypt := message.(*pgproto3.SSLRequest)
		switch {
		case encrypt && s.certificate == nil:
			conn.Write([]byte("N"))
		case encrypt:
			conn.Write([]byte("S"))
			conn = tls.Server(conn, s.certificate)
		default:
			if s.code != "" {
				backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: s.code, Message: "as the test wants it"})
				backend.Flush()
			}
			return
		}
	}
}

// waits reports whether opening the store waits for the database, and the error of opening it.
func waits(t *testing.T, address string) (waits bool, err error) {
	t.Helper()
	_, err = store.Open(t.Context(), store.Config{URL: address, SecretKey: storetest.Key})
	return store.MayPass(err), err
}

func TestPostgresErrorsAtStart(t *testing.T) {
	t.Parallel()
	authority := httptest.NewTLSServer(nil) // for its certificate, of example.com and 127.0.0.1
	defer authority.Close()
	certificate := &tls.Config{Certificates: authority.TLS.Certificates}
	known := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Certificate().Raw})
	if err := os.WriteFile(known, text, 0o600); err != nil {
		t.Fatal(err)
	}
	code := func(code string) string { return scriptedPostgres{code: code}.serve(t) }
	encrypted := func(code string) string { return scriptedPostgres{code, certificate}.serve(t) }
	picky := certificate.Clone()
	picky.ClientAuth, picky.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	const nobody = "127.0.0.1:9" // nothing listens on the discard port

	for name, c := range map[string]struct {
		hosts, parameters string
		waits             bool
	}{
		"wrong password":                   {code("28P01"), "", false},
		"no such role, or no entry":        {code("28000"), "", false},
		"no such database":                 {code("3D000"), "", false},
		"no permission":                    {code("42501"), "", false},
		"unknown parameter":                {code("42704"), "", false},
		"bad parameter":                    {code("22023"), "", false},
		"unsupported protocol":             {code("0A000"), "", false},
		"database closed to connections":   {code("55000"), "", false},
		"starting":                         {code("57P03"), "", true},
		"stopping":                         {code("57P01"), "", true},
		"too many connections":             {code("53300"), "", true},
		"out of memory":                    {code("53200"), "", true},
		"pooler without a server":          {code("08P01"), "", true},
		"ends the connection":              {code(""), "", true},
		"nobody":                           {nobody, "", true},
		"unknown name":                     {"dragoman.invalid", "", true},
		"no encryption, required":          {code("57P03"), "sslmode=require", false},
		"no encryption, preferred":         {code("57P03"), "sslmode=prefer", true},
		"encryption, starting":             {encrypted("57P03"), "sslmode=require", true},
		"encryption, wrong password":       {encrypted("28P01"), "sslmode=require", false},
		"unknown authority":                {encrypted("57P03"), "sslmode=verify-full", false},
		"known authority, starting":        {encrypted("57P03"), "sslmode=verify-full&sslrootcert=" + known, true},
		"wants a certificate":              {scriptedPostgres{"57P03", picky}.serve(t), "sslmode=require", false},
		"two hosts, both refuse":           {code("28000") + "," + code("42704"), "", false},
		"two hosts, one is not there":      {nobody + "," + code("3D000"), "", true},
		"two hosts, one is not there, 2nd": {code("28000") + "," + nobody, "", true},
		"two hosts, one starts":            {code("42704") + "," + code("57P03"), "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parameters := c.parameters
			if parameters == "" {
				parameters = "sslmode=disable"
			}
			got, err := waits(t, fmt.Sprintf("postgres://u:p@%s/d?%s", c.hosts, parameters))
			if !got && !strings.Contains(err.Error(), "--database (DRAGOMAN_DATABASE)") && strings.Count(name, "two hosts") == 0 {
				t.Errorf("no setting is named: %v", err)
			}
			if got != c.waits || !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("waits: %t, want %t: %v", got, c.waits, err)
			}
		})
	}
}

// TestPostgresRefusalsAtStart has a real server refuse.
func TestPostgresRefusalsAtStart(t *testing.T) {
	t.Parallel()
	address := storetest.PostgresURL(t)
	for name, refused := range map[string]string{
		"unknown parameter": with(t, address, "no_such_parameter=1"),
		"unknown option":    with(t, address, "options=-c no_such_option=1"),
		"bad value":         with(t, address, "statement_timeout=soon"),
		"no such database":  regexp.MustCompile(`/\w+\?`).ReplaceAllString(address, "/no_such_database?"),
		"no such role":      strings.Replace(address, "postgres@", "no_such_role@", 1),
		"no such schema":    with(t, address, "search_path=no_such_schema"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if refused == address {
				t.Fatal("the URL is as it was")
			}
			if err := openImpatiently(t, refused); err == nil {
				t.Error("opened")
			}
		})
	}
}

// TestPostgresRoleWithoutPrivileges checks that a role that lacks a privilege is refused at once, with what to grant it, and that one
// without CREATE serves a directory that needs no migration.
func TestPostgresRoleWithoutPrivileges(t *testing.T) {
	t.Parallel()
	address := storetest.EmptyPostgresURL(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	schema := u.Query().Get("search_path")
	role := "role_" + schema
	storetest.PostgresExec(t, address, "CREATE ROLE "+role+" LOGIN PASSWORD 'of a test'; GRANT USAGE ON SCHEMA "+schema+" TO "+role)
	t.Cleanup(func() { storetest.PostgresExec(t, address, "DROP OWNED BY "+role+"; DROP ROLE "+role) })
	u.User = url.UserPassword(role, "of a test")
	weak := u.String()
	opens := func(want string) {
		t.Helper()
		err := openImpatiently(t, weak)
		if want == "" && err == nil {
			return
		}
		if err == nil || want == "" || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--database (DRAGOMAN_DATABASE)") || strings.Contains(err.Error(), role) {
			t.Errorf("%v, want %q", err, want)
		}
	}

	began := time.Now()
	opens("GRANT CREATE ON SCHEMA \"" + schema + "\" TO role")
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	if err := openImpatiently(t, address); err != nil {
		t.Fatal(err)
	}
	opens("needs SELECT, INSERT, UPDATE and DELETE on them")
	storetest.PostgresExec(t, address, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "+schema+" TO "+role)
	opens("")
	storetest.PostgresExec(t, address, "UPDATE goose_db_version SET is_applied = false WHERE version_id = (SELECT max(version_id) FROM goose_db_version)")
	opens("GRANT CREATE ON SCHEMA")
	storetest.PostgresExec(t, address, "UPDATE goose_db_version SET is_applied = true; GRANT CREATE ON SCHEMA "+schema+" TO "+role)
	opens("")
	storetest.PostgresExec(t, address, "REVOKE USAGE ON SCHEMA "+schema+" FROM "+role)
	opens("can use no schema of its search_path")
}
