package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/dragoman-id/dragoman/server"
)

func TestGeneratedFields(t *testing.T) {
	t.Parallel()
	var want bytes.Buffer
	if err := writeMarkdown(&want, server.Descriptions(server.Dialects())); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../FIELDS.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("server/FIELDS.md is not what the descriptions yield: run make docs")
	}
}
