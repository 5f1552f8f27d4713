package main

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/store"
)

// writeMarkdown writes what becomes of every member of some dialects, as FIELDS.md has it.
func writeMarkdown(w io.Writer, dialects []description.API) error {
	p := &page{dialects: dialects}
	p.say("# What becomes of every member")
	p.say("Made by `make docs` of each dialect's description (`server/worth/description.go` and so on); do not edit. Tests check those against the " +
		"documents in `openapi/`, and send the server each value, each null and each absence below.")
	p.say("`authorities[].name` is the member `name` of each item of `authorities`. Whatever is refused is a 400 that names the member. What is " +
		"reported is listed in the header `Dragoman-Ignored`, or refused under `Prefer: handling=strict`; so is a member that is in no table. A " +
		"secret is shown by no answer. The members of an answer are always there.")
	p.model()
	for _, d := range dialects {
		p.say("## " + d.Title)
		for _, b := range d.Bodies {
			p.body(d, b)
		}
	}
	if _, err := io.WriteString(w, strings.TrimSuffix(p.text.String(), "\n")); err != nil {
		return fmt.Errorf("write the members' table: %w", err)
	}
	return nil
}

// withUsers gives the dialects that show users, without one of them.
func (p *page) withUsers(besides string) []description.API {
	return slices.DeleteFunc(slices.Clone(p.dialects), func(d description.API) bool { return !d.ShowsUsers() || d.Name == besides })
}

func titles(dialects []description.API) []string {
	var all []string
	for _, d := range dialects {
		all = append(all, d.Title)
	}
	return all
}

type page struct {
	dialects []description.API
	text     strings.Builder
}

func (p *page) say(text string) { p.text.WriteString(text + "\n\n") }

func (p *page) row(cells ...string) {
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(c, "|", `\|`)
	}
	p.text.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

func (p *page) head(cells ...string) {
	p.row(cells...)
	p.text.WriteString(strings.Repeat("|---", len(cells)) + "|\n")
}

// model is a user, field by field.
func (p *page) model() {
	p.say("## A user")
	p.say("What each dialect calls a field, and through whose updates it stays as it is, whatever they say.")
	shown := p.withUsers("")
	p.head(append([]string{"model"}, append(titles(shown), "kept by")...)...)
	for i, user := 0, reflect.TypeFor[store.User](); i < user.NumField(); i++ {
		field := user.Field(i).Name
		if _, unnamed := description.Unnamed[field]; unnamed {
			continue
		}
		cells := []string{field}
		var keeps []string
		for _, d := range shown {
			cells = append(cells, code(d.NamesOf(field)...))
			if d.Keeps(field) {
				keeps = append(keeps, d.Title)
			}
		}
		p.row(append(cells, strings.Join(keeps, ", "))...)
	}
	p.text.WriteString("\n")
	p.say("No body has the others: the folded and the sealed copies of the above, and Version, which is the header `ETag`. " +
		strings.Join(description.Stamped, ", ") + " are set by every write that changes something.")
}

func (p *page) body(d description.API, b description.Body) {
	title := "### " + b.Title
	if len(b.Operations) > 0 {
		title += " (" + code(b.Operations...) + ")"
	}
	p.say(title)
	others := p.withUsers(d.Name)
	if b.Request {
		p.head(append([]string{"member", "required", "a value", "null", "absent", "secret", "model"}, titles(others)...)...)
	} else {
		p.head(append([]string{"member", "a value", "null", "model"}, titles(others)...)...)
	}
	for _, m := range b.Members {
		var elsewhere []string
		for _, d := range others {
			if m.Field == "" {
				elsewhere = append(elsewhere, "")
				continue
			}
			elsewhere = append(elsewhere, code(d.NamesOf(m.Field)...))
		}
		if b.Request {
			p.row(append([]string{code(m.Path), yes(m.Required), noted(string(m.Effect), m.Note), string(m.Null), string(m.Absent), yes(m.Secret), m.Field}, elsewhere...)...)
			continue
		}
		value := ""
		if m.Always != "" {
			value = "always " + code(m.Always)
		}
		p.row(append([]string{code(m.Path), noted(value, m.Note), string(m.Null), m.Field}, elsewhere...)...)
	}
	p.text.WriteString("\n")
}

func code(names ...string) string {
	var all []string
	for _, n := range names {
		all = append(all, "`"+n+"`")
	}
	return strings.Join(all, ", ")
}

func noted(value, note string) string {
	if value == "" || note == "" {
		return value + note
	}
	return value + "; " + note
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return ""
}
