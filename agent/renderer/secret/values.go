// Package secret takes values out of texts that are shown: those of Secrets, generators, environment files and settings
// with a telling name, as they stand in the files of one job. It is the second line of defense: package failure already
// leaves out what a library quotes; this finds what a library, or a chart's own message, repeats without quotation.
package secret

import (
	"encoding/base64"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// placeholder is the one of the agent's own masks.
const placeholder = "***"

const (
	// minLength of a value, in bytes, since the words of an error would be full of shorter ones.
	minLength = 4
	// minInside is the length from which on a value is looked for inside of words, too.
	minInside = 8
	// maxText of a file that is no YAML, in bytes: an environment file is a page or two.
	maxText = 1 << 20
)

// Values are what must not be shown.
type Values struct {
	known   map[string]bool
	allowed map[string]bool
}

// NewValues knows none.
func NewValues() *Values {
	return &Values{known: map[string]bool{}, allowed: maps.Clone(ordinary)}
}

// ordinary words are no secrets where they are values, and are said by errors.
var ordinary = func() map[string]bool {
	words := map[string]bool{}
	for word := range strings.FieldsSeq(`true false null none default string number object array boolean integer float bytes
		name names value values kind type data file files path field fields line list item items error errors invalid missing
		required expected found kustomize helm chart charts template templates yaml json patch image images label labels
		spec metadata status namespace apiVersion admin user root localhost Secret ConfigMap Opaque`) {
		words[word] = true
	}
	return words
}()

// Allow lets a name be shown, and each part of a path: they are no secrets, even where a value is the same.
func (v *Values) Allow(name string) {
	v.allowed[name] = true
	for part := range strings.SplitSeq(name, "/") {
		v.allowed[part] = true
		v.allowed[strings.TrimSuffix(part, path.Ext(part))] = true
	}
}

// Add marks a value, and the forms in which a text may hold it.
func (v *Values) Add(value string) {
	value = strings.TrimSpace(value)
	if strings.Contains(value, "{{") {
		// An expression of a template; what it gives is found where it comes from.
		return
	}
	v.add(value)
	if strings.ContainsAny(value, "\n\t ") {
		v.add(strings.Join(strings.Fields(value), " "))
	}
	if quoted := strconv.Quote(value); quoted[1:len(quoted)-1] != value {
		v.add(quoted[1 : len(quoted)-1])
	}
	if len(value) >= minInside {
		v.add(base64.StdEncoding.EncodeToString([]byte(value)))
		if decoded, err := base64.StdEncoding.DecodeString(value); err == nil && utf8.Valid(decoded) {
			v.add(strings.TrimSpace(string(decoded)))
		}
	}
}

func (v *Values) add(value string) {
	if len(value) >= minLength {
		v.known[value] = true
	}
}

// AddSetting marks the value of a setting with a telling name.
func (v *Values) AddSetting(name, value string) {
	if telling.MatchString(name) {
		v.Add(value)
	}
}

// AddFile marks the values in a file of the repository.
func (v *Values) AddFile(name string, content []byte) {
	v.Allow(name)
	if strings.HasSuffix(name, ".schema.json") {
		return
	}
	switch path.Ext(name) {
	case ".yaml", ".yml", ".json", ".tpl", ".jsonnet", ".libsonnet":
		v.AddYAML(content)
		return
	}
	if len(content) > maxText || !strings.Contains(string(content), "=") && !strings.HasSuffix(name, ".env") {
		return
	}
	for line := range strings.Lines(string(content)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			v.addPair(line)
		}
	}
}

// addPair marks KEY=VALUE: the value, and the whole, which a library may take for the key.
func (v *Values) addPair(pair string) {
	v.Add(pair)
	if _, value, found := strings.Cut(pair, "="); found {
		v.Add(strings.Trim(strings.TrimSpace(value), `"'`))
	}
}

var (
	// telling are names whose values are secret; those the agent hides in logs of hooks, and a few more.
	telling = regexp.MustCompile(`(?i)(passw(or)?d|passphrase|pwd|secret|token|credentials?|api[_-]?key|access[_-]?key|private[_-]?key|connection[_-]?string|dsn)$`)
	// holders are fields of Kubernetes and kustomize under which every value counts.
	holders = regexp.MustCompile(`^(data|stringData|binaryData|literals)$`)
	// entry is one `key: value` of a line, in block or in flow style.
	entry = regexp.MustCompile(`(?:^|[\s,{\[])["']?([A-Za-z0-9_./-]+)["']?\s*:(?:\s+|$|["'{\[])`)
	// blockScalar begins a text in the lines below.
	blockScalar = regexp.MustCompile(`^[|>][+-]?[0-9]?[+-]?\s*(#.*)?$`)
)

// AddYAML marks the values of telling keys and of the fields that hold data. It reads lines, so that it also works for a
// file that is no valid YAML (which may be what the error is about), and takes no more memory than the file.
func (v *Values) AddYAML(content []byte) {
	// within is the indentation of the key whose block is secret, or -1.
	within := -1
	for line := range strings.Lines(string(content)) {
		line = strings.TrimRight(line, "\r\n")
		text := strings.TrimLeft(line, " ")
		indentation := len(line) - len(text)
		if text == "" || text[0] == '#' {
			continue
		}
		item := strings.HasPrefix(text, "- ")
		if within >= 0 && (indentation > within || item && indentation == within) {
			v.addSecretLine(text)
			continue
		}
		within = -1
		for item {
			text = strings.TrimLeft(text[2:], " ")
			item = strings.HasPrefix(text, "- ")
		}
		for _, at := range entry.FindAllStringSubmatchIndex(text, -1) {
			key := text[at[2]:at[3]]
			_, value, _ := strings.Cut(text[at[3]:], ":")
			value = strings.TrimSpace(value)
			// Behind the first key of a line only those of a flow mapping come.
			if at[0] > 0 || strings.HasPrefix(text, "{") {
				value = ofFlow(value)
			}
			secret := telling.MatchString(key) || holders.MatchString(key)
			switch {
			case !secret && key != "value":
			case value == "" || value[0] == '#' || blockScalar.MatchString(value) || value[0] == '&':
				if secret || value != "" {
					within = indentation
				}
			default:
				v.addSecretLine(value)
			}
		}
	}
}

// addSecretLine marks what a line of a secret block holds: `key: value`, an item, a literal, or a line of a text.
func (v *Values) addSecretLine(text string) {
	text = strings.TrimSpace(strings.TrimLeft(text, "- "))
	if strings.ContainsAny(text[:min(1, len(text))], "{[") {
		for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune("{}[],", r) }) {
			v.addSecretLine(part)
		}
		return
	}
	if quoted := unquoted(text); quoted != text {
		v.addPair(quoted)
		return
	}
	if at := entry.FindStringSubmatchIndex(text); at != nil && at[0] == 0 {
		_, value, _ := strings.Cut(text[at[3]:], ":")
		if value = strings.TrimSpace(value); value != "" && !blockScalar.MatchString(value) {
			v.addPair(unquoted(value))
		}
		return
	}
	v.addPair(text)
}

// unquoted takes the quotes of a scalar off, and a comment behind it.
func unquoted(text string) string {
	if text == "" {
		return text
	}
	if quote := text[0]; quote == '"' || quote == '\'' {
		return text[1:closing(text)]
	}
	text, _, _ = strings.Cut(text, " #")
	return strings.TrimSpace(text)
}

// closing finds the quotation mark that ends a scalar, or the end of the text.
func closing(text string) int {
	for at := 1; at < len(text); at++ {
		if text[at] == '\\' && text[0] == '"' {
			at++
		} else if text[at] == text[0] {
			return at
		}
	}
	return len(text)
}

// ofFlow cuts a value of a flow mapping where it ends.
func ofFlow(text string) string {
	if text == "" {
		return text
	}
	switch text[0] {
	case '"', '\'':
		return text[:min(len(text), closing(text)+1)]
	case '{', '[':
		depth := 0
		for at := range len(text) {
			switch text[at] {
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return text[:at+1]
				}
			}
		}
		return text
	default:
		if end := strings.IndexAny(text, ",}]"); end >= 0 {
			return strings.TrimSpace(text[:end])
		}
		return text
	}
}

// shapes are secrets by their look alone.
var shapes = []struct {
	pattern     *regexp.Regexp
	replacement string
}{
	{regexp.MustCompile(`(?s)-----BEGIN [A-Z ]+-----.*?(-----END [A-Z ]+-----|$)`), placeholder},
	{regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]*)*`), placeholder},
	{regexp.MustCompile(`\b(gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AKIA|ASIA|sk-|npm_)[A-Za-z0-9_-]{8,}`), placeholder},
	{regexp.MustCompile(`(\b[a-z][a-z0-9+.-]*://)[^\s/@]+@`), "${1}" + placeholder + "@"},
	{regexp.MustCompile(`(?i)([\w-]*(?:passw(?:or)?d|passphrase|pwd|secret|token|credentials?|api[_-]?key|access[_-]?key|private[_-]?key)\s?=\s?)("[^"]*"?|'[^']*'?|[^\s,;&)}\]]+)`), "${1}" + placeholder},
}

// Mask gives a text without the values.
func (v *Values) Mask(text string) string {
	for _, shape := range shapes {
		text = shape.pattern.ReplaceAllString(text, shape.replacement)
	}
	values := slices.Collect(maps.Keys(v.known))
	// The longest first: a value may be part of another.
	slices.SortFunc(values, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	for _, value := range values {
		if !v.allowed[value] {
			text = without(text, value)
		}
	}
	return text
}

// without replaces a value; one at the end of a shortened text may be cut.
func without(text, value string) string {
	for from := 0; ; {
		at := strings.Index(text[from:], value)
		if at < 0 {
			break
		}
		at += from
		end := at + len(value)
		if len(value) < minInside && (at > 0 && isOfWord(text[at-1]) || end < len(text) && isOfWord(text[end])) {
			from = at + 1
			continue
		}
		text = text[:at] + placeholder + text[end:]
		from = at + len(placeholder)
	}
	if whole, cut := strings.CutSuffix(text, "…"); cut {
		for length := min(len(value), len(whole)); length >= minInside; length-- {
			if strings.HasSuffix(whole, value[:length]) {
				return whole[:len(whole)-length] + placeholder + "…"
			}
		}
	}
	return text
}

func isOfWord(letter byte) bool {
	return letter == '_' || letter == '-' || letter >= 0x80 ||
		letter >= '0' && letter <= '9' || letter >= 'a' && letter <= 'z' || letter >= 'A' && letter <= 'Z'
}
