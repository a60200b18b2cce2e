// Package directory renders a folder of plain manifests and Jsonnet: which files count, and what is in them. Rules are those of Argo
// CD's directory sources: include and exclude match the path relative to the application's folder, exclude first; only
// .yaml, .yml and .json count; a file with the skip marker is left out; YAML that is no manifest at all is left out too.
package directory

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/gobwas/glob"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/jsonnet"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/manifest"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/protocol"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/tree"
)

// skipMarker anywhere in a file leaves the file out.
const skipMarker = "+argocd:skip-file-rendering"

// maxDepth of folders; deeper than this is a mistake or an attack.
const maxDepth = 64

// overrides are files that change a source; the agent has read them already.
var overrides = regexp.MustCompile(`^\.argocd-source(-.+)?\.yaml$`)

// Emit receives each object as soon as it is known.
type Emit func(manifest.Object) error

type walker struct {
	trees   *tree.Trees
	job     *protocol.DirectoryJob
	root    string
	include glob.Glob
	exclude glob.Glob
	emit    Emit
	warn    func(string)
	without func(string)
	// evaluator is made for the first .jsonnet file.
	evaluator *jsonnet.Evaluator
}

// Render sends every object of the folder, in the order of paths. without gets the files that could have held objects and
// hold none.
func Render(trees *tree.Trees, job *protocol.Job, emit Emit, warn, without func(string)) error {
	w := &walker{trees: trees, job: job.Directory, root: job.Path, emit: emit, warn: warn, without: without}
	var err error
	if w.include, err = compile("include", job.Directory.Include); err != nil {
		return err
	}
	if w.exclude, err = compile("exclude", job.Directory.Exclude); err != nil {
		return err
	}
	return w.walk("", 0)
}

func compile(field, pattern string) (glob.Glob, error) {
	if pattern == "" {
		return nil, nil
	}
	compiled, err := glob.Compile(pattern)
	if err != nil {
		return nil, failure.New(failure.BadRequest, fmt.Sprintf("spec.source.directory.%s: %q is not a glob pattern: %s", field, pattern, failure.Shorten(err.Error())))
	}
	return compiled, nil
}

func (w *walker) walk(relative string, depth int) error {
	if depth > maxDepth {
		return failure.At(failure.Invalid, relative, 0, fmt.Sprintf("%s: folders are nested more than %d deep", relative, maxDepth))
	}
	items, err := w.trees.List("", path.Join(w.root, relative))
	if err != nil {
		return err
	}
	for _, item := range items {
		name := path.Join(relative, item.Name)
		switch {
		case item.Kind == tree.Directory && item.Link:
			// A linked folder is not entered, so that no file is applied twice.
		case item.Kind == tree.Submodule && !w.mayHold(name):
			// Nothing of it is wanted, so it does not matter that it is not fetched.
		case item.Kind == tree.Directory || item.Kind == tree.Submodule:
			if w.job.Recurse {
				if err := w.walk(name, depth+1); err != nil {
					return err
				}
			}
		case w.wanted(name):
			if err := w.file(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// mayHold tells whether a file below a folder that cannot be listed could be wanted, asked of names that patterns which are
// about the folder treat alike.
func (w *walker) mayHold(folder string) bool {
	for _, below := range []string{"", "a", "x-1/y"} {
		for _, stem := range []string{"a", "kx_7", "Z-0.q"} {
			for _, ending := range []string{".yaml", ".yml", ".json", ".jsonnet"} {
				if w.wanted(path.Join(folder, below, stem+ending)) {
					return true
				}
			}
		}
	}
	return false
}

func (w *walker) wanted(name string) bool {
	if overrides.MatchString(path.Base(name)) {
		return false
	}
	if w.exclude != nil && w.exclude.Match(name) {
		return false
	}
	if w.include != nil && !w.include.Match(name) {
		return false
	}
	if w.job.AllFiles {
		return true
	}
	switch path.Ext(name) {
	case ".yaml", ".yml", ".json", ".jsonnet":
		return true
	}
	return false
}

func (w *walker) file(name string) error {
	full := path.Join(w.root, name)
	isJsonnet := path.Ext(name) == ".jsonnet"
	if isJsonnet && w.evaluator == nil {
		// go-jsonnet keeps what it reads all the same.
		w.trees.Keep()
		w.evaluator = jsonnet.New(w.trees, w.root, w.job.Jsonnet)
	}
	raw, err := w.trees.Read("", full)
	if err != nil {
		return err
	}
	if bytes.Contains(raw, []byte(skipMarker)) {
		return nil
	}
	if problem := manifest.NotFetched(raw); problem != "" {
		return failure.At(failure.Invalid, full, 0, fmt.Sprintf("%s %s", full, problem))
	}
	if isJsonnet {
		objects, err := w.evaluator.Objects(full)
		if err != nil {
			return err
		}
		return w.send(objects)
	}
	content, err := manifest.DecodeText(raw)
	if err != nil {
		return failure.At(failure.Invalid, full, 0, fmt.Sprintf("%s: not readable text: %s", full, failure.Shorten(err.Error())))
	}
	var objects []manifest.Object
	if path.Ext(name) == ".json" {
		objects, err = manifest.FromJSON(content, full)
	} else {
		objects, err = manifest.FromYAML(content, full, true, nil)
		if err != nil && len(objects) == 0 && !looksLikeManifest(content) {
			w.warn(fmt.Sprintf("%s is not a Kubernetes manifest and was left out; name it in directory.exclude to say so", full))
			w.without(full)
			return nil
		}
	}
	if err != nil {
		return err
	}
	// One in which everything is a comment is meant to be so.
	if len(bytes.TrimSpace(content)) == 0 {
		w.without(full)
	}
	return w.send(objects)
}

func (w *walker) send(objects []manifest.Object) error {
	for _, object := range objects {
		if err := w.emit(object); err != nil {
			return err
		}
	}
	return nil
}

func looksLikeManifest(content []byte) bool {
	text := string(content)
	return strings.Contains(text, "apiVersion:") && strings.Contains(text, "kind:") && strings.Contains(text, "metadata:")
}
