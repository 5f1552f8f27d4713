// Command fieldsmd prints what FIELDS.md is to be.
package main

import (
	"fmt"
	"os"

	"github.com/dragoman-id/dragoman/server"
)

func main() {
	if err := writeMarkdown(os.Stdout, server.Descriptions(server.Dialects())); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
