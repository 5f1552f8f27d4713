package server_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/dragoman-id/dragoman/server/description"
	"github.com/getkin/kin-openapi/openapi3"
)

// faultsOf says what a description lacks, and where it and the document differ, a sentence each.
func faultsOf(a description.API) []string {
	c := &descriptionCheck{api: a}
	document, err := a.Spec()
	if err != nil {
		return []string{fmt.Sprintf("%s: its document cannot be read: %v", a.Name, err)}
	}
	c.identity()
	c.operations(a.OperationsOf(document))
	c.tables(a.OperationsOf(document))
	c.samples(a.OperationsOf(document))
	return c.found
}

type descriptionCheck struct {
	api   description.API
	found []string
}

func (c *descriptionCheck) say(format string, args ...any) {
	c.found = append(c.found, c.api.Name+": "+fmt.Sprintf(format, args...))
}

func (c *descriptionCheck) identity() {
	a := c.api
	for name, lacks := range map[string]bool{
		"Name": a.Name == "", "Title": a.Title == "", "Files": a.Files == nil, "Samples": a.Samples == nil && len(a.Updates) > 0,
		"ErrorField": a.ErrorField == "", "ErrorMessage": a.ErrorMessage == "", "Show": a.Show == "" && len(a.Updates) > 0,
		"ChangedField": a.ChangedField == "" && len(a.Updates) > 0, "ChangedState": a.ChangedState == "" && len(a.Updates) > 0,
	} {
		if lacks {
			c.say("the description has no %s", name)
		}
	}
	if body, ok := a.Answer(""); ok {
		for _, path := range []string{a.ErrorField, a.ErrorMessage, a.ChangedField, a.ChangedState} {
			if path != "" && !slices.ContainsFunc(body.Members, func(m description.Member) bool { return m.Path == path }) {
				c.say("%q is no member of every error's body", path)
			}
		}
	}
}

// operations checks that whatever writes is named as what it is, and that each can be asked about somebody.
func (c *descriptionCheck) operations(all []description.Operation) {
	written := map[string]bool{}
	named := slices.Concat([]string{c.api.Show, c.api.List, c.api.Create}, c.api.Updates, c.api.Removals, c.api.OtherWrites, c.api.Reads)
	for _, o := range all {
		writes := o.OperationID == c.api.Create || slices.Contains(slices.Concat(c.api.Updates, c.api.Removals, c.api.OtherWrites), o.OperationID)
		if changes := c.api.Writes(o.Method, o.OperationID); writes != changes {
			c.say("%s %s (%s) changes users: %t; that it is in Updates or is Create: %t", o.Method, o.Path, o.OperationID, changes, writes)
		}
		named = slices.DeleteFunc(named, func(name string) bool { return name == o.OperationID })
		for _, p := range o.Parameters {
			if c.api.Parameters[p.Name] != nil {
				written[p.Name] = true
			} else if p.Required {
				c.say("Parameters does not say how to write %s of %s", p.Name, o.OperationID)
			}
		}
	}
	for _, name := range named {
		if name != "" {
			c.say("the document has no operation %s", name)
		}
	}
	for name := range c.api.Parameters {
		if !written[name] {
			c.say("no operation has the parameter %s", name)
		}
	}
}

// documented is what a document says of a member.
type documented struct {
	required, nullable bool
	schema             *openapi3.Schema
}

// flatten gives all members of a schema, those of its objects and arrays included, by their paths.
func flatten(schema *openapi3.Schema, path string, into map[string]documented) {
	if schema.Items != nil {
		flatten(schema.Items.Value, path+"[]", into)
		return
	}
	for name, property := range schema.Properties {
		at := name
		if path != "" {
			at = path + "." + name
		}
		// A schema that says nothing of the type allows null.
		nullable := property.Value.Nullable || property.Value.Type == nil && len(property.Value.AllOf)+len(property.Value.OneOf) == 0
		for _, one := range property.Value.OneOf {
			nullable = nullable || one.Value.Nullable
		}
		into[at] = documented{slices.Contains(schema.Required, name), nullable, property.Value}
		flatten(property.Value, at, into)
		for _, part := range property.Value.AllOf {
			flatten(part.Value, at, into)
		}
	}
}

// tables checks that every member of every body of the document is in a table, and no other.
func (c *descriptionCheck) tables(all []description.Operation) {
	used := map[string]bool{}
	check := func(operation, where string, request bool, content openapi3.Content) {
		schema := description.JSONSchema(content)
		if schema == nil {
			return
		}
		b, ok := c.whole(operation, request)
		if !ok {
			c.say("%s is in no table of Bodies", where)
			return
		}
		used[b.Title] = true
		c.table(b, where, schema)
	}
	for _, o := range all {
		if o.RequestBody != nil {
			check(o.OperationID, o.OperationID+"'s request", true, o.RequestBody.Value.Content)
		}
		for status, response := range o.Responses.Map() {
			operation := o.OperationID
			if status >= "400" {
				operation = ""
			}
			check(operation, o.OperationID+"'s answer "+status, false, response.Value.Content)
		}
	}
	for _, b := range c.api.Bodies {
		if !used[b.Title] && b.Within == "" {
			c.say("the document has no body for the table %q", b.Title)
		}
		c.within(b)
		for _, m := range b.Members {
			if !isComplete(b, m) {
				c.say("%s of %q is not whole: %+v", m.Path, b.Title, m)
			}
		}
	}
}

// whole gives the table of a body that has all of it.
func (c *descriptionCheck) whole(operation string, request bool) (description.Body, bool) {
	for _, b := range c.api.Bodies {
		if b.Request == request && b.Within == "" && (slices.Contains(b.Operations, operation) || operation == "" && len(b.Operations) == 0) {
			return b, true
		}
	}
	return description.Body{}, false
}

// within checks that a table of what is in a body says where, that another one has what is around it, and that Wrap puts it there.
func (c *descriptionCheck) within(b description.Body) {
	if (b.Within == "") != (b.Wrap == nil) {
		c.say("%q must have both Within and Wrap, or neither", b.Title)
		return
	}
	for _, operation := range b.Operations {
		if b.Within == "" {
			continue
		}
		around, ok := c.whole(operation, b.Request)
		if !ok || !slices.ContainsFunc(around.Members, func(m description.Member) bool { return m.Path == b.Within }) {
			c.say("no table of %s has %s, in which are the members of %q", operation, b.Within, b.Title)
		}
		var body map[string]any
		if err := json.Unmarshal([]byte(b.Around(`{"within":true}`)), &body); err != nil || b.In(body)["within"] != true {
			c.say("Wrap of %q does not put its members at %s: %v", b.Title, b.Within, err)
		}
	}
}

func (c *descriptionCheck) table(b description.Body, where string, schema *openapi3.Schema) {
	said := map[string]documented{}
	flatten(schema, "", said)
	seen := map[string]bool{}
	for _, m := range b.Members {
		d, ok := said[m.Path]
		switch {
		case seen[m.Path]:
			c.say("%s: %s stands twice in the table", where, m.Path)
		case !ok:
			c.say("%s: %s is not in the document", where, m.Path)
		case d.required != (m.Required || !b.Request && !m.Sometimes):
			c.say("%s: required of %s is %t in the document", where, m.Path, d.required)
		case b.Request && d.nullable == (m.Null == description.NullRefused), !b.Request && !d.nullable && m.Null != description.NullNever:
			c.say("%s: nullable of %s is %t in the document, null is %q in the table", where, m.Path, d.nullable, m.Null)
		}
		switch {
		case !ok || m.Effect != description.Replaces:
		case m.Field == "Roles" && !namesRole(b, m.Path):
			c.say("%s: %s sets Roles, and no member in it has the effect Names: let it be an object, or an array of objects, and describe the member that names a role; texts alone cannot be described", where, m.Path)
		case m.Field == "Status" && d.schema.Type.Is("string") && len(d.schema.Enum) < 2:
			c.say("%s: give %s an enum in the document, with the two or more values that can be set", where, m.Path)
		}
		seen[m.Path] = true
	}
	for path := range said {
		if !seen[path] {
			c.say("%s: %s is not in the table %q", where, path, b.Title)
		}
	}
}

// namesRole tells whether a member of the object or array at path names a role.
func namesRole(b description.Body, path string) bool {
	return slices.ContainsFunc(b.Members, func(m description.Member) bool {
		return m.Effect == description.Names && (strings.HasPrefix(m.Path, path+".") || strings.HasPrefix(m.Path, path+"[]."))
	})
}

// isComplete tells whether a member has all that one of such a body has, and nothing else.
func isComplete(b description.Body, m description.Member) bool {
	ofRequest := m.Null == description.NullRefused || m.Null == description.NullUnchanged || m.Null == description.NullCleared
	if b.Request {
		return m.Effect != "" && m.Absent != "" && ofRequest && m.Always == "" && m.Required == (m.Absent == description.AbsentRefused)
	}
	return m.Null != "" && !ofRequest && m.Effect == "" && m.Absent == "" && !m.Required && !m.Secret &&
		(m.Always == "null") == (m.Null == description.NullAlways) && (m.Field != "" || m.Always != "" || m.Note != "")
}

// samples checks that there is one for all that can be set, and that each is as the document has it.
func (c *descriptionCheck) samples(all []description.Operation) {
	if c.api.Samples == nil {
		return
	}
	samples := c.api.Samples("x")
	for _, o := range all {
		b, ok := c.api.Request(o.OperationID)
		if !ok || o.RequestBody == nil {
			continue
		}
		for _, m := range b.Members {
			if _, ok := samples[m.Path]; !ok && m.Effect == description.Replaces {
				c.say("Samples has no value for %s of %s", m.Path, o.OperationID)
			}
		}
		text, err := json.Marshal(c.api.Everything(o.OperationID, "x"))
		var body any
		if err == nil {
			err = json.Unmarshal(text, &body)
		}
		if err == nil {
			err = description.JSONSchema(o.RequestBody.Value.Content).VisitJSON(body)
		}
		if err != nil {
			c.say("the samples are no body of %s: %v", o.OperationID, strings.SplitN(err.Error(), "\n", 2)[0])
		}
	}
}

// differs reports whether an operation is asked otherwise about another subject.
func differs(o description.Operation, s, other description.Subject) bool {
	path, header := o.About(s)
	otherPath, otherHeader := o.About(other)
	return path != otherPath || fmt.Sprint(header) != fmt.Sprint(otherHeader)
}
