package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/dragoman-id/dragoman/store"
)

// historyPage is the number of changes that are read at once.
const historyPage = 500

type historyCommand struct {
	storeFlags
	User string `required:"" placeholder:"ID" help:"The user, by id, UUID or e-mail."`
	JSON bool   `help:"Print one JSON object a line."`
}

// Help is the long text of --help.
func (*historyCommand) Help() string {
	return "For passwords, access tokens and VCS passwords it shows only that they were set or cleared.\n\n" + exitStatuses
}

// Run prints the history, the oldest change first.
func (c *historyCommand) Run(ctx context.Context) (err error) {
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	key, err := locate(ctx, s, c.User)
	if err != nil {
		return err
	}
	show := printChange
	if c.JSON {
		show = encodeChange
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

// locate returns the key of the user with this id, UUID or e-mail.
func locate(ctx context.Context, s *store.Store, reference string) (store.UserKey, error) {
	key, err := s.LocateUser(ctx, reference)
	if errors.Is(err, store.ErrNotFound) {
		return key, badInput{fmt.Errorf("there is no user %s", plain(reference))}
	}
	return key, err
}

// printChange prints a change as text.
func printChange(w io.Writer, c store.UserChange) error {
	who := plain(c.Subject)
	if c.Actor != nil && c.Actor.String() != c.Subject {
		who = strings.TrimSpace(fmt.Sprintf("%s (user %s)", who, c.Actor))
	}
	through := strings.TrimSpace(c.Dialect + " " + c.Operation)
	fmt.Fprintf(w, "%s  version %d, by %s, through %s", c.At.Format(store.TimeLayout), c.Version, orUnknown(who), orUnknown(through))
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

// plain returns a name as it is, or quoted if it could be mistaken for other output.
func plain(text string) string {
	odd := func(r rune) bool { return !unicode.IsPrint(r) || strings.ContainsRune(` "(),`, r) }
	if strings.ContainsFunc(text, odd) {
		return strconv.Quote(text)
	}
	return text
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

// encodeChange prints a change as JSON, its time in store.TimeLayout.
func encodeChange(w io.Writer, c store.UserChange) error {
	return json.NewEncoder(w).Encode(struct {
		At string `json:"at"`
		store.UserChange
	}{c.At.Format(store.TimeLayout), c})
}
