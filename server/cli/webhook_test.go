package cli

import (
	"regexp"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/dragoman-id/dragoman/store"
)

// TestWebhookCommands adds, lists, edits and removes an endpoint.
func TestWebhookCommands(t *testing.T) {
	t.Parallel()
	eachOperated(t, func(t *testing.T, o *operator) {
		for _, id := range []int64{servertest.Webhook, servertest.ElsewhereWebhook} {
			if _, _, err := o.Store.EditWebhook(t.Context(), store.FeedScope{All: true}, id, store.RemoveWebhook()); err != nil {
				t.Fatal(err)
			}
		}
		added := regexp.MustCompile(`\Awebhook_id=3\nsecret=whsec_[A-Za-z0-9+/]{43}=\n\z`)
		if status, out, said := configured(t, o.dir, o.variables, "", "webhook", "add", "--customer", "3393", "--url", "https://example.com/a"); status != 0 || !added.MatchString(out) {
			t.Fatalf("%d\n%s%s", status, out, said)
		}
		o.run(0, "ID  CUSTOMER  STATE    DELIVERED  BEHIND  ATTEMPTS  ANSWER  URL\n3   3393      enabled  3          0       0         none    https://example.com/a\n", "", "webhook", "list")
		rotated := regexp.MustCompile(`\Asecret=whsec_[A-Za-z0-9+/]{43}=\n\z`)
		if status, out, said := configured(t, o.dir, o.variables, "", "webhook", "rotate", "3"); status != 0 || !rotated.MatchString(out) {
			t.Errorf("%d\n%s%s", status, out, said)
		}
		o.run(0, "webhook 3 is disabled; its next change would be 4\n", "", "webhook", "disable", "3")
		o.run(0, "ID  CUSTOMER  STATE                          DELIVERED  BEHIND  ATTEMPTS  ANSWER  URL\n"+
			"3   3393      disabled: by an administrator  3          0       0         none    https://example.com/a\n", "", "webhook", "list")
		o.run(0, "webhook 3 is enabled; its next change is 1\n", "", "webhook", "replay", "3", "--from", "1")
		o.run(0, "webhook 3 is removed\n", "", "webhook", "remove", "3")
		o.run(0, "no webhooks\n", "", "webhook", "list")
		for _, c := range []struct{ args, want string }{
			{"add --url http://example.com", "url must be an https URL"},
			{"add --url https://example.com --customer 7", "customer must be a customer of the directory"},
			{"add --url https://example.com --customer x", `"x" is no id of a customer`},
			{"add --url https://example.com --from=-1", "from must be between 1 and "},
			{"add --url https://example.com --from=0", "from must be between 1 and "},
			{"rotate 1 --overlap=-1s", "--overlap must be from 0s to 720h"},
			{"replay 1", "there is no webhook 1"},
			{"disable 1", "there is no webhook 1"},
		} {
			status, out, said := configured(t, o.dir, o.variables, "", append([]string{"webhook"}, strings.Fields(c.args)...)...)
			if status != 2 || out != "" || !strings.Contains(said, c.want) {
				t.Errorf("%s: ends with %d, prints\n%s%s", c.args, status, out, said)
			}
		}
	})
}
