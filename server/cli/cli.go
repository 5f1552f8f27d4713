// Package cli is the command line: it turns flags, variables and a YAML file into configurations, and hands these to the packages
// that do the work. Each command has a file of its own. The package knows neither HTTP nor SQL.
package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/settings"
)

type commandLine struct {
	ConfigFile string `name:"config" placeholder:"FILE" help:"A YAML file of settings: the flags of 'dragoman serve' without their dashes. Flags and variables are stronger."`

	Serve      serveCommand      `cmd:"" help:"Serve the directory."`
	Config     configCommand     `cmd:"" help:"Print the configuration that 'dragoman serve' would have, and where each value comes from."`
	Migrate    migrateCommand    `cmd:"" help:"Bring the database to this version's schema, and say what was done."`
	Collisions collisionsCommand `cmd:"" help:"List users whose usernames or e-mails are the same to this version, though they were not to the one that stored them."`
	Customer   customerCommand   `cmd:"" help:"Customers and their companies."`
	Import     importCommand     `cmd:"" help:"Take a file of users into the directory."`
	Export     exportCommand     `cmd:"" help:"Write the users of the directory to a file."`
	History    historyCommand    `cmd:"" help:"Tell what was changed of a user: when, by whom, through which API, from what to what."`
	Changes    changesCommand    `cmd:"" help:"The feed of all changes."`
	Restore    restoreCommand    `cmd:"" help:"Write an older state of a user back, as a new change. Secrets stay as they are."`
	Backup     backupCommand     `cmd:"" help:"Copy a SQLite database to a file, while it is being used."`
	Rekey      rekeyCommand      `cmd:"" help:"Seal all secrets anew with the present key, so that old ones can be forgotten."`
	Token      tokenCommand      `cmd:"" help:"Print a signed token, alone on standard output."`
	Check      checkCommand      `cmd:"" help:"Hold any server that speaks a dialect against the laws of that dialect."`
	Ready      readyCommand      `cmd:"" help:"Ask the server of this machine whether it is ready; the exit status says it."`
	Version    versionCommand    `cmd:"" help:"Print which version this is, and of which commit and date."`
}

// Main runs the command that os.Args names and exits with a status other than 0 if it fails. The arguments are what the linker was
// told of the build; what is empty is taken from the information that Go itself put into the program.
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
	parser.FatalIfErrorf(settings.DropEmpty())
	k, err := parser.Parse(os.Args[1:])
	parser.FatalIfErrorf(settings.Explain(err))
	err = k.Run()
	standardError.Flush()
	k.FatalIfErrorf(err)
}

// newParser returns the parser of the command line, which takes from variables and files what a command line leaves out.
func newParser(c *commandLine, options ...kong.Option) (*kong.Kong, error) {
	all := []kong.Option{
		kong.Name("dragoman"),
		kong.Description("A user directory that speaks Worth's and Testinium's APIs.\n\n" +
			"Every flag has a variable: --listen is DRAGOMAN_LISTEN, and so on. A file named by --config has those of " +
			"'dragoman serve'. 'dragoman config' prints what it all comes to. Start with 'dragoman serve --dev'."),
	}
	all = append(all, settings.New("serve").Options()...)
	return kong.New(c, append(all, options...)...)
}
