package description_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/description"
	"github.com/dragoman-id/dragoman/server/docs/generated"
	"github.com/dragoman-id/dragoman/store"
)

// stamped are the fields of store.User that every write sets which changes another.
var stamped = []string{"UpdatedAt", "UpdatedBy", "Version"}

// unnamed are the fields of store.User that no body of any dialect has, and why.
var unnamed = map[string]string{
	"FirstNameFold":     "computed from FirstName",
	"LastNameFold":      "computed from LastName",
	"UsernameFold":      "computed from Username",
	"EmailFold":         "computed from Email",
	"EmailSearch":       "computed from Email",
	"AccessTokenSealed": "AccessToken as it is stored",
	"VCSPasswordSealed": "VCSPassword as it is stored",
	"DeprovisionedAt":   "in the history and in files",
	"LegalHoldAt":       "a command's; in the history",
}

// keeps reports whether a request leaves a field of store.User as it is.
func keeps(b description.Body, field string) bool {
	return !slices.Contains(stamped, field) && !slices.ContainsFunc(b.Members, func(m description.Member) bool {
		return m.Effect == description.Replaces && m.Field == field || slices.Contains(m.Also, field)
	})
}

// keptBy reports whether every update through a dialect leaves a field of store.User as it is.
func keptBy(d description.API, field string) bool {
	changes := func(b description.Body) bool { return b.Request && !keeps(b, field) }
	return !slices.Contains(stamped, field) && !slices.ContainsFunc(d.Bodies, changes)
}

// showsUsers reports whether any answer of a dialect has a user in it.
func showsUsers(d description.API) bool { return slices.ContainsFunc(d.Bodies, description.Body.Shows) }

// TestGeneratedFields makes the tables of FIELDS.md: what becomes of every member of every body.
func TestGeneratedFields(t *testing.T) {
	t.Parallel()
	p := &page{dialects: server.Descriptions(server.Dialects())}
	p.model()
	for _, d := range p.dialects {
		p.say("## " + d.Title)
		for _, b := range d.Bodies {
			p.body(d, b)
		}
	}
	generated.Check(t, "../FIELDS.md", "members", p.text.String())
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

// withUsers returns the dialects that show users, without the one of this name.
func (p *page) withUsers(besides string) []description.API {
	return slices.DeleteFunc(slices.Clone(p.dialects), func(d description.API) bool { return !showsUsers(d) || d.Name == besides })
}

func titles(dialects []description.API) []string {
	var all []string
	for _, d := range dialects {
		all = append(all, d.Title)
	}
	return all
}

// model writes the table of a user's fields.
func (p *page) model() {
	p.say("## A user")
	p.say("What each dialect calls a field, and through whose updates it stays as it is, whatever they say.")
	shown := p.withUsers("")
	p.head(slices.Concat([]string{"model"}, titles(shown), []string{"kept by"})...)
	for field := range reflect.TypeFor[store.User]().Fields() {
		if unnamed[field.Name] != "" {
			continue
		}
		cells := []string{field.Name}
		var keeping []string
		for _, d := range shown {
			cells = append(cells, code(d.NamesOf(field.Name)...))
			if keptBy(d, field.Name) {
				keeping = append(keeping, d.Title)
			}
		}
		p.row(append(cells, strings.Join(keeping, ", "))...)
	}
	p.text.WriteString("\n")
	p.say("No body has the others: the folded and the sealed copies of the above. Version is the header `ETag` of every dialect. " +
		strings.Join(stamped, ", ") + " are set by every write that changes something.")
}

// body writes the table of a body's members.
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
		for _, o := range others {
			if m.Field == "" {
				elsewhere = append(elsewhere, "")
				continue
			}
			elsewhere = append(elsewhere, code(o.NamesOf(m.Field)...))
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
