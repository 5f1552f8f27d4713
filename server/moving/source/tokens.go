package source

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// Tokens are the bearer tokens of a source: one from a file, which may be replaced while it is used, or those that a command prints,
// one for each time that the source refused the last. It is safe for concurrent use.
type Tokens struct {
	File    string // empty: there is none
	Command string // for the shell; empty: there is none
	// Of begins the names of the settings, for errors: "target-" if they are --target-token-file and --target-token-command.
	Of string

	mu      sync.Mutex
	current string
	runs    int       // of the command since a token was last accepted
	ran     time.Time // when it was run last
}

const (
	// maxRefused is how many tokens in a row are tried, each after the one before was refused.
	maxRefused = 3
	// restPause is how long the command is not run after that.
	restPause = time.Minute
)

func (t *Tokens) fileSetting() string    { return "--" + t.Of + "token-file" }
func (t *Tokens) commandSetting() string { return "--" + t.Of + "token-command" }

// Check reads the file, if there is one. The error says what is wrong with it, or that there is no token.
func (t *Tokens) Check(ctx context.Context) error {
	switch {
	case t.File != "":
		_, err := t.After(ctx, "")
		return err
	case t.Command == "":
		return fmt.Errorf("there is no token: set %s, or %s", t.fileSetting(), t.commandSetting())
	}
	return nil
}

// remedy says what to do about a token that is refused.
func (t *Tokens) remedy() string {
	return "put a new one into " + t.fileSetting() + ", or name a command that prints one with " + t.commandSetting()
}

// After returns the token that is to be used now that one was refused; "" if none was yet. It is the refused one if there is no other.
func (t *Tokens) After(ctx context.Context, refused string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current != "" && t.current != refused {
		return t.current, nil
	}
	if t.File != "" {
		text, err := os.ReadFile(t.File)
		if err != nil {
			return "", fmt.Errorf("reading the token of %s: %w", t.fileSetting(), err)
		}
		token, err := checkToken(string(text), t.fileSetting())
		if err != nil {
			return "", err
		}
		if token != refused {
			t.current = token
			return token, nil
		}
	}
	switch {
	case t.Command != "" && t.runs >= maxRefused && time.Since(t.ran) < restPause:
	case t.Command != "":
		t.runs, t.ran = t.runs+1, time.Now()
		out, err := t.run(ctx)
		if err != nil {
			return "", err
		}
		if t.current, err = checkToken(out, t.commandSetting()); err != nil {
			return "", err
		}
	case t.File == "":
		return "", t.Check(ctx)
	}
	return t.current, nil
}

// Use calls send with a token, and again with another one as long as send reports that the token was refused, at most three times. The error
// is that of getting a token.
func (t *Tokens) Use(ctx context.Context, send func(token string) (refused bool)) error {
	refused := ""
	for range maxRefused {
		token, err := t.After(ctx, refused)
		if err != nil || token == refused {
			return err
		}
		if !send(token) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.runs = 0
			return nil
		}
		refused = token
	}
	return nil
}

// run runs the command. What it prints on standard error goes to that of the program, so that it can ask for something.
func (t *Tokens) run(ctx context.Context) (string, error) {
	c := exec.CommandContext(ctx, "sh", "-c", t.Command) // #nosec G204 -- the operator gives the command
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("running %s: %w", t.commandSetting(), err)
	}
	return string(out), nil
}

// checkToken returns the token in a text. It never repeats the text in an error.
func checkToken(text, setting string) (string, error) {
	token := strings.TrimSpace(text)
	switch {
	case token == "":
		return "", fmt.Errorf("%s gives no token", setting)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", fmt.Errorf("%s gives more than a token: it must be one line", setting)
	}
	return token, nil
}
