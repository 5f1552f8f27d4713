// Package cli is the command line: it turns flags, variables and a YAML file into configurations, and hands these to the packages
// that do the work. Each command has a file of its own. The package knows neither HTTP nor SQL.
package cli

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/settings"
)

type commandLine struct {
	ConfigFile string `name:"config" placeholder:"FILE" help:"A YAML file of settings: the flags of 'dragoman serve' without their dashes. Flags and variables override it."`

	Serve      serveCommand      `cmd:"" help:"Serve the directory."`
	Config     configCommand     `cmd:"" help:"Print the configuration of 'dragoman serve', and the source of each value."`
	Migrate    migrateCommand    `cmd:"" help:"Apply the migrations that are due, and list them."`
	Collisions collisionsCommand `cmd:"" help:"List users whose usernames or e-mails are equal under the rules of this version, but were not under those of the version that stored them."`
	Customer   customerCommand   `cmd:"" help:"Manage customers and their companies."`
	Import     importCommand     `cmd:"" help:"Import users from a file."`
	Export     exportCommand     `cmd:"" help:"Export users to a file."`
	Pull       pullCommand       `cmd:"" help:"Copy a vendor's users to a file that 'dragoman import' takes."`
	Merge      mergeCommand      `cmd:"" help:"Make one file of users from Worth's and Testinium's."`
	Compare    compareCommand    `cmd:"" help:"Compare the users of a vendor with those of the server that is to answer in its place."`
	Shadow     shadowCommand     `cmd:"" help:"Serve a vendor's answers, and compare them with those of the server that is to answer in its place."`
	History    historyCommand    `cmd:"" help:"Print the history of a user: when, by whom and through which API each value was changed."`
	Changes    changesCommand    `cmd:"" help:"Manage the change feed."`
	Webhook    webhookCommand    `cmd:"" help:"Manage webhooks, which receive changes by HTTP."`
	Restore    restoreCommand    `cmd:"" help:"Restore an earlier version of a user, as a new change. Secrets are not changed."`
	Erase      eraseCommand      `cmd:"" help:"Erase a person's data: of a user remains a row without names. Prints what it would do, unless --yes is given."`
	LegalHold  legalHoldCommand  `cmd:"" help:"Forbid to erase a user, or allow it again."`
	Backup     backupCommand     `cmd:"" help:"Copy an SQLite database to a file, also while a server uses it."`
	Copy       copyCommand       `cmd:"" help:"Copy a directory to another database, between SQLite and PostgreSQL in both directions."`
	Rekey      rekeyCommand      `cmd:"" help:"Encrypt all secrets with the current key, so that old keys can be removed."`
	Token      tokenCommand      `cmd:"" help:"Sign a token, explain what the server reads from one, or manage the tokens of provisioning clients (SCIM)."`
	Check      checkCommand      `cmd:"" help:"Test any server against the laws of a dialect."`
	Ready      readyCommand      `cmd:"" help:"Ask the server on this machine whether it is ready; the exit status is the answer."`
	Version    versionCommand    `cmd:"" help:"Print the version, the commit and its date."`
}

// Main runs the command that os.Args names and exits with a status other than 0 if it fails. The arguments describe the build, as the
// linker was given them; empty ones are taken from the build information that Go embeds.
func Main(version, commit, date string) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)
	var c commandLine
	parser, err := newParser(&c, kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(complete(server.Build{Version: version, Commit: commit, Date: date})))
	if err != nil {
		panic(err) // the tags of the structs are wrong
	}
	parser.FatalIfErrorf(settings.DropEmpty(parser.Model))
	k, err := parser.Parse(os.Args[1:])
	parser.FatalIfErrorf(settings.Explain(err))
	k.FatalIfErrorf(k.Run())
}

// newParser returns the parser of the command line. Flags that the command line lacks are read from variables and files.
func newParser(c *commandLine, options ...kong.Option) (*kong.Kong, error) {
	all := []kong.Option{
		kong.Name("dragoman"),
		kong.Vars{"dialects": strings.Join(checkableNames(), " or ")},
		kong.Description("A user directory that speaks several vendors' APIs.\n\n" +
			"Every flag has a variable: --listen is DRAGOMAN_LISTEN, and so on. A file named by --config sets the flags of " +
			"'dragoman serve'. 'dragoman config' prints the resulting configuration. Start with 'dragoman serve --dev'."),
	}
	issuers := settings.List{
		Key: "issuers", Commands: []string{"serve", "config", "explain"},
		New: func() any { return &issuerItem{} },
		Add: func(item any) {
			c.Serve.issuers = append(c.Serve.issuers, *item.(*issuerItem))
			c.Config.issuers, c.Token.Explain.issuers = c.Serve.issuers, c.Serve.issuers
		},
	}
	all = append(all, settings.New("serve", issuers).Options()...)
	return kong.New(c, append(all, options...)...)
}
