package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/dragoman-id/dragoman/store"
)

// historyPage is how many changes are read at once.
const historyPage = 500

type historyCommand struct {
	storeFlags
	User string `required:"" placeholder:"ID" help:"Whose history: a Long, a UUID or an e-mail."`
	JSON bool   `help:"Print one JSON object a line, for programs."`
}

// Run prints the history, the oldest change first.
func (c *historyCommand) Run(ctx context.Context) (err error) {
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	key, err := s.LocateUser(ctx, c.User)
	if err != nil {
		return err
	}
	show := tell
	if c.JSON {
		show = encode
	}
	for after := int64(0); ; {
		changes, err := s.UserHistory(ctx, key, after, historyPage)
		if err != nil {
			return err
		}
		for _, change := range changes {
			if err := show(os.Stdout, change); err != nil {
				return err
			}
			after = change.Version
		}
		if len(changes) < historyPage {
			return nil
		}
	}
}

// tell writes a change for people.
func tell(w io.Writer, c store.UserChange) error {
	who := c.Subject
	if c.Actor != nil && c.Actor.String() != c.Subject {
		who = strings.TrimSpace(fmt.Sprintf("%s (user %s)", c.Subject, c.Actor))
	}
	fmt.Fprintf(w, "%s  version %d, by %s, through %s %s", c.At.Format(store.TimeLayout), c.Version, orUnknown(who), orUnknown(c.Dialect), c.Operation)
	if c.RequestID != "" {
		fmt.Fprintf(w, ", request %s", c.RequestID)
	}
	fmt.Fprintln(w)
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range c.Fields {
		if f.Field.Secret() {
			fmt.Fprintf(columns, "    %s\t%v\n", f.Field, f.New)
			continue
		}
		fmt.Fprintf(columns, "    %s\t%s -> %s\n", f.Field, value(f.Old), value(f.New))
	}
	if err := columns.Flush(); err != nil {
		return fmt.Errorf("print history: %w", err)
	}
	return nil
}

func orUnknown(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}

func value(v any) string {
	switch v := v.(type) {
	case nil:
		return "none"
	case string:
		return fmt.Sprintf("%q", v)
	case []any:
		names := make([]string, len(v))
		for i, n := range v {
			names[i] = fmt.Sprint(n)
		}
		return "[" + strings.Join(names, " ") + "]"
	default:
		return fmt.Sprint(v)
	}
}

// encode writes a change for programs.
func encode(w io.Writer, c store.UserChange) error {
	return json.NewEncoder(w).Encode(c)
}

type restoreCommand struct {
	storeFlags
	User    string `required:"" placeholder:"ID" help:"Whom to restore: a Long, a UUID or an e-mail."`
	Version int64  `required:"" help:"The version whose state to write back, as 'dragoman history' shows it."`
}

// Run writes the older state back, and says what changed.
func (c *restoreCommand) Run(ctx context.Context) (err error) {
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	key, err := s.LocateUser(ctx, c.User)
	if err != nil {
		return err
	}
	user, changed, err := s.RestoreUser(withOrigin(ctx, "restore"), key, c.Version, nil)
	if err != nil {
		return err
	}
	if len(changed) == 0 {
		fmt.Printf("nothing to restore: version %d is as version %d was\n", user.Version, c.Version)
		return nil
	}
	names := make([]string, len(changed))
	for i, f := range changed {
		names[i] = string(f)
	}
	fmt.Printf("restored version %d as version %d: %s\n", c.Version, user.Version, strings.Join(names, ", "))
	return nil
}

type rekeyCommand struct{ storeFlags }

// Run seals everything anew that another key has sealed.
func (c *rekeyCommand) Run(ctx context.Context) (err error) {
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	users, err := s.Rekey(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("sealed the secrets of %d users anew\n", users)
	return nil
}
