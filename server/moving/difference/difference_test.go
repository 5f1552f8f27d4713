package difference_test

import (
	"fmt"
	"testing"

	"github.com/dragoman-id/dragoman/server/moving/difference"
)

// TestCompareTypes: a rule that lets a value differ does not let its type differ.
func TestCompareTypes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		dialect, operation, source, target string
		want                               string // the differences; "[]": none
	}{
		{"testinium", "getUser", `{"authorities":[{"name":"A","entityId":5}]}`, `{"authorities":[{"name":"A","entityId":7}]}`, `[]`},
		{"testinium", "getUser", `{"authorities":[{"name":"A","entityId":"7"}]}`, `{"authorities":[{"name":"A","entityId":7}]}`,
			`[authorities[A].entityId: another type, the source has "7" and the target 7]`},
		{"testinium", "listUsers", `[{"entityId":1,"authorities":[{"name":"A","entityId":"7"}]}]`, `[{"entityId":1,"authorities":[{"name":"A","entityId":7}]}]`,
			`[[1].authorities[A].entityId: another type, the source has "7" and the target 7]`},
		{"testinium", "getUser", `{"accessToken":"a"}`, `{"accessToken":"b"}`, `[]`},
		{"testinium", "getUser", `{"accessToken":"a"}`, `{"accessToken":null}`, `[]`},
		{"testinium", "listUsers", `[{"entityId":1,"accessToken":"a"}]`, `[{"entityId":1,"accessToken":null}]`, `[]`},
		{"testinium", "getUser", `{"accessToken":null}`, `{"accessToken":"a"}`, `[accessToken: the source has null and the target "a"]`},
		{"testinium", "getUser", `{"accessToken":5}`, `{"accessToken":null}`, `[accessToken: the source has 5 and the target null]`},
		{"testinium", "getUser", `{"accessToken":"a"}`, `{}`, `[accessToken: missing, the source has "a"]`},
		{"testinium", "getUser", `{"accessToken":"a"}`, `{"accessToken":{}}`, `[accessToken: another type, the source has "a" and the target {}]`},
		{"testinium", "getUser", `{"vcsPassword":"a"}`, `{"vcsPassword":null}`, `[]`},
		{"testinium", "getUser", `{"vcsPassword":"a"}`, `{"vcsPassword":5}`, `[vcsPassword: another type, the source has "a" and the target 5]`},
		{"testinium", "getUser", `{"vcsPassword":null}`, `{"vcsPassword":"a"}`, `[]`},
		{"testinium", "getUser", `{"vcsPassword":5}`, `{"vcsPassword":null}`, `[vcsPassword: the source has 5 and the target null]`},
		{"testinium", "getUser", `{"vcsPassword":null}`, `{}`, `[vcsPassword: missing, the source has null]`},
		{"testinium", "getUser", `{"companyName":"a"}`, `{"companyName":null}`, `[]`},
		{"testinium", "getUser", `{"companyName":"a"}`, `{"companyName":true}`, `[companyName: another type, the source has "a" and the target true]`},
		{"testinium", "getUser", `{"timestamp":1}`, `{"timestamp":2}`, `[]`},
		{"testinium", "getUser", `{"timestamp":"2026-01-01T00:00:00Z"}`, `{"timestamp":2}`,
			`[timestamp: another type, the source has "2026-01-01T00:00:00Z" and the target 2]`},
		{"worth", "createCustomerUser", `{"data":{"user_id":"a"}}`, `{"data":{"user_id":1}}`, `[data.user_id: another type, the source has "a" and the target 1]`},
		{"worth", "getCustomerUser", `{"data":{"company_details":{"created_at":"a"}}}`, `{"data":{"company_details":{"created_at":"b"}}}`, `[]`},
		{"worth", "getCustomerUser", `{"data":{"company_details":{"created_at":"a"}}}`, `{"data":{"company_details":{"created_at":[]}}}`,
			`[data.company_details.created_at: another type, the source has "a" and the target []]`},
		{"worth", "getCustomerUser", `{"data":{"updated_at":"a","updated_by":"b"}}`, `{"data":{"updated_at":"c","updated_by":null}}`, `[]`},
		{"worth", "getCustomerUser", `{"data":{"updated_at":"a"}}`, `{"data":{"updated_at":5}}`, `[data.updated_at: another type, the source has "a" and the target 5]`},
		{"worth", "getCustomerUser", `{"data":{"updated_at":"a"}}`, `{"data":{}}`, `[data.updated_at: missing, the source has "a"]`},
		{"worth", "getCustomerUser", `{"data":{"updated_by":5}}`, `{"data":{"updated_by":"a"}}`, `[data.updated_by: another type, the source has 5 and the target "a"]`},
		{"worth", "getCustomerUser", `{"data":{"company_details":{"created_by":"a","updated_by":null}}}`, `{"data":{"company_details":{"created_by":null,"updated_by":{}}}}`,
			`[data.company_details.updated_by: the source has null and the target {}]`},
		{"worth", "listCustomerUsers", `{"data":{"records":[{"id":"x","updated_at":"a"}]}}`, `{"data":{"records":[{"id":"x","updated_at":true}]}}`,
			`[data.records[x].updated_at: another type, the source has "a" and the target true]`},
	} {
		check(t, tc.dialect, tc.operation, tc.source, tc.target, tc.want)
	}
}

func check(t *testing.T, dialect, operation, source, target, want string, ignore ...string) {
	t.Helper()
	found := difference.New(dialect, ignore).Compare(operation, difference.Answer{Body: []byte(source)}, difference.Answer{Body: []byte(target)})
	if got := fmt.Sprint(found); got != want {
		t.Errorf("%s of %s and %s:\n%s, want\n%s", operation, source, target, got, want)
	}
}

// TestComparePages: a page of Worth's list may show other users, but not fewer, and its totals may be higher.
func TestComparePages(t *testing.T) {
	t.Parallel()
	page := func(records, pages, items string) string {
		return fmt.Sprintf(`{"data":{"records":[%s],"total_pages":%s,"total_items":%s}}`, records, pages, items)
	}
	source := page(`{"id":"a"},{"id":"b"}`, `2`, `"4"`)
	for _, tc := range []struct{ target, want string }{
		{page(`{"id":"b"},{"id":"a"}`, `2`, `"4"`), `[]`},
		{page(`{"id":"c"},{"id":"d"}`, `3`, `"10"`), `[]`},
		{page(`{"id":"c"},{"id":"d"},{"id":"a"}`, `2`, `"4"`), `[data.records: the source has 2 elements and the target 3 elements]`},
		{page(`{"id":"c"},{"id":"c"}`, `2`, `"4"`), `[data.records[c]: only the target has it, {"id":"c"}]`},
		{page(`{"id":"a"},{"id":"a"}`, `2`, `"4"`), `[data.records[a]: only the target has it, {"id":"a"}]`},
		{page(``, `0`, `"0"`), `[data.records: the source has 2 elements and the target 0 elements ` +
			`data.total_items: the source has "4" and the target "0" data.total_pages: the source has 2 and the target 0]`},
		{page(`{"id":"a"}`, `2`, `"4"`), `[data.records: the source has 2 elements and the target 1 element]`},
		{page(`{"id":"c"},{"id":7}`, `2`, `"4"`), `[data.records[7].id: another type, the source has "a" and the target 7]`},
		{page(`{"id":"c"},null`, `2`, `"4"`), `[data.records[<nil>].id: the source has "a" and the target null]`},
		{page(`{"id":"a"},{"id":"b"}`, `"x"`, `"4"`), `[data.total_pages: another type, the source has 2 and the target "x"]`},
		{page(`{"id":"a"},{"id":"b"}`, `2`, `7`), `[data.total_items: another type, the source has "4" and the target 7]`},
		{page(`{"id":"a"},{"id":"b"}`, `2`, `"x"`), `[data.total_items: the source has "4" and the target "x"]`},
		{page(`{"id":"a"},{"id":"b"}`, `1`, `"3"`), `[data.total_items: the source has "4" and the target "3" data.total_pages: the source has 2 and the target 1]`},
	} {
		check(t, "worth", "listCustomerUsers", source, tc.target, tc.want)
	}
	for _, tc := range []struct{ source, target, want string }{
		// The last page of the source may be shorter than others.
		{page(`{"id":"a"}`, `3`, `"5"`), page(`{"id":"b"},{"id":"a"}`, `4`, `"8"`), `[]`},
		{page(`{"id":"a"}`, `3`, `"5"`), page(`{"id":"b"},{"id":"a"},{"id":"c"}`, `4`, `"8"`), `[data.records: the source has 1 element and the target 3 elements]`},
		{page(`{"id":"a"}`, `1`, `"1"`), page(`{"id":"b"},{"id":"a"},{"id":"c"}`, `4`, `"8"`), `[]`},
		{page(`{"id":"a"},{"id":"a"}`, `1`, `"2"`), page(`{"id":"a"},{"id":"a"}`, `1`, `"2"`), `[]`},
	} {
		check(t, "worth", "listCustomerUsers", tc.source, tc.target, tc.want)
	}
	check(t, "worth", "listCustomerUsers", source, page(``, `2`, `"4"`), `[]`, "data.records")
	check(t, "testinium", "listUsers", `[{"entityId":1}]`, `[{"entityId":1},{"entityId":1}]`, `[[1]: only the target has it, {"entityId":1}]`)
	check(t, "testinium", "listUsers", `[{"entityId":1}]`, `[{"entityId":2},{"entityId":2},{"entityId":1}]`, `[[2]: only the target has it, {"entityId":2}]`)
	check(t, "testinium", "listUsers", `[{"entityId":1}]`, `[{"entityId":1},{"entityId":2}]`, `[]`)
	check(t, "testinium", "listUsers", `[{"entityId":1}]`, `[{"entityId":1},{"entityId":"2"}]`, `[[2].entityId: another type, the source has 1 and the target "2"]`)
	check(t, "testinium", "listUsers", `[{"entityId":1}]`, `[]`, `[[1]: missing, the source has {"entityId":1}]`)
}
