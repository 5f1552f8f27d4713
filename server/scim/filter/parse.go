package filter

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Parse parses a filter over the attributes of a schema. The error is an *[Error].
func Parse(schema *Schema, text string) (Expression, error) {
	p, err := newParser(schema, text, InvalidFilter)
	if err != nil {
		return nil, err
	}
	expression, err := p.or()
	if err != nil {
		return nil, err
	}
	if !p.atEnd() {
		return nil, p.errorf("and, or, or the end is expected")
	}
	return expression, nil
}

// Path is a parsed path of a PATCH operation, or a name in the value of an operation without a path.
type Path struct {
	// Attribute is nil if the path names an attribute that the schema does not have, and if it names the resource itself by the URN of its
	// schema. Undeclared tells the two apart.
	Attribute *Attribute
	Filter    Expression // selects values of the attribute; nil: all
	Sub       *Attribute // nil: the attribute itself
	// Undeclared is what the path names if the schema does not have it: an attribute, or one with a sub-attribute.
	Undeclared string
}

// ParsePath parses a path over the attributes of a schema. A path to an attribute that the schema does not have is no error as long as
// it can be one in another schema. The error is an *[Error]: of the kind [InvalidFilter] for what stands in brackets, otherwise of
// [InvalidPath].
func ParsePath(schema *Schema, text string) (Path, error) {
	p, err := newParser(schema, text, InvalidPath)
	if err != nil {
		return Path{}, err
	}
	path, err := p.path()
	if err != nil {
		return Path{}, err
	}
	if !p.atEnd() {
		return Path{}, p.errorf("the end is expected")
	}
	return path, nil
}

// parser reads a text from left to right.
type parser struct {
	schema *Schema
	text   string
	kind   Kind
	at     int // the next byte
	terms  int
	depth  int
	// within is the attribute in whose brackets the parser is, whose sub-attributes are then what a name can mean; nil: the schema's are.
	within *Attribute
}

func newParser(schema *Schema, text string, kind Kind) (*parser, error) {
	p := &parser{schema: schema, text: text, kind: kind}
	switch {
	case !utf8.ValidString(text):
		return nil, &Error{Kind: kind, At: 1, Message: "it is not UTF-8"}
	case utf8.RuneCountInString(text) > MaxLength:
		return nil, &Error{Kind: kind, At: MaxLength + 1, Message: fmt.Sprintf("it has more than %d characters", MaxLength)}
	}
	if at := strings.IndexByte(text, 0); at >= 0 {
		p.at = at
		return nil, p.errorf("U+0000 is not allowed")
	}
	return p, nil
}

func (p *parser) errorf(format string, arguments ...any) error {
	return &Error{Kind: p.kind, At: utf8.RuneCountInString(p.text[:p.at]) + 1, Message: fmt.Sprintf(format, arguments...)}
}

// errorAt is errorf for what begins at a byte that was read already.
func (p *parser) errorAt(at int, format string, arguments ...any) error {
	p.at = at
	return p.errorf(format, arguments...)
}

func (p *parser) skipSpaces() {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t') {
		p.at++
	}
}

func (p *parser) atEnd() bool {
	p.skipSpaces()
	return p.at == len(p.text)
}

// take reads a character if it is the next one.
func (p *parser) take(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// word returns the run of bytes that satisfy is at the next place, without reading it.
func (p *parser) word(is func(byte) bool) string {
	end := p.at
	for end < len(p.text) && is(p.text[end]) {
		end++
	}
	return p.text[p.at:end]
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isName reports whether a byte may be in the name of an attribute, with its URN and its sub-attribute.
func isName(c byte) bool {
	return isLetter(c) || isDigit(c) || strings.IndexByte("._:-$", c) >= 0
}

// isBare reports whether a byte may be in a value without quotes.
func isBare(c byte) bool { return c > ' ' && strings.IndexByte(`()[]"`, c) < 0 }

// keyword reads a word if it is the next one, ignoring case.
func (p *parser) keyword(word string) bool {
	p.skipSpaces()
	if !strings.EqualFold(p.word(isName), word) {
		return false
	}
	p.at += len(word)
	return true
}

// enter counts a parenthesis or bracket that was opened.
func (p *parser) enter() error {
	if p.depth++; p.depth > MaxDepth {
		return p.errorf("more than %d parentheses and brackets are nested", MaxDepth)
	}
	return nil
}

func (p *parser) or() (Expression, error) {
	terms, err := p.series("or", p.and)
	if len(terms) > 1 {
		return Or(terms), err
	}
	return first(terms), err
}

func (p *parser) and() (Expression, error) {
	terms, err := p.series("and", p.term)
	if len(terms) > 1 {
		return And(terms), err
	}
	return first(terms), err
}

func first(terms []Expression) Expression {
	if len(terms) == 0 {
		return nil
	}
	return terms[0]
}

// series reads one or several terms with a keyword between them.
func (p *parser) series(keyword string, term func() (Expression, error)) ([]Expression, error) {
	var terms []Expression
	for {
		e, err := term()
		if err != nil {
			return nil, err
		}
		if terms = append(terms, e); !p.keyword(keyword) {
			return terms, nil
		}
	}
}

func (p *parser) term() (Expression, error) {
	p.skipSpaces()
	start := p.at
	if p.keyword("not") {
		p.skipSpaces()
		if p.at < len(p.text) && p.text[p.at] == '(' {
			e, err := p.group()
			return Not{e}, err
		}
		return nil, p.errorAt(start, "not must be followed by a parenthesis")
	}
	if p.at < len(p.text) && p.text[p.at] == '(' {
		return p.group()
	}
	return p.comparison()
}

// group reads an expression in parentheses.
func (p *parser) group() (Expression, error) {
	p.at++
	if err := p.enter(); err != nil {
		return nil, err
	}
	e, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.skipSpaces(); !p.take(')') {
		return nil, p.errorf("and, or, or a closing parenthesis is expected")
	}
	p.depth--
	return e, nil
}

// comparison reads a comparison or a value path.
func (p *parser) comparison() (Expression, error) {
	start := p.at
	if p.terms++; p.terms > MaxTerms {
		return nil, p.errorf("it has more than %d comparisons", MaxTerms)
	}
	attribute, sub, undeclared, err := p.name()
	if err != nil {
		return nil, err
	}
	if undeclared != "" {
		return nil, p.errorAt(start, "this is not an attribute that can be filtered by: see /Schemas")
	}
	if !p.take('[') {
		return p.relation(start, attribute, sub)
	}
	if sub != nil || !attribute.MultiValued || attribute.Type != Complex {
		return nil, p.errorAt(start, "%s does not have several values to choose from in brackets", attribute.Name)
	}
	p.terms-- // what is in the brackets counts
	selected, err := p.brackets(attribute)
	if err != nil {
		return nil, err
	}
	path := &ValuePath{Attribute: attribute, Filter: selected}
	if p.take('.') {
		at := p.at
		if path.Comparison, err = p.selectedSub(attribute, at); err != nil {
			return nil, err
		}
		return path, nil
	}
	if operator := p.nextOperator(); operator != "" {
		if path.Comparison, err = p.relation(start, attribute, nil); err != nil {
			return nil, err
		}
	}
	return path, nil
}

// selectedSub reads the comparison of a sub-attribute after brackets and a dot.
func (p *parser) selectedSub(attribute *Attribute, start int) (*Comparison, error) {
	name := p.word(isName)
	sub := Named(attribute.Sub, name)
	if sub == nil {
		return nil, p.errorf("this is not a sub-attribute of %s that can be filtered by: see /Schemas", attribute.Name)
	}
	if p.terms++; p.terms > MaxTerms {
		return nil, p.errorf("it has more than %d comparisons", MaxTerms)
	}
	p.at += len(name)
	return p.relation(start, attribute, sub)
}

// brackets reads a filter over the sub-attributes of an attribute, and the closing bracket.
func (p *parser) brackets(of *Attribute) (Expression, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	p.within = of
	e, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.skipSpaces(); !p.take(']') {
		return nil, p.errorf("and, or, or a closing bracket is expected")
	}
	p.depth--
	p.within = nil
	return e, nil
}

// nextOperator returns the operator at the next place without reading it, or "" if there is none.
func (p *parser) nextOperator() Operator {
	at := p.at
	defer func() { p.at = at }()
	p.skipSpaces()
	operator := Operator(strings.ToLower(p.word(isLetter)))
	if !slices.Contains(operators, operator) {
		return ""
	}
	return operator
}

// relation reads the operator and the value of a comparison whose attribute begins at start.
func (p *parser) relation(start int, attribute, sub *Attribute) (*Comparison, error) {
	c := &Comparison{Attribute: attribute, Sub: sub}
	p.skipSpaces()
	at := p.at
	if c.Operator = p.nextOperator(); c.Operator == "" {
		return nil, p.errorf("an operator is expected: eq, ne, co, sw, ew, gt, ge, lt, le or pr")
	}
	p.at += len(c.Operator)
	if c.leaf().Type == Complex && c.leaf().MultiValued && c.Operator != Present {
		if c.Sub = Named(attribute.Sub, DefaultSub); c.Sub == nil {
			return nil, p.errorAt(start, "%s has no sub-attribute %s", attribute.Name, DefaultSub)
		}
	}
	leaf := c.leaf()
	if !slices.Contains(operatorsOf[leaf.Type], c.Operator) {
		if leaf.Type == Complex {
			return nil, p.errorAt(start, "%s has sub-attributes: name one, or use pr", leaf.Name)
		}
		return nil, p.errorAt(at, "%s cannot be compared by %s", leaf.Name, c.Operator)
	}
	if c.Operator == Present {
		return c, nil
	}
	if p.at < len(p.text) && isBare(p.text[p.at]) {
		return nil, p.errorf("a space is expected")
	}
	p.skipSpaces()
	var err error
	c.Value, err = p.value(leaf, c.Operator)
	return c, err
}

// value reads the value that an attribute is compared with.
func (p *parser) value(leaf *Attribute, operator Operator) (any, error) {
	at := p.at
	text, quoted := p.word(isBare), false
	switch {
	case p.at < len(p.text) && p.text[p.at] == '"':
		var err error
		if text, err = p.quoted(); err != nil {
			return nil, err
		}
		quoted = true
	case text == "":
		return nil, p.errorf("a value is expected")
	case text[0] == '\'':
		return nil, p.errorf("text must be in double quotes")
	default:
		p.at += len(text)
	}
	if !quoted && text == "null" {
		if operator != Equal && operator != NotEqual {
			return nil, p.errorAt(at, "null can be compared by eq and ne alone")
		}
		return nil, nil
	}
	switch leaf.Type {
	case Boolean:
		for _, b := range []bool{true, false} {
			if strings.EqualFold(text, fmt.Sprint(b)) {
				return b, nil
			}
		}
		return nil, p.errorAt(at, "%s is a boolean: compare it with true or false", leaf.Name)
	case DateTime:
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return nil, p.errorAt(at, "%s is a date: compare it with one such as \"2024-02-29T18:59:59Z\"", leaf.Name)
		}
		return t, nil
	}
	return text, nil
}

// quoted reads text in double quotes, with the escapes of JSON.
func (p *parser) quoted() (string, error) {
	start := p.at
	end := start + 1
	for ; end < len(p.text) && p.text[end] != '"'; end++ {
		if p.text[end] == '\\' {
			end++
		}
	}
	if end >= len(p.text) {
		return "", p.errorf("the closing quote is missing")
	}
	var text string
	literal := p.text[start : end+1]
	if err := json.Unmarshal([]byte(literal), &text); err != nil {
		return "", p.errorf("the text is not a string of JSON")
	}
	if strings.ContainsRune(text, 0) || lonelySurrogate(literal) {
		return "", p.errorf("the text has a character that no text can have")
	}
	p.at = end + 1
	return text, nil
}

// lonelySurrogate reports whether a literal of JSON has half a surrogate pair, which encoding/json replaces with U+FFFD.
func lonelySurrogate(literal string) bool {
	half := func(at int, from, to uint64) bool {
		if at+6 > len(literal) || literal[at] != '\\' || literal[at+1] != 'u' {
			return false
		}
		var unit uint64
		if _, err := fmt.Sscanf(literal[at+2:at+6], "%04x", &unit); err != nil {
			return false
		}
		return from <= unit && unit <= to
	}
	for at := 0; at < len(literal); at++ {
		switch {
		case half(at, 0xD800, 0xDBFF) && half(at+6, 0xDC00, 0xDFFF):
			at += 11
		case half(at, 0xD800, 0xDFFF):
			return true
		case literal[at] == '\\':
			at++
		}
	}
	return false
}

// undeclaredAttribute stands for attributes that the schema does not have. Within its brackets every name is that of text.
var undeclaredAttribute Attribute

// name reads the name of an attribute, and that of a sub-attribute after a dot. What the scope does not have is returned as undeclared.
func (p *parser) name() (attribute, sub *Attribute, undeclared string, err error) {
	start := p.at
	name := p.word(isName)
	if name == "" {
		return nil, nil, "", p.errorf("the name of an attribute is expected")
	}
	p.at += len(name)
	local, scope := name, p.schema.Attributes
	switch urn := p.schema.URN; {
	case p.within == &undeclaredAttribute:
		return &Attribute{Name: name}, nil, "", nil
	case p.within != nil:
		scope = p.within.Sub
	case len(name) > len(urn) && strings.EqualFold(name[:len(urn)], urn) && name[len(urn)] == ':':
		local = name[len(urn)+1:]
	}
	if strings.Contains(local, ":") {
		if !strings.EqualFold(name[:min(len(name), len("urn:"))], "urn:") || strings.HasSuffix(name, ":") {
			return nil, nil, "", p.errorAt(start, "this is not the name of an attribute")
		}
		return nil, nil, name, nil
	}
	parent, child, dotted := strings.Cut(local, ".")
	if !isAttributeName(parent) || dotted && !isAttributeName(child) {
		return nil, nil, "", p.errorAt(start, "this is not the name of an attribute")
	}
	if attribute = Named(scope, parent); attribute == nil {
		return nil, nil, name, nil
	}
	if !dotted {
		return attribute, nil, "", nil
	}
	if sub = Named(attribute.Sub, child); sub == nil {
		return attribute, nil, attribute.Name + "." + child, nil
	}
	return attribute, sub, "", nil
}

// isAttributeName reports whether a text can be the name of an attribute (RFC 7643, section 2.1), or one such as $ref.
func isAttributeName(name string) bool {
	name = strings.TrimPrefix(name, "$")
	return name != "" && isLetter(name[0]) && !strings.ContainsAny(name, ".:$")
}

func (p *parser) path() (path Path, err error) {
	p.skipSpaces()
	if name := p.word(isName); strings.EqualFold(name, p.schema.URN) {
		p.at += len(name)
		return Path{}, nil
	}
	start := p.at
	if path.Attribute, path.Sub, path.Undeclared, err = p.name(); err != nil {
		return Path{}, err
	}
	if path.Undeclared != "" {
		path.Attribute = nil
	}
	if !p.take('[') {
		return path, nil
	}
	selectedFrom := path.Attribute
	switch {
	case path.Undeclared != "":
		selectedFrom = &undeclaredAttribute
	case path.Sub != nil || !path.Attribute.MultiValued || path.Attribute.Type != Complex:
		return Path{}, p.errorAt(start, "%s does not have several values to choose from in brackets", path.Attribute.Name)
	}
	p.kind = InvalidFilter
	if path.Filter, err = p.brackets(selectedFrom); err != nil {
		return Path{}, err
	}
	p.kind = InvalidPath
	if !p.take('.') {
		return path, nil
	}
	name := p.word(isName)
	if !isAttributeName(name) {
		return Path{}, p.errorf("the name of a sub-attribute is expected")
	}
	p.at += len(name)
	if path.Undeclared != "" {
		path.Undeclared += "." + name
		return path, nil
	}
	if path.Sub = Named(path.Attribute.Sub, name); path.Sub == nil {
		return Path{Undeclared: path.Attribute.Name + "." + name}, nil
	}
	return path, nil
}
