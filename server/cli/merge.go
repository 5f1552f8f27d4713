package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/dragoman-id/dragoman/server/moving/merge"
	"github.com/dragoman-id/dragoman/store"
	"github.com/dragoman-id/dragoman/store/userfile"
)

type mergeCommand struct {
	Worth     string   `arg:"" name:"worth" help:"The file of 'dragoman pull worth'."`
	Testinium string   `arg:"" name:"testinium" help:"The file of 'dragoman pull testinium'."`
	Mapping   string   `env:"DRAGOMAN_MERGE_MAPPING" placeholder:"FILE" help:"A file with lines of a UUID of Worth's and an id of Testinium's, for people whose e-mails differ."`
	Prefer    []string `env:"DRAGOMAN_MERGE_PREFER" placeholder:"FIELD=VENDOR" help:"Whose value to take where the two contradict each other, such as email=worth; repeat it for several. all=VENDOR is for every field."`
	Output    string   `env:"DRAGOMAN_MERGE_OUTPUT" placeholder:"FILE" help:"The file to write to. Without it nothing is written. The file appears when it is complete."`
	Format    string   `env:"DRAGOMAN_MERGE_FORMAT" enum:"text,json" default:"text" help:"The format of the report: text, or json with an object per person (${default})."`
}

// Help is the long text of --help.
func (*mergeCommand) Help() string {
	return "It matches the people of both files by e-mail, as the directory compares e-mails, and then by --mapping. It prints who is whom, " +
		"and which fields contradict each other: " + strings.Join(merge.Columns, ", ") + ". With --output it writes one file for " +
		"'dragoman import', in which a person who is in both has both ids; it does so only if --prefer decides every contradiction. " +
		"People whom an import of the file would refuse, such as one with another's username, are reported with the line and the reason, and " +
		"left out; the exit status is then 2.\n\n" +
		"Both files must have the same customer: Worth's UUID and Testinium's id of it are those of one customer here.\n\n" + exitStatuses
}

// Run merges the files.
func (c *mergeCommand) Run(ctx context.Context) (err error) {
	m := merge.Merge{Worth: c.Worth, Testinium: c.Testinium}
	if m.Prefer, err = parsePreferences(c.Prefer); err != nil {
		return badInput{err}
	}
	if c.Mapping != "" {
		if m.Mapping, err = merge.ReadMapping(c.Mapping); err != nil {
			return badInput{err}
		}
	}
	if err := checkFolder("--output", c.Output); err != nil {
		return err
	}
	if sameFile(c.Output, c.Worth) || sameFile(c.Output, c.Testinium) {
		return badInput{errors.New("--output is one of the files that are merged: name another")}
	}
	report := json.NewEncoder(os.Stdout)
	m.Report = func(p merge.Person) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if c.Format == "json" {
			return report.Encode(p)
		}
		_, err := fmt.Println(p)
		return err
	}
	var result merge.Result
	run := func(w io.Writer) error {
		if result, err = m.Run(ctx, w); err == nil && result.Open > 0 {
			err = badInput{fmt.Errorf("nothing was written: %d people have contradictions that --prefer does not decide", result.Open)}
		}
		return err
	}
	if c.Output == "" {
		result, err = m.Run(ctx, io.Discard)
	} else {
		err = userfile.WriteFile(c.Output, run)
	}
	if bad := (*merge.BadInput)(nil); errors.As(err, &bad) {
		return badInput{err}
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "in both: %d, by mapping %d of them; only at Worth: %d; only at Testinium: %d; with contradictions: %d, undecided %d of them\n",
		result.Both, result.ByMapping, result.Worth, result.Testinium, result.Contradictions, result.Open)
	if c.Output == "" {
		fmt.Fprintln(os.Stderr, "nothing was written: give --output FILE")
	} else if result.LeftOut > 0 {
		return badInput{fmt.Errorf("written: %d users; left out, as the report says: %d", result.Written(), result.LeftOut)}
	}
	return nil
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

func parsePreferences(texts []string) (map[string]merge.Vendor, error) {
	prefer := map[string]merge.Vendor{}
	for _, text := range texts {
		name, value, _ := strings.Cut(text, "=")
		vendor := merge.Vendor(value)
		if vendor != merge.Worth && vendor != merge.Testinium {
			return nil, fmt.Errorf("--prefer %s must be FIELD=worth or FIELD=testinium", store.Excerpt(text))
		}
		switch {
		case name == "all":
			for _, column := range merge.Columns {
				if prefer[column] == "" {
					prefer[column] = vendor
				}
			}
		case slices.Contains(merge.Columns, name):
			prefer[name] = vendor
		default:
			return nil, fmt.Errorf("--prefer knows no field %s: it is one of %s, or all", store.Excerpt(name), strings.Join(merge.Columns, ", "))
		}
	}
	return prefer, nil
}
