package appset

import (
	"bytes"
	"encoding/json"
	"regexp"

	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// ReadYAML reads the first document as Argo CD does (YAML 1.1, then JSON), but for numbers, which keep the text they have
// when it is one of a decimal number.
func ReadYAML(text []byte) (any, error) {
	converted, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(converted))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	var document yamlv3.Node
	// What only one of the two parsers reads keeps the values of the first.
	if yamlv3.Unmarshal(text, &document) != nil || len(document.Content) != 1 {
		return value, nil
	}
	return asWritten(value, document.Content[0], 0), nil
}

// asWritten puts the texts of numbers where a value holds numbers.
func asWritten(value any, node *yamlv3.Node, depth int) any {
	if node.Kind == yamlv3.AliasNode && node.Alias != nil {
		node = node.Alias
	}
	if depth > 200 {
		return value
	}
	switch value := value.(type) {
	case json.Number:
		if node.Kind == yamlv3.ScalarNode && decimal.MatchString(node.Value) && node.Value != value.String() {
			return map[string]any{exactKey: node.Value}
		}
	case []any:
		if node.Kind == yamlv3.SequenceNode && len(node.Content) == len(value) {
			for index, inner := range value {
				value[index] = asWritten(inner, node.Content[index], depth+1)
			}
		}
	case map[string]any:
		if node.Kind == yamlv3.MappingNode {
			for index := 0; index+1 < len(node.Content); index += 2 {
				if inner, ok := value[node.Content[index].Value]; ok {
					value[node.Content[index].Value] = asWritten(inner, node.Content[index+1], depth+1)
				}
			}
		}
	}
	return value
}
