package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"gopkg.in/yaml.v3"
)

// toJSON writes a YAML document as JSON, members in the order of the YAML and numbers digit by digit.
func toJSON(root *yaml.Node) ([]byte, error) {
	var compact, indented bytes.Buffer
	if err := writeJSON(&compact, root); err != nil {
		return nil, err
	}
	if err := json.Indent(&indented, compact.Bytes(), "", "  "); err != nil {
		return nil, err
	}
	indented.WriteByte('\n')
	return indented.Bytes(), nil
}

func writeJSON(b *bytes.Buffer, n *yaml.Node) error {
	switch n.Kind {
	case yaml.DocumentNode:
		return writeJSON(b, n.Content[0])
	case yaml.AliasNode:
		return writeJSON(b, n.Alias)
	case yaml.MappingNode:
		b.WriteByte('{')
		for i := 0; i < len(n.Content); i += 2 {
			if i > 0 {
				b.WriteByte(',')
			}
			// A name that YAML takes for a number, such as a status, is a name all the same.
			if n.Content[i].Kind != yaml.ScalarNode || n.Content[i].Tag == "!!merge" {
				return fmt.Errorf("line %d: a name that is no plain text", n.Content[i].Line)
			}
			if err := writeText(b, n.Content[i].Value); err != nil {
				return err
			}
			b.WriteByte(':')
			if err := writeJSON(b, n.Content[i+1]); err != nil {
				return err
			}
		}
		b.WriteByte('}')
		return nil
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeJSON(b, item); err != nil {
				return err
			}
		}
		b.WriteByte(']')
		return nil
	}
	return writeScalar(b, n)
}

func writeScalar(b *bytes.Buffer, n *yaml.Node) error {
	switch n.Tag {
	case "!!str":
		return writeText(b, n.Value)
	case "!!null":
		b.WriteString("null")
		return nil
	case "!!bool", "!!int", "!!float":
		// Decoded, an integer above 2^53 could come out as another. JSON writes true, false and common numbers as YAML does.
		if !json.Valid([]byte(n.Value)) {
			return fmt.Errorf("line %d: JSON has no %s", n.Line, n.Value)
		}
		b.WriteString(n.Value)
		return nil
	}
	return fmt.Errorf("line %d: %s is a %s: quote it", n.Line, n.Value, n.Tag)
}

func writeText(b *bytes.Buffer, text string) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	return e.Encode(text)
}
