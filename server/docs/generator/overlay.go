package main

import (
	"bytes"
	"fmt"

	"github.com/speakeasy-api/openapi/overlay"
	yaml4 "go.yaml.in/yaml/v4"
	"gopkg.in/yaml.v3"
)

// lineWidth is where folded text is broken. A line may run over it by a word.
const lineWidth = 110

// overlaid applies an overlay as oapi-codegen does, by the same library, but keeps the order and the style of what was
// written. An action that finds nothing to act on is an error.
func overlaid(document []byte, overlayPath string) ([]byte, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(document, &root); err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	o, err := overlay.Parse(overlayPath)
	if err != nil {
		return nil, fmt.Errorf("read the overlay: %w", err)
	}
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("read the overlay: %w", err)
	}
	if _, err := o.ApplyToStrict(&root); err != nil {
		return nil, fmt.Errorf("apply the overlay: %w", err)
	}
	var text bytes.Buffer
	if err := yaml.NewEncoder(&text).Encode(&root); err != nil {
		return nil, fmt.Errorf("write the document: %w", err)
	}
	// The overlay's library works on the nodes of yaml.v3, which never breaks a line.
	var again yaml4.Node
	if err := yaml4.Load(text.Bytes(), &again); err != nil {
		return nil, fmt.Errorf("read the overlaid document: %w", err)
	}
	return yaml4.Dump(&again, yaml4.WithIndent(2), yaml4.WithCompactSeqIndent(false), yaml4.WithLineWidth(lineWidth), yaml4.WithUnicode(false))
}
