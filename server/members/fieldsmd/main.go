// Command fieldsmd prints what FIELDS.md is to be.
package main

import (
	"fmt"
	"os"

	"github.com/dragoman-id/dragoman/server/members"
)

func main() {
	if err := members.WriteMarkdown(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
