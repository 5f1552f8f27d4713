package cli

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kong"
	"github.com/dragoman-id/dragoman/server/dev"
	"github.com/dragoman-id/dragoman/server/settings"
	"go.yaml.in/yaml/v4"
)

type configCommand struct {
	serveCommand
	Format string `enum:"text,json,yaml" default:"text" env:"-" placeholder:"FORMAT" help:"The format: text, json or yaml (${default})."`
}

// Help is the long text of --help.
func (*configCommand) Help() string {
	return "It takes the flags, variables and file of 'dragoman serve'. It neither opens the " +
		"database nor fetches keys. Secrets are shown as ***, and so are the user, the password and the parameters of a URL.\n\n" +
		"Exit status: 0 the configuration is valid, 80 it is not, and standard error lists the reasons."
}

// Run prints the configuration, and returns an error if it is invalid.
func (c *configCommand) Run(k *kong.Context, r *settings.Resolver) error {
	effective := r.Settings(k)
	if c.Dev {
		c.describeGenerated(effective)
	}
	effective = c.describeMissingClaims(effective)
	if err := printSettings(os.Stdout, c.Format, effective); err != nil {
		return fmt.Errorf("print the configuration: %w", err)
	}
	if c.Mock {
		_, err := c.mockConfig(k)
		return err
	}
	if c.Dev {
		// The server generates the keys when it starts.
		standIn := func() (string, error) { return base64.StdEncoding.EncodeToString(make([]byte, 32)), nil }
		if err := c.generateKeys(standIn, standIn); err != nil {
			return err
		}
	}
	_, err := c.config()
	return err
}

// describeGenerated sets the source of the keys that --dev generates.
func (c *configCommand) describeGenerated(effective []settings.Setting) {
	for i, s := range effective {
		if s.Name == "secret-key" && c.SecretKey == "" || s.Name == "jwt-secret" && !c.hasKey() && len(c.issuers) == 0 {
			effective[i].From = "--dev (" + dev.Directory + "/" + s.Name + ")"
		}
	}
}

// describeMissingClaims adds the value of --missing-claims where other settings decide it.
func (c *configCommand) describeMissingClaims(effective []settings.Setting) []settings.Setting {
	if len(c.issuers) == 0 {
		i := slices.IndexFunc(effective, func(s settings.Setting) bool { return s.Name == missingClaimsFlag })
		if effective[i].Value == nil {
			effective[i] = c.missingClaims("", false)
		}
		return effective
	}
	for n, item := range c.issuers {
		if item.MissingClaims != "" {
			continue
		}
		prefix := fmt.Sprintf("issuers[%d].", n)
		after := len(effective)
		for i, s := range effective {
			if strings.HasPrefix(s.Name, prefix) {
				after = i + 1
			}
		}
		effective = slices.Insert(effective, after, item.missingClaims(prefix, len(c.issuers) > 1))
	}
	return effective
}

// printSettings prints settings as a table, or as one object in JSON or YAML.
func printSettings(w io.Writer, format string, effective []settings.Setting) error {
	byName := map[string]settings.Setting{}
	for _, s := range effective {
		byName[s.Name] = s
	}
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(byName)
	case "yaml":
		e := yaml.NewEncoder(w)
		e.SetIndent(2)
		return e.Encode(byName)
	}
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range effective {
		fmt.Fprintf(columns, "%s\t%s\t%s\n", s.Name, readable(s.Value), s.From)
	}
	return columns.Flush()
}

// readable formats a value for the table.
func readable(value any) string {
	switch v := value.(type) {
	case nil:
		return "-"
	case []string:
		return strings.Join(v, ",")
	}
	return fmt.Sprint(value)
}
