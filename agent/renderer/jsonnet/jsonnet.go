// Package jsonnet evaluates the .jsonnet files of a directory with go-jsonnet, as Argo CD does: files are imported relative to the
// file that imports them, then from `libs`, the last one first, then from the application's folder. It reads only what the agent
// serves, has no functions of its own, and is bounded: calls in depth here, memory and time by the process it runs in.
package jsonnet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/google/go-jsonnet"
	"github.com/google/go-jsonnet/ast"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/manifest"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/protocol"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/tree"
)

// maxCalls are calls in depth, go-jsonnet's own default.
const maxCalls = 500

// Evaluator evaluates the files of one job. Files that several of them import are read and parsed once.
type Evaluator struct {
	vm       *jsonnet.VM
	importer *importer
	format   *formatter
}

// New prepares for the files of a folder.
func New(trees *tree.Trees, folder string, options *protocol.JsonnetOptions) *Evaluator {
	files := &importer{trees: trees, known: map[string]*jsonnet.Contents{}, libraries: []string{folder}}
	vm := jsonnet.MakeVM()
	vm.MaxStack = maxCalls
	vm.SetTraceOut(io.Discard)
	if options != nil {
		files.libraries = append(files.libraries, options.Libs...)
		for _, variable := range options.TLAs {
			if variable.Code {
				vm.TLACode(variable.Name, variable.Value)
			} else {
				vm.TLAVar(variable.Name, variable.Value)
			}
		}
		for _, variable := range options.ExtVars {
			if variable.Code {
				vm.ExtCode(variable.Name, variable.Value)
			} else {
				vm.ExtVar(variable.Name, variable.Value)
			}
		}
	}
	vm.Importer(files)
	format := &formatter{}
	vm.ErrorFormatter = format
	return &Evaluator{vm: vm, importer: files, format: format}
}

// Objects gives the objects of a file: it makes one, a List, or an array of them.
func (e *Evaluator) Objects(name string) ([]manifest.Object, error) {
	text, err := e.vm.EvaluateFile(name)
	if e.importer.refusal != nil {
		return nil, e.importer.refusal
	}
	if err != nil {
		return nil, explain(name, e.format.last, err)
	}
	content := bytes.TrimSpace([]byte(text))
	values := []json.RawMessage{content}
	if bytes.HasPrefix(content, []byte("[")) {
		if err := json.Unmarshal(content, &values); err != nil {
			return nil, failure.At(failure.Invalid, name, 0, fmt.Sprintf("%s: its output cannot be read: %s", name, failure.Shorten(err.Error())))
		}
	}
	return manifest.FromValues(values, name)
}

// importer finds files in the application's own tree.
type importer struct {
	trees *tree.Trees
	// libraries are folders, searched from the last to the first.
	libraries []string
	// known are files by path; nothing for one that does not exist. go-jsonnet demands the same contents each time.
	known map[string]*jsonnet.Contents
	// refusal is the first thing that must not be hidden behind go-jsonnet's words for it.
	refusal error
}

// Import implements jsonnet.Importer.
func (i *importer) Import(from, imported string) (jsonnet.Contents, string, error) {
	if i.refusal != nil {
		return jsonnet.Contents{}, "", i.refusal
	}
	if path.IsAbs(imported) {
		return jsonnet.Contents{}, "", i.refuse(failure.At(failure.Invalid, from, 0, fmt.Sprintf(
			"%s imports %s, an absolute path; files are imported relative to the file that imports them, or from a folder of directory.jsonnet.libs", from, imported)))
	}
	if content, place, err := i.try(path.Dir(from), from, imported); content != nil || err != nil {
		return found(content), place, err
	}
	for at := len(i.libraries) - 1; at >= 0; at-- {
		if content, place, err := i.try(i.libraries[at], from, imported); content != nil || err != nil {
			return found(content), place, err
		}
	}
	return jsonnet.Contents{}, "", i.refuse(failure.At(failure.Missing, from, 0, fmt.Sprintf(
		"%s imports %s, which is neither beside it, nor in the application's folder, nor in a folder of directory.jsonnet.libs; commit the file (a vendor folder is one of libs), or name the folder it is in", from, imported)))
}

func found(content *jsonnet.Contents) jsonnet.Contents {
	if content == nil {
		return jsonnet.Contents{}
	}
	return *content
}

// try looks for a file in one folder; nothing when it is not there.
func (i *importer) try(folder, from, imported string) (*jsonnet.Contents, string, error) {
	// Beyond the root a path goes on with `..`, which the root itself cannot swallow.
	place := path.Join(folder, imported)
	if place == ".." || strings.HasPrefix(place, "../") {
		return nil, "", i.refuse(failure.At(failure.Invalid, from, 0, fmt.Sprintf(
			"%s imports %s, which leads out of the repository; keep what is imported inside", from, imported)))
	}
	if content, ok := i.known[place]; ok {
		return content, place, nil
	}
	entry, err := i.trees.Stat("", place)
	if err != nil {
		return nil, "", i.refuse(err)
	}
	if entry.Kind != tree.File {
		i.known[place] = nil
		return nil, "", nil
	}
	raw, err := i.trees.Read("", place)
	if err != nil {
		return nil, "", i.refuse(err)
	}
	if problem := manifest.NotFetched(raw); problem != "" {
		return nil, "", i.refuse(failure.At(failure.Invalid, place, 0, fmt.Sprintf("%s %s", place, problem)))
	}
	content := jsonnet.MakeContentsRaw(raw)
	i.known[place] = &content
	return &content, place, nil
}

func (i *importer) refuse(err error) error {
	if i.refusal == nil {
		i.refusal = err
	}
	return err
}

// formatter keeps the error itself, which the VM gives away as text only.
type formatter struct{ last error }

// Format implements jsonnet.ErrorFormatter.
func (f *formatter) Format(err error) string {
	f.last = err
	return err.Error()
}

// SetMaxStackTraceSize implements jsonnet.ErrorFormatter.
func (*formatter) SetMaxStackTraceSize(int) {}

// SetColorFormatter implements jsonnet.ErrorFormatter.
func (*formatter) SetColorFormatter(jsonnet.ColorFormatter) {}

// placed is an error of the parser.
type placed interface{ Loc() ast.LocationRange }

// explain says where evaluation ended and why.
func explain(name string, typed, err error) error {
	var at ast.LocationRange
	text := err.Error()
	if runtime, ok := errors.AsType[jsonnet.RuntimeError](typed); ok {
		text = runtime.Msg
		for _, frame := range runtime.StackTrace {
			if frame.Loc.FileName != "" && frame.Loc.Begin.Line > 0 {
				at = frame.Loc
				break
			}
		}
	} else if syntax, ok := typed.(placed); ok {
		at = syntax.Loc()
		text = strings.TrimPrefix(text, at.String())
	}
	if strings.Contains(text, "max stack frames exceeded") {
		text = fmt.Sprintf("functions call each other more than %d deep; end the recursion", maxCalls)
	}
	place := name
	if at.FileName != "" {
		place = fmt.Sprintf("%s:%d", path.Clean(at.FileName), at.Begin.Line)
		if path.Clean(at.FileName) != name {
			place = fmt.Sprintf("%s: in %s", name, place)
		}
	}
	return failure.At(failure.Tool, name, at.Begin.Line, fmt.Sprintf("%s: %s", place, failure.Shorten(strings.TrimSpace(text))))
}
