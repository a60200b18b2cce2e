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

	goyaml "go.yaml.in/yaml/v2"
	yamlv3 "go.yaml.in/yaml/v3"
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
// to who reads the file; output of a template has none. A key that is there twice in one mapping is an error, unless
// repeated takes what would be said of it: then the last one counts, as everywhere where Kubernetes reads YAML.
func FromYAML(stream []byte, name string, known bool, repeated func(string)) ([]Object, error) {
	documents, err := Split(stream, name)
	if err != nil {
		return nil, err
	}
	objects := make([]Object, 0, len(documents))
	for _, document := range documents {
		values, err := document.values(name, known, repeated)
		if err != nil {
			return objects, err
		}
		line := document.Line
		if !known {
			line = 0
		}
		for _, value := range values {
			if objects, err = flatten(objects, Object{value, name, line, document.Index}); err != nil {
				return objects, err
			}
		}
	}
	return objects, nil
}

// values are the values of a document: one, or each of a stream of JSON.
func (d Document) values(name string, known bool, repeated func(string)) ([]json.RawMessage, error) {
	stream, err := d.jsonStream(name)
	if len(stream) > 1 || err != nil {
		return stream, err
	}
	isJSON := len(stream) == 1
	converted, err := yaml.YAMLToJSONStrict(d.Text)
	if err != nil {
		if !repeatedInYAML.MatchString(err.Error()) {
			return nil, invalid(err, name, d, known)
		}
		key, line := repeatedNode(d.Text)
		line += d.First - 1
		place := fmt.Sprintf("%s:%d", name, line)
		if !known {
			place = fmt.Sprintf("%s: its output, document %d, line %d", name, d.Index+1, line)
		}
		switch {
		case key == "":
			// What a merge (<<) brings may be said again.
		case repeated == nil:
			return nil, failure.At(failure.Invalid, name, line, twice(place, key))
		default:
			repeated(twice(place, key))
		}
		if converted, err = yaml.YAMLToJSON(d.Text); err != nil {
			return nil, invalid(err, name, d, known)
		}
	}
	if !isJSON && d.goesOn() {
		return nil, failure.At(failure.Invalid, name, d.Line,
			fmt.Sprintf("%s:%d: more follows after the end of the first object; put --- between objects", name, d.Line))
	}
	return []json.RawMessage{converted}, nil
}

// jsonStream reads JSON values that follow each other without a separator, as Kubernetes' own reader does; nothing when the
// document is none. One value alone is left to YAML, which says more of what is wrong with it.
func (d Document) jsonStream(name string) ([]json.RawMessage, error) {
	if text := bytes.TrimSpace(d.Text); len(text) == 0 || text[0] != '{' {
		return nil, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(d.Text))
	var values []json.RawMessage
	for {
		var value json.RawMessage
		if err := decoder.Decode(&value); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, nil
		}
		values = append(values, value)
	}
	if len(values) < 2 {
		return values, nil
	}
	for at, value := range values {
		if key, line := repeatedKey(value); key != "" {
			line += d.First - 1
			return nil, failure.At(failure.Invalid, name, line, twice(fmt.Sprintf("%s:%d", name, line), key))
		}
		normal, err := normalizeNumbers(value)
		if err != nil {
			return nil, failure.At(failure.Invalid, name, d.Line, fmt.Sprintf("%s:%d: not valid JSON: %s", name, d.Line, failure.Shorten(err.Error())))
		}
		values[at] = normal
	}
	return values, nil
}

// goesOn tells whether a document holds a second one, which YAML libraries leave out without a word: after its end marker,
// or after the end of a value in braces or brackets.
func (d Document) goesOn() bool {
	text := bytes.TrimSpace(d.Text)
	if len(text) == 0 || text[0] != '{' && text[0] != '[' && !bytes.Contains(text, []byte("\n...")) {
		return false
	}
	decoder := goyaml.NewDecoder(bytes.NewReader(d.Text))
	var first, second any
	if decoder.Decode(&first) != nil {
		return false
	}
	err := decoder.Decode(&second)
	return err == nil && second != nil || err != nil && !errors.Is(err, io.EOF)
}

// repeatedInYAML is how a strict YAML reader complains of keys that are there twice, those of a merge (<<) included.
var repeatedInYAML = regexp.MustCompile(`key .* already set in map`)

// repeatedNode finds a key that is twice in one mapping of a document, as it is written, and its line, counted from one.
func repeatedNode(text []byte) (string, int) {
	var document yamlv3.Node
	if yamlv3.Unmarshal(text, &document) != nil {
		return "", 0
	}
	pending := []*yamlv3.Node{&document}
	for len(pending) > 0 {
		node := pending[len(pending)-1]
		pending = append(pending[:len(pending)-1], node.Content...)
		if node.Kind != yamlv3.MappingNode {
			continue
		}
		keys := map[string]bool{}
		for at := 0; at+1 < len(node.Content); at += 2 {
			key := node.Content[at]
			if key.Kind != yamlv3.ScalarNode || key.Tag == "!!merge" {
				continue
			}
			if keys[key.Value] {
				return key.Value, key.Line
			}
			keys[key.Value] = true
		}
	}
	return "", 0
}

// Repetition says which key of one YAML document is there twice, or nothing.
func Repetition(text []byte, name string) string {
	if _, err := yaml.YAMLToJSONStrict(text); err != nil && repeatedInYAML.MatchString(err.Error()) {
		if key, line := repeatedNode(text); key != "" {
			return twice(fmt.Sprintf("%s:%d", name, line), key)
		}
	}
	return ""
}

// shownKey is how keys look that are surely no values.
var shownKey = regexp.MustCompile(`^[\w./-]{1,63}$`)

func twice(place, key string) string {
	if !shownKey.MatchString(key) {
		key = "…"
	}
	return fmt.Sprintf("%s: the key %s is there twice in one mapping, and the first one would be lost; keep one", place, key)
}

// repeatedKey finds a key that is twice in one object of a JSON text, and its line, counted from one.
func repeatedKey(text []byte) (string, int) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	// For each open object its keys, for each open array nothing.
	var open []map[string]bool
	isKey := false
	for {
		token, err := decoder.Token()
		if err != nil {
			return "", 0
		}
		switch token {
		case json.Delim('{'):
			open, isKey = append(open, map[string]bool{}), true
			continue
		case json.Delim('['):
			open, isKey = append(open, nil), false
			continue
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
			isKey = len(open) > 0 && open[len(open)-1] != nil
			continue
		}
		if len(open) == 0 || open[len(open)-1] == nil {
			continue
		}
		if isKey {
			key, keys := fmt.Sprint(token), open[len(open)-1]
			if keys[key] {
				return key, 1 + bytes.Count(text[:decoder.InputOffset()], []byte("\n"))
			}
			keys[key] = true
		}
		isKey = !isKey
	}
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
	if key, at := repeatedKey(text); key != "" {
		return nil, failure.At(failure.Invalid, name, at, twice(fmt.Sprintf("%s:%d", name, at), key))
	}
	line := 1 + len(text) - len(bytes.TrimLeft(text, "\n"))
	value, err := normalizeNumbers(value)
	if err != nil {
		return nil, failure.At(failure.Invalid, name, line, fmt.Sprintf("%s:%d: not valid JSON: %s", name, line, failure.Shorten(err.Error())))
	}
	return flatten(nil, Object{value, name, line, 0})
}

// FromValues gives the objects of JSON values that a program made.
func FromValues(values []json.RawMessage, name string) ([]Object, error) {
	var objects []Object
	for at, value := range values {
		normal, err := normalizeNumbers(value)
		if err != nil {
			return nil, failure.At(failure.Invalid, name, 0, fmt.Sprintf("%s: its output cannot be read: %s", name, failure.Shorten(err.Error())))
		}
		if objects, err = flatten(objects, Object{normal, name, 0, at}); err != nil {
			return nil, err
		}
	}
	return objects, nil
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
