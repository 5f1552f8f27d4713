package members_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/dragoman-id/dragoman/server/members"
)

func TestGeneratedFields(t *testing.T) {
	t.Parallel()
	var want bytes.Buffer
	if err := members.WriteMarkdown(&want); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../FIELDS.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("server/FIELDS.md is out of date: run make docs")
	}
}
