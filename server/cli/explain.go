package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/dragoman-id/dragoman/server/auth"
	"github.com/dragoman-id/dragoman/server/dev"
	"github.com/dragoman-id/dragoman/server/provisioning"
	"github.com/dragoman-id/dragoman/server/settings"
	"github.com/dragoman-id/dragoman/store"
)

type explainCommand struct {
	issuerFlags
	tokenLimitFlag
	Dev    bool   `help:"Use the key of 'dragoman serve --dev' in .dragoman/, if no other is configured."`
	Format string `enum:"text,json" default:"text" env:"-" placeholder:"FORMAT" help:"The format: text or json (${default})."`

	issuers []issuerItem // as in serveCommand
}

// Help is the long text of --help.
func (*explainCommand) Help() string {
	return "It reads a token from standard input and prints, rule by rule, what a server with these settings reads from it: who the caller " +
		"would be, for which customers, with which permissions and rank, or why the token would be rejected. It takes the settings of " +
		"'dragoman serve' that concern tokens, from the same variables and file, and fetches the keys. It needs no database: ranks are those " +
		"of the roles that every directory begins with. It warns of what is accepted and has no effect, such as a token for no customer. Of a provisioning client's token, which begins with drg_, it says whether the form is right: 'dragoman token list' has the rest. It prints values of claims, which may be personal, and neither the token nor its signature.\n\n" +
		"Exit status: 0 the token would be accepted, 1 it would be rejected, or its signature could not be checked, 2 there is no token, " +
		"80 a bad command line or configuration."
}

// maxTokenInput is the largest size of the input of 'dragoman token explain' in bytes.
const maxTokenInput = 1 << 20

// Run explains a token.
func (c *explainCommand) Run(ctx context.Context) error {
	verifier, unconfigured := c.verifier()
	if unconfigured == nil {
		defer verifier.Close()
	} else if !errors.Is(unconfigured, auth.ErrNoKey) {
		return unconfigured
	}
	token, err := readToken(os.Stdin)
	if err != nil {
		return err
	}
	if provisioning.Is(token) { // which needs no key
		return explainProvisioningToken(token)
	}
	if unconfigured != nil {
		return unconfigured
	}
	roles, err := initialRoles(ctx)
	if err != nil {
		return err
	}
	policy := auth.Policy{Roles: roles}
	e := verifier.Explain(ctx, token, policy)
	report := newTokenReport(e, policy.Describe(e.Principal))
	if err := report.print(os.Stdout, c.Format); err != nil {
		return fmt.Errorf("print the explanation: %w", err)
	}
	if report.Result != accepted {
		return errRejected
	}
	return nil
}

// verifier returns a verifier with the configured keys and rules, which logs why keys cannot be read.
func (c *explainCommand) verifier() (*auth.Verifier, error) {
	if c.Dev && !c.hasKey() && len(c.issuers) == 0 {
		var err error
		if c.JWTSecret, err = dev.JWTSecret(); err != nil {
			return nil, err
		}
		c.generated = true
	}
	issuers, err := c.all(c.issuers)
	if err != nil {
		return nil, err
	}
	config := auth.Config{Issuers: issuers, MaxTokenBytes: c.MaxTokenBytes, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if err := settings.Problems(config.Problems()).Err(); err != nil {
		return nil, err
	}
	return auth.NewVerifier(config)
}

// readToken reads a token, with or without the scheme of an Authorization header.
func readToken(r io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxTokenInput))
	if err != nil {
		return "", fmt.Errorf("read the token from standard input: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if scheme, rest, ok := strings.Cut(token, " "); ok && strings.EqualFold(scheme, "Bearer") {
		token = strings.TrimSpace(rest)
	}
	if token == "" {
		return "", badInput{errors.New("there is no token: write it to standard input, as in `echo \"$TOKEN\" | dragoman token explain`")}
	}
	return token, nil
}

// initialRoles returns the roles of a new directory.
func initialRoles(ctx context.Context) (*store.Catalogue, error) {
	s, err := store.Open(ctx, store.Config{URL: store.InMemory, SecretKey: make([]byte, 32)})
	if err != nil {
		return nil, fmt.Errorf("list the roles: %w", err)
	}
	return s.Catalogue(), s.Close()
}

var errRejected = errors.New("the token would be rejected, or its signature could not be checked")

// The results of explaining a token.
const (
	accepted  = "accepted"
	rejected  = "rejected"
	unchecked = "unchecked" // no rule rejects the token, and there is no key to check its signature with
)

// tokenReport is what 'dragoman token explain' prints.
type tokenReport struct {
	Result   string       `json:"result"`           // accepted, rejected or unchecked
	Reason   string       `json:"reason,omitempty"` // why, if it is not accepted
	Warnings []string     `json:"warnings"`         // what is probably a mistake, if it is not rejected
	Rules    []ruleReport `json:"rules"`
	Caller   auth.Rights  `json:"caller"` // who the caller would be, also if the token is not accepted
}

type ruleReport struct {
	Rule     string   `json:"rule"`
	Settings []string `json:"settings"` // the flags that configure it
	Read     []string `json:"read"`
	Result   string   `json:"result"`
	Reason   string   `json:"reason,omitempty"`
}

func newTokenReport(e auth.Explanation, caller auth.Rights) tokenReport {
	r := tokenReport{Result: accepted, Warnings: append([]string{}, e.Warnings...), Rules: []ruleReport{}, Caller: caller}
	for _, f := range e.Findings {
		rule := ruleReport{Rule: f.Rule, Settings: []string{}, Read: append([]string{}, f.Read...), Result: accepted}
		for _, name := range f.Settings {
			rule.Settings = append(rule.Settings, "--"+name)
		}
		if f.Refusal != nil {
			rule.Result, rule.Reason = rejected, strings.TrimPrefix(f.Refusal.Error(), auth.ErrUnauthenticated.Error()+": ")
		}
		if errors.Is(f.Refusal, auth.ErrKeysUnavailable) {
			rule.Result = unchecked
		}
		if r.Result == accepted || r.Result == unchecked && rule.Result == rejected {
			r.Result, r.Reason = rule.Result, rule.Reason
		}
		r.Rules = append(r.Rules, rule)
	}
	return r
}

func (r tokenReport) print(w io.Writer, format string) error {
	if format == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(r)
	}
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, rule := range r.Rules {
		lines := rule.Read
		switch {
		case rule.Reason != "":
			lines = append(lines, strings.ToUpper(rule.Result)+": "+rule.Reason+rule.hint())
		case len(lines) == 0:
			lines = []string{"ok"}
		}
		for i, line := range lines {
			name := rule.Rule
			if i > 0 {
				name = ""
			}
			fmt.Fprintf(columns, "%s\t%s\n", name, line)
		}
	}
	fmt.Fprintln(columns)
	customers := list(r.Caller.Customers)
	if r.Caller.PlatformAdministrator {
		customers = "all"
	}
	result := r.Result
	if r.Reason != "" {
		result += ": " + r.Reason
	}
	lines := [][2]string{{"result", result}}
	for _, warning := range r.Warnings {
		lines = append(lines, [2]string{"warning", warning})
	}
	for _, line := range append(lines, [][2]string{
		{"caller", orNone(r.Caller.Subject)},
		{"user", orNone(r.Caller.User)},
		{"customers", customers},
		{"permissions", list(r.Caller.Permissions)},
		{"roles", list(r.Caller.Authorities)},
		{"not roles", list(r.Caller.UnknownAuthorities)},
		{"rank", fmt.Sprint(r.Caller.Rank)},
	}...) {
		fmt.Fprintf(columns, "%s\t%s\n", line[0], line[1])
	}
	return columns.Flush()
}

// hint returns the settings of the rule in parentheses, or "" if it has none.
func (r ruleReport) hint() string {
	if len(r.Settings) == 0 {
		return ""
	}
	return " (" + strings.Join(r.Settings, ", ") + ")"
}

// list formats values for people.
func list[T ~string](values []T) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = string(v)
	}
	return orNone(strings.Join(texts, ", "))
}

// orNone returns a text of the token, quoted if it has characters that a terminal may interpret.
func orNone(text string) string {
	switch {
	case text == "":
		return "none"
	case strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }):
		return strconv.Quote(text)
	}
	return text
}
