package main

import (
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestReadmeNamesEveryFlag: who configures the server reads the README's table, not the source.
func TestReadmeNamesEveryFlag(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	parser, err := kong.New(&commandLine{}, kong.DefaultEnvars("DRAGOMAN"))
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range parser.Model.Children {
		if command.Name != "serve" {
			continue
		}
		for _, flag := range command.Flags {
			row := "| `--" + flag.Name + "` | `" + flag.Envs[0] + "` |"
			if !strings.Contains(string(readme), row) {
				t.Errorf("the README's table of flags has no row %s", row)
			}
		}
	}
}
