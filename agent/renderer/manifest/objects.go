package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
	kubejson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
)

// Object is one Kubernetes object as JSON, with its origin.
type Object struct {
	JSON     json.RawMessage
	Path     string
	Line     int
	Document int
}

var yamlLine = regexp.MustCompile(`\bline (\d+): ?`)

// invalid words a YAML error with the line counted in the file, not in the document.
func invalid(err error, name string, document Document, known bool) *failure.Failure {
	text := failure.Shorten(strings.TrimPrefix(err.Error(), "error converting YAML to JSON: "))
	line := document.Line
	if found := yamlLine.FindStringSubmatch(text); found != nil {
		if number, convErr := strconv.Atoi(found[1]); convErr == nil {
			line = document.First + number - 1
		}
		text = strings.Replace(text, found[0], "", 1)
	}
	text = strings.TrimPrefix(strings.TrimPrefix(text, "yaml: "), "unmarshal errors: ")
	if !known {
		return failure.At(failure.Invalid, name, 0,
			fmt.Sprintf("%s: its output, document %d, line %d, is not valid YAML: %s", name, document.Index+1, line, text))
	}
	return failure.At(failure.Invalid, name, line, fmt.Sprintf("%s:%d: not valid YAML: %s", name, line, text))
}

// FromYAML reads every object of a stream. known says that the stream is the file itself, so that lines mean something
// to who reads the file; output of a template has none.
func FromYAML(stream []byte, name string, known bool) ([]Object, error) {
	documents, err := Split(stream, name)
	if err != nil {
		return nil, err
	}
	objects := make([]Object, 0, len(documents))
	for _, document := range documents {
		converted, err := yaml.YAMLToJSON(document.Text)
		if err != nil {
			return objects, invalid(err, name, document, known)
		}
		line := document.Line
		if !known {
			line = 0
		}
		if objects, err = flatten(objects, Object{converted, name, line, document.Index}); err != nil {
			return objects, err
		}
	}
	return objects, nil
}

// FromJSON reads a file that holds exactly one JSON value.
func FromJSON(text []byte, name string) ([]Object, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	var value json.RawMessage
	if err := decoder.Decode(&value); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		line := 1 + bytes.Count(text[:min(int(decoder.InputOffset()), len(text))], []byte("\n"))
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			line = 1 + bytes.Count(text[:min(int(syntax.Offset), len(text))], []byte("\n"))
		}
		return nil, failure.At(failure.Invalid, name, line, fmt.Sprintf("%s:%d: not valid JSON: %s", name, line, failure.Shorten(err.Error())))
	}
	if decoder.More() {
		return nil, failure.At(failure.Invalid, name, 0,
			fmt.Sprintf("%s: a JSON file holds one object (or one List); write several objects as YAML documents", name))
	}
	line := 1 + len(text) - len(bytes.TrimLeft(text, "\n"))
	value, err := normalizeNumbers(value)
	if err != nil {
		return nil, failure.At(failure.Invalid, name, line, fmt.Sprintf("%s:%d: not valid JSON: %s", name, line, failure.Shorten(err.Error())))
	}
	return flatten(nil, Object{value, name, line, 0})
}

// normalizeNumbers writes numbers as clients of Kubernetes send them: whole ones that fit 64 bits as they are, others as
// the shortest float, so that 1.0 becomes 1 and 1e3 becomes 1000, as they do in YAML.
func normalizeNumbers(text json.RawMessage) (json.RawMessage, error) {
	var value any
	if err := kubejson.UnmarshalCaseSensitivePreserveInts(text, &value); err != nil {
		return nil, err
	}
	return json.Marshal(value)
}

type head struct {
	APIVersion json.RawMessage `json:"apiVersion"`
	Kind       json.RawMessage `json:"kind"`
	Items      json.RawMessage `json:"items"`
}

func text(raw json.RawMessage) string {
	var value string
	if json.Unmarshal(raw, &value) != nil {
		return ""
	}
	return value
}

// flatten appends an object, or the items of a list; null is nothing.
func flatten(objects []Object, object Object) ([]Object, error) {
	value := bytes.TrimSpace(object.JSON)
	if bytes.Equal(value, []byte("null")) {
		return objects, nil
	}
	place := object.Path
	if object.Line > 0 {
		place = fmt.Sprintf("%s:%d", object.Path, object.Line)
	}
	if len(value) == 0 || value[0] != '{' {
		return objects, failure.At(failure.Invalid, object.Path, object.Line,
			fmt.Sprintf("%s: document %d is not a Kubernetes object (a mapping with apiVersion and kind)", place, object.Document+1))
	}
	var top head
	if err := json.Unmarshal(value, &top); err != nil {
		return objects, failure.At(failure.Invalid, object.Path, object.Line, fmt.Sprintf("%s: %s", place, failure.Shorten(err.Error())))
	}
	kind := text(top.Kind)
	if kind == "List" || strings.HasSuffix(kind, "List") && isListItems(top.Items) {
		var items []json.RawMessage
		if len(top.Items) > 0 {
			if err := json.Unmarshal(top.Items, &items); err != nil {
				return objects, failure.At(failure.Invalid, object.Path, object.Line, fmt.Sprintf("%s: items of a %s: %s", place, kind, failure.Shorten(err.Error())))
			}
		}
		var err error
		for _, item := range items {
			if objects, err = flatten(objects, Object{item, object.Path, object.Line, object.Document}); err != nil {
				return objects, err
			}
		}
		return objects, nil
	}
	for _, field := range []struct{ name, value string }{{"kind", kind}, {"apiVersion", text(top.APIVersion)}} {
		if field.value == "" {
			return objects, failure.At(failure.Invalid, object.Path, object.Line,
				fmt.Sprintf("%s: document %d has no %s, so it is not a Kubernetes object", place, object.Document+1, field.name))
		}
	}
	return append(objects, object), nil
}

// isListItems: an array or null; a kind that merely ends in List and has no items is an object.
func isListItems(items json.RawMessage) bool {
	items = bytes.TrimSpace(items)
	return bytes.Equal(items, []byte("null")) || (len(items) > 0 && items[0] == '[')
}

// DecodeText gives a file's text as UTF-8: a byte order mark is obeyed and taken off.
func DecodeText(raw []byte) ([]byte, error) {
	decoded, _, err := transform.Bytes(unicode.BOMOverride(encoding.Nop.NewDecoder()), raw)
	return decoded, err
}
