// Package failure gives each reason for which a render ends without a result a kind the agent can act on, and shortens
// what libraries say until it can be shown to a person. It is the one place where text of a library becomes text of an
// error, so it is also where anything that may be file content (quoted values, dumps of objects) is taken out.
package failure

import (
	"errors"
	"regexp"
	"strings"
)

// Kind tells the agent what went wrong.
type Kind string

const (
	// BadRequest: a field of the Application cannot be used as it is.
	BadRequest Kind = "badRequest"
	// Invalid: a file of the repository is not what it should be.
	Invalid Kind = "invalid"
	// Tool: kustomize or Helm refused.
	Tool Kind = "tool"
	// Unsupported: something the agent deliberately does not do.
	Unsupported Kind = "unsupported"
	// Missing: a file or folder does not exist.
	Missing Kind = "missing"
	// MissingDependencies: charts of Chart.yaml's dependencies are not in charts/.
	MissingDependencies Kind = "missingDependencies"
	// Refused: the agent itself refused to serve a path; it knows why.
	Refused Kind = "refused"
)

// Dependency is one entry of a chart's dependencies that is not vendored.
type Dependency struct {
	Name       string `json:"name"`
	Version    string `json:"version"`
	Repository string `json:"repository"`
}

// Failure is an error with a kind and, where known, a place.
type Failure struct {
	Kind         Kind         `json:"kind"`
	Message      string       `json:"message"`
	Path         string       `json:"path,omitempty"`
	Line         int          `json:"line,omitempty"`
	Dependencies []Dependency `json:"dependencies,omitempty"`
}

// Error implements error.
func (f *Failure) Error() string { return f.Message }

// New makes a failure with a text of our own.
func New(kind Kind, message string) *Failure { return &Failure{Kind: kind, Message: message} }

// At is New with a place.
func At(kind Kind, path string, line int, message string) *Failure {
	return &Failure{Kind: kind, Path: path, Line: line, Message: message}
}

// Of turns any error into a failure: its own one when there is one in the chain, else a shortened tool failure.
func Of(err error) *Failure {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	return New(Tool, Shorten(err.Error()))
}

const (
	maxMessage = 800
	maxQuoted  = 100
)

var (
	quoted = []*regexp.Regexp{
		regexp.MustCompile("(?s)`[^`]*`"),
		regexp.MustCompile(`(?s)"(?:[^"\\]|\\.)*"`),
		// Not the apostrophe of a word.
		regexp.MustCompile(`(?s)\B'[^']*'`),
		regexp.MustCompile(`(?s)\{.*\}`),
		regexp.MustCompile(`(?s)\[.*\]`),
	}
	// Texts known to repeat a value or a document, with what they become.
	repeating = []struct {
		pattern     *regexp.Regexp
		replacement string
	}{
		// go-yaml, a value it could not convert.
		{regexp.MustCompile("cannot unmarshal (!![a-z]+) `[^`]*`"), "cannot use $1"},
		// JSON schema, a value that breaks a rule.
		{regexp.MustCompile(`'[^']*' (does not match|is not valid)`), "the value $1"},
		// kyaml, the whole node; it is said last.
		{regexp.MustCompile(`(?s): node contents:.*`), ""},
		// Steps of a YAML library that mean nothing to who reads the error.
		{regexp.MustCompile(`cannot unmarshal yaml document: |error converting YAML to JSON: (yaml: )?`), ""},
		// Helm's tpl, the text it was given.
		{regexp.MustCompile(`(?s)(cannot parse template|tpl function execution for) "(?:[^"\\]|\\.)*"`), "$1 a text"},
	}
	spaces = regexp.MustCompile(`\s+`)
)

// Shorten makes one line of at most maxMessage bytes of a library's error: long quotations and dumps of objects, which
// may hold a Secret, are replaced by an ellipsis.
func Shorten(text string) string {
	for _, known := range repeating {
		text = known.pattern.ReplaceAllString(text, known.replacement)
	}
	for _, pattern := range quoted {
		text = pattern.ReplaceAllStringFunc(text, func(found string) string {
			if len(found) <= maxQuoted && !strings.Contains(found, "\n") {
				return found
			}
			return found[:1] + "…" + found[len(found)-1:]
		})
	}
	text = strings.TrimSpace(spaces.ReplaceAllString(text, " "))
	if len(text) <= maxMessage {
		return text
	}
	cut := maxMessage
	for cut > 0 && text[cut]&0xC0 == 0x80 {
		cut--
	}
	return text[:cut] + "…"
}
