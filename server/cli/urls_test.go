package cli

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-id/dragoman/store"
)

// special are the characters of which a password is made here: those that mean something in a URL, a shell or a keyword/value string.
const special = "%/ @,?#:&=+'\"\\\n$[;"

// urlPieces are what passwords are made of, and no output may hold.
var urlPieces = []string{"Hunter", "Zecret", "Tayl"}

// passwordsOfPairs gives a password for every ordered pair of special characters.
func passwordsOfPairs() (passwords []string) {
	for _, a := range special {
		for _, b := range special {
			passwords = append(passwords, urlPieces[0]+string(a)+urlPieces[1]+string(b)+urlPieces[2])
		}
	}
	return passwords
}

func findPieces(t *testing.T, where, text string) {
	t.Helper()
	for _, piece := range urlPieces {
		if strings.Contains(strings.ToLower(text), strings.ToLower(piece)) {
			t.Errorf("%s tells %s: %s", where, piece, text)
		}
	}
}

// urlsWith gives the places of a URL where somebody may have put a password as it is.
func urlsWith(password string) []string {
	return []string{
		"postgres://u:" + password + "@127.0.0.1:9/d",
		"postgres://" + password + "@127.0.0.1:9/d",
		"postgresql://u:" + password + "@127.0.0.1:9,127.0.0.1:10/d?sslmode=disable",
		"postgres://127.0.0.1:9/d?password=" + password,
		"postgres://u@127.0.0.1:9/d?sslmode=disable&passfile=/none&sslpassword=" + password,
		"postgres://u@127.0.0.1:9/d?sslrootcert=/" + password,
		"postgres://u@127.0.0.1:9/d?sslmode=" + password,
		"host=127.0.0.1 port=9 user=u password=" + password,
		"postgres:u:" + password + "@127.0.0.1:9/d",
		"mysql://u:" + password + "@127.0.0.1:9/d",
		"sqlite://u:" + password + "@h/d",
		"sqlite:none/d.db?key=" + password,
	}
}

// TestURLErrorsHidePasswords opens databases with generated passwords that nobody has escaped.
func TestURLErrorsHidePasswords(t *testing.T) {
	t.Parallel()
	for _, password := range passwordsOfPairs() {
		for _, database := range urlsWith(password) {
			err := store.CheckURL(database)
			if err != nil {
				findPieces(t, database, err.Error())
			}
			if err == nil && strings.HasPrefix(database, "postgres") {
				_, err = store.Migrate(t.Context(), database, store.Wait{})
			}
			if err == nil {
				t.Errorf("%q is opened", database)
				continue
			}
			findPieces(t, database, err.Error())
		}
	}
}

// TestAmbiguousURLs: before anything is dialed, and with the remedy.
func TestAmbiguousURLs(t *testing.T) {
	t.Parallel()
	for _, password := range passwordsOfPairs() {
		ambiguous := strings.ContainsAny(password, "/@?#% \n\"\\[")
		err := store.CheckURL("postgres://u:" + password + "@127.0.0.1:9/d")
		if ambiguous != (err != nil) {
			t.Errorf("%q: %v", password, err)
		}
		if ambiguous && (!strings.Contains(err.Error(), "--database") || !strings.Contains(err.Error(), "percent-encoded")) {
			t.Errorf("%q is refused with %v", password, err)
		}
		if err := store.CheckURL((&url.URL{Scheme: "postgres", User: url.UserPassword("u", password), Host: "127.0.0.1:9", Path: "/d"}).String()); err != nil && !strings.Contains(password, "\n") {
			t.Errorf("%q, escaped: %v", password, err)
		}
	}
}

// TestOutputHidesPasswords runs the commands that take a database, for a sample of the passwords.
func TestOutputHidesPasswords(t *testing.T) {
	t.Parallel()
	commands := []string{"serve --listen=127.0.0.1:0 --database-wait=50ms", "migrate --database-wait=50ms", "config --format=json", "ready --listen=127.0.0.1:1",
		"export --database-wait=50ms", "backup copy.db", "history --user=1 --database-wait=50ms", "rekey --database-wait=50ms"}
	var urls []string
	passwords := passwordsOfPairs()
	for i, password := range passwords {
		all := urlsWith(password)
		urls = append(urls, all[i%len(all)])
	}
	urls = append(urls, "postgres://u:Hunter/Zecret%Tayl@h/db", "postgres://u:Hunter,Zecret@127.0.0.1:9/d", "postgres://Hunter@127.0.0.1:9/d?application_name=Zecret")
	dir := t.TempDir()
	var work sync.WaitGroup
	limit := make(chan struct{}, 4)
	for i, database := range urls {
		if i%4 != 0 && i < len(passwords) { // each command starts a program
			continue
		}
		command := commands[i/4%len(commands)]
		if strings.Contains(database, "\x00") {
			continue
		}
		limit <- struct{}{}
		work.Go(func() {
			defer func() { <-limit }()
			variables := slices.Concat(goodKeys, []string{"DRAGOMAN_DATABASE=" + database})
			status, out, said := configured(t, dir, variables, "", strings.Fields(command)...)
			if status == 0 && !strings.HasPrefix(command, "config") {
				t.Errorf("%s with %q ends with 0", command, database)
			}
			findPieces(t, fmt.Sprintf("%s with %q", command, database), out+said)
		})
	}
	work.Wait()
}

// TestAmbiguousURLNotDialed: a password of which a piece looks like a host leads nowhere.
func TestAmbiguousURLNotDialed(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dialed := make(chan string, 100)
	go func() {
		defer close(dialed)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			dialed <- "a connection"
			c.Close()
		}
	}()
	for _, password := range []string{"a@" + l.Addr().String() + ",b", "a@" + l.Addr().String() + "/b", "a@" + l.Addr().String() + "?b=c", "a@" + l.Addr().String() + "#b"} {
		if _, err := store.Migrate(t.Context(), "postgres://u:"+password+"@127.0.0.1:9/d", store.Wait{}); err == nil {
			t.Errorf("%s is accepted", password)
		}
	}
	l.Close()
	for what := range dialed {
		t.Error(what)
	}
}

// TestConfigMasksKeySetURL: user, password and parameters, and all of what is none.
func TestConfigMasksKeySetURL(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, place := range []string{
		"https://u:Hunter@127.0.0.1:9/jwks.json", "https://Hunter@127.0.0.1:9/jwks.json?token=Zecret#Tayl", "https://u:Hunter/Zecret@127.0.0.1:9/", "https://u:Hunter%Zecret@127.0.0.1:9/",
		"https:u:Hunter@127.0.0.1:9", "//u:Hunter@127.0.0.1:9/", "Hunter:Zecret@127.0.0.1", "127.0.0.1/jwks.json?token=Zecret", "ftp://u:Hunter@127.0.0.1/", "https://127.0.0.1:9/?token=Zecret",
	} {
		for _, command := range []string{"config", "serve --listen=256.0.0.1:1"} {
			variables := []string{"DRAGOMAN_SECRET_KEY=" + keyOfNow, "DRAGOMAN_JWKS_URL=" + place, "DRAGOMAN_ISSUER=i", "DRAGOMAN_AUDIENCE=a", "DRAGOMAN_DATABASE=sqlite:" + filepath.Join(dir, "d.db")}
			_, out, said := configured(t, dir, variables, "", strings.Fields(command)...)
			findPieces(t, command+" with "+place, out+said)
		}
	}
}
