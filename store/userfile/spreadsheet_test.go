package userfile_test

import (
	"encoding/csv"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/userfile"
)

// TestSpreadsheetDefusesFormulas, and leaves everything else as CSV has it.
func TestSpreadsheetDefusesFormulas(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"=1+1", "+44 20 7946 0000", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\x01x", "\uff1d1", "\uff0b1", "\uff0d1", "\uff201", "\u22121",
		" =1", "\u00a0=1", "\u200b=1", "\ufeff=1", "'=1", "\"=1", "|x", "%x",
	} {
		if got := firstName(t, userfile.Spreadsheet, text); got != "'"+text {
			t.Errorf("%q is written as %q", text, got)
		}
		if got := firstName(t, userfile.CSV, text); got != text {
			t.Errorf("%q is written as %q without --spreadsheet", text, got)
		}
	}
	for _, text := range []string{"Ada", "", "a=1", "a@example.com", "\u00c9mile", "1", "O'Brien", "(x)"} {
		if got := firstName(t, userfile.Spreadsheet, text); got != text {
			t.Errorf("%q is written as %q", text, got)
		}
	}
}

// firstName writes a user of this first name, and gives the cell that a reader of CSV finds.
func firstName(t *testing.T, f userfile.Format, text string) string {
	t.Helper()
	var out strings.Builder
	w := userfile.NewWriter(&out, f, &store.Catalogue{})
	if err := w.Write(&store.User{FirstName: text}); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(out.String())).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatal(rows, err)
	}
	for i, name := range rows[0] {
		if name == "first_name" {
			return rows[1][i]
		}
	}
	t.Fatal("there is no first_name")
	return ""
}
