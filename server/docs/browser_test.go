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

// patience bounds a whole test in the browser. It is long, as other tests may have the machine to themselves meanwhile.
const patience = 3 * time.Minute

// host is by what name the browser reaches this machine. Pages do some things only where they are not at home.
const host = "dragoman.test"

// startBrowser starts a Chromium of its own with an empty profile, which ends with the test. Without Chromium the test is
// skipped; where CI is true it fails.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	program := findChromium()
	if program == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no Chromium, and CI is true: install it")
		}
		t.Skip("there is no Chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program),
		chromedp.NoSandbox, // root has none
		chromedp.DisableGPU,
		chromedp.WindowSize(1280, 1024),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		// What the browser itself would ask of its makers must not leave this machine.
		chromedp.Flag("host-resolver-rules", "MAP "+host+" 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
	)
	deadline, stop := context.WithTimeout(context.Background(), patience)
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

// tab is one page of the browser, and all that went wrong in it.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	faults []string
}

// openTab opens a tab that may ask nobody but the server at url. When the test ends, whatever the browser complained of fails it.
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

// note keeps what is wrong: an error or a warning in the console, a breach of the content security policy (which is an
// error there), an uncaught exception, a request to anybody else.
func (tab *tab) note(event any, url string) {
	fault := ""
	switch e := event.(type) {
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.EntryLevelError || e.Entry.Level == cdplog.EntryLevelWarning {
			fault = "the browser says: " + e.Entry.Text + " " + e.Entry.URL
		}
	case *runtime.EventExceptionThrown:
		fault = "uncaught: " + e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			fault += " " + e.ExceptionDetails.Exception.Description
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			fault = "the page says: " + string(e.Type)
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

// do takes steps one after another, each of which waits until it can be taken.
func (tab *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	if err := chromedp.Do(tab.ctx, steps...); err != nil {
		tab.t.Fatal(err, tab.faulty())
	}
}

// text gives what stands in the first element that a selector finds, once there is one.
func (tab *tab) text(selector string) string {
	tab.t.Helper()
	text, err := chromedp.Run(tab.ctx, chromedp.Text(selector))
	if err != nil {
		tab.t.Fatal(err, tab.faulty())
	}
	return text
}

// press clicks an element once it is there to be seen. The page may still be moving to it, which a pointer would miss.
func (tab *tab) press(selector string) {
	tab.t.Helper()
	tab.do(chromedp.WaitVisible(selector), tab.on(selector, "click()"))
}

// fill types text into a field, in place of what it holds, and leaves it: Swagger UI takes what was typed then, or some time
// later.
func (tab *tab) fill(selector, text string) {
	tab.t.Helper()
	tab.do(chromedp.WaitVisible(selector), tab.on(selector, "focus()"), tab.on(selector, "select()"))
	if _, err := chromedp.Call(tab.ctx, input.InsertText, input.InsertTextParams{Text: text}); err != nil {
		tab.t.Fatal(err)
	}
	tab.do(tab.on(selector, "blur()"))
}

// on calls a method of the first element that a selector finds.
func (tab *tab) on(selector, call string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](fmt.Sprintf("void document.querySelector(%q).%s", selector, call))
}
