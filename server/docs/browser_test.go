package docs_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browserTimeout limits a test in the browser. It is long, since other tests run at the same time.
const browserTimeout = 8 * time.Minute

// host is the name of this machine in the browser. Browsers treat localhost specially.
const host = "dragoman.test"

// startBrowser starts Chromium with an empty profile until the end of the test. Without Chromium it skips the test, or fails it if
// CI=true.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	program := findChromium()
	if program == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("Chromium is not installed, and CI=true: install it")
		}
		t.Skip("Chromium is not installed")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program),
		chromedp.NoSandbox, // not available for root
		chromedp.DisableGPU,
		chromedp.WindowSize(1280, 1024),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		// The browser must send no requests to its vendor.
		chromedp.Flag("host-resolver-rules", "MAP "+host+" 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
	)
	deadline, stop := context.WithTimeout(context.Background(), browserTimeout)
	t.Cleanup(stop)
	allocator, stopBrowser := chromedp.NewExecAllocator(deadline, options...)
	t.Cleanup(stopBrowser)
	browser, stopFirstTab := chromedp.NewContext(allocator)
	t.Cleanup(stopFirstTab)
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	return browser
}

func findChromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless-shell"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// tab is a tab of the browser, with the faults that the browser reported in it.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	faults []string
}

// openTab opens a tab. At its end the test fails if the browser reported a fault, or sent a request to another server than url.
func openTab(t *testing.T, browser context.Context, url string) *tab {
	t.Helper()
	ctx, stop := chromedp.NewContext(browser)
	t.Cleanup(stop)
	tab := &tab{t: t, ctx: ctx}
	tab.do(chromedp.Steps()) // opens it
	if err := chromedp.Listen(ctx, func(event any) { tab.note(event, url) }); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, cdplog.Enable, struct{}{}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, fault := range tab.faulty() {
			t.Error(fault)
		}
	})
	return tab
}

// note records faults: errors and warnings in the console, which include violations of the content security policy, uncaught
// exceptions, and requests to other servers.
func (tab *tab) note(event any, url string) {
	fault := ""
	switch e := event.(type) {
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.EntryLevelError || e.Entry.Level == cdplog.EntryLevelWarning {
			fault = "the browser logs: " + e.Entry.Text + " " + e.Entry.URL
		}
	case *runtime.EventExceptionThrown:
		fault = "uncaught: " + e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			fault += " " + e.ExceptionDetails.Exception.Description
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			fault = "the page logs: " + string(e.Type)
			for _, a := range e.Args {
				fault += " " + string(a.Value) + a.Description
			}
		}
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, url+"/") && !strings.HasPrefix(e.Request.URL, "data:") {
			fault = "a request to " + e.Request.URL
		}
	}
	if fault != "" {
		tab.mu.Lock()
		defer tab.mu.Unlock()
		tab.faults = append(tab.faults, fault)
	}
}

func (tab *tab) faulty() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return tab.faults
}

// do runs actions in order. Each waits until it is possible.
func (tab *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	if err := chromedp.Do(tab.ctx, steps...); err != nil {
		tab.t.Fatal(err, tab.faulty())
	}
}

// text waits for an element and returns its text.
func (tab *tab) text(selector string) string {
	tab.t.Helper()
	text, err := chromedp.Run(tab.ctx, chromedp.Text(selector))
	if err != nil {
		tab.t.Fatal(err, tab.faulty())
	}
	return text
}

// press waits for an element and clicks it by script: a pointer could miss it while the page scrolls.
func (tab *tab) press(selector string) {
	tab.t.Helper()
	tab.do(chromedp.WaitVisible(selector), tab.on(selector, "click()"))
}

// fill replaces the text of a field and leaves the field, since Swagger UI reads it then.
func (tab *tab) fill(selector, text string) {
	tab.t.Helper()
	tab.do(chromedp.WaitVisible(selector), tab.on(selector, "focus()"), tab.on(selector, "select()"))
	if _, err := chromedp.Call(tab.ctx, input.InsertText, input.InsertTextParams{Text: text}); err != nil {
		tab.t.Fatal(err)
	}
	tab.do(tab.on(selector, "blur()"))
}

// on calls a method of the first element that matches a selector.
func (tab *tab) on(selector, call string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](fmt.Sprintf("void document.querySelector(%q).%s", selector, call))
}
