package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/dragoman-id/dragoman/server"
)

// complete sets the empty fields of b from the build information that Go embeds.
func complete(b server.Build) server.Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Go = info.GoVersion
	b.Version = cmp.Or(b.Version, info.Main.Version)
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	b.Date = cmp.Or(b.Date, settings["vcs.time"])
	if b.Commit == "" && settings["vcs.revision"] != "" {
		b.Commit = settings["vcs.revision"]
		if settings["vcs.modified"] == "true" {
			b.Commit += "-dirty"
		}
	}
	return b
}

type versionCommand struct {
	Format string `enum:"text,json" default:"text" help:"The format: text or json (${default})."`
}

// Run prints the version of the program.
func (c *versionCommand) Run(b server.Build) error {
	if c.Format == "json" {
		return json.NewEncoder(os.Stdout).Encode(b)
	}
	fmt.Println("dragoman", cmp.Or(b.Version, "(unknown version)"))
	for _, line := range [][2]string{{"commit", b.Commit}, {"date", b.Date}, {"go", b.Go}} {
		if line[1] != "" {
			fmt.Printf("%-7s %s\n", line[0], line[1])
		}
	}
	return nil
}
