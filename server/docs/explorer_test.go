package docs_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/dragoman-id/dragoman/gen/documents"
	"github.com/dragoman-id/dragoman/server/servertest"
	"github.com/getkin/kin-openapi/openapi3"
)

// operation is an operation of a document.
type operation struct {
	method, path, id, tag string
}

// element is the selector of the operation's box.
func (o operation) element() string {
	return "#operations-" + strings.ReplaceAll(o.tag, " ", "_") + "-" + o.id
}

func operationsOf(t *testing.T, dialect string) []operation {
	t.Helper()
	text, err := documents.Files.ReadFile(dialect + ".json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	var all []operation
	for path, item := range document.Paths.Map() {
		for method, o := range item.Operations() {
			all = append(all, operation{method: method, path: path, id: o.OperationID, tag: o.Tags[0]})
		}
	}
	return all
}

func TestExplorerInABrowser(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	s := withExplorer(t)
	url := strings.Replace(s.URL, "127.0.0.1", host, 1)

	for _, dialect := range []string{"worth", "testinium", "scim", "directory"} {
		t.Run("operations of "+dialect, func(t *testing.T) {
			page := openTab(t, browser, url)
			operations := operationsOf(t, dialect)
			page.do(
				chromedp.Navigate(url+"/docs/"+dialect),
				chromedp.WaitVisible(chromedp.CSSAll(".opblock"), chromedp.AtLeast(len(operations))),
			)
			shown, err := chromedp.Run(page.ctx, chromedp.Nodes(chromedp.CSSAll(".opblock")))
			if err != nil || len(shown) != len(operations) {
				t.Errorf("%d operations are shown, %d are in the document: %v", len(shown), len(operations), err)
			}
			for _, o := range operations {
				summary := page.text(o.element() + " .opblock-summary")
				if !strings.Contains(summary, o.method) || !strings.Contains(strings.ReplaceAll(summary, "\u200b", ""), o.path) {
					t.Errorf("%s %s is shown as %q", o.method, o.path, summary)
				}
				page.press(o.element() + " .opblock-summary-control")
				page.do(chromedp.WaitVisible(o.element() + " .responses-table"))
				page.press(o.element() + " .opblock-summary-control") // what is open slows the page down
			}
		})
	}

	t.Run("link to an operation", func(t *testing.T) {
		page := openTab(t, browser, url)
		page.do(
			chromedp.Navigate(url+"/docs/worth#/Customers/updateCustomerUser"),
			chromedp.WaitVisible("#operations-Customers-updateCustomerUser.is-open .responses-table"),
		)
	})

	t.Run("try PATCH as a dry run", func(t *testing.T) {
		page := openTab(t, browser, url)
		patch := "#operations-Customers-updateCustomerUser"
		page.do(chromedp.Navigate(url + "/docs/worth#/Customers/updateCustomerUser"))
		page.press(".auth-wrapper .authorize")
		page.fill(".auth-container input", s.Token(servertest.Manager()))
		page.press(".auth-btn-wrapper button[type=submit]")
		page.press(".auth-btn-wrapper .btn-done")
		page.do(
			chromedp.WaitVisible(".servers select"),
			// As a choice by hand does, so that React notices.
			chromedp.Evaluate[chromedp.Void](`(() => {
				const servers = document.querySelector(".servers select");
				Object.getOwnPropertyDescriptor(HTMLSelectElement.prototype, "value").set.call(servers, "/dry-run/auth/api/v1");
				servers.dispatchEvent(new Event("change", {bubbles: true}));
			})()`),
		)
		page.press(patch + " .try-out__btn")
		page.fill(patch+` tr[data-param-name=customerID] input`, servertest.SandboxUUID.String())
		page.fill(patch+` tr[data-param-name=userID] input`, servertest.GraceUUID.String())
		page.fill(patch+" textarea.body-param__text", `{"first_name": "Brewster"}`)
		page.press(patch + " .execute")
		page.expectAnswer(patch, http.StatusOK, "dragoman-changed: first_name", "dragoman-dry-run: true")
		if grace := s.FindUser(t, servertest.Grace); grace.Version != 1 {
			t.Errorf("the directory has version %d of %s", grace.Version, grace.FirstName)
		}
	})

	t.Run("try PATCH, and GET of another dialect", func(t *testing.T) {
		page := openTab(t, browser, url)
		patch := "#operations-Customers-updateCustomerUser"
		page.do(chromedp.Navigate(url + "/docs/worth#/Customers/updateCustomerUser"))
		page.press(".auth-wrapper .authorize")
		page.fill(".auth-container input", s.Token(servertest.Manager()))
		page.press(".auth-btn-wrapper button[type=submit]")
		page.press(".auth-btn-wrapper .btn-done")
		page.press(patch + " .try-out__btn")
		page.fill(patch+` tr[data-param-name=customerID] input`, servertest.SandboxUUID.String())
		page.fill(patch+` tr[data-param-name=userID] input`, servertest.AdaUUID.String())
		page.fill(patch+" textarea.body-param__text", `{"first_name": "Augusta Ada", "mobile": "+44 20 7946 0000"}`)
		page.press(patch + " .execute")
		page.expectAnswer(patch, http.StatusOK, "User details updated successfully", "dragoman-changed: first_name,mobile")
		if ada := s.FindUser(t, servertest.Ada); ada.FirstName != "Augusta Ada" || ada.Mobile == nil || *ada.Mobile != "+44 20 7946 0000" {
			t.Errorf("the directory has %q, %v", ada.FirstName, ada.Mobile)
		}

		// The page of the other dialect has the same token.
		get := "#operations-Users-getUser"
		page.press("nav a[href=testinium]")
		page.press(get + " .opblock-summary-control")
		page.press(get + " .try-out__btn")
		page.fill(get+` tr[data-param-name=id] input`, fmt.Sprint(servertest.Sandbox))
		page.fill(get+` tr[data-param-name=userId] input`, fmt.Sprint(servertest.Ada))
		page.fill(get+` tr[data-param-name=current-company-id] input`, fmt.Sprint(servertest.Company))
		page.press(get + " .execute")
		page.expectAnswer(get, http.StatusOK, "Augusta Ada")
	})
}

// expectAnswer waits for the response in an operation's box.
func (tab *tab) expectAnswer(operation string, status int, texts ...string) {
	tab.t.Helper()
	if got := tab.text(operation + " .live-responses-table tbody .response-col_status"); !strings.HasPrefix(got, fmt.Sprint(status)) {
		tab.t.Errorf("the status is shown as %q, want %d", got, status)
	}
	got := tab.text(operation + " .live-responses-table tbody .response-col_description")
	for _, text := range texts {
		if !strings.Contains(got, text) {
			tab.t.Errorf("the response is shown as %q, without %q", got, text)
		}
	}
}
