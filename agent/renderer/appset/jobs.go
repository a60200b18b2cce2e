package appset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"text/template"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/manifest"
)

// maxText bounds one filled template, in bytes: more is no field of an Application.
const maxText = 1 << 20

// Templates is the body of a job that fills templates.
type Templates struct {
	Options []string `json:"options"`
	Sets    []Set    `json:"sets"`
}

// Set is one set of parameters and the templates it fills.
type Set struct {
	Parameters any      `json:"parameters"`
	Texts      []string `json:"texts"`
}

// Filled is what became of one template.
type Filled struct {
	Text string `json:"text"`
	// Error says why there is no text.
	Error string `json:"error,omitempty"`
	// Expression and Key say which parameter was missing: also without an error, where the text then holds <no value>.
	Expression string `json:"expression,omitempty"`
	Key        string `json:"key,omitempty"`
}

// Values is the body of a job that reads YAML.
type Values struct {
	Texts []string `json:"texts"`
}

// Value is what one text holds.
type Value struct {
	Value any    `json:"value"`
	Error string `json:"error,omitempty"`
}

// Read answers a job that reads YAML: one object a text.
func Read(body []byte, emit func(manifest.Object) error) error {
	var job Values
	if err := json.Unmarshal(body, &job); err != nil {
		return failure.New(failure.BadRequest, "reading the job: "+err.Error())
	}
	for _, text := range job.Texts {
		value, err := ReadYAML([]byte(text))
		answer := Value{Value: value}
		if err != nil {
			answer = Value{Error: trim(err.Error())}
		}
		if err := send(emit, answer); err != nil {
			return err
		}
	}
	return nil
}

// Fill answers a job that fills templates: one object a set of parameters.
func Fill(body []byte, emit func(manifest.Object) error) error {
	var job Templates
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if err := decoder.Decode(&job); err != nil {
		return failure.New(failure.BadRequest, "reading the job: "+err.Error())
	}
	filler := newFiller(job.Options)
	for _, set := range job.Sets {
		parameters := fromWire(set.Parameters)
		ofCluster(parameters)
		filled := make([]Filled, len(set.Texts))
		for index, text := range set.Texts {
			filled[index] = filler.fill(text, parameters)
		}
		if err := send(emit, filled); err != nil {
			return err
		}
	}
	return nil
}

// ofCluster gives labels and annotations of a cluster the type they have in Argo CD, where a missing one is an empty text.
func ofCluster(parameters any) {
	set, ok := parameters.(map[string]any)
	if !ok || set["nameNormalized"] == nil || set["server"] == nil {
		return
	}
	metadata, _ := set["metadata"].(map[string]any)
	for _, name := range []string{"labels", "annotations"} {
		values, ok := metadata[name].(map[string]any)
		if !ok {
			continue
		}
		texts := make(map[string]string, len(values))
		for key, value := range values {
			if texts[key], ok = value.(string); !ok {
				return
			}
		}
		metadata[name] = texts
	}
}

func send(emit func(manifest.Object) error, answer any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(answer); err != nil {
		return failure.New(failure.Tool, "writing an answer: "+err.Error())
	}
	return emit(manifest.Object{JSON: text.Bytes()})
}

// filler keeps parsed templates: the sets of a generator all fill the same ones.
type filler struct {
	options []string
	parsed  map[string]parsed
}

type parsed struct {
	template *template.Template
	strict   *template.Template
	err      error
}

func newFiller(options []string) *filler {
	return &filler{options: options, parsed: map[string]parsed{}}
}

func (f *filler) parse(text string) (answer parsed) {
	if known, ok := f.parsed[text]; ok {
		return known
	}
	defer func() {
		// Option panics for what it does not know.
		if cause := recover(); cause != nil {
			answer = parsed{err: fmt.Errorf("%v", cause)}
		}
		f.parsed[text] = answer
	}()
	one := template.New("base").Funcs(functions())
	for _, option := range f.options {
		one = one.Option(option)
	}
	one, err := one.Parse(text)
	if err != nil {
		return parsed{err: err}
	}
	strict, err := one.Clone()
	if err != nil {
		return parsed{err: err}
	}
	return parsed{template: one, strict: strict.Option("missingkey=error")}
}

func (f *filler) fill(text string, parameters any) Filled {
	known := f.parse(text)
	if known.err != nil {
		return Filled{Error: trim(known.err.Error())}
	}
	out := &limited{}
	if err := known.template.Execute(out, parameters); err != nil {
		filled := Filled{Error: trim(err.Error())}
		if changing, ok := errors.AsType[*Changing](err); ok {
			filled.Error = changing.Error()
		}
		filled.Expression, filled.Key = missing(err)
		return filled
	}
	filled := Filled{Text: out.String()}
	if strings.Contains(filled.Text, "<no value>") {
		filled.Expression, filled.Key = missing(known.strict.Execute(&limited{}, parameters))
	}
	return filled
}

var (
	expression = regexp.MustCompile(`at <(.*?)>: `)
	missingKey = regexp.MustCompile(`map has no entry for key "(.*)"`)
	nilPointer = regexp.MustCompile(`nil pointer evaluating [^ ]*\.([^.]*)$`)
)

// missing reads which expression asked for which key that is not there; text/template says it only in words.
func missing(err error) (string, string) {
	if err == nil {
		return "", ""
	}
	text := err.Error()
	key := missingKey.FindStringSubmatch(text)
	if key == nil {
		key = nilPointer.FindStringSubmatch(text)
	}
	if key == nil {
		return "", ""
	}
	if at := expression.FindStringSubmatch(text); at != nil {
		return at[1], key[1]
	}
	return "", key[1]
}

// trim takes the name of the template off, which nobody gave.
func trim(text string) string {
	text = strings.TrimPrefix(text, "template: base:")
	text = strings.TrimPrefix(text, "error converting YAML to JSON: ")
	return text
}

// limited ends a template whose result grows without end.
type limited struct{ strings.Builder }

// Write implements io.Writer.
func (l *limited) Write(text []byte) (int, error) {
	if l.Len()+len(text) > maxText {
		return 0, fmt.Errorf("the result is larger than %d KiB", maxText>>10)
	}
	return l.Builder.Write(text)
}
