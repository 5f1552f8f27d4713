package store_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/storetest"
	"github.com/dragoman-id/dragoman/store/userfile"
)

// personTables says of every table where the document about a person has its rows, or why it has not.
var personTables = map[string]string{
	"users": "user", "user_changes": "history, changesMade", "claims": "reservedNames", "reserved_folds": "reservedNames", "erasures": "erasure",
	"idempotency_records": "keptAnswers: their times; what they answer is in the history", "provisioning_tokens": "issuedTokens, tokensAbout",
	"customers": "user.customer; the actors are in changesMade", "companies": "not about a user", "roles": "not about a user", "webhooks": "not about a user",
	"webhook_secrets": "not about a user", "secret_keys": "not about a user", "folding": "not about a user", "id_blocks": "not about a user",
	"user_counts": "numbers of users", "user_blocks": "numbers of users", "feed": "numbers of the history's entries", "feed_pending": "entries of the history without a number",
	"feed_state": "not about a user", "history_retention": "not about a user", "history_retained": "ids of a user whose history is kept for a legal hold, which user has",
}

var isAccessToken = regexp.MustCompile("^[0-9a-f]{32}$")

// isSecret reports whether a canary of canaries.fill is in a secret field.
func isSecret(canary string) bool {
	low := strings.ToLower(canary)
	return strings.HasPrefix(low, "canaryvcs") || strings.HasPrefix(low, "canaryhash") || isAccessToken.MatchString(canary)
}

func exportPerson(t *testing.T, s *store.Store, k store.UserKey) string {
	t.Helper()
	var out strings.Builder
	if err := (userfile.Person{Store: s, Key: k, Now: time.UnixMilli(1764489600123).UTC()}).Run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestPersonalDataIsWhole plants values wherever a person has some, and holds that the document about the person has each that any row
// of the database has, but for secrets, and nothing of anybody else.
func TestPersonalDataIsWhole(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		list := t.TempDir() + "/erasures"
		s := openWithLedger(t, url, list, nil)
		storetest.Directory(t, s)
		var hers, others canaries
		hers.fill(t, s, ada, 4)
		others.fill(t, s, grace, 2)
		before := find(t, s, ada)
		subject := hers.text("Subject")
		for k, subject := range map[store.UserKey]string{ada: subject, grace: subject, alan: "https://issuer.example.com " + strings.ToUpper(before.Email)} {
			actor := &before.UUID
			if k == alan {
				actor = nil
			}
			_, _, err := s.UpdateUser(store.WithOrigin(t.Context(), store.Origin{Subject: subject, Dialect: "worth", Operation: "o", RequestID: "r"}), k,
				store.Change{Actor: actor, Edit: pure(func(u *store.User) { u.Mobile = new("1") })})
			if err != nil {
				t.Fatal(err)
			}
		}
		commit(t, prepare(t, s, ada, 0, firstName(hers.text("Keyed"))), recordOf("k", "request", hers.text("Hash")))
		issued := token(others.text("Hash"), func(p *store.ProvisioningToken) { p.CreatedBy = strings.ToUpper(before.Email) })
		if err := s.CreateProvisioningToken(t.Context(), &issued); err != nil {
			t.Fatal(err)
		}
		noted := token(others.text("Noted"), func(p *store.ProvisioningToken) {
			p.ID, p.Note = uuid.Must(uuid.Parse("ffffffff-ffff-4fff-bfff-ffffffffffff")), "asked for by "+before.Email
		})
		if err := s.CreateProvisioningToken(t.Context(), &noted); err != nil {
			t.Fatal(err)
		}
		if _, err := s.NumberChanges(t.Context()); err != nil {
			t.Fatal(err)
		}

		rows := tableRows(t, url)
		var all strings.Builder
		for table, rows := range rows {
			if personTables[table] == "" {
				t.Errorf("the table %s: say in which member of the document about a person its rows are, or why they are in none", table)
			}
			all.WriteString(strings.Join(rows, "\n"))
		}
		stored, document := strings.ToLower(all.String()), exportPerson(t, s, ada)
		low, found := strings.ToLower(document), 0
		for _, canary := range hers {
			c := strings.ToLower(canary)
			switch {
			case isSecret(canary):
				if strings.Contains(low, c) {
					t.Errorf("the document has the secret %s", canary)
				}
			case strings.Contains(stored, c):
				found++
				if !strings.Contains(low, c) {
					t.Errorf("the document lacks %s", canary)
				}
			}
		}
		if found < 40 {
			t.Errorf("only %d of %d values are stored", found, len(hers))
		}
		for _, canary := range others {
			if strings.Contains(low, strings.ToLower(canary)) {
				t.Errorf("the document has %s, which is another user's", canary)
			}
		}
		after := find(t, s, ada)
		for _, sealed := range []string{after.AccessToken, after.AccessTokenSealed, *after.VCSPassword, *after.VCSPasswordSealed, *after.PasswordHash, issued.Hash} {
			if strings.Contains(document, sealed) {
				t.Errorf("the document has %s", sealed)
			}
		}

		var got struct {
			ExportedAt string
			User       struct {
				ID       int64
				UUID     uuid.UUID
				Version  int64
				Customer struct{ ID int64 }
				Fields   []store.FieldValue
			}
			Erasure                    *struct{ At, Reason string }
			ReservedNames, KeptAnswers []map[string]string
			IssuedTokens               []struct{ ID uuid.UUID }
			TokensAbout                []struct {
				ID   uuid.UUID
				Note string
			}
			History     []store.UserChange
			ChangesMade []struct {
				User   int64
				Fields []store.Field
			}
		}
		decode := func() {
			t.Helper()
			if err := json.Unmarshal([]byte(exportPerson(t, s, ada)), &got); err != nil {
				t.Fatal(err)
			}
		}
		decode()
		if got.ExportedAt != "2025-11-30T08:00:00.123Z" || got.User.ID != 6860 || got.User.UUID != before.UUID || got.User.Customer.ID != 3393 ||
			got.User.Version != after.Version || got.Erasure != nil || len(got.KeptAnswers) != 1 || len(got.IssuedTokens) != 1 || got.IssuedTokens[0].ID != issued.ID ||
			len(got.TokensAbout) != 1 || got.TokensAbout[0].ID != noted.ID || got.TokensAbout[0].Note != noted.Note {
			t.Errorf("%+v", got)
		}
		if kept := history(t, s, ada); jsonOf(t, got.History) != jsonOf(t, kept) {
			t.Errorf("the history is\n%s\nwant\n%s", jsonOf(t, got.History), jsonOf(t, kept))
		}
		if len(got.ChangesMade) != 2 || got.ChangesMade[0].User != 6861 || got.ChangesMade[1].User != 7001 || !slices.Equal(got.ChangesMade[0].Fields, []store.Field{store.FieldMobile}) {
			t.Errorf("she made %+v", got.ChangesMade)
		}
		values := map[store.Field]any{}
		for _, f := range got.User.Fields {
			values[f.Field] = f.Value
		}
		for _, c := range got.History {
			for _, f := range c.Fields {
				if _, ok := values[f.Field]; !ok {
					t.Errorf("the user has no %s", f.Field)
				}
			}
		}
		if values[store.FieldPasswordHash] != "set" || values[store.FieldEmail] != after.Email {
			t.Errorf("%v", values)
		}
		edit(t, s, ada, func(u *store.User) { u.PasswordHash = nil })
		if decode(); !slices.Contains(got.User.Fields, store.FieldValue{Field: store.FieldPasswordHash, Value: "not set"}) {
			t.Errorf("%+v", got.User.Fields)
		}

		// What is left of an erased person can be told as well, and nothing of before.
		if _, err := s.EraseUser(t.Context(), store.Erasure{Key: ada, Reason: "case 4711"}); err != nil {
			t.Fatal(err)
		}
		if text := exportPerson(t, s, ada); len(hers.in([]byte(text))) > 0 || !strings.Contains(text, `"reason": "case 4711"`) {
			t.Errorf("of the erased person there is\n%s", text)
		}
		if tokens, err := s.ProvisioningTokens(t.Context(), 0); err != nil || tokens[0].CreatedBy != "erased" || tokens[1].Note != "erased" {
			t.Errorf("%+v, %v", tokens, err)
		}
	})
}

// TestLongHistoryOfPerson reads more of the history than is read at once, and ends with a whole batch.
func TestLongHistoryOfPerson(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "sqlite:"+t.TempDir()+"/d.db")
	storetest.Directory(t, s)
	for n := range 999 {
		edit(t, s, ada, func(u *store.User) { u.FirstName = strings.Repeat("x", n%2+1) })
	}
	var got struct{ History []store.UserChange }
	if err := json.Unmarshal([]byte(exportPerson(t, s, ada)), &got); err != nil {
		t.Fatal(err)
	}
	for i, c := range got.History {
		if c.Version != int64(i+1) {
			t.Fatalf("entry %d has version %d", i, c.Version)
		}
	}
	if len(got.History) != 1000 {
		t.Errorf("%d entries", len(got.History))
	}
}
