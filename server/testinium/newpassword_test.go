package testinium_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
)

// herself is a caller below rank 2 who may write.
func herself() auth.Claims {
	return auth.Claims{
		Subject: servertest.AdaUUID.String(), Customers: []string{"3393"}, Permissions: []auth.Permission{auth.PermissionWrite},
		Authorities: []string{"ROLE_USER"}, Expires: time.Hour,
	}
}

// setPassword gives Ada a password.
func setPassword(t *testing.T, s *servertest.Server, password string) {
	t.Helper()
	if a := sendPut(s, servertest.Manager(), adaPath, nine([2]string{"newPassword", `"` + password + `"`})); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
}

// hasPassword tells whether it is Ada's.
func hasPassword(t *testing.T, s *servertest.Server, password string) bool {
	t.Helper()
	ok, err := passwords.Verify(context.Background(), password, s.FindUser(t, servertest.Ada).PasswordHash)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestNewPasswordIsHashed(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1738809864123)
	servertest.EachWith(t, server.Config{Now: func() time.Time { return now }}, func(t *testing.T, s *servertest.Server) {
		who := servertest.Manager()
		token, err := auth.Sign(servertest.Secret, who, now)
		if err != nil {
			t.Fatal(err)
		}
		send := func(password string) servertest.Answer {
			return s.Ask(who, servertest.Request{Method: http.MethodPut, Path: adaPath, Header: http.Header{"Authorization": {"Bearer " + token}}, Body: nine([2]string{"newPassword", password})})
		}
		a := send(`"Correct-horse"`)
		u := s.FindUser(t, servertest.Ada)
		a.Expect(t, 200, strings.Replace(userObject(u, "["+authorityUser+"]"), `"lastPasswordResetDate":null`, `"lastPasswordResetDate":1738809864123`, 1))
		a.ExpectHeader(t, "Dragoman-Changed", "newPassword, lastPasswordResetDate")
		a.ExpectHeader(t, "Dragoman-Ignored")
		if !strings.HasPrefix(*u.PasswordHash, "$argon2id$") || !hasPassword(t, s, "Correct-horse") {
			t.Errorf("stored %q", *u.PasswordHash)
		}
		// The same one again is another hash, and so a change.
		a = send(`"Correct-horse"`)
		a.ExpectHeader(t, "ETag", `"3"`)
		if again := s.FindUser(t, servertest.Ada); *again.PasswordHash == *u.PasswordHash {
			t.Error("the salt is the same")
		}
		for _, unchanged := range []string{"null", ""} {
			a = send(unchanged)
			a.ExpectHeader(t, "ETag", `"3"`)
			a.ExpectHeader(t, "Dragoman-Changed", "")
		}
	})
}

func TestWeakNewPasswordIsRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for password, want := range map[string]string{
		"":                               "must have 8 to 128 characters, a lower-case letter, an upper-case letter and an ASCII symbol",
		"Short-1":                        "must have 8 to 128 characters",
		"correct-horse":                  "must have an upper-case letter",
		"CORRECT-HORSE":                  "must have a lower-case letter",
		"CorrectHorse1":                  "must have an ASCII symbol",
		"Correct Horse 1":                "must have an ASCII symbol",
		"Correct€Horse":                  "must have an ASCII symbol",
		"correcthorse":                   "must have an upper-case letter and an ASCII symbol",
		"12345678":                       "must have a lower-case letter, an upper-case letter and an ASCII symbol",
		"Aa-" + strings.Repeat("x", 126): "must have 8 to 128 characters",
		"Aa-" + strings.Repeat("é", 126): "must have 8 to 128 characters",
	} {
		sendPut(s, servertest.Manager(), adaPath, nine([2]string{"newPassword", `"` + password + `"`})).
			Expect(t, 400, putInvalid(servertest.FieldError{"newPassword", "newPassword " + want}))
	}
	for _, password := range []string{"Aa-45678", "Aa-" + strings.Repeat("é", 125), "~~~~~~aA", "Äß------"} {
		setPassword(t, s, password)
		if !hasPassword(t, s, password) {
			t.Errorf("%q is not stored", password)
		}
	}
}

func TestPasswordWithoutANewOneIsRefused(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	want := servertest.FieldError{"password", "password must come with newPassword"}
	for _, with := range [][][2]string{
		{{"password", `"Correct-horse"`}}, {{"password", `""`}}, {{"password", `"x"`}, {"newPassword", "null"}},
	} {
		sendPut(s, servertest.Manager(), adaPath, nine(with...)).Expect(t, 400, putInvalid(want))
		sendPut(s, herself(), adaPath, nine(with...)).Expect(t, 400, putInvalid(want))
	}
	long := servertest.FieldError{"password", "password must have at most 128 characters"}
	sendPut(s, herself(), adaPath, nine([2]string{"password", `"` + strings.Repeat("x", 129) + `"`}, [2]string{"newPassword", `"Correct-horse"`})).
		Expect(t, 400, putInvalid(long))
}

func TestPresentPasswordRequiredBelowRank2(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		wrong := servertest.FieldError{"password", "password is not the present one"}
		missing := servertest.FieldError{"password", "password is required to set a new one"}
		with := func(password string) string {
			return nine([2]string{"newPassword", `"Second-horse"`}, [2]string{"password", password})
		}
		// Who has none cannot give it.
		sendPut(s, herself(), adaPath, with(`"Correct-horse"`)).Expect(t, 400, putInvalid(wrong))
		sendPut(s, herself(), adaPath, with(`""`)).Expect(t, 400, putInvalid(wrong))

		setPassword(t, s, "Correct-horse")
		for _, password := range []string{`"correct-horse"`, `"Correct-horse "`, `""`, `"Second-horse"`} {
			sendPut(s, herself(), adaPath, with(password)).Expect(t, 400, putInvalid(wrong))
		}
		for _, password := range []string{"", "null"} {
			sendPut(s, herself(), adaPath, with(password)).Expect(t, 400, putInvalid(missing))
		}
		if !hasPassword(t, s, "Correct-horse") {
			t.Error("a refused password was set")
		}
		a := sendPut(s, herself(), adaPath, with(`"Correct-horse"`))
		a.ExpectHeader(t, "Dragoman-Changed", "newPassword, lastPasswordResetDate")
		if a.Status != 200 || !hasPassword(t, s, "Second-horse") {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	})
}

func TestPresentPasswordIgnoredFromRank2(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		withoutAuthorities := herself()
		withoutAuthorities.Authorities = nil
		for _, who := range []auth.Claims{servertest.Manager(), servertest.Administrator(), withoutAuthorities} {
			for _, password := range []string{"", "null", `"wrong"`} {
				a := sendPut(s, who, adaPath, nine([2]string{"newPassword", `"Correct-horse"`}, [2]string{"password", password}))
				t.Log(a.Status)
				if a.Status != 200 {
					t.Errorf("%d %s", a.Status, a.Body)
				}
			}
		}
	})
}

// A password of a user whom the caller may not write is nothing to ask about, nor one of a version that has gone.
func TestWrongPasswordIsReportedLast(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		body := nine([2]string{"newPassword", `"Correct-horse"`}, [2]string{"password", `"wrong"`}, [2]string{"username", `"x"`}, [2]string{"email", `"x@example.com"`})
		grace, nobody := strings.Replace(adaPath, "6860", "6861", 1), strings.Replace(adaPath, "6860", "7001", 1)
		sendPut(s, herself(), nobody, body).Expect(t, 404, putNotFound(nobody))
		sendPut(s, herself(), grace, body).Expect(t, 403, putForbidden(grace))
		s.Ask(herself(), servertest.Request{Method: http.MethodPut, Path: adaPath, Header: http.Header{"If-Match": {`"7"`}}, Body: body}).
			Expect(t, 412, servertest.TestiniumError(412, "PRECONDITION_FAILED", "The user's present version is not one that the request's preconditions allow.", adaPath))
	})
}

// TestConcurrentNewPasswords gives the same present password to many writers, of whom only the first may still
// find it there.
func TestConcurrentNewPasswords(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		setPassword(t, s, "Correct-horse")
		const n = 8
		answers := make([]servertest.Answer, n)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				answers[i] = sendPut(s, herself(), adaPath, nine([2]string{"password", `"Correct-horse"`}, [2]string{"newPassword", `"Better-horse-` + string(rune('a'+i)) + `"`}))
			})
		}
		all.Wait()
		set := 0
		for i, a := range answers {
			if a.Status == 200 {
				set++
				if !hasPassword(t, s, "Better-horse-"+string(rune('a'+i))) {
					t.Errorf("writer %d was told 200, but another's password was set", i)
				}
				continue
			}
			a.Expect(t, 400, putInvalid(servertest.FieldError{"password", "password is not the present one"}))
		}
		if set != 1 {
			t.Errorf("%d of %d passwords were set", set, n)
		}
	})
}

func TestUpdateShowsAccessTokenFromTheUsersRank(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	u := s.FindUser(t, servertest.Ada)
	hidden := func(u store.User) string {
		return strings.Replace(userObject(u, "["+authorityUser+"]"), `"accessToken":"`+u.AccessToken+`"`, `"accessToken":null`, 1)
	}
	sendPut(s, servertest.Manager(), adaPath, nine()).Expect(t, 200, userObject(u, "["+authorityUser+"]"))
	sendPut(s, herself(), adaPath, nine()).Expect(t, 200, userObject(u, "["+authorityUser+"]"))
	below := herself()
	below.Authorities = []string{"ROLE_REPORT"}
	sendPut(s, below, adaPath, nine()).Expect(t, 200, hidden(u))
	// Null is what the caller was shown. The token itself must not be told from any other text.
	for _, c := range []struct{ token, ignored string }{{"null", ""}, {`"` + u.AccessToken + `"`, "accessToken"}, {`"x"`, "accessToken"}} {
		a := sendPut(s, below, adaPath, nine([2]string{"accessToken", c.token}))
		a.Expect(t, 200, hidden(u))
		if got := a.Header.Get("Dragoman-Ignored"); got != c.ignored {
			t.Errorf("accessToken %s: ignored %q", c.token, got)
		}
	}
}

// TestNoOracleForThePresentPassword: whatever else refuses a write, the answer is the same for the right password and for a
// wrong one, and neither is looked at.
func TestNoOracleForThePresentPassword(t *testing.T) {
	t.Parallel()
	computing := auth.NewCheapPasswords()
	servertest.EachWith(t, server.Config{Passwords: computing}, func(t *testing.T, s *servertest.Server) {
		setPassword(t, s, "Correct-horse")
		wrongSoFar, _ := computing.Wrong()
		for name, c := range map[string]struct {
			status int
			header http.Header
			with   [][2]string
		}{
			"a taken username":       {400, nil, [][2]string{{"username", `"gracehopper"`}}},
			"a taken e-mail":         {400, nil, [][2]string{{"email", `"grace.hopper@example.com"`}}},
			"another version":        {412, http.Header{"If-Match": {`"999"`}}, nil},
			"a role above":           {403, nil, [][2]string{{"authorities", `[{"name":"ROLE_ADMIN"}]`}}},
			"strict handling":        {400, http.Header{"Prefer": {"handling=strict"}}, [][2]string{{"createdDate", "1"}}},
			"an unknown member":      {400, http.Header{"Prefer": {"handling=strict"}}, [][2]string{{"x", "1"}}},
			"an unknown role":        {400, nil, [][2]string{{"authorities", `[{"name":"ROLE_NONE"}]`}}},
			"a weak new password":    {400, nil, [][2]string{{"newPassword", `"weak"`}}},
			"an e-mail that is none": {400, nil, [][2]string{{"email", `"x"`}}},
		} {
			answer := func(password string) servertest.Answer {
				with := append([][2]string{{"newPassword", `"Second-horse"`}, {"password", password}}, c.with...)
				a := s.Ask(herself(), servertest.Request{Method: http.MethodPut, Path: adaPath, Header: c.header, Body: nine(with...)})
				a.Body = withoutTime(a.Body)
				return a
			}
			right, wrong := answer(`"Correct-horse"`), answer(`"Wrong-horse"`)
			if right.Status != c.status || right.Status != wrong.Status || right.Body != wrong.Body {
				t.Errorf("%s: the right password is answered with %d %s, a wrong one with %d %s", name, right.Status, right.Body, wrong.Status, wrong.Body)
			}
		}
		if n, _ := computing.Wrong(); n != wrongSoFar {
			t.Errorf("%d passwords were looked at", n-wrongSoFar)
		}
		if !hasPassword(t, s, "Correct-horse") {
			t.Error("a refused password was set")
		}
	})
}

// TestNoOracleBehindRankAndLastAdministrator: a caller below a user's rank is told so, and who would deactivate the last
// administrator is told that, whatever present password comes with it.
func TestNoOracleBehindRankAndLastAdministrator(t *testing.T) {
	t.Parallel()
	computing := auth.NewCheapPasswords()
	servertest.EachWith(t, server.Config{Passwords: computing}, func(t *testing.T, s *servertest.Server) {
		hash, err := passwords.Hash(t.Context(), "Correct-horse")
		if err != nil {
			t.Fatal(err)
		}
		grace := store.UserByID(servertest.Sandbox, servertest.Grace)
		if _, _, err := s.Store.UpdateUser(t.Context(), grace, store.Change{Edit: func(u *store.User) error { u.PasswordHash = &hash; return nil }}); err != nil {
			t.Fatal(err)
		}
		before := s.FindUser(t, servertest.Grace)
		wrongSoFar, _ := computing.Wrong()
		path := strings.Replace(adaPath, "6860", "6861", 1)
		leaves := [][2]string{{"username", `"gracehopper"`}, {"email", `"grace.hopper@example.com"`}, {"enabled", "false"}}
		for name, c := range map[string]struct {
			by     auth.Claims
			status int
			with   [][2]string
		}{
			"below the rank": {herself(), 403, [][2]string{{"username", `"gracehopper"`}, {"email", `"grace.hopper@example.com"`}}},
			"below the rank of the last administrator":        {herself(), 403, leaves},
			"the last administrator, by a manager":            {servertest.Manager(), 400, leaves},
			"the last administrator loses the role":           {servertest.Manager(), 400, [][2]string{{"username", `"gracehopper"`}, {"email", `"grace.hopper@example.com"`}, {"authorities", "[]"}}},
			"the last administrator, with a username as well": {servertest.Manager(), 400, append([][2]string{{"name", `"G"`}}, leaves...)},
		} {
			answer := func(password string) servertest.Answer {
				a := sendPut(s, c.by, path, nine(append([][2]string{{"newPassword", `"Second-horse"`}, {"password", password}}, c.with...)...))
				a.Body = withoutTime(a.Body)
				return a
			}
			right, wrong := answer(`"Correct-horse"`), answer(`"Wrong-horse"`)
			if right.Status != c.status || right.Status != wrong.Status || right.Body != wrong.Body || strings.Contains(right.Body, "password") {
				t.Errorf("%s: the right password is answered with %d %s, a wrong one with %d %s", name, right.Status, right.Body, wrong.Status, wrong.Body)
			}
		}
		if n, _ := computing.Wrong(); n != wrongSoFar {
			t.Errorf("%d passwords were looked at", n-wrongSoFar)
		}
		if after := s.FindUser(t, servertest.Grace); after.Version != before.Version {
			t.Error("a refused write took place")
		}
	})
}

// TestNoOracleWhereTheDatabaseRefusesWrites: where reads succeed and every write fails, or loses every retry, the answer is the
// same for the right password and for a wrong one.
func TestNoOracleWhereTheDatabaseRefusesWrites(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		s := servertest.StartWith(t, server.Config{Database: url})
		setPassword(t, s, "Correct-horse")
		status := 503
		if strings.HasPrefix(url, "sqlite:") {
			status = 500
			storetest.Exec(t, url, "CREATE TRIGGER refused BEFORE UPDATE ON users BEGIN SELECT RAISE(ABORT, 'refused'); END")
		} else {
			storetest.Exec(t, url, `CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$;
				CREATE TRIGGER refused BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION refused()`)
		}
		for _, password := range []string{`"Correct-horse"`, `"Wrong-horse"`} {
			a := sendPut(s, herself(), adaPath, nine([2]string{"newPassword", `"Second-horse"`}, [2]string{"password", password}))
			if a.Status != status {
				t.Errorf("%s is answered with %d %s, want %d", password, a.Status, a.Body, status)
			}
		}
	})
}

// TestNoOracleWhileThePasswordIsSetAgain: a right password whose hash another writer always replaces before the write is
// answered like a wrong one.
func TestNoOracleWhileThePasswordIsSetAgain(t *testing.T) {
	t.Parallel()
	servertest.Each(t, func(t *testing.T, s *servertest.Server) {
		var hashes [2]string
		for i := range hashes {
			var err error
			if hashes[i], err = passwords.Hash(t.Context(), "Correct-horse"); err != nil {
				t.Fatal(err)
			}
		}
		reset := func(i int) {
			_, _, err := s.Store.UpdateUser(t.Context(), store.UserByID(servertest.Sandbox, servertest.Ada), store.Change{Edit: func(u *store.User) error {
				u.PasswordHash = &hashes[i%2]
				return nil
			}})
			if err != nil {
				t.Error(err)
			}
		}
		reset(0)
		var done atomic.Bool
		var all sync.WaitGroup
		all.Go(func() {
			for i := 1; !done.Load(); i++ {
				reset(i)
			}
		})
		for range 20 {
			a := sendPut(s, herself(), adaPath, nine([2]string{"newPassword", `"Correct-horse"`}, [2]string{"password", `"Correct-horse"`}))
			if a.Status != 200 {
				a.Expect(t, 400, putInvalid(servertest.FieldError{"password", "password is not the present one"}))
			}
		}
		done.Store(true)
		all.Wait()
	})
}

// withoutTime returns an error's body without its timestamp.
func withoutTime(body string) string {
	_, rest, _ := strings.Cut(body, ",")
	return rest
}

func TestWrongPasswordsAreLimited(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]bool{"at once": false, "spread": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := time.Now()
			s := servertest.StartWith(t, server.Config{Now: func() time.Time { return now }})
			setPassword(t, s, "Correct-horse")
			try := func(password string) servertest.Answer {
				return sendPut(s, herself(), adaPath, nine([2]string{"newPassword", `"Second-horse"`}, [2]string{"password", password}))
			}
			for range 10 {
				if a := try(`"Wrong-horse"`); a.Status != 400 {
					t.Fatalf("%d %s", a.Status, a.Body)
				}
				if first {
					now = now.Add(time.Minute)
				}
			}
			want := "900"
			if first {
				want = "300"
			}
			for _, password := range []string{`"Wrong-horse"`, `"Correct-horse"`} {
				a := try(password)
				a.ExpectHeader(t, "Retry-After", want)
				if a.Status != 429 || hasPassword(t, s, "Second-horse") {
					t.Errorf("%d %s", a.Status, a.Body)
				}
			}
			// Of the user alone, and for who must give the password alone.
			if a := sendPut(s, herself(), adaPath, nine([2]string{"name", `"Augusta"`})); a.Status != 200 {
				t.Errorf("another change: %d %s", a.Status, a.Body)
			}
			setPassword(t, s, "Third-horse")
			now = now.Add(15 * time.Minute)
			if a := try(`"Third-horse"`); a.Status != 200 {
				t.Errorf("after 15 minutes: %d %s", a.Status, a.Body)
			}
		})
	}
}
