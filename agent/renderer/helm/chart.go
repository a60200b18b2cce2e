// Package helm renders a chart with Helm's own library as `helm template` does, from files the agent serves. It talks to
// no cluster (`lookup` finds nothing) and fetches nothing (dependencies must be in charts/).
package helm

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/ignore"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/protocol"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/tree"
)

// maxDepth of a chart's folders; also what ends a link that leads to a folder above itself.
const maxDepth = 64

var byteOrderMark = []byte{0xEF, 0xBB, 0xBF}

// load reads a chart's folder of the tree called name with Helm's rules: .helmignore, links followed, names in lexical order.
func load(trees *tree.Trees, name, folder string, packaged []protocol.Packaged) (*chart.Chart, error) {
	rules, err := ignored(trees, name, folder)
	if err != nil {
		return nil, err
	}
	reader := &folderReader{trees: trees, tree: name, root: folder, packaged: packaged, budget: archive.MaxDecompressedChartSize}
	if err := reader.read("", reach{rules: rules}, 0); err != nil {
		return nil, err
	}
	loaded, err := loader.LoadFiles(reader.files)
	if err != nil {
		return nil, failure.At(failure.Invalid, folder, 0, fmt.Sprintf("chart %s: %s", shown(folder), failure.Shorten(err.Error())))
	}
	return loaded, nil
}

// ignored are the rules of a folder's .helmignore, with Helm's own.
func ignored(trees *tree.Trees, name, folder string) (*ignore.Rules, error) {
	rules := ignore.Empty()
	ignoreFile := path.Join(folder, ignore.HelmIgnore)
	entry, err := trees.Stat(name, ignoreFile)
	if err != nil {
		return nil, err
	}
	if entry.Kind == tree.File {
		content, err := trees.Read(name, ignoreFile)
		if err != nil {
			return nil, err
		}
		if rules, err = ignore.Parse(bytes.NewReader(content)); err != nil {
			return nil, failure.At(failure.Invalid, ignoreFile, 0, fmt.Sprintf("%s: %s", ignoreFile, failure.Shorten(err.Error())))
		}
	}
	rules.AddDefaults()
	return rules, nil
}

// reach is which rules of which folder leave files out.
type reach struct {
	rules *ignore.Rules
	// from is the folder the rules are written for, in the chart.
	from string
}

// inside gives the rules for a folder: those around it, or its own when it stands for a package.
func (r *folderReader) inside(relative string, around reach) (reach, error) {
	for _, dependency := range r.packaged {
		if dependency.Path != relative {
			continue
		}
		if !dependency.Folder {
			return reach{rules: ignore.Empty(), from: relative}, nil
		}
		rules, err := ignored(r.trees, r.tree, path.Join(r.root, relative))
		return reach{rules: rules, from: relative}, err
	}
	return around, nil
}

func shown(folder string) string {
	if folder == "" || folder == "." {
		return "at the root"
	}
	return folder
}

type folderReader struct {
	trees    *tree.Trees
	tree     string
	root     string
	packaged []protocol.Packaged
	files    []*archive.BufferedFile
	budget   int64
}

func (r *folderReader) read(relative string, left reach, depth int) error {
	if depth > maxDepth {
		return failure.At(failure.Invalid, relative, 0, fmt.Sprintf("chart %s: folders are nested more than %d deep at %s (a link to a folder above itself?)", shown(r.root), maxDepth, relative))
	}
	items, err := r.trees.List(r.tree, path.Join(r.root, relative))
	if err != nil {
		return err
	}
	for _, item := range items {
		name := path.Join(relative, item.Name)
		within, err := r.inside(name, left)
		if err != nil {
			return err
		}
		seen := strings.TrimPrefix(strings.TrimPrefix(name, left.from), "/")
		if within == left && left.rules.Ignore(seen, information{item.Name, item.Kind == tree.Directory || item.Kind == tree.Submodule}) {
			continue
		}
		switch item.Kind {
		case tree.Directory, tree.Submodule:
			if err := r.read(name, within, depth+1); err != nil {
				return err
			}
		case tree.File:
			content, err := r.trees.Read(r.tree, path.Join(r.root, name))
			if err != nil {
				return err
			}
			if r.budget -= int64(len(content)); r.budget < 0 {
				return failure.New(failure.Invalid, fmt.Sprintf("chart %s is larger than the %d MiB Helm allows", shown(r.root), archive.MaxDecompressedChartSize>>20))
			}
			r.files = append(r.files, &archive.BufferedFile{Name: name, Data: bytes.TrimPrefix(content, byteOrderMark)})
		default:
			return failure.At(failure.Missing, name, 0, fmt.Sprintf("chart %s: %s is a link to something that does not exist", shown(r.root), name))
		}
	}
	return nil
}

// checkDependencies is what Helm does before it renders: everything Chart.yaml wants must be in charts/.
func checkDependencies(loaded *chart.Chart, folder string) error {
	var missing []failure.Dependency
	var names []string
	for _, wanted := range loaded.Metadata.Dependencies {
		found := false
		for _, present := range loaded.Dependencies() {
			found = found || present.Name() == wanted.Name
		}
		if !found {
			missing = append(missing, failure.Dependency{Name: wanted.Name, Version: wanted.Version, Repository: wanted.Repository})
			names = append(names, wanted.Name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &failure.Failure{
		Kind: failure.MissingDependencies, Path: path.Join(folder, "Chart.yaml"), Dependencies: missing,
		Message: fmt.Sprintf("chart %s: Chart.yaml depends on %s, which charts/ does not have; run `helm dependency build` and commit charts/", shown(folder), strings.Join(names, ", ")),
	}
}

func checkInstallable(loaded *chart.Chart) error {
	if kind := loaded.Metadata.Type; kind != "" && kind != "application" {
		return errors.New(kind + " charts are not installable; point the Application at a chart that uses it")
	}
	return nil
}

type information struct {
	name      string
	directory bool
}

// The methods of fs.FileInfo.
func (i information) Name() string       { return i.name }
func (i information) Size() int64        { return 0 }
func (i information) ModTime() time.Time { return time.Time{} }
func (i information) IsDir() bool        { return i.directory }
func (i information) Sys() any           { return nil }
func (i information) Mode() fs.FileMode {
	if i.directory {
		return os.ModeDir | 0o755
	}
	return 0o644
}
